//! The disk of the configuration's file hangs.

use libtest_mimic::Failed;

use crate::disk::SHUTDOWN;
use crate::mock::Mock;
use crate::support::load::Load;
use crate::support::relay::Site;
use crate::support::{PATIENCE, eventually};
use crate::trace::Trace;

pub fn hang() -> Result<(), Failed> {
    let mock = Mock::start("files");
    let site = Site::of(&mock.bootstrap, "files", None, &[SHUTDOWN]);
    let relay = site.start();
    let load = Load::start(&relay, "files", 200, 300);
    load.await_acknowledged(100);
    // Longer than anybody waits here for the end.
    let delay = PATIENCE.as_micros() * 10;
    let trace = Trace::attach_to_opens(&relay, site.config(), &format!("delay_enter={delay}"));
    relay.reload();
    eventually("the configuration is being opened", || {
        trace.calls().iter().any(|line| line.contains("openat("))
    });
    load.await_acknowledged(100);
    assert_eq!(relay.admin("/readyz").0, 200);
    let tally = load.end();
    tally.assert_all_accepted();
    relay.await_drained();
    relay.terminate();
    let stat = format!("/proc/{}/stat", relay.id());
    eventually("the process has ended, but for what strace holds", || {
        std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z "))
    });
    drop(trace);
    let status = relay.wait(PATIENCE);
    assert!(status.success(), "SIGTERM ends it in order: {status}");
    let kept = "a configuration on a disk that hangs";
    tally.assert_kept(kept, &mock.bootstrap, "files");
    Ok(())
}
