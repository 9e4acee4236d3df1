//! A sync or a write of the journal fails, or takes long.

use std::time::Duration;

use libtest_mimic::Failed;

use crate::disk::SHUTDOWN;
use crate::mock::Mock;
use crate::support::PATIENCE;
use crate::support::load::Load;
use crate::support::relay::Site;
use crate::trace::{Trace, UPKEEP, WRITER};

/// How long a slow sync takes, unless the tracer is detached earlier.
const SYNC: Duration = Duration::from_secs(60);

/// Injects the fault into `thread`: 503s follow, exit code 1, and after a start all that was acknowledged is there. Returns
/// the traced calls.
fn poison(name: &str, thread: &str, inject: &str) -> Vec<String> {
    let mock = Mock::start("poison");
    let site = Site::of(&mock.bootstrap, "poison", None, &[SHUTDOWN]);
    let relay = site.start();
    let load = Load::start(&relay, "poison", 500, 300);
    load.await_acknowledged(300);
    // Counted from before the fault: the relay ends as soon as it has nothing to publish.
    let refused = load.refused();
    // Without Kafka there is a backlog, which must be kept too, and for which the relay stays up and refuses.
    let trace = if thread == WRITER {
        mock.down();
        Trace::attach(&relay, thread, inject)
    } else {
        // Only deliveries cause a checkpoint, and its sync is delayed for longer than this takes.
        let trace = Trace::attach(&relay, thread, inject);
        load.await_acknowledged(50);
        mock.down();
        trace
    };
    trace.await_injected();
    load.await_refused_since(refused, 1);
    assert_eq!(relay.wait(PATIENCE).code(), Some(1));
    let calls = trace.calls();
    drop(trace);
    mock.up();
    let relay = site.start();
    load.turn_to(&relay);
    load.await_acknowledged(300);
    let tally = load.end();
    relay.await_drained();
    tally.assert_kept(name, &mock.bootstrap, "poison");
    calls
}

/// The traced calls after the failed one.
fn after_fault(calls: &[String]) -> &[String] {
    let at = calls.iter().position(|call| call.contains("(INJECTED)"));
    &calls[at.expect("the fault was injected") + 1..]
}

fn is_call(line: &str) -> bool {
    ["fdatasync", "fsync", "pwrite64"]
        .iter()
        .any(|name| line.contains(name))
}

pub fn error() -> Result<(), Failed> {
    let calls = poison("EIO under a sync", WRITER, "fdatasync:error=EIO:when=5");
    let more: Vec<_> = after_fault(&calls)
        .iter()
        .filter(|line| is_call(line))
        .collect();
    assert!(
        more.is_empty(),
        "written or synced after a failure: {more:?}"
    );
    Ok(())
}

pub fn write_error() -> Result<(), Failed> {
    let calls = poison("EIO under a write", WRITER, "pwrite64:error=EIO:when=5");
    let more: Vec<_> = after_fault(&calls)
        .iter()
        .filter(|line| is_call(line))
        .collect();
    assert!(
        more.is_empty(),
        "written or synced after a failure: {more:?}"
    );
    Ok(())
}

pub fn checkpoint_error() -> Result<(), Failed> {
    let calls = poison(
        "EIO under the checkpoint's sync",
        UPKEEP,
        "fdatasync:error=EIO:delay_enter=10000000:when=1",
    );
    let more: Vec<_> = after_fault(&calls)
        .iter()
        .filter(|line| is_call(line))
        .collect();
    assert!(
        more.is_empty(),
        "written or synced after a failure: {more:?}"
    );
    Ok(())
}

pub fn slow() -> Result<(), Failed> {
    let mock = Mock::start("slow");
    let site = Site::of(
        &mock.bootstrap,
        "slow",
        None,
        &[("listen", "commit_timeout = \"1s\"")],
    );
    let relay = site.start();
    let load = Load::start(&relay, "slow", 500, 300);
    load.await_acknowledged(300);
    let trace = Trace::attach(
        &relay,
        WRITER,
        &format!("fdatasync:delay_enter={}", SYNC.as_micros()),
    );
    // Each 503 has its `Retry-After`: the load counts no other.
    load.await_refused(16);
    drop(trace);
    load.await_acknowledged(500);
    let tally = load.end();
    relay.await_drained();
    assert_eq!(tally.unanswered, 0, "{tally}");
    // No answer waited for a sync; commit_timeout is a second, and busy cores may make it a few.
    assert!(tally.slowest < SYNC / 2, "answered late: {tally}");
    tally.assert_kept("syncs of 60 s, commit_timeout 1 s", &mock.bootstrap, "slow");
    Ok(())
}
