//! The journal's file system runs full, or becomes read-only.

use libtest_mimic::Failed;

use crate::mock::Mock;
use crate::support::load::Load;
use crate::support::relay::Site;
use crate::support::{PATIENCE, eventually};
use crate::volume::Volume;

/// A short shutdown for a relay that ends after a poison: nothing here takes longer.
pub const SHUTDOWN: (&str, &str) = (
    "shutdown",
    "readiness_delay = \"0s\"\ndrain_deadline = \"2s\"",
);

pub fn full() -> Result<(), Failed> {
    for (name, mib, volume) in [
        ("ext4", 24, Volume::ext4(24)),
        ("tmpfs", 12, Volume::tmpfs(12)),
    ] {
        let mock = Mock::start("full");
        let journal = [
            ("journal", "segment_size = \"1MiB\""),
            // More than the disk has, so that the disk is full before the budget is used up.
            ("journal", "budget = \"256MiB\""),
        ];
        let site = Site::of(&mock.bootstrap, "full", Some(volume.journal()), &journal);
        let relay = site.start();
        let warns = |words: &str| relay.start_log.contains(words);
        assert!(warns("the journal's volume is smaller than journal.budget"));
        assert_eq!(warns("the journal is on tmpfs"), name == "tmpfs");
        let budget = relay.metric("ringback_journal_budget_bytes");
        let holds = f64::from((mib - 3) << 20);
        assert!(
            budget <= holds && budget > holds / 2.0,
            "{budget} of {holds}"
        );
        mock.down();
        let load = Load::start(&relay, "full", 0, 8_000);
        load.await_refused(200);
        assert_eq!(relay.admin("/readyz").0, 200, "a full disk leaves it ready");
        let full = || {
            relay
                .admin("/readyz?verbose")
                .1
                .contains("[!]journal-room full: ")
        };
        eventually("the relay reports that it is full", full);
        assert_eq!(relay.metric("ringback_journal_exhaustion_seconds"), 0.0);
        assert_eq!(relay.metric("ringback_journal_poisoned"), 0.0);
        mock.up();
        // It accepts again while the load goes on, and then publishes all of it.
        load.await_acknowledged(1_000);
        let tally = load.end();
        assert_eq!(tally.unanswered, 0, "{tally}");
        relay.await_drained();
        let after = Load::start(&relay, "after", 200, 300);
        after.await_acknowledged(200);
        let after = after.end();
        after.assert_all_accepted();
        relay.await_drained();
        eventually("the relay reports that it has room", || !full());
        let mut all = tally;
        all.add(after);
        all.assert_kept(&format!("{name} full"), &mock.bootstrap, "full");
    }
    Ok(())
}

pub fn read_only() -> Result<(), Failed> {
    let volume = Volume::ext4(64);
    let mock = Mock::start("read-only");
    let more = [SHUTDOWN, ("journal", "segment_size = \"1MiB\"")];
    let site = Site::of(&mock.bootstrap, "read-only", Some(volume.journal()), &more);
    let relay = site.start();
    let load = Load::start(&relay, "read-only", 500, 300);
    load.await_acknowledged(500);
    volume.make_read_only();
    // The relay ends with the exit code that makes a supervisor start it again.
    assert_eq!(relay.wait(PATIENCE).code(), Some(1));
    volume.remount();
    let relay = site.start();
    load.turn_to(&relay);
    load.await_acknowledged(500);
    let tally = load.end();
    relay.await_drained();
    tally.assert_kept("a read-only remount", &mock.bootstrap, "read-only");
    Ok(())
}
