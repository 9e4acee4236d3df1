//! The client of a survey: connects to every broker, and remembers why each cannot be used.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::Statistics;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders, Timestamp};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use super::super::cause::{Detail, Past, Security};
use super::super::log::BrokerLine;
use super::super::oauth::{self, TokenSource};
use super::{Broker, BrokerFault};
use crate::time::now_ms;

/// Between two looks at what librdkafka reports.
const POLL: Duration = Duration::from_millis(50);
/// For one request of metadata, after which the log is read.
const METADATA_PIECE: Duration = Duration::from_millis(500);
/// How long a fault must have been known before the survey gives up: a broker that is just starting gets another try.
const SETTLED: Duration = Duration::from_secs(2);

/// Other properties than the relay's. It asks every broker, so that it sees those that the events will need; it must not get an id
/// at the cluster; and no record of it can be written.
const SURVEYING: [(&str, &str); 7] = [
    ("acks", "2"),
    ("enable.idempotence", "false"),
    ("enable.gapless.guarantee", "false"),
    ("enable.sparse.connections", "false"),
    ("statistics.interval.ms", "200"),
    ("message.timeout.ms", "10000"),
    ("linger.ms", "0"),
];
const WRITING: [(&str, &str); 2] = [("message.timeout.ms", "10000"), ("linger.ms", "0")];

/// What became of a record.
pub(super) enum Outcome {
    Delivered {
        partition: i32,
        offset: i64,
        /// The broker's time, if the topic stamps records with it; in milliseconds since the Unix epoch.
        append_ms: Option<i64>,
    },
    Refused(RDKafkaErrorCode),
    Unanswered,
}

#[derive(Default)]
struct Seen {
    /// By librdkafka's name for the broker.
    faults: BTreeMap<String, BrokerFault>,
    /// Addresses of brokers, by their numbers, that were connected.
    reached: BTreeSet<String>,
    last_error: Option<String>,
    outcome: Option<Outcome>,
}

struct Context {
    security: Security,
    tokens: Option<Arc<TokenSource>>,
    seen: Mutex<Seen>,
}

impl Context {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        oauth::token(self.tokens.as_ref())
    }

    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        let Some(line) = BrokerLine::of_log(facility, message) else {
            return;
        };
        let mut seen = self.seen();
        let past = Past {
            was_any_connected: !seen.reached.is_empty(),
            was_connected: seen.reached.contains(line.address),
        };
        let cause = self.security.explain(&line, past);
        let known = seen.faults.get(line.broker);
        if known.is_none_or(|known| !cause.says_less_than(&known.cause)) {
            let address = line.address.to_owned();
            let fault = BrokerFault { address, cause };
            seen.faults.insert(line.broker.to_owned(), fault);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let is_down = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        if !is_down && BrokerLine::parse(reason).is_none() {
            self.seen().last_error = Some(reason.to_owned());
        }
    }

    fn stats(&self, statistics: Statistics) {
        let brokers = statistics.brokers.into_values();
        let up = brokers.filter(|broker| broker.nodeid >= 0 && broker.state == "UP");
        self.seen().reached.extend(up.map(|broker| broker.nodename));
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let outcome = match result {
            Ok(message) => Outcome::Delivered {
                partition: message.partition(),
                offset: message.offset(),
                append_ms: match message.timestamp() {
                    Timestamp::LogAppendTime(ms) => Some(ms),
                    Timestamp::CreateTime(_) | Timestamp::NotAvailable => None,
                },
            },
            Err((error, _)) => error
                .rdkafka_error_code()
                .map_or(Outcome::Unanswered, Outcome::of_failure),
        };
        self.seen().outcome = Some(outcome);
    }
}

impl Outcome {
    fn of_failure(code: RDKafkaErrorCode) -> Self {
        match code {
            RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::PurgeQueue
            | RDKafkaErrorCode::PurgeInflight => Self::Unanswered,
            code => Self::Refused(code),
        }
    }
}

pub(super) struct Client(BaseProducer<Context>);

impl Client {
    /// Connects to every broker and can write nothing.
    pub(super) fn surveying(
        properties: &BTreeMap<String, String>,
        security: Security,
        tokens: Option<Arc<TokenSource>>,
    ) -> KafkaResult<Self> {
        Self::build(properties, &SURVEYING, security, tokens)
    }

    /// As the relay writes.
    pub(super) fn writing(
        properties: &BTreeMap<String, String>,
        tokens: Option<Arc<TokenSource>>,
    ) -> KafkaResult<Self> {
        Self::build(properties, &WRITING, Security::of(properties), tokens)
    }

    fn build(
        properties: &BTreeMap<String, String>,
        own: &[(&str, &str)],
        security: Security,
        tokens: Option<Arc<TokenSource>>,
    ) -> KafkaResult<Self> {
        let mut config = ClientConfig::new();
        for (name, value) in properties {
            config.set(name, value);
        }
        for (name, value) in own {
            config.set(*name, *value);
        }
        config.set_log_level(RDKafkaLogLevel::Info);
        let context = Context {
            security,
            tokens,
            seen: Mutex::default(),
        };
        config.create_with_context(context).map(Self)
    }

    /// What the cluster says about its brokers and `topic`; `None` if it has not answered at `until`, or if every address of
    /// `bootstrap` has a fault that waiting does not cure.
    pub(super) fn metadata(
        &self,
        topic: &str,
        bootstrap: &[String],
        until: Instant,
    ) -> Option<Metadata> {
        let mut hopeless_since = None;
        loop {
            let now = Instant::now();
            let piece = METADATA_PIECE.min(until.saturating_duration_since(now));
            if let Ok(metadata) = self.0.client().fetch_metadata(Some(topic), piece) {
                return Some(metadata);
            }
            self.0.poll(POLL);
            if !bootstrap.is_empty() && bootstrap.iter().all(|address| self.is_faulty(address)) {
                let since = *hopeless_since.get_or_insert(now);
                if now.duration_since(since) >= SETTLED {
                    return None;
                }
            }
            if now >= until {
                return None;
            }
        }
    }

    /// Returns when each broker is connected or known to be unusable, or at `until`.
    pub(super) fn await_brokers(&self, brokers: &[Broker], until: Instant) {
        let is_settled =
            |broker: &Broker| self.is_connected(&broker.address) || self.is_faulty(&broker.address);
        while !brokers.iter().all(is_settled) && Instant::now() < until {
            self.0.poll(POLL);
        }
    }

    /// Sends one record with this header and waits for its report. Without a partition, librdkafka chooses one.
    pub(super) fn send(
        &self,
        topic: &str,
        partition: Option<i32>,
        mark: &str,
        timeout: Duration,
    ) -> Outcome {
        let until = Instant::now() + timeout;
        let headers = OwnedHeaders::new().insert(Header {
            key: mark,
            value: Some("1"),
        });
        let record = BaseRecord::to(topic)
            .key(mark)
            .payload(r#"{"event":"ringback_doctor"}"#)
            .timestamp(i64::try_from(now_ms()).unwrap_or(i64::MAX))
            .headers(headers);
        let record = match partition {
            Some(partition) => record.partition(partition),
            None => record,
        };
        self.0.context().seen().outcome = None;
        if let Err((error, _)) = self.0.send(record) {
            let code = error.rdkafka_error_code();
            return code.map_or(Outcome::Unanswered, Outcome::of_failure);
        }
        while Instant::now() < until {
            self.0.poll(POLL);
            if let Some(outcome) = self.0.context().seen().outcome.take() {
                return outcome;
            }
        }
        Outcome::Unanswered
    }

    /// The broker at this address was connected.
    pub(super) fn is_connected(&self, address: &str) -> bool {
        self.0.context().seen().reached.contains(address)
    }

    /// A fault of this address is known, and what to do about it.
    fn is_faulty(&self, address: &str) -> bool {
        let seen = self.0.context().seen();
        let mut faults = seen.faults.values();
        faults.any(|fault| fault.address == address && fault.cause.detail() > Detail::Vague)
    }

    /// Of addresses that were never connected, each fault once.
    pub(super) fn faults(&self) -> Vec<BrokerFault> {
        let seen = self.0.context().seen();
        let mut found: Vec<BrokerFault> = Vec::new();
        for fault in seen.faults.values() {
            let is_known = |known: &BrokerFault| {
                known.address == fault.address && known.cause.kind == fault.cause.kind
            };
            if !seen.reached.contains(&fault.address) && !found.iter().any(is_known) {
                found.push(fault.clone());
            }
        }
        found
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.0.context().seen().last_error.clone()
    }
}
