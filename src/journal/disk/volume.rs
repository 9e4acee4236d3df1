//! What an operator should know of the file system on which a journal is: some do not keep what they have synced.

use std::{fmt, fs};

use rustix::fs::fstatfs;

/// A file system on which a 204 may be worth less than it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unsafe {
    /// Memory.
    Memory(&'static str),
    /// The writable layer of a container.
    Overlay,
    /// On another machine.
    Network(&'static str),
    /// A program's.
    Fuse,
}

impl Unsafe {
    /// By the magic number that Linux gives for a file system (`statfs(2)`, `linux/magic.h`); `None` for all others.
    fn of(magic: u32) -> Option<Self> {
        Some(match magic {
            0x0102_1994 => Self::Memory("tmpfs"),
            0x8584_58f6 => Self::Memory("ramfs"),
            0x794c_7630 => Self::Overlay,
            0x6969 => Self::Network("NFS"),
            0x517b | 0xff53_4d42 | 0xfe53_4d42 => Self::Network("SMB"),
            0x00c3_6400 => Self::Network("CephFS"),
            0x0bd0_0bd0 => Self::Network("Lustre"),
            0x0102_1997 => Self::Network("9p"),
            0x6573_5546 => Self::Fuse,
            _ => return None,
        })
    }

    fn risk(self) -> Risk {
        match self {
            Self::Memory(name) => Risk {
                what: format!("the journal is on {name}, which is memory"),
                why: "a reboot or a power cut loses events that were answered 204",
                remedy: "set journal.path to a folder on a disk",
            },
            Self::Overlay => Risk {
                what: String::from("the journal is on overlayfs, the container's own layer"),
                why: "the end of the container loses events that were answered 204",
                remedy: "set journal.path to a folder on a volume",
            },
            Self::Network(name) => Risk {
                what: format!("the journal is on {name}, a network file system"),
                why: "its server decides whether a synced event survives a power cut, and its locks may not keep a second process out",
                remedy: "set journal.path to a folder on a local disk or a block volume",
            },
            Self::Fuse => Risk {
                what: String::from("the journal is on a FUSE file system"),
                why: "the program behind it decides whether a synced event survives a power cut",
                remedy: "set journal.path to a folder on a local disk or a block volume",
            },
        }
    }
}

/// Why a file system may lose what was synced to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Risk {
    /// Where the journal is.
    pub what: String,
    /// What may be lost.
    pub why: &'static str,
    /// What to change.
    pub remedy: &'static str,
}

impl fmt::Display for Risk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}; {}", self.what, self.why, self.remedy)
    }
}

/// The risk of this folder's file system; `None` if there is none, or if the kernel does not name it.
pub fn risk(directory: &fs::File) -> Option<Risk> {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the kernel's magic numbers have 32 bits, whatever type the C library gives them"
    )]
    let magic = fstatfs(directory).map(|volume| volume.f_type as u32);
    magic.ok().and_then(Unsafe::of).map(Unsafe::risk)
}

/// Logs a warning if this folder's file system is a kind that may lose what was synced.
pub(super) fn warn_if_unsafe(directory: &fs::File) {
    if let Some(risk) = risk(directory) {
        tracing::warn!("{risk}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_a_container_s_layer_and_a_network_are_told_from_disks() {
        assert_eq!(Unsafe::of(0x0102_1994), Some(Unsafe::Memory("tmpfs")));
        assert_eq!(Unsafe::of(0x794c_7630), Some(Unsafe::Overlay));
        assert_eq!(Unsafe::of(0x6969), Some(Unsafe::Network("NFS")));
        // ext4, XFS, btrfs and ZFS.
        for disk in [0xef53, 0x5846_5342, 0x9123_683e, 0x2fc1_2fc1] {
            assert_eq!(Unsafe::of(disk), None);
        }
        for (kind, word) in [
            (Unsafe::Memory("tmpfs"), "tmpfs"),
            (Unsafe::Overlay, "overlayfs"),
            (Unsafe::Network("NFS"), "NFS"),
            (Unsafe::Fuse, "FUSE"),
        ] {
            let warning = kind.risk().to_string();
            assert!(warning.contains(word) && warning.contains("journal.path"));
        }
    }

    #[test]
    fn the_magic_number_of_a_real_folder_is_read() {
        // Each Linux has it, and it is of no kind that is warned of.
        let proc = fs::File::open("/proc").expect("Linux has it");
        let magic = fstatfs(&proc).expect("it answers").f_type;
        assert_eq!(magic, 0x9fa0);
    }
}
