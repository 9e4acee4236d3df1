//! ringback's publisher on a journal that holds a backlog.

use std::io;

use ringback::journal;
use ringback::publish;
use ringback::readiness::Readiness;
use ringback::telemetry::Registry;

use super::support::fill;
use super::{Task, bare, time};

/// The role of the process under test.
pub fn run(task: &Task) -> io::Result<()> {
    let registry = Registry::new();
    let metrics = journal::Metrics::register(&Registry::new()).map_err(io::Error::other)?;
    let journal = journal::open(&fill::config(&task.journal), metrics).map_err(io::Error::other)?;
    let metrics = publish::Metrics::register(&registry).map_err(io::Error::other)?;
    let checks = publish::Checks::add(&Readiness::new());
    let _publisher = publish::start(
        &bare::config(task),
        journal.recovery.journal_id,
        journal.reader,
        journal.truncator,
        metrics,
        checks,
    )
    .map_err(io::Error::other)?;
    let outcome = time(task.events, || delivered(&registry));
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

/// From the publisher's own counter.
fn delivered(registry: &Registry) -> u64 {
    let families = registry.gather();
    let family = families
        .iter()
        .find(|family| family.name() == "publish_delivered_total");
    let family = family.expect("the publisher counts them");
    family.get_metric()[0].get_counter().get_value() as u64
}
