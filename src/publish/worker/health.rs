//! What the worker reports about Kafka: always in the readiness check, and in the log once in a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Worker;
use crate::publish::Ack;
use crate::publish::decide::blame::Blame;
use crate::publish::env::{Client as _, Env};
use crate::publish::inbox::{ConnectionState, TopicState};
use crate::readiness::Check;

/// A stall is reported after this time without a report, before the producer is replaced for it. librdkafka itself reports
/// nothing if too few replicas are in sync, and retries forever.
const STALL_REPORT: Duration = Duration::from_secs(15);
const STALLED: &str = "Kafka is connected but acknowledges nothing";

/// How often the cluster is asked while a topic does not exist or is hidden from this client.
const MISSING_TOPIC_INTERVAL: Duration = Duration::from_secs(5);
/// How often the cluster is asked while nothing is sent to some topic because the number of its partitions is not known.
const FIRST_TOPIC_INTERVAL: Duration = Duration::from_secs(1);
/// How often the cluster is asked otherwise: a topic's growth is noticed this late.
const TOPIC_INTERVAL: Duration = Duration::from_secs(10);

/// What keeps events from being delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// Ends when a broker is connected.
    Connection,
    /// A topic is missing, and nothing passes the first event for it. Ends when all topics exist.
    Topic,
    /// A topic is missing to which no event goes at present; those for the others are delivered. Ends as [`Problem::Topic`] does.
    IdleTopic,
    /// Ends when an event is delivered, or none is left.
    Delivery,
    /// One event's own: the others are delivered. Ends as [`Problem::Delivery`] does.
    Event,
}

/// Kafka's state as the readiness check shows it.
pub(super) struct Health {
    check: Check,
    ack: Ack,
    problem: Option<Problem>,
    message: String,
    /// False only while the first connection is awaited, which is no problem yet.
    is_reported: bool,
    /// Set while a stall lasts for which the producer was replaced: how long it had lasted then.
    stalled_for: Option<Duration>,
    /// Why one broker is not connected, while another one is.
    broker_fault: Option<String>,
    /// The topics that Kafka does not have or does not show, by their indices, and what an operator must do.
    missing: BTreeMap<usize, String>,
    /// An event waits for one of them, or no topic is there at all.
    is_missing_needed: bool,
}

impl Health {
    pub(super) fn new(check: Check, ack: Ack) -> Self {
        Self {
            check,
            ack,
            problem: Some(Problem::Connection),
            message: String::from("no answer from a broker yet"),
            is_reported: false,
            stalled_for: None,
            broker_fault: None,
            missing: BTreeMap::new(),
            is_missing_needed: false,
        }
    }

    /// What was wrong is over. Missing topics still are, though events for others may be delivered.
    fn mark_healthy(&mut self) {
        if !self.missing.is_empty() {
            return self.mark_topics_missing();
        }
        self.problem = None;
        self.message.clear();
        self.show_healthy();
    }

    /// Topics that no source uses any more are not missed.
    pub(super) fn forget_unused(&mut self, is_used: impl Fn(usize) -> bool) {
        self.missing.retain(|topic, _| is_used(*topic));
        if self.is_about_topics() {
            self.mark_healthy();
        }
    }

    fn mark_topics_missing(&mut self) {
        let messages: Vec<_> = self.missing.values().map(String::as_str).collect();
        let messages = messages.join("; ");
        let problem = if self.is_missing_needed {
            Problem::Topic
        } else {
            Problem::IdleTopic
        };
        self.mark_unhealthy(problem, &messages);
    }

    fn is_about_topics(&self) -> bool {
        matches!(self.problem, Some(Problem::Topic | Problem::IdleTopic))
    }

    fn show_healthy(&self) {
        match &self.broker_fault {
            Some(fault) => self.check.pass(&format!("ok, but {fault}")),
            None => self.check.pass("ok"),
        }
    }

    /// An event was delivered.
    fn mark_delivering(&mut self) {
        self.stalled_for = None;
        let is_still_true = self.is_about_topics() && !self.missing.is_empty();
        if self.problem.is_some() && !is_still_true {
            self.mark_healthy();
        }
    }

    /// No event is left to be delivered: what kept the last one, now a dead letter, keeps none any more.
    pub(super) fn mark_empty(&mut self) {
        if matches!(self.problem, Some(Problem::Delivery | Problem::Event)) {
            self.mark_healthy();
        }
    }

    /// A broker is connected; `fault` is why another one is not.
    fn mark_connected(&mut self, fault: Option<String>) {
        let is_news = self.broker_fault != fault;
        self.broker_fault = fault;
        match self.problem {
            Some(Problem::Connection) => self.mark_healthy(),
            None if is_news => self.show_healthy(),
            _ => {}
        }
    }

    /// True while Kafka takes no event, whichever it is.
    pub(super) fn is_outage(&self) -> bool {
        let is_passable = matches!(
            self.problem,
            None | Some(Problem::Event | Problem::IdleTopic)
        );
        self.is_reported && !is_passable
    }

    pub(super) fn mark_unhealthy(&mut self, problem: Problem, message: &str) {
        self.problem = Some(problem);
        self.is_reported = true;
        message.clone_into(&mut self.message);
        let replaced = self.stalled_for.map(|duration| {
            let duration = humantime::format_duration(duration);
            format!("; after {duration} without an acknowledgement the producer was replaced")
        });
        let replaced = replaced.unwrap_or_default();
        let meanwhile = self.ack.meanwhile();
        self.check
            .fail(&format!("{message}; {meanwhile}{replaced}"));
    }
}

impl<E: Env> Worker<E> {
    /// librdkafka's callbacks have run, or the cluster has answered about topics.
    pub(super) fn on_client_event(
        &mut self,
        connection: Option<ConnectionState>,
        topics: Vec<(usize, Result<TopicState, String>)>,
    ) {
        match connection {
            Some(ConnectionState::Connected { fault }) => self.health.mark_connected(fault),
            // A missing topic is asked for again only once a broker is connected, so it must not be forgotten.
            Some(ConnectionState::Down(message)) if self.health.problem != Some(Problem::Topic) => {
                self.health.mark_unhealthy(Problem::Connection, &message);
            }
            Some(ConnectionState::Down(_)) | None => {}
        }
        for (topic, state) in topics {
            match state {
                Ok(state) => self.on_topic_state(topic, state),
                Err(message) => self.on_missing_topic(topic, message),
            }
        }
    }

    fn on_missing_topic(&mut self, topic: usize, message: String) {
        if !self.config.topics.is_used(topic) {
            return;
        }
        if let Some(permit) = self.throttle.permit(&message) {
            let meanwhile = self.config.ack.meanwhile();
            let others = if self.config.topics.names().len() > 1 {
                ", once one waits for this topic also those of the others"
            } else {
                ""
            };
            tracing::warn!(
                suppressed = permit.suppressed(),
                "{message}; until then {meanwhile}{others}"
            );
        }
        self.partitions[topic].set(0);
        self.health.missing.insert(topic, message);
        let mut missing = self.health.missing.keys();
        let is_needed = missing.len() == self.config.topics.names().len()
            || missing.any(|topic| self.machine.awaits_topic(*topic));
        self.health.is_missing_needed = is_needed;
        // What keeps events from the other topics is the more urgent problem.
        if is_needed || self.health.problem.is_none() || self.health.is_about_topics() {
            self.health.mark_topics_missing();
        }
    }

    fn on_topic_state(&mut self, topic: usize, state: TopicState) {
        let TopicState { partitions, bounds } = state;
        if let Some(bounds) = bounds {
            self.machine.on_time_bounds(topic, bounds);
        }
        if partitions > 0 {
            self.partitions[topic].set(i64::from(partitions));
        }
        let name = self.config.topics.name(topic);
        if self.health.missing.remove(&topic).is_some() {
            tracing::info!(topic = name, partitions, "Kafka has the topic now");
            if self.health.is_about_topics() {
                self.health.mark_healthy();
            }
        }
        if self.machine.on_partitions(topic, partitions) {
            tracing::info!(
                topic = name,
                partitions,
                "the topic has another number of partitions; it takes effect once what is in flight is acknowledged"
            );
        }
    }

    /// The event at `position` was delivered: its topic is not missing.
    pub(super) fn mark_delivering(&mut self, position: u64) {
        if !self.health.missing.is_empty()
            && let Some(sent) = self.sent.find(position)
        {
            self.health.missing.remove(&sent.topic);
        }
        self.health.mark_delivering();
    }

    /// When a stall is to be reported, unless another problem is reported already.
    pub(super) fn stall_report_at(&self) -> Option<Instant> {
        let since = self.machine.awaiting_since()?;
        self.health.problem.is_none().then(|| since + STALL_REPORT)
    }

    pub(super) fn check_for_stall(&mut self, now: Instant) {
        if self.stall_report_at().is_none_or(|at| now < at) {
            return;
        }
        let timeout = humantime::format_duration(self.config.limits.stall_timeout);
        let fault = self.health.broker_fault.as_ref();
        let fault = fault.map(|fault| format!(" ({fault})"));
        let message = format!(
            "{STALLED}{}; after {timeout} of this the producer is replaced; if it continues, \
             are fewer replicas in sync than min.insync.replicas?",
            fault.unwrap_or_default()
        );
        self.health.mark_unhealthy(Problem::Delivery, &message);
        if let Some(client) = &self.client {
            client.request_topic_states();
        }
        if let Some(permit) = self.throttle.permit(STALLED) {
            tracing::warn!(suppressed = permit.suppressed(), "{message}");
        }
    }

    /// The machine replaces a producer that has stalled for `duration`.
    pub(super) fn report_stall(&mut self, duration: Duration) {
        let duration = Duration::from_secs(duration.as_secs());
        self.health.stalled_for = Some(duration);
        let known = self.health.message.clone();
        match self.health.problem {
            None => self.health.mark_unhealthy(Problem::Delivery, STALLED),
            // A known cause stays the first thing that the check shows.
            Some(problem) => self.health.mark_unhealthy(problem, &known),
        }
        tracing::warn!(
            ?duration,
            check = known,
            "Kafka has acknowledged nothing of what is in flight: replacing the producer"
        );
    }

    /// When the cluster is to be asked about the topics again.
    pub(super) fn topic_refresh_at(&self) -> Option<Instant> {
        let interval = if !self.health.missing.is_empty() {
            MISSING_TOPIC_INTERVAL
        } else if self.machine.knows_partitions() {
            TOPIC_INTERVAL
        } else {
            FIRST_TOPIC_INTERVAL
        };
        self.client
            .as_ref()
            .map(|_| self.topics_requested + interval)
    }

    /// Asks the cluster about the topics if that is due. So ringback notices within seconds that an operator has created
    /// one or that it has grown, even if no event comes.
    pub(super) fn refresh_topic_states(&mut self, now: Instant) {
        if self.topic_refresh_at().is_none_or(|at| now < at) {
            return;
        }
        self.topics_requested = now;
        if let Some(client) = &self.client {
            client.request_topic_states();
        }
    }

    pub(super) fn on_delivery_failure(&mut self, blame: Blame, message: &str) {
        self.metrics.failures.inc(blame);
        if blame == Blame::Collateral {
            return;
        }
        let problem = match blame {
            Blame::Record(_) => Problem::Event,
            Blame::Cluster | Blame::Collateral => Problem::Delivery,
        };
        self.health.mark_unhealthy(problem, message);
        if let Some(permit) = self.throttle.permit(message) {
            tracing::warn!(
                reason = message,
                suppressed = permit.suppressed(),
                "Kafka did not take an event; ringback keeps it and tries again"
            );
        }
    }
}
