//! What the cluster tells about itself and about the topics, for `ringback doctor`: facts, without a judgement.
//!
//! Nothing is written, except for one marked record if the caller asks for it. Whether the client may write is asked by a record
//! with `acks=2`: a broker checks the permission first and then refuses that number, before it looks at the record
//! (`KafkaApis.handleProduceRequest` and `ReplicaManager.appendRecords`).

mod client;
mod clock;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::types::RDKafkaErrorCode;

use self::client::{Client, Outcome};
use super::cause::Security;
use super::certificate::{Trust, inspect_all};
use super::oauth::TokenSource;
use super::properties::PropertyError;
use super::timeout::SideThread;
use super::topic_config::{self, DescribeError};
use crate::publish::Config;
use crate::time::now_ms;

pub use super::cause::{Cause, CauseKind};

/// For the first answer of the cluster.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// For connections to all brokers that the cluster advertises.
const BROKERS_TIMEOUT: Duration = Duration::from_secs(10);
/// For the answer to one record, and for the acknowledgement of the marked one.
const RECORD_TIMEOUT: Duration = Duration::from_secs(10);
/// For everything together; the client may hang in the resolver.
const WHOLE_TIMEOUT: Duration = Duration::from_mins(2);

/// The header of the record that `ringback doctor --write` leaves in the topic.
const MARK: &str = "ringback_doctor";

/// What was seen of a cluster.
#[derive(Debug, Default)]
pub struct Survey {
    /// The brokers that the cluster advertises; empty if it does not answer.
    pub brokers: Vec<Broker>,
    /// What keeps an address from being used, of `bootstrap.servers` or advertised.
    pub faults: Vec<BrokerFault>,
    /// The topics of the sources' events, then `kafka.topic` if it is none of them, and the dead-letter topic if there is one; empty if the
    /// cluster does not answer.
    pub topics: Vec<Topic>,
    /// The clock of the cluster's controller less this machine's, in milliseconds; `None` if no broker is connected.
    pub clock: Option<Result<i64, Unknown>>,
    /// What became of the marked record, if one was sent.
    pub written: Option<Written>,
    /// Why the client has no token for OAUTHBEARER, if it needs one; then no broker is asked.
    pub token: Option<String>,
    /// The client's last error that is about no broker.
    pub last_error: Option<String>,
}

/// A broker as the cluster advertises it.
#[derive(Debug, Clone)]
pub struct Broker {
    /// Its number.
    pub id: i32,
    /// Host and port.
    pub address: String,
    /// A connection to it, with all handshakes, has succeeded.
    pub is_connected: bool,
}

/// Why an address cannot be used.
#[derive(Debug, Clone)]
pub struct BrokerFault {
    /// Host and port.
    pub address: String,
    /// The mistake.
    pub cause: Cause,
}

/// A topic as the cluster describes it to this client.
#[derive(Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: Result<Vec<Partition>, Absence>,
    /// Its configuration, by Kafka's names.
    pub config: Result<BTreeMap<String, String>, Unknown>,
    /// Whether this client may write to it.
    pub write: Result<(), Unknown>,
}

/// One partition of a topic.
#[derive(Debug, Clone, Copy)]
pub struct Partition {
    /// It has a broker that takes records.
    pub has_leader: bool,
    /// How many brokers are to have its records.
    pub replicas: usize,
    /// How many of them have all of these at present.
    pub in_sync: usize,
}

/// Why nothing is known of a topic's partitions.
#[derive(Debug, PartialEq, Eq)]
pub enum Absence {
    /// There is no such topic.
    Missing,
    /// This client may not see it.
    Forbidden,
    /// Kafka's own words.
    Other(String),
}

/// Why something cannot be told.
#[derive(Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The client lacks the permission.
    Forbidden,
    /// It was not asked, or the answer says nothing; why.
    Other(String),
}

/// What became of the marked record.
#[derive(Debug)]
pub enum Written {
    /// All replicas in sync have it.
    Acknowledged {
        /// The partition that has the record.
        partition: i32,
        /// The record's offset in it.
        offset: i64,
        /// From the call to the acknowledgement; connecting is not counted.
        took: Duration,
        /// The broker's clock less this machine's, in milliseconds, if the topic stamps records with the broker's time.
        clock_ms: Option<i64>,
    },
    /// Kafka refuses the time of this machine's clock.
    TimeRefused,
    /// Kafka's or the client's reason.
    Failed(String),
}

/// Asks the cluster with the relay's own properties. Takes up to a minute if the cluster does not answer well.
///
/// # Errors
///
/// A property that would break an invariant, as for [`crate::publish::start`].
pub fn survey(config: &Config, write: bool) -> Result<Survey, PropertyError> {
    let properties = config.properties()?;
    let tokens = TokenSource::of(&config.kafka.client)?;
    let routes = config.topics();
    let more = [
        Some(&config.kafka.topic),
        config.kafka.dead_letter_topic.as_ref(),
    ];
    let mut topics = routes.used().to_vec();
    for topic in more.into_iter().flatten() {
        if !topics.contains(topic) {
            topics.push(topic.clone());
        }
    }
    let answer = SideThread::default().with_timeout(WHOLE_TIMEOUT, move || {
        look(&properties, tokens, &topics, write).unwrap_or_else(|error| Survey {
            last_error: Some(error.to_string()),
            ..Survey::default()
        })
    });
    Ok(answer.unwrap_or_else(|| Survey {
        last_error: Some(String::from(
            "the client does not answer; does the resolver?",
        )),
        ..Survey::default()
    }))
}

fn look(
    properties: &BTreeMap<String, String>,
    tokens: Option<Arc<TokenSource>>,
    topics: &[String],
    write: bool,
) -> rdkafka::error::KafkaResult<Survey> {
    if let Some(Err(error)) = tokens.as_ref().map(TokenSource::prepare) {
        return Ok(Survey {
            token: Some(error.to_string()),
            ..Survey::default()
        });
    }
    let security = Security::of(properties);
    let bootstrap = security.bootstrap().to_vec();
    let client = Client::surveying(properties, security, tokens.clone())?;
    let until = Instant::now() + CONNECT_TIMEOUT;
    let mut survey = Survey::default();
    for topic in topics {
        let Some(metadata) = client.metadata(topic, &bootstrap, until) else {
            break;
        };
        if survey.brokers.is_empty() {
            survey.brokers = brokers(&metadata);
        }
        let described = metadata.topics().first();
        survey.topics.push(Topic {
            name: topic.clone(),
            partitions: described.map_or(Err(Absence::Missing), partitions),
            config: Err(Unknown::Other(String::new())),
            write: Err(Unknown::Other(String::new())),
        });
    }
    client.await_brokers(&survey.brokers, Instant::now() + BROKERS_TIMEOUT);
    for broker in &mut survey.brokers {
        broker.is_connected = client.is_connected(&broker.address);
    }
    let mut brokers = survey.brokers.iter();
    let connected = brokers.find(|broker| broker.is_connected);
    survey.clock = connected.map(|broker| clock::offset_ms(&broker.address, properties));
    for topic in &mut survey.topics {
        examine(&client, properties, topic);
    }
    if write && let Some(topic) = survey.topics.first() {
        survey.written = write_marked(properties, tokens, topic);
    }
    survey.faults = explained(client.faults(), &Trust::of(properties));
    survey.last_error = client.last_error();
    Ok(survey)
}

fn brokers(metadata: &Metadata) -> Vec<Broker> {
    let brokers = metadata.brokers().iter().map(|broker| Broker {
        id: broker.id(),
        address: format!("{}:{}", broker.host(), broker.port()),
        is_connected: false,
    });
    brokers.collect()
}

fn partitions(topic: &MetadataTopic) -> Result<Vec<Partition>, Absence> {
    match topic.error().map(RDKafkaErrorCode::from) {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            return Err(Absence::Missing);
        }
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => return Err(Absence::Forbidden),
        // While a leader is being elected, the partitions are there all the same.
        Some(other) if topic.partitions().is_empty() => {
            return Err(Absence::Other(other.to_string()));
        }
        _ => {}
    }
    let partitions = topic.partitions().iter().map(|partition| Partition {
        has_leader: partition.leader() >= 0,
        replicas: partition.replicas().len(),
        in_sync: partition.isr().len(),
    });
    Ok(partitions.collect())
}

/// The topic's configuration, and whether this client may write to it.
fn examine(client: &Client, properties: &BTreeMap<String, String>, topic: &mut Topic) {
    let Ok(partitions) = &topic.partitions else {
        return;
    };
    topic.config = topic_config::describe(properties, &topic.name).map_err(|error| match error {
        DescribeError::Refused => Unknown::Forbidden,
        DescribeError::Unanswered(reason) => Unknown::Other(reason),
    });
    // What does not describe its topics is no Apache Kafka, and might take the record.
    if let Err(Unknown::Other(reason)) = &topic.config {
        topic.write = Err(Unknown::Other(format!("not asked: {reason}")));
        return;
    }
    let led = partitions.iter().position(|partition| partition.has_leader);
    let Some(partition) = led.and_then(|led| i32::try_from(led).ok()) else {
        topic.write = Err(Unknown::Other(String::from("no partition has a leader")));
        return;
    };
    topic.write = match client.send(&topic.name, Some(partition), MARK, RECORD_TIMEOUT) {
        Outcome::Refused(RDKafkaErrorCode::InvalidRequiredAcks) => Ok(()),
        Outcome::Delivered { .. } => Err(Unknown::Other(format!(
            "it took the question, a record with the key {MARK}, although Kafka refuses its acks=2; the record is in the topic"
        ))),
        Outcome::Refused(RDKafkaErrorCode::TopicAuthorizationFailed) => Err(Unknown::Forbidden),
        Outcome::Refused(other) => Err(Unknown::Other(other.to_string())),
        Outcome::Unanswered => Err(Unknown::Other(String::from("no answer"))),
    };
}

/// Sends the marked record with the relay's own producer; `None` if there is no topic.
fn write_marked(
    properties: &BTreeMap<String, String>,
    tokens: Option<Arc<TokenSource>>,
    topic: &Topic,
) -> Option<Written> {
    topic.partitions.as_ref().ok()?;
    let client = match Client::writing(properties, tokens) {
        Ok(client) => client,
        Err(error) => return Some(Written::Failed(error.to_string())),
    };
    // Connects and gets the producer's id, so that the time is the record's alone.
    client.metadata(&topic.name, &[], Instant::now() + RECORD_TIMEOUT);
    let start = Instant::now();
    Some(match client.send(&topic.name, None, MARK, RECORD_TIMEOUT) {
        Outcome::Delivered {
            partition,
            offset,
            append_ms,
        } => Written::Acknowledged {
            partition,
            offset,
            took: start.elapsed(),
            clock_ms: append_ms.map(|at| at.saturating_sub_unsigned(now_ms())),
        },
        Outcome::Refused(RDKafkaErrorCode::InvalidTimestamp) => Written::TimeRefused,
        Outcome::Refused(code) => Written::Failed(code.to_string()),
        Outcome::Unanswered => Written::Failed(client.last_error().unwrap_or_else(|| {
            format!("no acknowledgement within {} s", RECORD_TIMEOUT.as_secs())
        })),
    })
}

/// Replaces "cannot be verified" by what the certificate itself shows.
fn explained(faults: Vec<BrokerFault>, trust: &Trust) -> Vec<BrokerFault> {
    let explain = |fault: BrokerFault| {
        let shown = if fault.cause.kind == CauseKind::CertificateUntrusted {
            inspect_all(&fault.address, trust)
        } else {
            Vec::new()
        };
        if shown.is_empty() {
            return vec![fault];
        }
        let address = fault.address;
        let explained = shown.into_iter().map(|cause| BrokerFault {
            address: address.clone(),
            cause,
        });
        explained.collect()
    };
    faults.into_iter().flat_map(explain).collect()
}

#[cfg(test)]
mod tests;
