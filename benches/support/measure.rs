//! One run of load against one server, with what it cost the server.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::bodies::Size;
use super::load::{BEGUN, Load, Seen};
use super::process::{Role, resident, usage};

/// A server's costs and its sender's view.
#[derive(Debug, Clone)]
pub struct Run {
    pub seen: Seen,
    /// Microseconds of the server's CPU an event.
    pub cpu: f64,
    /// Context switches of the server an event.
    pub switches: f64,
    /// MiB at the end.
    pub resident: f64,
}

/// What load is put on.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub size: Size,
    pub connections: usize,
    /// 0: as fast as it is answered.
    pub rate: u32,
    pub time: Duration,
}

/// Before each measured time: connections are made, caches and allocators warm.
pub const WARM: Duration = Duration::from_millis(700);

/// Puts the load on and waits for its end.
pub fn run(server: u32, address: SocketAddr, shape: Shape) -> Run {
    let load = Load {
        address,
        size: shape.size,
        connections: shape.connections,
        rate: shape.rate,
        warm: WARM,
        time: shape.time,
    };
    let parameters = serde_json::to_string(&load).expect("it is plain data");
    let mut role = Role::start("load", &parameters);
    assert_eq!(role.line(), BEGUN);
    let before = usage(server);
    let seen: Seen = serde_json::from_str(&role.line()).expect("it is what the load says last");
    let after = usage(server);
    let events = seen.events.max(1) as f64;
    let switches = (after.switches - before.switches) as f64 / events;
    Run {
        cpu: (after.cpu - before.cpu).as_secs_f64() * 1e6 / events,
        switches,
        resident: resident(server).0,
        seen,
    }
}

impl Run {
    pub fn events_per_second(&self) -> f64 {
        self.seen.events as f64 / self.seen.seconds
    }

    /// For the bench's JSON.
    pub fn json(&self) -> Value {
        json!({
            "events_per_second": self.events_per_second(),
            "cpu_us_per_event": self.cpu,
            "switches_per_event": self.switches,
            "p50_ms": self.seen.p50,
            "p99_ms": self.seen.p99,
            "p999_ms": self.seen.p999,
            "resident_mib": self.resident,
        })
    }
}
