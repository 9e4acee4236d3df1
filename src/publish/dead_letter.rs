//! Where a record goes that Kafka refuses for good: to a topic, else to a file beside the journal, synced before the
//! watermark passes it.

mod file;
mod producer;
mod replay;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::producer::{Courier, Label};
use super::Config;
use super::kafka::credentials::Credentials;
use super::kafka::timeout::Aside;
use crate::event::Event;
use crate::journal::disk::filesystem::File as _;

pub use self::file::{Letter, LetterError, letter_bytes, letter_position, letters};
pub use self::producer::SendError;
pub use replay::{Replay, ReplayError, StayError};

/// For the dead-letter topic's acknowledgement; after that the file takes it.
const PATIENCE: Duration = Duration::from_secs(10);

/// For the courier beside: longer than its own patience, and shorter than any resolver's.
const AT_MOST: Duration = Duration::from_secs(12);

/// How the name begins of a letter that is being written.
const UNFINISHED: &str = ".unfinished-";

/// The dead-letter office.
pub(super) struct DeadLetters {
    folder: PathBuf,
    topic: Option<String>,
    bytes: u64,
    credentials: Arc<Credentials>,
    couriers: Aside,
}

impl DeadLetters {
    /// Counts what lies there from before, and removes what a killed process left unfinished.
    pub(super) fn open(config: &Config, credentials: Arc<Credentials>) -> io::Result<Self> {
        let mut letters = Self {
            folder: config.dead_letter_path.clone(),
            topic: config.kafka.dead_letter_topic.clone(),
            bytes: 0,
            credentials,
            couriers: Aside::default(),
        };
        letters.remove_unfinished()?;
        letters.recount()?;
        Ok(letters)
    }

    /// The total of all letters, which counts against the journal's budget.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Looks at what lies there now: a replay or an operator removes letters. True where that has changed the total.
    pub(super) fn recount(&mut self) -> io::Result<bool> {
        let bytes = letter_bytes(&self.folder)?;
        Ok(std::mem::replace(&mut self.bytes, bytes) != bytes)
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(UNFINISHED.as_bytes())
            {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Sets `payload` (envelope and body) aside; when this returns `Ok` it is durable. Blocks for up to twelve seconds
    /// where there is a topic.
    pub(super) fn set_aside(
        &mut self,
        journal_id: &str,
        position: u64,
        reason: &str,
        payload: &[u8],
    ) -> io::Result<()> {
        if let Some(topic) = self.topic.clone()
            && self.to_topic(topic, journal_id, position, reason, payload)
        {
            return Ok(());
        }
        self.write_file(journal_id, position, reason, payload)
    }

    /// False where the topic did not take it in time, or it is no event.
    fn to_topic(
        &self,
        topic: String,
        journal_id: &str,
        position: u64,
        reason: &str,
        payload: &[u8],
    ) -> bool {
        let credentials = self.credentials.clone();
        let (journal_id, reason) = (journal_id.to_owned(), reason.to_owned());
        let payload = payload.to_vec();
        let taken = self.couriers.run(AT_MOST, move || {
            let Ok(event) = Event::decode(&payload) else {
                return false;
            };
            let label = Label {
                journal_id: &journal_id,
                position,
                says: &reason,
            };
            let mut courier = Courier::new(credentials.read_anew(), &topic);
            courier.send(&event, &label, PATIENCE).is_ok()
        });
        taken.unwrap_or(false)
    }

    fn write_file(
        &mut self,
        journal_id: &str,
        position: u64,
        reason: &str,
        payload: &[u8],
    ) -> io::Result<()> {
        if !self.folder.exists() {
            fs::create_dir_all(&self.folder)?;
            if let Some(parent) = self.folder.parent() {
                File::open(parent)?.sync_all()?;
            }
        }
        let (line, start) = self::file::head(position, reason, journal_id, payload)?;
        let name = self.place(position, journal_id);
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(&self.folder)?;
        writeln!(file, "{line}")?;
        file.write_all(&payload[start..])?;
        file.as_file().sync_all()?;
        let length = file.as_file().metadata()?.len();
        // The same record twice (a crash before the checkpoint) is the same file.
        let replaced = fs::metadata(&name).map_or(0, |old| old.len());
        let file = file.persist(&name).map_err(|error| error.error)?;
        File::open(&self.folder)?.sync_all()?;
        // Asks the file system, too, whether it has not given up: the folder may be a mount of its own.
        file.sync()?;
        self.bytes = self.bytes.saturating_sub(replaced) + length;
        Ok(())
    }

    /// Where this letter goes. A position is its record's alone in one journal only: another journal's letter is another
    /// event, and must not be written over.
    fn place(&self, position: u64, journal_id: &str) -> PathBuf {
        let name = self.folder.join(self::file::name(position));
        let there = Letter::read(&name).ok().and_then(|old| old.journal_id);
        if there.is_some_and(|there| there != journal_id) {
            return self
                .folder
                .join(self::file::name_with_journal(position, journal_id));
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::log_throttle::LogThrottle;

    fn config(journal: &std::path::Path) -> Config {
        Config {
            kafka: crate::publish::KafkaConfig::default(),
            max_body: 1 << 20,
            dead_letter_path: journal.join("dead-letters"),
        }
    }

    fn open(config: &Config) -> io::Result<DeadLetters> {
        let throttle = Arc::new(LogThrottle::new(Duration::ZERO));
        let credentials = Credentials::new(BTreeMap::new(), BTreeMap::new(), throttle);
        DeadLetters::open(config, Arc::new(credentials))
    }

    fn event() -> Event<'static> {
        Event {
            received_ms: 1,
            source: "retell",
            kind: "call_ended",
            key: None,
            id: "id",
            content_type: "application/json",
            traceparent: "",
            tracestate: "",
            body: b"{\n}\0",
        }
    }

    #[test]
    fn a_letter_is_a_file_with_the_body_byte_for_byte_and_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let event = event();
        let payload = [event.encode_envelope().as_slice(), event.body].concat();
        let mut letters = open(&config).unwrap();
        for _ in 0..2 {
            letters.set_aside("j", 7, "too_large", &payload).unwrap();
        }
        let file = config.dead_letter_path.join("00000000000000000007.event");
        let content = fs::read(&file).unwrap();
        let line_end = content.iter().position(|byte| *byte == b'\n').unwrap();
        assert_eq!(&content[line_end + 1..], event.body);
        let line: serde_json::Value = serde_json::from_slice(&content[..line_end]).unwrap();
        assert_eq!(line["reason"], "too_large");
        assert_eq!(letters.bytes(), content.len() as u64);
        assert_eq!(open(&config).unwrap().bytes(), letters.bytes());

        let letter = Letter::read(&file).unwrap();
        assert_eq!(letter.event().unwrap(), event);
        assert_eq!(letter.journal_id.as_deref(), Some("j"));
        fs::remove_file(&file).unwrap();
        assert!(letters.recount().unwrap());
        assert_eq!(letters.bytes(), 0);
    }

    #[test]
    fn a_letter_of_another_journal_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let mut letters = open(&config).unwrap();
        for (journal, body) in [
            ("old", b"{1}\n\0"),
            ("new", b"{2}\n\0"),
            ("new", b"{2}\n\0"),
        ] {
            let payload = [event().encode_envelope().as_slice(), body].concat();
            letters
                .set_aside(journal, 7, "too_large", &payload)
                .unwrap();
        }
        let files = super::letters(&config.dead_letter_path).unwrap();
        let read: Vec<_> = files
            .iter()
            .map(|file| Letter::read(file).unwrap())
            .collect();
        let told: Vec<_> = read
            .iter()
            .map(|letter| (letter.journal_id.as_deref(), letter.event().unwrap().body))
            .collect();
        assert_eq!(
            told,
            [(Some("new"), &b"{2}\n\0"[..]), (Some("old"), b"{1}\n\0")]
        );
        assert!(read.iter().all(|letter| letter.position == 7));
        assert_eq!(
            letter_bytes(&config.dead_letter_path).unwrap(),
            letters.bytes()
        );
    }

    #[test]
    fn a_letter_of_the_first_format_is_read_and_no_damaged_one() {
        let folder = tempfile::tempdir().unwrap();
        let event = event();
        let old = serde_json::json!({
            "position": 7,
            "reason": "too_large",
            "envelope": hex::encode(event.encode_envelope()),
        });
        let file = folder.path().join(self::file::name(7));
        let write = |line: &str, body: &[u8]| {
            let content = [line.as_bytes(), b"\n", body].concat();
            fs::write(&file, content).unwrap();
        };
        write(&old.to_string(), event.body);
        assert_eq!(Letter::read(&file).unwrap().event().unwrap(), event);

        let payload = [event.encode_envelope().as_slice(), event.body].concat();
        let (line, start) = self::file::head(7, "too_large", "j", &payload).unwrap();
        write(&line, &payload[start..]);
        let whole = fs::read(&file).unwrap();
        Letter::read(&file).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(&file, &damaged).unwrap();
            if let Ok(letter) = Letter::read(&file) {
                // Only what the checksum does not cover, and no event depends on, may read otherwise.
                assert_eq!(letter.event().unwrap(), event, "bit {bit}");
            }
        }
        write(&line, &payload[start..payload.len() - 1]);
        assert!(matches!(Letter::read(&file), Err(LetterError::Checksum)));
        fs::write(&file, &line).unwrap();
        assert!(matches!(Letter::read(&file), Err(LetterError::Head(None))));
    }

    #[test]
    fn what_a_killed_process_left_unfinished_is_removed_and_never_counted() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        fs::create_dir(&config.dead_letter_path).unwrap();
        let unfinished = config.dead_letter_path.join(format!("{UNFINISHED}x"));
        fs::write(&unfinished, b"half").unwrap();
        fs::write(config.dead_letter_path.join("README"), b"mine").unwrap();
        assert_eq!(open(&config).unwrap().bytes(), 0);
        assert!(!unfinished.exists());
        assert!(config.dead_letter_path.join("README").exists());
    }
}
