//! A library that stands between the relay and the C library, compiled for the test that preloads it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::relay::{Relay, Site};

/// The compiled library, in a folder with the file of its orders.
pub struct Preload {
    folder: tempfile::TempDir,
    /// The environment variable with the path of the orders.
    variable: &'static str,
}

impl Preload {
    /// Compiles `tests/crash/SOURCE`.
    pub fn compile(source: &str, variable: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let preload = Self { folder, variable };
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(preload.library())
            .arg(sources.join(source))
            .args(["-ldl", "-lpthread"])
            .status()
            .expect("a C compiler runs");
        assert!(status.success(), "{source} does not compile");
        preload
    }

    /// The path of the library's orders. The file does not exist before [`Preload::order`].
    pub fn orders(&self) -> PathBuf {
        self.folder.path().join("orders")
    }

    /// Replaces the orders atomically: no process reads half of them.
    pub fn order(&self, orders: impl AsRef<[u8]>) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, orders).expect("it can be written");
        std::fs::rename(new, self.orders()).expect("it can be renamed");
    }

    /// The environment in which a process preloads the library.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let text = |path: PathBuf| path.to_str().expect("UTF-8").to_owned();
        [
            ("LD_PRELOAD", text(self.library())),
            (self.variable, text(self.orders())),
        ]
    }

    /// Starts a relay that preloads the library, with more variables.
    pub fn start(&self, site: &Site, more: &[(&str, &str)]) -> Relay {
        let own = self.environment();
        let own = own.each_ref().map(|(name, value)| (*name, value.as_str()));
        site.start_with(&[own.as_slice(), more].concat())
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("preload.so")
    }
}
