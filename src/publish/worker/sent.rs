//! What is known of the records that the present producer has: when their events came, and with which timestamp they went.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

use super::Worker;
use crate::publish::decide::timestamps::Stamp;
use crate::publish::env::Outside;
use crate::publish::inbox::Report;

/// One record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) position: u64,
    pub(super) received_ms: u64,
    pub(super) stamp: Stamp,
}

/// All of them above the watermark, in the order of sending.
#[derive(Debug, Default)]
pub(super) struct SentRecords(VecDeque<Sent>);

impl SentRecords {
    pub(super) fn push(&mut self, sent: Sent) {
        self.0.push_back(sent);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn remove_upto(&mut self, position: u64) {
        while self.0.front().is_some_and(|sent| sent.position <= position) {
            self.0.pop_front();
        }
    }

    pub(super) fn find(&self, position: u64) -> Option<Sent> {
        let index = self.0.binary_search_by_key(&position, |sent| sent.position);
        Some(self.0[index.ok()?])
    }

    fn first(&self) -> Option<&Sent> {
        self.0.front()
    }
}

impl<O: Outside> Worker<O> {
    /// What a first acknowledgement says of the event's time.
    pub(super) fn count_times(&self, position: u64) {
        let Some(sent) = self.sent.find(position) else {
            return;
        };
        let received = Duration::from_millis(sent.received_ms);
        let taken = self.outside.wall().saturating_sub(received);
        self.metrics.latency.observe(taken.as_secs_f64());
        if sent.stamp.is_present {
            self.metrics.restamped.inc();
            if let Some(suppressed) = self.throttle.permit("restamped") {
                tracing::warn!(
                    position,
                    received = ?received,
                    suppressed,
                    "an event was published with the present time: Kafka would refuse or delete it with its own, which is in ce_time"
                );
            }
        }
    }

    /// Kafka refuses a record's timestamp, which is nobody's fault: the next producer gives such records the present time.
    pub(super) fn learn_from(&mut self, report: &Report) {
        if report.outcome == Err(RDKafkaErrorCode::InvalidTimestamp)
            && let Some(sent) = self.sent.find(report.position)
        {
            let now = self.outside.wall();
            self.machine.timestamp_refused(sent.stamp.ms, now);
        }
    }

    /// When the first record in flight has waited so long that Kafka might delete or refuse it; `None`: never.
    pub(super) fn too_old_at(&self, now: Instant) -> Option<Instant> {
        let first = self.sent.first().filter(|_| self.machine.in_flight() > 0)?;
        let wait = self.machine.may_wait(first.stamp.ms, self.outside.wall())?;
        now.checked_add(wait)
    }

    /// An outage may outlast what the topic keeps: what waits in the producer is sent again, with the present time.
    pub(super) fn look_at_ages(&mut self, now: Instant) {
        if self.too_old_at(now).is_some_and(|at| now >= at) {
            tracing::info!(
                "records have waited long in the Kafka producer: another one takes over and gives them the present time"
            );
            self.sent.clear();
            let jitter = self.outside.jitter();
            self.machine.renew(now, jitter);
            self.act();
        }
    }
}
