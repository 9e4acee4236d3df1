//! The wall clock is set back an hour under a running relay.
//!
//! The machine's own clock stays as it is: a preloaded library (`clock.c`) is between the relay and it, and lets waits
//! for a time of the wall clock last as long as the kernel would.

use libtest_mimic::Failed;

use crate::mock::Mock;
use crate::support::clock::Clock;
use crate::support::load::{Load, Tally};
use crate::support::relay::{KEY, Relay, Site};
use crate::support::sender::Sender;
use crate::support::{PATIENCE, events};

const HOUR_S: i64 = 3_600;

/// Sets the clock back while `load` runs; its senders sign by the new clock from then on.
fn set_back(clock: &Clock, relay: &Relay, load: &Load, hours: i64) -> Result<(), Failed> {
    clock.set(-hours * HOUR_S);
    load.skew(-hours * HOUR_S * 1_000);
    // A signature is judged by the relay's own clock: to it, the true time is an hour in the future.
    let mut sender = Sender::connect(relay.address, KEY)?;
    let body = events::event("true-time", 0, 0);
    assert_eq!(sender.post(&body)?.code, 401);
    Ok(())
}

pub fn set_back_in_fair_weather() -> Result<(), Failed> {
    let clock = Clock::new();
    let mock = Mock::start("clock");
    let site = Site::of(&mock.bootstrap, "clock", None, &[]);
    let relay = clock.start(&site);
    let load = Load::start(&relay, "clock", 200, 300);
    load.await_acknowledged(200);
    set_back(&clock, &relay, &load, 1)?;
    load.await_acknowledged(400);
    let mut tally = load.end();
    relay.await_drained();
    // And at rest: nothing waits for the hour to pass before it sends.
    clock.set(-2 * HOUR_S);
    let load = Load::start_skewed(&relay, "idle", 50, 300, -2 * HOUR_S * 1_000);
    load.await_acknowledged(100);
    tally.add(load.end());
    finish(&relay, tally, "the clock set back twice an hour", &mock)?;
    relay.terminate();
    assert!(relay.wait(PATIENCE).success(), "SIGTERM ends it as ever");
    Ok(())
}

pub fn set_back_in_an_outage() -> Result<(), Failed> {
    let clock = Clock::new();
    let mock = Mock::start("clock");
    let site = Site::of(&mock.bootstrap, "clock", None, &[]);
    let relay = clock.start(&site);
    let load = Load::start(&relay, "clock", 200, 300);
    load.await_acknowledged(200);
    mock.down();
    load.await_acknowledged(400);
    set_back(&clock, &relay, &load, 1)?;
    load.await_acknowledged(400);
    let tally = load.end();
    mock.up();
    finish(
        &relay,
        tally,
        "the clock set back an hour in an outage",
        &mock,
    )
}

/// As a machine whose clock was ahead does it once its network is up.
pub fn set_back_at_start() -> Result<(), Failed> {
    let clock = Clock::new();
    let mock = Mock::start("clock");
    mock.down();
    let site = Site::of(&mock.bootstrap, "clock", None, &[]);
    let relay = clock.start(&site);
    let load = Load::start(&relay, "clock", 200, 300);
    // Every half second, while the publisher tries for two to make Kafka's acquaintance.
    for hours in 1..=3 {
        load.await_acknowledged(100);
        set_back(&clock, &relay, &load, hours)?;
    }
    load.await_acknowledged(400);
    mock.up();
    load.await_acknowledged(200);
    let tally = load.end();
    finish(&relay, tally, "the clock set back thrice at start", &mock)
}

/// Everything arrives, within [`PATIENCE`]: a wait for the old clock would last an hour. The figures.
fn finish(relay: &Relay, mut tally: Tally, name: &str, mock: &Mock) -> Result<(), Failed> {
    relay.await_drained();
    // Signed before the senders had heard of the new time.
    tally.others.retain(|code| *code != 401);
    assert_eq!((tally.refused, tally.unanswered), (0, 0), "{tally}");
    tally.assert_kept(name, &mock.bootstrap, "clock");
    Ok(())
}
