//! How catching up with a backlog delays the answers to new events.

use std::time::Duration;

use crate::support::bodies::Size;
use crate::support::fill::fill;
use crate::support::kafka::{Kafka, Site};
use crate::support::measure::{self, Run, Shape};
use crate::support::metrics;
use crate::support::options::Options;
use crate::support::process::resident;
use crate::support::report::{Report, median_of};

const SIZE: Size = Size::Bytes(7_000);
const RATE: u32 = 500;

/// A measurement with the backlog, and one without it.
struct Round {
    catching_up: Run,
    without: Run,
    /// Events per second published meanwhile.
    published: f64,
    most_mib: f64,
    /// p99 of the journal's syncs meanwhile, in ms.
    sync_p99: f64,
}

/// 500 events/s on 32 connections, on a relay that has just found Kafka again and has a backlog, and again after that.
pub fn latency(options: &Options, kafka: &Kafka, report: &mut Report) {
    let (backlog, time) = if options.short {
        (200_000, 2)
    } else {
        (600_000, 5)
    };
    let shape = Shape {
        size: SIZE,
        connections: 32,
        rate: RATE,
        awake: false,
        time: Duration::from_secs(time),
    };
    let rounds: Vec<_> = (0..options.rounds)
        .map(|round| {
            let folder = tempfile::tempdir_in(&options.folder).expect("the folder can be written");
            let journal = folder.path().join("journal");
            fill(&journal, SIZE, backlog);
            let topic = kafka.topic(&format!("catching-up-{round}"));
            let site = Site::of(kafka.bootstrap(), &topic, Some(journal), &[]);
            let relay = site.start();
            let page = relay.metrics();
            let before = relay.metric("ringback_publish_delivered_total");
            let begun = std::time::Instant::now();
            let catching_up = measure::run(relay.id(), relay.address, shape);
            let published = relay.metric("ringback_publish_delivered_total") - before;
            let published = published / begun.elapsed().as_secs_f64();
            let syncs = "ringback_journal_sync_duration_seconds";
            let syncs = metrics::histogram(&page, &relay.metrics(), syncs);
            let left = relay.metric("ringback_journal_unpublished_events");
            if left < 1_000.0 {
                println!("  the backlog was through before the measurement was: take a larger one");
            }
            relay.await_drained();
            let most_mib = resident(relay.id()).1;
            let without = measure::run(relay.id(), relay.address, shape);
            Round {
                catching_up,
                without,
                published,
                most_mib,
                sync_p99: syncs.p99 * 1e3,
            }
        })
        .collect();
    report.row(
        "500/s beside a backlog",
        &[
            (
                "p99_ratio",
                median_of(&rounds, |round| {
                    round.catching_up.seen.p99 / round.without.seen.p99
                }),
            ),
            (
                "p50_ms",
                median_of(&rounds, |round| round.catching_up.seen.p50),
            ),
            (
                "p99_ms",
                median_of(&rounds, |round| round.catching_up.seen.p99),
            ),
            (
                "without_p50_ms",
                median_of(&rounds, |round| round.without.seen.p50),
            ),
            (
                "without_p99_ms",
                median_of(&rounds, |round| round.without.seen.p99),
            ),
            ("sync_p99_ms", median_of(&rounds, |round| round.sync_p99)),
            ("published_s", median_of(&rounds, |round| round.published)),
            ("most_mib", median_of(&rounds, |round| round.most_mib)),
        ],
    );
}
