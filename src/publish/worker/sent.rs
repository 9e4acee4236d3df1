//! Which records the present producer holds: when their events were received, and with which timestamp they were sent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Worker;
use crate::publish::decide::timestamps::Stamp;
use crate::publish::env::Env;
use crate::publish::error::DeliveryError;
use crate::publish::inbox::Report;

#[derive(Debug, Clone, Copy)]
pub(super) struct SentRecord {
    pub(super) position: u64,
    /// The topic's index.
    pub(super) topic: usize,
    pub(super) received_ms: u64,
    pub(super) stamp: Stamp,
}

/// Those above the watermark, in position order for each topic: the first of each may be the first that becomes too old.
#[derive(Debug)]
pub(super) struct SentRecords(Vec<VecDeque<SentRecord>>);

impl SentRecords {
    /// For so many topics.
    pub(super) fn of(topics: usize) -> Self {
        Self(vec![VecDeque::new(); topics])
    }

    /// For so many topics, at least as many as before.
    pub(super) fn extend_to(&mut self, topics: usize) {
        self.0.resize(topics, VecDeque::new());
    }

    pub(super) fn push(&mut self, sent: SentRecord) {
        let records = &mut self.0[sent.topic];
        let last = records.back();
        debug_assert!(last.is_none_or(|last| last.position < sent.position));
        records.push_back(sent);
    }

    pub(super) fn clear(&mut self) {
        self.0.iter_mut().for_each(VecDeque::clear);
    }

    pub(super) fn remove_upto(&mut self, position: u64) {
        for records in &mut self.0 {
            while records
                .front()
                .is_some_and(|sent| sent.position <= position)
            {
                records.pop_front();
            }
        }
    }

    pub(super) fn find(&self, position: u64) -> Option<SentRecord> {
        self.0.iter().find_map(|records| {
            let index = records.binary_search_by_key(&position, |sent| sent.position);
            Some(records[index.ok()?])
        })
    }
}

impl<E: Env> Worker<E> {
    /// Counts an event's latency at its first acknowledgement.
    pub(super) fn count_times(&self, position: u64) {
        let Some(sent) = self.sent.find(position) else {
            return;
        };
        let received = Duration::from_millis(sent.received_ms);
        let latency = self.env.since_epoch().saturating_sub(received);
        self.metrics.latency.observe(latency.as_secs_f64());
        if sent.stamp.is_present {
            self.metrics.restamped.inc();
            if let Some(permit) = self.throttle.permit("restamped") {
                tracing::warn!(
                    position,
                    ?received,
                    suppressed = permit.suppressed(),
                    "an event was published with the present time: Kafka would refuse or delete it with its own, which is in ce_time"
                );
            }
        }
    }

    /// If Kafka refuses a record's timestamp, the next producer sends such records with the present time.
    pub(super) fn learn_from(&mut self, report: &Report) {
        if report.outcome.is_err_and(DeliveryError::refuses_timestamp)
            && let Some(sent) = self.sent.find(report.position)
        {
            let now = self.env.since_epoch();
            self.machine
                .on_timestamp_refused(sent.topic, sent.stamp.ms, now);
        }
    }

    /// When the first record in flight has waited so long that its topic might delete or refuse it; `None`: never.
    pub(super) fn too_old_at(&self, now: Instant) -> Option<Instant> {
        if self.machine.in_flight() == 0 {
            return None;
        }
        let since_epoch = self.env.since_epoch();
        let firsts = self.sent.0.iter().filter_map(VecDeque::front);
        let waits = firsts.filter_map(|first| {
            self.machine
                .max_wait(first.topic, first.stamp.ms, since_epoch)
        });
        now.checked_add(waits.min()?)
    }

    /// An outage may outlast what a topic keeps: records that wait in the producer are sent again with the present time.
    pub(super) fn check_ages(&mut self, now: Instant) {
        if self.too_old_at(now).is_some_and(|at| now >= at) {
            tracing::info!(
                "records have waited long in the Kafka producer: replacing it to send them with the present time"
            );
            self.sent.clear();
            self.replace_producer(now);
        }
    }
}
