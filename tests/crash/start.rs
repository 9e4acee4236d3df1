//! Starts that are killed half-way, again and again, and a start beside a running relay.

use std::process::Stdio;
use std::time::Instant;

use libtest_mimic::Failed;

use crate::mock::Mock;
use crate::support::load::Load;
use crate::support::relay::Site;
use crate::support::{eventually, is_long};

pub fn kill_9() -> Result<(), Failed> {
    let mock = Mock::start("start");
    let site = Site::of(
        &mock.bootstrap,
        "start",
        None,
        &[("journal", "segment_size = \"1MiB\"")],
    );
    mock.down();
    let relay = site.start();
    let load = Load::start(&relay, "start", 0, 2_000);
    load.await_acknowledged(3_000);
    relay.kill();
    let tally = load.end();
    let files = || std::fs::read_dir(site.journal()).map(Iterator::count);
    let before = files()?;

    // How long a start takes here, so that kills are spread over all of it.
    let begun = Instant::now();
    site.start().kill();
    let whole = begun.elapsed();
    let rounds = if is_long() { 200 } else { 20 };
    for round in 0..rounds {
        let mut child = site.command().stderr(Stdio::null()).spawn()?;
        std::thread::sleep(whole * round / rounds);
        child.kill()?;
        child.wait()?;
    }
    // A crash loop must not fill the disk: at most a spare and a quarantined or torn file more.
    let after = files()?;
    assert!(after <= before + 2, "{before} files became {after}");
    mock.up();
    let relay = site.start();
    relay.await_drained();
    let name = format!("{rounds} kills in starts of {whole:.1?}");
    tally.assert_kept(&name, &mock.bootstrap, "start");
    Ok(())
}

pub fn second() -> Result<(), Failed> {
    let mock = Mock::start("second");
    let site = Site::of(&mock.bootstrap, "second", None, &[]);
    let relay = site.start();
    let load = Load::start(&relay, "second", 200, 300);
    load.await_acknowledged(50);
    let mut child = site.command().spawn()?;
    // The first relay keeps the lock, so a start that waited for it would not end.
    eventually("the second process ends", || {
        child.try_wait().is_ok_and(|status| status.is_some())
    });
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        words.contains("another process holds the journal"),
        "{words}"
    );
    load.await_acknowledged(50);
    let tally = load.end();
    tally.assert_all_accepted();
    relay.await_drained();
    tally.assert_kept("a second process", &mock.bootstrap, "second");
    Ok(())
}
