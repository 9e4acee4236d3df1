//! A producer for dead letters: sends one record at a time and waits for its acknowledgement.
//!
//! librdkafka chooses the partition, by the rule of [`crate::publish::decide::partitioner`]: with one record in flight at a time, a topic
//! that grows changes no order.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header};
use rdkafka::producer::{
    BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use rdkafka::types::RDKafkaErrorCode;

use super::cause::Security;
use super::cloudevents;
use super::credentials::Credentials;
use super::faults::BrokerFaults;
use super::log::BrokerLine;
use super::oauth::{self, TokenError, TokenSource};
use super::timeout::SideThread;
use super::topic_config;
use crate::event::Event;
use crate::publish::decide::blame::Blame;
use crate::publish::decide::timestamps::Timestamps;
use crate::publish::error::DeliveryError;
use crate::time::now_ms;

/// The header that distinguishes a dead letter from a first delivery; its value is the reason, or [`REPLAYED`].
const HEADER: &str = "ringback_dead_letter";
/// The header's value on a dead letter that is published after its cause was fixed, and so out of order.
pub(in crate::publish) const REPLAYED: &str = "replayed";

/// Why a dead letter did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// librdkafka builds no producer from the configured properties.
    #[error("cannot build a Kafka producer")]
    Build(#[from] KafkaError),
    /// There is no token to show to Kafka.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Kafka, or the client before it, refuses the record.
    #[error("Kafka refuses it: {0}")]
    Refused(DeliveryError),
    /// No answer in time; the record may have arrived all the same.
    #[error("no acknowledgement within {}{}", humantime::format_duration(*timeout), last_error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default())]
    Unanswered {
        /// How long the acknowledgement was waited for.
        timeout: Duration,
        /// Why the brokers cannot be used, or the client's last error; `None` if neither is known.
        last_error: Option<String>,
    },
}

impl SendError {
    /// True if the next dead letter would fail in the same way: Kafka is away, or refuses every record.
    pub fn concerns_all(&self) -> bool {
        match self {
            Self::Refused(error) => !matches!(error.blame(), Blame::Record(_)),
            Self::Build(_) | Self::Token(_) | Self::Unanswered { .. } => true,
        }
    }
}

/// Why there is no acknowledgement.
struct LastError {
    faults: BrokerFaults,
    /// The last error that is about no broker.
    other: Mutex<Option<String>>,
}

impl LastError {
    fn describe(&self) -> Option<String> {
        let other = || self.other.lock().unwrap_or_else(PoisonError::into_inner);
        self.faults.describe().or_else(|| other().clone())
    }
}

/// Gets what became of each record, by the number that it was sent with.
type OnReport = Box<dyn Fn(usize, Result<(), DeliveryError>) + Send + Sync>;

pub(super) struct Context {
    on_report: OnReport,
    last_error: Arc<LastError>,
    tokens: Option<Arc<TokenSource>>,
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        oauth::token(self.tokens.as_ref())
    }

    /// Keeps why a broker cannot be used, which librdkafka may name here alone. Nothing else matters to a single record.
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        if let Some(line) = BrokerLine::of_log(facility, message) {
            self.last_error.faults.note(&line, Instant::now());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let is_down = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        // What is about brokers was logged, with more words.
        if !is_down && BrokerLine::parse(reason).is_none() {
            let other = &self.last_error.other;
            *other.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }

    /// Nobody reads them; rdkafka would log them, 9 KB every few seconds.
    fn stats(&self, _statistics: rdkafka::Statistics) {}
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let outcome = match result {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(delivery_error(error)),
        };
        (self.on_report)(number, outcome);
    }
}

/// Blames the record even if the topic refuses it for its missing key, because the topic may take the next record. So
/// the error counts as that of a record with a key.
fn delivery_error(error: &KafkaError) -> DeliveryError {
    DeliveryError::of(error, true)
}

/// A connected producer.
pub(super) struct Client {
    /// `Some` until the client is dropped.
    producer: Option<Arc<ThreadedProducer<Context>>>,
    last_error: Arc<LastError>,
}

impl Client {
    /// Builds a producer with these properties, once there is a token if it needs one.
    pub(super) fn build(
        properties: &BTreeMap<String, String>,
        tokens: Option<Arc<TokenSource>>,
        on_report: OnReport,
    ) -> Result<Self, SendError> {
        if let Some(tokens) = &tokens {
            tokens.prepare()?;
        }
        let mut config = ClientConfig::new();
        for (name, value) in properties {
            config.set(name, value);
        }
        config.set("linger.ms", "0");
        config.set("statistics.interval.ms", "0");
        config.set_log_level(RDKafkaLogLevel::Info);
        let last_error = Arc::new(LastError {
            faults: BrokerFaults::new(Security::of(properties)),
            other: Mutex::default(),
        });
        let producer = config.create_with_context(Context {
            on_report,
            last_error: last_error.clone(),
            tokens,
        })?;
        Ok(Self {
            producer: Some(Arc::new(producer)),
            last_error,
        })
    }

    /// Queues a dead letter; a report with `number` follows, unless it is refused at once.
    pub(super) fn enqueue(
        &self,
        topic: &str,
        event: &Event<'_>,
        provenance: &Provenance<'_>,
        timestamp_ms: u64,
        number: usize,
    ) -> Result<(), DeliveryError> {
        let headers = cloudevents::headers(event, provenance.journal_id, provenance.position)
            .insert(Header {
                key: HEADER,
                value: Some(provenance.header),
            });
        let record: BaseRecord<'_, str, [u8], usize> = BaseRecord::with_opaque_to(topic, number)
            .payload(event.body)
            .timestamp(i64::try_from(timestamp_ms).unwrap_or(i64::MAX))
            .headers(headers);
        let record = match event.key {
            Some(key) => record.key(key),
            None => record,
        };
        if let Some(producer) = &self.producer
            && let Err((error, _)) = producer.send(record)
        {
            return Err(delivery_error(&error));
        }
        Ok(())
    }

    /// Why the brokers cannot be used, or the last error; `None` if neither is known.
    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.describe()
    }

    /// For asking about the topic on another thread.
    pub(super) fn producer(&self) -> Option<Arc<ThreadedProducer<Context>>> {
        self.producer.clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A record that has not arrived by now must not arrive later, when it counts as not sent.
        let purge = PurgeConfig::default().queue().inflight().non_blocking();
        let Some(producer) = self.producer.take() else {
            return;
        };
        producer.purge(purge);
        // It waits for its threads, and these may wait for a resolver that does not answer. Nobody depends on its end.
        drop(thread::Builder::new().spawn(move || drop(producer)));
    }
}

/// Sends dead letters to one topic.
pub(in crate::publish) struct DeadLetterProducer {
    properties: BTreeMap<String, String>,
    tokens: Option<Arc<TokenSource>>,
    topic: String,
    client: Option<(Client, mpsc::Receiver<Result<(), DeliveryError>>)>,
    timestamps: Timestamps,
    /// When the topic's configuration was last asked for.
    configured_at: Option<Instant>,
}

/// Where a dead letter comes from, for its headers.
pub(in crate::publish) struct Provenance<'a> {
    pub(in crate::publish) journal_id: &'a str,
    pub(in crate::publish) position: u64,
    /// The value of [`HEADER`].
    pub(in crate::publish) header: &'a str,
}

impl DeadLetterProducer {
    /// Connects with the first dead letter.
    pub(in crate::publish) fn new(credentials: &Credentials, topic: &str) -> Self {
        Self {
            properties: credentials.read(),
            tokens: credentials.tokens(),
            topic: topic.to_owned(),
            client: None,
            timestamps: Timestamps::default(),
            configured_at: None,
        }
    }

    /// Waits up to `timeout` for Kafka's acknowledgement. Returns true if the record got the present time because Kafka would
    /// refuse or delete it with its event's own.
    pub(in crate::publish) fn send(
        &mut self,
        event: &Event<'_>,
        provenance: &Provenance<'_>,
        timeout: Duration,
    ) -> Result<bool, SendError> {
        self.read_topic_config();
        let stamp = self.timestamps.stamp(event.received_ms, now_ms());
        match self.send_stamped(event, provenance, timeout, stamp.ms) {
            Err(SendError::Refused(error)) if error.refuses_timestamp() && !stamp.is_present => {
                self.send_stamped(event, provenance, timeout, now_ms())?;
                Ok(true)
            }
            sent => sent.map(|()| stamp.is_present),
        }
    }

    /// Before the first dead letter, and when the last answer is old; may take some seconds, and gives up on a client that
    /// hangs.
    fn read_topic_config(&mut self) {
        if self
            .configured_at
            .is_some_and(|at| at.elapsed() < topic_config::INTERVAL)
        {
            return;
        }
        self.configured_at = Some(Instant::now());
        let (properties, topic) = (self.properties.clone(), self.topic.clone());
        let read = move || topic_config::read(&properties, &topic);
        let answer = SideThread::default().with_timeout(topic_config::TIMEOUT * 2, read);
        if let Some(Ok(bounds)) = answer {
            self.timestamps.configure(bounds);
        }
    }

    fn send_stamped(
        &mut self,
        event: &Event<'_>,
        provenance: &Provenance<'_>,
        timeout: Duration,
        timestamp_ms: u64,
    ) -> Result<(), SendError> {
        // Kept only after a success: a failure is fatal to a gapless producer.
        let client = match self.client.take() {
            Some(client) => client,
            None => self.connect()?,
        };
        client
            .0
            .enqueue(&self.topic, event, provenance, timestamp_ms, 0)
            .map_err(SendError::Refused)?;
        match client.1.recv_timeout(timeout) {
            Ok(Ok(())) => {
                self.client = Some(client);
                Ok(())
            }
            Ok(Err(error)) => Err(SendError::Refused(error)),
            Err(_) => Err(SendError::Unanswered {
                timeout,
                last_error: client.0.last_error(),
            }),
        }
    }

    fn connect(&self) -> Result<(Client, mpsc::Receiver<Result<(), DeliveryError>>), SendError> {
        let (sender, outcome) = mpsc::sync_channel(1);
        let on_report = move |_, outcome| {
            // It fails only if the time is up and nobody waits any more.
            let _ = sender.try_send(outcome);
        };
        let client = Client::build(&self.properties, self.tokens.clone(), Box::new(on_report))?;
        Ok((client, outcome))
    }
}

#[cfg(test)]
pub(super) mod tests;
