//! A wall clock that a relay takes for the machine's: a preloaded library (`tests/crash/clock.c`) is between the two.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::relay::{Relay, Site};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/clock.c");

/// The relay's clock.
pub struct Clock {
    folder: tempfile::TempDir,
}

impl Clock {
    /// As the machine's; needs a C compiler.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Self { folder };
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(clock.library())
            .arg(SOURCE)
            .args(["-ldl", "-lpthread"])
            .status()
            .expect("a C compiler runs");
        assert!(status.success(), "the library does not compile");
        std::fs::write(clock.offset(), [0; 8]).expect("it can be written");
        clock
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("clock.so")
    }

    fn offset(&self) -> PathBuf {
        self.folder.path().join("offset")
    }

    /// Starts a relay that goes by it.
    pub fn start(&self, site: &Site) -> Relay {
        let text = |path: PathBuf| path.to_str().expect("UTF-8").to_owned();
        site.start_with(&[
            ("LD_PRELOAD", &text(self.library())),
            ("RINGBACK_TEST_CLOCK", &text(self.offset())),
        ])
    }

    /// So many seconds ahead of the machine's, in one piece, as settimeofday does it.
    pub fn set(&self, seconds: i64) {
        let file = OpenOptions::new().write(true).open(self.offset());
        let file = file.expect("it is there");
        let bytes = seconds.to_ne_bytes();
        file.write_all_at(&bytes, 0)
            .expect("eight bytes are written");
    }
}
