//! Where a record goes that Kafka refuses for good: to a topic, else to a file beside the journal, synced before the
//! watermark passes it.
//!
//! A file is `<folder>/<position, 20 digits>.event`: one line of JSON (`position`, `reason`, `envelope` as hex), then
//! the body, byte for byte.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::{DeliveryResult, Header};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};

use super::Config;
use super::delivery;
use crate::event::Event;

/// For the dead-letter topic's acknowledgement; after that the file takes it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The dead-letter office.
pub(super) struct DeadLetters {
    folder: PathBuf,
    topic: Option<String>,
    bytes: u64,
}

impl DeadLetters {
    /// Counts what lies there from before.
    pub(super) fn open(config: &Config) -> io::Result<Self> {
        let mut bytes = 0;
        match fs::read_dir(&config.dead_letter_path) {
            Ok(entries) => {
                for entry in entries {
                    bytes += entry?.metadata()?.len();
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Self {
            folder: config.dead_letter_path.clone(),
            topic: config.dead_letter_topic.clone(),
            bytes,
        })
    }

    /// The total of all files, which counts against the journal's budget.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Sets `payload` (envelope and body) aside; when this returns `Ok` it is durable. Blocks for up to ten seconds
    /// where there is a topic.
    pub(super) fn set_aside(
        &mut self,
        config: &Config,
        journal_id: &str,
        position: u64,
        reason: &str,
        payload: &[u8],
    ) -> io::Result<()> {
        if let Some(topic) = &self.topic
            && let Ok(event) = Event::decode(payload)
            && to_topic(config, topic, &event, journal_id, position, reason)
        {
            return Ok(());
        }
        self.write_file(position, reason, payload)
    }

    fn write_file(&mut self, position: u64, reason: &str, payload: &[u8]) -> io::Result<()> {
        if !self.folder.exists() {
            fs::create_dir_all(&self.folder)?;
            if let Some(parent) = self.folder.parent() {
                File::open(parent)?.sync_all()?;
            }
        }
        let body = Event::decode(payload).map_or(&[][..], |event| event.body);
        let envelope = &payload[..payload.len() - body.len()];
        let line = serde_json::json!({
            "position": position,
            "reason": reason,
            "envelope": hex::encode(envelope),
        });
        let name = self.folder.join(format!("{position:020}.event"));
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        writeln!(file, "{line}")?;
        file.write_all(body)?;
        file.as_file().sync_all()?;
        let length = file.as_file().metadata()?.len();
        // The same record twice (a crash before the checkpoint) is the same file.
        let replaced = fs::metadata(&name).map_or(0, |old| old.len());
        file.persist(&name).map_err(|error| error.error)?;
        File::open(&self.folder)?.sync_all()?;
        self.bytes = self.bytes.saturating_sub(replaced) + length;
        Ok(())
    }
}

struct Answer(mpsc::SyncSender<bool>);

impl ClientContext for Answer {}

impl ProducerContext for Answer {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        // Nobody listens any more only where the time was up.
        let _ = self.0.try_send(result.is_ok());
    }
}

fn to_topic(
    config: &Config,
    topic: &str,
    event: &Event<'_>,
    journal_id: &str,
    position: u64,
    reason: &str,
) -> bool {
    let Ok(properties) = config.properties() else {
        return false;
    };
    let mut client = ClientConfig::new();
    for (name, value) in &properties {
        client.set(name, value);
    }
    client.set("linger.ms", "0");
    let (sender, answer) = mpsc::sync_channel(1);
    let Ok(producer) = client.create_with_context::<_, ThreadedProducer<Answer>>(Answer(sender))
    else {
        return false;
    };
    let headers = delivery::headers(event, journal_id, position).insert(Header {
        key: "ringback_dead_letter",
        value: Some(reason),
    });
    let record: BaseRecord<'_, str, [u8]> = BaseRecord::to(topic)
        .payload(event.body)
        .timestamp(i64::try_from(event.received_ms).unwrap_or(i64::MAX))
        .headers(headers);
    let record = match event.key {
        Some(key) => record.key(key),
        None => record,
    };
    let taken = producer.send(record).is_ok();
    let arrived = taken && answer.recv_timeout(PATIENCE).unwrap_or(false);
    producer.purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
    arrived
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_a_file_with_the_body_byte_for_byte_and_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            topic: String::from("t"),
            dead_letter_topic: None,
            client: std::collections::BTreeMap::new(),
            max_body: 1 << 20,
            dead_letter_path: folder.path().join("dead-letters"),
        };
        let event = Event {
            received_ms: 1,
            source: "retell",
            kind: "call_ended",
            key: None,
            id: "id",
            content_type: "application/json",
            traceparent: "",
            tracestate: "",
            body: b"{\n}\0",
        };
        let payload = [event.encode_envelope().as_slice(), event.body].concat();
        let mut letters = DeadLetters::open(&config).unwrap();
        for _ in 0..2 {
            letters
                .set_aside(&config, "j", 7, "too_large", &payload)
                .unwrap();
        }
        let file = config.dead_letter_path.join("00000000000000000007.event");
        let content = fs::read(&file).unwrap();
        let line_end = content.iter().position(|byte| *byte == b'\n').unwrap();
        assert_eq!(&content[line_end + 1..], event.body);
        let line: serde_json::Value = serde_json::from_slice(&content[..line_end]).unwrap();
        assert_eq!(line["reason"], "too_large");
        assert_eq!(letters.bytes(), content.len() as u64);
        assert_eq!(DeadLetters::open(&config).unwrap().bytes(), letters.bytes());
    }
}
