//! What a fault needs of the machine, and a mount namespace of this process's own.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::support::is_on_path;
use crate::volume::Volume;

/// The variable that is set if this process already has its own mounts.
const ENTERED: &str = "RINGBACK_TEST_OWN_MOUNTS";

/// Something that a test needs of the machine.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// Root, mounts and loop devices.
    Mount,
    /// `mkfs.ext4`.
    Ext4,
    /// `mkfs.xfs`, and `xfs_io`, which shuts either file system down.
    Xfs,
    /// `strace`, and the right to trace.
    Strace,
    /// `cc`.
    Compiler,
}

impl Need {
    /// What is missing; `None` if the need is met.
    pub fn missing(self) -> Option<&'static str> {
        let (met, words) = match self {
            Self::Mount => (
                std::env::var_os(ENTERED).is_some() && Volume::is_possible(),
                "needs root, mounts and loop devices",
            ),
            Self::Ext4 => (is_on_path("mkfs.ext4"), "needs e2fsprogs"),
            Self::Xfs => (
                is_on_path("mkfs.xfs") && is_on_path("xfs_io"),
                "needs xfsprogs",
            ),
            Self::Strace => (can_trace(), "needs strace and the right to trace"),
            Self::Compiler => (is_on_path("cc"), "needs a C compiler"),
        };
        (!met).then_some(words)
    }
}

/// Runs this program again in a mount namespace of its own, whose mounts disappear with it, however it ends.
pub fn enter_own_mounts() {
    if std::env::var_os(ENTERED).is_some() {
        return;
    }
    let try_out = Command::new("unshare").args(["--mount", "true"]).output();
    if !try_out.is_ok_and(|output| output.status.success()) {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let error = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(ENTERED, "1")
        .exec();
    eprintln!("no mounts of its own: {error}");
}

fn can_trace() -> bool {
    let output = Command::new("strace")
        .args(["-f", "-e", "trace=fdatasync", "true"])
        .output();
    output.is_ok_and(|output| output.status.success())
}
