//! What a topic's partitions, configuration and permissions mean for the relay.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::render::{count, size};
use super::finding::{Id, Level, Report};
use crate::publish::{Absence, Partition, TimeBounds, Topic, Unknown};

/// Room for a record's key, headers and framing beside its body, in bytes.
const FRAMING: u64 = 64 * 1024;
/// Clocks differ by less than this if they are set by NTP, and much more if not.
const CLOCKS: Duration = Duration::from_mins(1);

/// What the relay needs of a topic.
pub struct Needs<'a> {
    /// `listen.max_body`, in bytes.
    pub max_body: u64,
    /// How long an outage the journal holds; `None` without a journal.
    pub outage: Option<Duration>,
    /// For which that was computed.
    pub events_per_second: u32,
    /// As Kafka's ACLs name this client.
    pub principal: String,
    /// `bootstrap.servers`.
    pub bootstrap: &'a str,
    /// How many brokers the cluster has.
    pub brokers: usize,
    /// False with `ack = "kafka"`.
    pub has_journal: bool,
}

/// As Kafka's ACLs name a client with these properties of librdkafka's.
pub fn principal(properties: &BTreeMap<String, String>) -> String {
    let value = |name: &str| properties.get(name).map_or("", String::as_str);
    let protocol = value("security.protocol").to_ascii_lowercase();
    let has_certificate =
        |name: &String| name.starts_with("ssl.certificate.") || name.starts_with("ssl.keystore.");
    if protocol.starts_with("sasl") {
        let user = Some(value("sasl.username")).filter(|user| !user.is_empty());
        return format!("User:{}", user.unwrap_or("USER"));
    }
    if protocol == "ssl" && properties.keys().any(has_certificate) {
        return String::from("User:SUBJECT-OF-THE-CLIENT-CERTIFICATE");
    }
    String::from("User:ANONYMOUS")
}

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Events of a source that is configured.
    Events,
    /// `kafka.topic` if each source has a topic of its own: events of sources that were removed.
    Leftovers,
    /// Dead letters.
    DeadLetters,
}

/// Judges a topic.
pub fn judge(report: &mut Report, needs: &Needs<'_>, topic: &Topic, role: Role) {
    let is_dead_letter = role == Role::DeadLetters;
    // With a journal, a dead letter that the topic does not take becomes a file.
    let is_needed = role == Role::Events || is_dead_letter && !needs.has_journal;
    let worst = [Level::Warning, Level::Error][usize::from(is_needed)];
    let mut judge = Judge {
        report,
        needs,
        name: &topic.name,
        worst,
    };
    let partitions = match &topic.partitions {
        Ok(partitions) => partitions,
        Err(absence) => return judge.absent(absence, role),
    };
    judge.partitions(partitions, is_dead_letter);
    judge.permission(&topic.write);
    let min_insync = topic.config.as_ref().ok();
    let min_insync = min_insync.and_then(|config| config.get("min.insync.replicas")?.parse().ok());
    judge.replicas(min_insync, partitions);
    match &topic.config {
        Ok(config) => judge.config(config, is_dead_letter),
        Err(Unknown::Forbidden) => {
            let remedy = judge.acl("DescribeConfigs");
            judge.report.add(
                Level::Warning,
                Id::AclDescribeConfigs,
                format!(
                    "{} may not read the configuration of topic {:?}",
                    needs.principal, topic.name
                ),
                "ringback cannot tell how long the topic keeps records: after a long outage events may be deleted for their age, and \
                 this command cannot look for mistakes in it",
                remedy,
            );
        }
        Err(Unknown::Other(reason)) => judge.report.unknown(format!(
            "the configuration of topic {:?}: {reason}",
            topic.name
        )),
    }
}

struct Judge<'a> {
    report: &'a mut Report,
    needs: &'a Needs<'a>,
    name: &'a str,
    /// Of what would stop or refuse this topic's records.
    worst: Level,
}

impl Judge<'_> {
    fn acl(&self, operation: &str) -> String {
        let Needs {
            principal,
            bootstrap,
            ..
        } = self.needs;
        format!(
            "as an administrator: kafka-acls.sh --bootstrap-server {bootstrap} --add --allow-principal '{principal}' --operation \
             {operation} --topic {}",
            self.name
        )
    }

    fn set(&self, setting: &str) -> String {
        let bootstrap = self.needs.bootstrap;
        format!(
            "kafka-configs.sh --bootstrap-server {bootstrap} --alter --entity-type topics --entity-name {} --add-config {setting}",
            self.name
        )
    }

    fn absent(&mut self, absence: &Absence, role: Role) {
        let (name, bootstrap) = (self.name, self.needs.bootstrap);
        let waits = match role {
            Role::Events => {
                "until that is done its events stay in the journal, and those of other topics wait behind them; without a journal they are \
                 answered 503"
            }
            Role::Leftovers => {
                "no source's events go to it, but it is kafka.topic: events of a source that is removed from the configuration would"
            }
            Role::DeadLetters => {
                "dead letters become files beside the journal; without a journal they are answered 503"
            }
        };
        let (id, what, remedy) = match absence {
            Absence::Missing => (
                Id::TopicMissing,
                format!(
                    "Kafka has no topic {name:?}, or does not show it to {}",
                    self.needs.principal
                ),
                format!(
                    "{}create it: kafka-topics.sh --bootstrap-server {bootstrap} --create --topic {name} --partitions 12 --config \
                     max.message.bytes={}",
                    match role {
                        Role::Events => "correct its name, or ",
                        Role::Leftovers => "set kafka.topic to a topic that there is, or ",
                        Role::DeadLetters => "correct kafka.dead_letter_topic, or ",
                    },
                    self.needs.max_body + FRAMING
                ),
            ),
            Absence::Forbidden => (
                Id::AclDescribe,
                format!("{} may not see topic {name:?}", self.needs.principal),
                self.acl("Write"),
            ),
            Absence::Other(reason) => {
                let reason = format!("the topic {name:?}: {reason}");
                return self.report.unknown(reason);
            }
        };
        self.report.add(self.worst, id, what, waits, remedy);
    }

    fn permission(&mut self, write: &Result<(), Unknown>) {
        let (name, principal) = (self.name, &self.needs.principal);
        match write {
            Ok(()) => self
                .report
                .fine(format!("{principal} may write to topic {name:?}")),
            Err(Unknown::Other(reason)) => self.report.unknown(format!(
                "whether {principal} may write to topic {name:?}: {reason}"
            )),
            Err(Unknown::Forbidden) => {
                let remedy = self.acl("Write");
                self.report.add(
                    self.worst,
                    Id::AclWrite,
                    format!("{principal} may not write to topic {name:?}"),
                    "Kafka refuses every event: they stay in the journal, or are answered 503 without one",
                    remedy,
                );
            }
        }
    }

    fn partitions(&mut self, partitions: &[Partition], is_dead_letter: bool) {
        let name = self.name;
        let (number, brokers) = (partitions.len(), self.needs.brokers);
        let leaderless = partitions.iter().filter(|one| !one.has_leader).count();
        if leaderless > 0 {
            self.report.add(
                self.worst,
                Id::NoLeader,
                format!("{} of topic {name:?} without a leader", count(leaderless as u64, "partition")),
                "no broker takes their events, and events of other calls wait behind them",
                "start the brokers that hold these partitions (kafka-topics.sh --describe --unavailable-partitions)",
            );
        }
        if !is_dead_letter && (number < 2 || number < brokers) {
            self.report.add(
                Level::Warning,
                Id::TooFewPartitions,
                format!(
                    "topic {name:?} has {} on {}",
                    count(number as u64, "partition"),
                    count(brokers as u64, "broker")
                ),
                "brokers without a partition take no load, and no more consumers than partitions can share the topic",
                format!(
                    "kafka-topics.sh --bootstrap-server {} --alter --topic {name} --partitions 12 (order per call holds across it)",
                    self.needs.bootstrap
                ),
            );
        } else if leaderless == 0 {
            let number = count(number as u64, "partition");
            self.report
                .fine(format!("topic {name:?} has {number}, each with a leader"));
        }
    }

    fn config(&mut self, config: &BTreeMap<String, String>, is_dead_letter: bool) {
        let number = |name: &str| config.get(name)?.parse::<u64>().ok();
        self.size(number("max.message.bytes"));
        let policy = config.get("cleanup.policy").map_or("", String::as_str);
        if policy.contains("compact") {
            let (name, remedy) = (self.name, self.set("cleanup.policy=delete"));
            self.report.add(
                self.worst,
                Id::Compacted,
                format!("topic {name:?} is compacted (cleanup.policy={policy})"),
                "Kafka deletes all events of a call but the last, and refuses an event without a key, behind which all others wait",
                remedy,
            );
        }
        if !is_dead_letter {
            let bounds = TimeBounds::from_properties(|name| config.get(name).map(String::as_str));
            self.times(&bounds);
        }
    }

    fn size(&mut self, limit: Option<u64>) {
        let (name, max_body) = (self.name, self.needs.max_body);
        let Some(limit) = limit else { return };
        if limit >= max_body {
            let limit = size(limit);
            let fine = format!("topic {name:?} takes batches of {limit} (max.message.bytes)");
            return self.report.fine(fine);
        }
        let remedy = self.set(&format!("max.message.bytes={}", max_body + FRAMING));
        self.report.add(
            self.worst,
            Id::MaxMessageBytes,
            format!(
                "topic {name:?} takes batches of {limit} bytes (max.message.bytes), and listen.max_body is {max_body}"
            ),
            "Kafka refuses larger events for good, unless compression makes them fit: they become dead letters",
            format!("{remedy}; or lower listen.max_body"),
        );
    }

    /// `min_insync`: `min.insync.replicas`, if it is known.
    fn replicas(&mut self, min_insync: Option<usize>, partitions: &[Partition]) {
        let name = self.name;
        let replicas = partitions.iter().map(|one| one.replicas).min();
        let in_sync = partitions.iter().map(|one| one.in_sync).min();
        let (Some(replicas), Some(in_sync)) = (replicas, in_sync) else {
            return;
        };
        let needed = min_insync.unwrap_or(1);
        if in_sync < needed {
            let why = "Kafka refuses every event of such a partition: they stay in the journal, or are answered 503 without one";
            let what = format!(
                "of topic {name:?} only {} in sync, and min.insync.replicas is {needed}",
                count(in_sync as u64, "replica")
            );
            let remedy = if replicas < needed {
                format!(
                    "give each partition {needed} replicas (kafka-reassign-partitions.sh), or {}",
                    self.set(&format!("min.insync.replicas={replicas}"))
                )
            } else {
                String::from("start the brokers that hold the other replicas")
            };
            self.report
                .add(self.worst, Id::TooFewInSync, what, why, remedy);
        }
        if replicas < 2 {
            self.report.add(
                Level::Warning,
                Id::Replication,
                format!("a partition of topic {name:?} is on one broker only (replication factor 1)"),
                "the loss of that broker's disk loses events that Kafka had acknowledged, and while it restarts nothing is published \
                 to them",
                "on three brokers give each partition three replicas (kafka-reassign-partitions.sh), and then \
                 min.insync.replicas=2",
            );
        } else if min_insync.is_some_and(|needed| needed < 2) {
            let remedy = self.set("min.insync.replicas=2");
            self.report.add(
                Level::Warning,
                Id::MinInsyncReplicas,
                format!("topic {name:?} has min.insync.replicas={needed}"),
                "Kafka acknowledges an event that one broker alone has: the loss of that broker's disk loses it",
                remedy,
            );
        } else if min_insync.is_some() && in_sync >= needed {
            self.report.fine(format!(
                "topic {name:?} acknowledges what {needed} of {replicas} replicas have"
            ));
        }
    }

    fn times(&mut self, bounds: &TimeBounds) {
        let name = self.name;
        let shown =
            |time: Duration| humantime::format_duration(Duration::from_secs(time.as_secs()));
        if let Some(outage) = self.needs.outage {
            let rate = self.needs.events_per_second;
            let held = format!(
                "the journal's budget holds an outage of {} at {rate} events/s",
                shown(outage)
            );
            // Half of a bound counts as too old (publish::decide::timestamps).
            let is_short = |ms: &u64| Duration::from_millis(*ms) / 2 < outage;
            let retention = bounds.retention.filter(is_short);
            let before = bounds
                .before
                .filter(is_short)
                .filter(|_| !bounds.broker_stamps);
            if let Some(ms) = retention {
                let remedy = self.set(&format!("retention.ms={}", 2 * outage.as_millis()));
                self.report.add(
                    Level::Warning,
                    Id::Retention,
                    format!("topic {name:?} keeps records for {} (retention.ms); {held}", shown(Duration::from_millis(ms))),
                    "events that waited for more than half of it are published with the present time (their own stays in ce_time); and \
                     consumers that are away for as long miss events",
                    remedy,
                );
            }
            if let Some(ms) = before {
                let remedy = self.set(&format!(
                    "message.timestamp.before.max.ms={}",
                    2 * outage.as_millis()
                ));
                self.report.add(
                    Level::Warning,
                    Id::TimestampBounds,
                    format!(
                        "topic {name:?} refuses records older than {} (message.timestamp.before.max.ms); {held}",
                        shown(Duration::from_millis(ms))
                    ),
                    "events that waited for more than half of it are published with the present time (their own stays in ce_time)",
                    remedy,
                );
            }
            if retention.or(before).is_none() {
                self.report.fine(format!(
                    "{held}, and topic {name:?} keeps and takes records of that age"
                ));
            }
        }
        let after = bounds.after.map(Duration::from_millis);
        if let Some(after) = after.filter(|after| *after < CLOCKS && !bounds.broker_stamps) {
            let remedy = self.set("message.timestamp.after.max.ms=3600000");
            self.report.add(
                Level::Warning,
                Id::TimestampBounds,
                format!(
                    "topic {name:?} refuses records from more than {} ahead of the broker's clock \
                     (message.timestamp.after.max.ms)",
                    humantime::format_duration(after)
                ),
                "if this machine's clock is that much ahead, Kafka refuses every event and they wait",
                remedy,
            );
        }
    }
}

#[cfg(test)]
mod tests;
