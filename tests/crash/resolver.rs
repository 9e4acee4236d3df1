//! The resolver hangs under a running relay: librdkafka's threads wait for it, and nothing of ringback's may wait for them.
//!
//! A preloaded library (`resolver.c`) is between the relay and the resolver.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use crate::mock::Mock;
use crate::support::eventually;
use crate::support::load::Load;
use crate::support::relay::{Relay, Site};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/resolver.c");
/// Beyond the deadline: for last reports, the last checkpoint and the producer's end. A publisher that has not come to its
/// end, and so not to the checkpoint, is given up only after ten seconds.
const GRACE: Duration = Duration::from_secs(8);

struct Resolver {
    folder: tempfile::TempDir,
}

impl Resolver {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let resolver = Self { folder };
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(resolver.library())
            .arg(SOURCE)
            .arg("-ldl")
            .status()
            .expect("a C compiler runs");
        assert!(status.success(), "the library does not compile");
        resolver
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("resolver.so")
    }

    fn flag(&self) -> PathBuf {
        self.folder.path().join("hangs")
    }

    fn start(&self, site: &Site) -> Relay {
        let text = |path: PathBuf| path.to_str().expect("UTF-8").to_owned();
        site.start_with(&[
            ("LD_PRELOAD", &text(self.library())),
            ("RINGBACK_TEST_RESOLVER", &text(self.flag())),
            ("RINGBACK_KAFKA__STALL_TIMEOUT", "5s"),
        ])
    }

    fn hang(&self) {
        std::fs::write(self.flag(), []).expect("it can be written");
    }

    fn answer(&self) {
        std::fs::remove_file(self.flag()).expect("it is there");
    }
}

pub fn hangs() -> Result<(), Failed> {
    let resolver = Resolver::new();
    let mock = Mock::start("resolver");
    let shutdown = "readiness_delay = \"0s\"\ndrain_deadline = \"1s\"";
    let site = Site::of(&mock.bootstrap, "resolver", None, &[("shutdown", shutdown)]);
    let relay = resolver.start(&site);
    let load = Load::start(&relay, "resolver", 200, 300);
    load.await_acknowledged(200);
    resolver.hang();
    mock.down();
    load.await_acknowledged(400);
    eventually("the producer is replaced though its threads hang", || {
        relay.metric("ringback_publish_rebuilds_total") >= 1.0
    });
    let tally = load.end();
    tally.assert_all_accepted();

    let begun = Instant::now();
    relay.terminate();
    let status = relay.wait(GRACE * 10);
    let took = begun.elapsed();
    assert!(status.success(), "SIGTERM ends it in order: {status}");
    assert!(
        took < Duration::from_secs(1) + GRACE,
        "it took {took:.1?} to end"
    );

    resolver.answer();
    mock.up();
    let relay = resolver.start(&site);
    relay.await_drained();
    let name = format!("a resolver that hangs, SIGTERM took {took:.1?}");
    tally.assert_kept(&name, &mock.bootstrap, "resolver");
    Ok(())
}
