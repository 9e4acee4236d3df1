//! The wall clock is set back an hour under a running relay.
//!
//! The machine's own clock stays as it is: a preloaded library (`clock.c`) shows the relay another one, and makes waits for a
//! time of the wall clock last as long as the kernel would.

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
    // The relay checks signatures by its own clock, to which the true time is an hour in the future.
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
    // The same at rest: no thread waits an hour before it sends.
    clock.set(-2 * HOUR_S);
    let load = Load::start_skewed(&relay, "idle", 50, 300, -2 * HOUR_S * 1_000);
    load.await_acknowledged(100);
    tally.add(load.end());
    finish(&relay, tally, "the clock set back twice an hour", &mock)?;
    relay.terminate();
    assert!(relay.wait(PATIENCE).success(), "SIGTERM ends it as usual");
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

/// Sets the clock back as a machine does whose clock was ahead, once its network is up.
pub fn set_back_at_start() -> Result<(), Failed> {
    let clock = Clock::new();
    let mock = Mock::start("clock");
    mock.down();
    let site = Site::of(&mock.bootstrap, "clock", None, &[]);
    let relay = clock.start(&site);
    let load = Load::start(&relay, "clock", 200, 300);
    // Every half second, within the two seconds in which the publisher tries to reach Kafka.
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

/// Checks that everything arrives within [`PATIENCE`], because a wait by the old clock would last an hour; prints the figures.
fn finish(relay: &Relay, mut tally: Tally, name: &str, mock: &Mock) -> Result<(), Failed> {
    relay.await_drained();
    // Requests that were signed before the senders had the new time.
    tally.others.retain(|code| *code != 401);
    assert_eq!((tally.refused, tally.unanswered), (0, 0), "{tally}");
    tally.assert_kept(name, &mock.bootstrap, "clock");
    Ok(())
}
