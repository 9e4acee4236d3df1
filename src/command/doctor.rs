//! `ringback doctor`: asks the real cluster and the real disk what would go wrong.
//!
//! Probes gather facts ([`crate::publish::survey()`], [`crate::journal::probe`], the process's limits). What they mean is decided by pure
//! functions of facts and configuration, a file a subject; `report` prints it.

mod clock;
mod cluster;
mod finding;
mod machine;
mod report;
mod topic;

use std::path::PathBuf;

use super::{CommandError, load, printed};
use crate::app::fd_limit;
use crate::config::{Config, Purpose};
use crate::journal::probe::Probe;
use crate::outage;
use crate::publish::{self, Ack};
use crate::telemetry;

use self::finding::Report;
use self::machine::Disk;
use self::topic::{Needs, Role};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback doctor --config ringback.toml
  ringback doctor --config ringback.toml --write    send one marked record too
  ringback doctor --config ringback.toml --json | jq '.findings[].id'

It reads the configuration as `serve` does, asks the cluster about its brokers and topics, and measures the journal's disk with \
a file that has no name. Without --write nothing is written to Kafka.
Each finding has a name, which docs/operations.md explains: what was seen, why it matters, and what to do.
Exit codes: 0 nothing or only warnings, 1 something would stop or refuse events, 78 the configuration is invalid.")]
pub struct DoctorArgs {
    /// The configuration file (TOML)
    #[arg(short, long, value_name = "FILE", env = "RINGBACK_CONFIG")]
    config: PathBuf,
    /// Send one record to the topic, marked by its key and the header `ringback_doctor`, and wait for its acknowledgement
    #[arg(long)]
    write: bool,
    /// The rate for which to judge how long an outage the journal's budget can hold, in events per second, each 8 KiB on disk
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    events_per_second: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Prints what is fine and what is not; an error if something would stop or refuse events.
pub fn run(arguments: &DoctorArgs) -> Result<(), CommandError> {
    let config = load(&arguments.config, Purpose::Relay)?;
    telemetry::log("error")?;
    let report = examine(&config, arguments)?;
    printed(report::print(&report, arguments.json))?;
    match report.errors() {
        0 => Ok(()),
        errors => Err(CommandError::Unhealthy { errors }),
    }
}

/// Gathers the facts, and judges them.
fn examine(config: &Config, arguments: &DoctorArgs) -> Result<Report, CommandError> {
    let mut report = Report::default();
    machine::descriptors(
        &mut report,
        config.listen.max_connections,
        fd_limit::hard_limit(),
    );
    let mut outage = None;
    if config.ack == Ack::Disk {
        let probe = Probe::of(&config.journal);
        let disk = Disk {
            journal: &config.journal,
            max_body: config.listen.max_body.as_u64(),
            commit_timeout: config.listen.commit_timeout,
        };
        machine::disk(&mut report, &disk, &probe);
        let configured = config.journal.budget.as_u64();
        let budget = probe.map_or(configured, |probe| probe.budget(&config.journal));
        outage = Some(outage::held_at(budget, arguments.events_per_second));
    }
    let kafka = config.publish();
    let survey = publish::survey(&kafka, arguments.write)?;
    let needs = Needs {
        max_body: kafka.max_body,
        outage,
        events_per_second: arguments.events_per_second,
        principal: topic::principal(&kafka.kafka.client.values),
        bootstrap: kafka.kafka.client.brokers().unwrap_or_default(),
        brokers: survey.brokers.len(),
        has_journal: config.ack == Ack::Disk,
    };
    cluster::connections(&mut report, &survey, needs.bootstrap);
    let topics = kafka.topics();
    for topic in &survey.topics {
        let role = if topics.used().contains(&topic.name) {
            Role::Events
        } else if topic.name == kafka.kafka.topic {
            Role::Leftovers
        } else {
            Role::DeadLetters
        };
        topic::judge(&mut report, &needs, topic, role);
    }
    cluster::written(&mut report, &survey);
    clock::clocks(&mut report, &survey, &needs.principal);
    Ok(report)
}
