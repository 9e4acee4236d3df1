//! The resolver hangs under a running relay: librdkafka's threads wait for it, and no thread of ringback may wait for them.
//!
//! A preloaded library (`resolver.c`) makes it hang.

use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use crate::mock::Mock;
use crate::support::eventually;
use crate::support::load::Load;
use crate::support::preload::Preload;
use crate::support::relay::{Relay, Site};

/// The time beyond the deadline for the last reports, the last checkpoint and the producer's end. It is less than the ten
/// seconds after which ringback gives a publisher up that does not end, and so does not write that checkpoint.
const GRACE: Duration = Duration::from_secs(8);

struct Resolver(Preload);

impl Resolver {
    fn start(&self, site: &Site) -> Relay {
        self.0
            .start(site, &[("RINGBACK_KAFKA__STALL_TIMEOUT", "5s")])
    }

    fn hang(&self) {
        self.0.order("");
    }

    fn answer(&self) {
        std::fs::remove_file(self.0.orders()).expect("it is there");
    }
}

pub fn hangs() -> Result<(), Failed> {
    let resolver = Resolver(Preload::compile("resolver.c", "RINGBACK_TEST_RESOLVER"));
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
