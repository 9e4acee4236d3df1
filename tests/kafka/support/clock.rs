//! A wall clock that a relay takes for the machine's, by a preloaded library (`tests/crash/clock.c`).

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;

use super::preload::Preload;
use super::relay::{Relay, Site};

/// The relay's clock.
pub struct Clock(Preload);

impl Clock {
    /// Shows the machine's time at first; needs a C compiler.
    pub fn new() -> Self {
        let preload = Preload::compile("clock.c", "RINGBACK_TEST_CLOCK");
        preload.order([0; 8]);
        Self(preload)
    }

    /// Starts a relay that sees this clock.
    pub fn start(&self, site: &Site) -> Relay {
        self.0.start(site, &[])
    }

    /// The environment in which a process sees it.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        self.0.environment()
    }

    /// Sets it this many seconds ahead of the machine's clock, at once, as settimeofday does.
    pub fn set(&self, seconds: i64) {
        let file = OpenOptions::new().write(true).open(self.0.orders());
        let file = file.expect("it is there");
        let bytes = seconds.to_ne_bytes();
        file.write_all_at(&bytes, 0)
            .expect("eight bytes are written");
    }
}
