//! One run of load against one server, with what it cost the server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::bodies::Size;
use super::load::{BEGUN, Load, Seen};
use super::process::{Role, resident, usage};

/// A server's costs and its sender's view.
#[derive(Debug, Clone)]
pub struct Run {
    pub seen: Seen,
    /// The server's CPU per event, in µs.
    pub cpu: f64,
    /// The same by the threads' name.
    pub threads: BTreeMap<String, f64>,
    /// The server's context switches per event.
    pub switches: f64,
    /// Memory at the end, in MiB.
    pub resident: f64,
}

/// The load of a run.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub size: Size,
    pub connections: usize,
    /// Events per second; 0: as fast as they are answered.
    pub rate: u32,
    /// As [`Load::awake`].
    pub awake: bool,
    pub time: Duration,
}

/// Load before the measured time: it connects, and warms caches and allocators.
pub const WARM: Duration = Duration::from_millis(700);

/// Runs the load to its end.
pub fn run(server: u32, address: SocketAddr, shape: Shape) -> Run {
    let load = Load {
        address,
        size: shape.size,
        connections: shape.connections,
        rate: shape.rate,
        awake: shape.awake,
        warm: WARM,
        time: shape.time,
    };
    let parameters = serde_json::to_string(&load).expect("it is plain data");
    let mut role = Role::start("load", &parameters);
    assert_eq!(role.line(), BEGUN);
    let before = usage(server);
    let seen: Seen = serde_json::from_str(&role.line()).expect("the load prints its result last");
    let after = usage(server);
    let events = seen.events.max(1) as f64;
    let switches = (after.switches - before.switches) as f64 / events;
    let threads = after.threads.into_iter().map(|(name, cpu)| {
        let before = before.threads.get(&name).copied().unwrap_or_default();
        (
            name,
            cpu.saturating_sub(before).as_secs_f64() * 1e6 / events,
        )
    });
    Run {
        threads: threads.collect(),
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
}
