//! The dead-letter topic beside a journal on disk, as far as it takes dead letters in time.
//!
//! Senders decide how many bodies are not JSON, and every event behind a dead letter waits for it. So the producer is kept while it
//! succeeds, because a connection takes about a second. After a failure the topic is left alone for a while, in which dead letters
//! go to files at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::credentials::Credentials;
use super::dead_letter_producer::{DeadLetterProducer, Provenance};
use super::timeout::SideThread;
use crate::event::Event;
use crate::telemetry::chain;

/// For the topic's acknowledgement; after that the dead letter goes to a file.
const ACKNOWLEDGEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much longer the whole way to the topic may take. With [`ACKNOWLEDGEMENT_TIMEOUT`] it is shorter than a resolver's time-out.
const MORE_TIME: Duration = Duration::from_secs(2);
/// How long the topic is left alone after a failure.
const PAUSE: Duration = Duration::from_mins(1);

pub(in crate::publish) struct DeadLetterTopic {
    name: String,
    credentials: Arc<Credentials>,
    /// The producer that has succeeded last, if the last one has. Only the side thread uses it.
    producer: Arc<Mutex<Option<DeadLetterProducer>>>,
    thread: SideThread,
    /// Set after a failure that would meet any dead letter.
    paused_until: Option<Instant>,
}

impl DeadLetterTopic {
    /// Connects with the first dead letter.
    pub(in crate::publish) fn new(name: String, credentials: Arc<Credentials>) -> Self {
        Self {
            name,
            credentials,
            producer: Arc::default(),
            thread: SideThread::default(),
            paused_until: None,
        }
    }

    pub(in crate::publish) fn name(&self) -> &str {
        &self.name
    }

    /// Returns true once the topic has the event; false if it does not take it in time or it is no event. Blocks for up to 12 s.
    pub(in crate::publish) fn send(
        &mut self,
        payload: &[u8],
        journal_id: &str,
        position: u64,
        reason: &'static str,
    ) -> bool {
        let is_paused = self
            .paused_until
            .is_some_and(|until| Instant::now() < until);
        if is_paused || Event::decode(payload).is_err() {
            return false;
        }
        let (name, credentials) = (self.name.clone(), self.credentials.clone());
        let (kept, payload) = (self.producer.clone(), payload.to_vec());
        let journal_id = journal_id.to_owned();
        let timeout = ACKNOWLEDGEMENT_TIMEOUT;
        let outcome = self.thread.with_timeout(timeout + MORE_TIME, move || {
            let event = Event::decode(&payload).ok()?;
            let provenance = Provenance {
                journal_id: &journal_id,
                position,
                header: reason,
            };
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            let mut producer = kept
                .take()
                .unwrap_or_else(|| DeadLetterProducer::new(&credentials, &name));
            let sent = producer.send(&event, &provenance, timeout);
            // A new one reads its credentials again.
            *kept = sent.is_ok().then_some(producer);
            Some(sent)
        });
        let (error, concerns_all) = match outcome.flatten() {
            Some(Ok(_)) => return true,
            Some(Err(error)) => (chain(&error), error.concerns_all()),
            None => (String::from("the client does not answer"), true),
        };
        self.paused_until = concerns_all.then(|| Instant::now() + PAUSE);
        let and_others = if concerns_all {
            ", as do all of the next minute"
        } else {
            ""
        };
        tracing::warn!(
            topic = self.name,
            position,
            error,
            "the dead-letter topic does not take a dead letter: it goes to a file{and_others}"
        );
        false
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::publish::kafka::dead_letter_producer::tests::credentials;

    #[test]
    fn one_producer_serves_until_a_failure_which_pauses_the_topic() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("dead-letters", 1, 1).unwrap();
        let mut topic = DeadLetterTopic::new(
            String::from("dead-letters"),
            Arc::new(credentials(&cluster)),
        );
        let event = Event::sample(Some("k"));
        let payload = [event.encode_envelope().as_slice(), event.body].concat();
        let send = |topic: &mut DeadLetterTopic| topic.send(&payload, "j", 7, "unparsed");
        let refuse = |error| cluster.request_errors(RDKafkaApiKey::Produce, &[error]);

        assert!(send(&mut topic) && send(&mut topic));
        assert!(topic.producer.lock().unwrap().is_some(), "it is kept");

        // This one alone is refused, and the next one is not kept waiting for it.
        refuse(RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
        assert!(!send(&mut topic));
        assert!(topic.producer.lock().unwrap().is_none());
        assert!(send(&mut topic));

        refuse(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
        assert!(!send(&mut topic));
        assert!(!send(&mut topic), "the topic is not even asked");
        assert!(topic.producer.lock().unwrap().is_none());
        topic.paused_until = Some(Instant::now());
        assert!(send(&mut topic));
        assert!(!topic.send(b"no event", "j", 7, "undecodable"));
        assert!(send(&mut topic), "that was no fault of the topic");
    }
}
