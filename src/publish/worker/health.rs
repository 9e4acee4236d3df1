//! What the worker says of Kafka: in the check's words, and in the log once in a while.

use std::time::{Duration, Instant};

use super::Worker;
use crate::publish::env::{Client as _, Outside};
use crate::publish::inbox::Seen;
use crate::publish::kafka::cloudevents::Blame;

/// Without a report on what is in flight for so long, something is wrong of which librdkafka does not tell: it retries
/// for ever, and in silence, where too few replicas are in sync.
const SILENCE: Duration = Duration::from_secs(15);
const SILENT: &str = "Kafka is connected but acknowledges nothing";
const REPLICAS: &str = "are fewer replicas in sync than min.insync.replicas?";
/// Between two looks at a topic that was not there.
const LOOK: Duration = Duration::from_secs(5);
/// The same while nothing is sent for want of the number of its partitions.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// The same while all is well: how late a topic's growth is noticed.
const LATER_LOOK: Duration = Duration::from_secs(10);

/// What the check says at present.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    /// Ends when a broker is connected.
    Connection,
    /// Ends when the topic is there.
    Topic,
    /// Ends when an event is delivered.
    Delivery,
}

impl<O: Outside> Worker<O> {
    /// What librdkafka's callbacks and the look at the topic have told.
    pub(super) fn hear(
        &mut self,
        connected: bool,
        words: Option<String>,
        topic: Option<Result<Seen, String>>,
    ) {
        if connected && self.trouble == Trouble::Connection {
            self.well();
        }
        if let Some(words) = words
            && matches!(self.trouble, Trouble::None | Trouble::Connection)
        {
            self.trouble(Trouble::Connection, &words);
        }
        if let Some(seen) = topic {
            self.topic_seen(seen);
        }
    }

    /// When it has been silent for too long, where that is not said yet.
    pub(super) fn silent_at(&self) -> Option<Instant> {
        let since = self.machine.silent_since()?;
        (self.trouble == Trouble::None).then(|| since + SILENCE)
    }

    pub(super) fn look_at_silence(&mut self, now: Instant) {
        if self.silent_at().is_some_and(|at| now >= at) {
            let timeout = humantime::format_duration(self.stall);
            let words = format!(
                "{SILENT}; its producer is replaced after {timeout} of that; if it goes on, {REPLICAS}"
            );
            self.trouble(Trouble::Delivery, &words);
            if let Some(client) = &self.client {
                client.look_at_topic();
            }
            if let Some(suppressed) = self.throttle.permit(SILENT) {
                tracing::warn!(suppressed, "{words}");
            }
        }
    }

    /// The machine has given a silent producer up.
    pub(super) fn stalled(&mut self, silence: Duration) {
        let silence = Duration::from_secs(silence.as_secs());
        self.stalled = Some(silence);
        let why = self.words.clone();
        match self.trouble {
            Trouble::None => self.trouble(Trouble::Delivery, SILENT),
            // What is known of the cause stays the first thing to be read.
            known => self.trouble(known, &why),
        }
        tracing::warn!(
            ?silence,
            check = why,
            "Kafka has acknowledged nothing of what is in flight: another producer takes over"
        );
    }

    fn topic_seen(&mut self, seen: Result<Seen, String>) {
        match seen {
            Ok(Seen { partitions, bounds }) => {
                if let Some(bounds) = bounds {
                    self.machine.time_bounds(bounds);
                }
                if self.trouble == Trouble::Topic {
                    self.well();
                }
                if self.machine.partitions(partitions) {
                    tracing::info!(
                        partitions,
                        "the topic has another number of partitions; it takes effect once what is in flight is acknowledged"
                    );
                }
            }
            Err(words) => {
                self.trouble(Trouble::Topic, &words);
                if let Some(suppressed) = self.throttle.permit(&words) {
                    tracing::warn!(suppressed, "{words}; until then events stay in the journal");
                }
            }
        }
    }

    /// When the topic is to be asked about again.
    pub(super) fn look_at(&self) -> Option<Instant> {
        let pause = if self.trouble == Trouble::Topic {
            LOOK
        } else if self.machine.knows_partitions() {
            LATER_LOOK
        } else {
            FIRST_LOOK
        };
        self.client.as_ref().map(|_| self.looked + pause)
    }

    /// An operator who has made the topic sees it within seconds, even if no event comes, and a topic that has grown is noticed.
    pub(super) fn look_at_topic(&mut self, now: Instant) {
        if self.look_at().is_none_or(|at| now < at) {
            return;
        }
        self.looked = now;
        if let Some(client) = &self.client {
            client.look_at_topic();
        }
    }

    pub(super) fn failed(&mut self, blame: Blame, words: &str) {
        self.metrics
            .failures
            .with_label_values(&[blame.label()])
            .inc();
        if blame == Blame::Collateral {
            return;
        }
        self.trouble(Trouble::Delivery, words);
        if let Some(suppressed) = self.throttle.permit(words) {
            tracing::warn!(
                reason = words,
                suppressed,
                "Kafka did not take an event; it stays in the journal and is tried again"
            );
        }
    }

    pub(super) fn well(&mut self) {
        self.trouble = Trouble::None;
        self.words.clear();
        self.check.pass("ok");
    }

    pub(super) fn trouble(&mut self, trouble: Trouble, words: &str) {
        self.trouble = trouble;
        words.clone_into(&mut self.words);
        let replaced = self.stalled.map(|silence| {
            let silence = humantime::format_duration(silence);
            format!("; after {silence} without an acknowledgement the producer was replaced")
        });
        let replaced = replaced.unwrap_or_default();
        self.check
            .fail(&format!("{words}; events stay in the journal{replaced}"));
    }
}
