//! A file system of its own for a journal, to be made, mounted and broken; it disappears with its handle.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::eventually;

/// The smallest that today's `mkfs.xfs` makes; the image is sparse.
const XFS_MIB: u64 = 320;

/// A mounted file system.
pub struct Volume {
    folder: tempfile::TempDir,
    image: Option<PathBuf>,
}

impl Volume {
    /// An ext4 of this size.
    pub fn ext4(mib: u64) -> Self {
        Self::image(mib, "mkfs.ext4", &["-q", "-m", "0"])
    }

    /// An xfs.
    pub fn xfs() -> Self {
        Self::image(XFS_MIB, "mkfs.xfs", &["-q"])
    }

    /// A tmpfs of this size.
    pub fn tmpfs(mib: u64) -> Self {
        let volume = Self::empty(None);
        let size = format!("size={mib}m");
        run(
            "mount",
            &["-t", "tmpfs", "-o", &size, "tmpfs", &volume.mount()],
        );
        volume
    }

    /// True if a loop device can be set up here at all.
    pub fn is_possible() -> bool {
        let Ok(folder) = tempfile::tempdir() else {
            return false;
        };
        let image = folder.path().join("probe");
        let file = std::fs::File::create(&image);
        let sized = file.and_then(|file| file.set_len(1 << 20));
        let device = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(&image)
            .output();
        let (Ok(()), Ok(device)) = (sized, device) else {
            return false;
        };
        let name = String::from_utf8_lossy(&device.stdout).trim().to_owned();
        device.status.success() && try_run("losetup", &["--detach", &name])
    }

    fn empty(image: Option<PathBuf>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("mount")).expect("a mount point");
        Self { folder, image }
    }

    fn image(mib: u64, make: &str, options: &[&str]) -> Self {
        let mut volume = Self::empty(None);
        let image = volume.folder.path().join("image");
        let file = std::fs::File::create(&image).expect("an image");
        file.set_len(mib << 20).expect("a sparse one");
        run(make, &[options, &[&text(&image)]].concat());
        volume.image = Some(image);
        volume.mount_image();
        volume
    }

    fn mount_image(&self) {
        let image = self.image.as_deref().expect("it is a loop mount");
        run("mount", &["-o", "loop", &text(image), &self.mount()]);
    }

    fn mount(&self) -> String {
        text(&self.folder.path().join("mount"))
    }

    /// The journal's folder on the volume.
    pub fn journal(&self) -> PathBuf {
        self.folder.path().join("mount").join("journal")
    }

    /// Shuts the file system down: what was not synced is lost, and every later write fails until [`Volume::remount`].
    pub fn cut_power(&self) {
        run("xfs_io", &["-x", "-c", "shutdown", &self.mount()]);
    }

    /// Triggers an error as of a damaged block, on which the kernel makes the file system read-only under its writer.
    pub fn make_read_only(&self) {
        run("mount", &["-o", "remount,errors=remount-ro", &self.mount()]);
        let device = Command::new("findmnt")
            .args(["-n", "-o", "SOURCE", &self.mount()])
            .output()
            .expect("findmnt is there");
        let device = String::from_utf8(device.stdout).expect("a path");
        let name = Path::new(device.trim()).file_name().and_then(OsStr::to_str);
        let trigger = format!("/sys/fs/ext4/{}/trigger_fs_error", name.expect("a device"));
        // The write itself fails, because its error is the one that it triggers.
        let _ = std::fs::write(trigger, "1");
        let probe = self.folder.path().join("mount").join("probe");
        eventually("the file system is read-only", || {
            std::fs::write(&probe, "1").is_err()
        });
    }

    /// Unmounts it and mounts it again with what the disk has kept, as when the machine comes back.
    pub fn remount(&self) {
        // The relay has ended, but the kernel may still be using the file system.
        eventually("it can be unmounted", || {
            try_run("umount", &[&self.mount()])
        });
        self.mount_image();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily, because a failed test may have left a relay that still uses it.
        try_run("umount", &["--lazy", &self.mount()]);
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

fn try_run(tool: &str, arguments: &[&str]) -> bool {
    let output = Command::new(tool).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

fn run(tool: &str, arguments: &[&str]) {
    let output = Command::new(tool).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{tool}: {error}"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool} {arguments:?}: {words}");
}
