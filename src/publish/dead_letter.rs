//! Writes records that Kafka refuses for good, and those whose bodies are not JSON, to a topic, or else to a file beside the
//! journal, synced before the watermark passes them. Beside a journal in memory there are no files, and what goes to the topic goes
//! another way.

mod file;
mod replay;

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::decide::blame::Reason;
use super::env::DeadLetterPlace;
use super::kafka::credentials::Credentials;
use super::kafka::dead_letter_topic::DeadLetterTopic;
use super::{Ack, Config};
use crate::journal::disk::filesystem::File as _;

pub use self::file::{
    DeadLetterError, DeadLetterFile, dead_letter_bytes, dead_letter_files, dead_letter_position,
    move_dead_letters,
};
pub use replay::{Replay, ReplayError, ReplayFileError};

/// The beginning of a file's name while it is being written.
const UNFINISHED: &str = ".unfinished-";

/// Where dead letters go.
pub(super) struct DeadLetters {
    /// `None` beside a journal in memory.
    folder: Option<PathBuf>,
    /// `None` beside a journal in memory too: there [`DeadLetterSender`](super::kafka::dead_letter_sender::DeadLetterSender) has it.
    topic: Option<DeadLetterTopic>,
    bytes: u64,
}

impl DeadLetters {
    /// Counts the files that exist, and removes what a killed process left unfinished.
    pub(super) fn open(config: &Config, credentials: Arc<Credentials>) -> io::Result<Self> {
        let is_on_disk = config.ack == Ack::Disk;
        // Beside a journal in memory the sender of dead letters has the topic.
        let topic = config.kafka.dead_letter_topic.clone();
        let topic = topic.filter(|_| is_on_disk);
        let mut dead_letters = Self {
            folder: is_on_disk.then(|| config.dead_letter_path.clone()),
            topic: topic.map(|name| DeadLetterTopic::new(name, credentials)),
            bytes: 0,
        };
        dead_letters.remove_unfinished()?;
        dead_letters.recount()?;
        Ok(dead_letters)
    }

    /// The size of all files, which counts against the journal's budget.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts that size again, since a replay or an operator removes files; true if it has changed.
    pub(super) fn recount(&mut self) -> io::Result<bool> {
        let bytes = self.folder.as_deref().map_or(Ok(0), dead_letter_bytes)?;
        Ok(std::mem::replace(&mut self.bytes, bytes) != bytes)
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Writes `payload` (envelope and body); it is durable when this returns `Ok`, unless it is nowhere. If there is a topic,
    /// blocks for up to 12 s.
    pub(super) fn write(
        &mut self,
        journal_id: &str,
        position: u64,
        reason: Reason,
        payload: &[u8],
    ) -> io::Result<DeadLetterPlace> {
        if let Some(topic) = &mut self.topic
            && topic.send(payload, journal_id, position, reason.label())
        {
            return Ok(DeadLetterPlace::Topic(topic.name().to_owned()));
        }
        let Some(folder) = self.folder.clone() else {
            return Ok(DeadLetterPlace::Nowhere);
        };
        self.write_file(&folder, journal_id, position, reason, payload)
            .map(DeadLetterPlace::File)
    }

    fn write_file(
        &mut self,
        folder: &Path,
        journal_id: &str,
        position: u64,
        reason: Reason,
        payload: &[u8],
    ) -> io::Result<PathBuf> {
        if !folder.exists() {
            // As the journal's own folder: bodies are private.
            let mut private = DirBuilder::new();
            private.recursive(true).mode(0o700).create(folder)?;
            if let Some(parent) = folder.parent() {
                File::open(parent)?.sync_all()?;
            }
        }
        let (line, body_start) = self::file::head(position, reason, journal_id, payload)?;
        // A position names one record only within one journal.
        let path = self::file::path_for(folder, position, journal_id);
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(folder)?;
        writeln!(file, "{line}")?;
        file.write_all(&payload[body_start..])?;
        file.as_file().sync_all()?;
        let length = file.as_file().metadata()?.len();
        // If the same record comes again, for example after a crash before the checkpoint, it replaces its file.
        let replaced = fs::metadata(&path).map_or(0, |old| old.len());
        let file = file.persist(&path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()?;
        // Also checks that the file system has not shut down: the folder may be a mount of its own.
        file.sync()?;
        self.bytes = self.bytes.saturating_sub(replaced) + length;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;
    use crate::event::Event;
    use crate::log_throttle::LogThrottle;

    fn config(journal: &std::path::Path) -> Config {
        Config {
            dead_letter_path: journal.join("dead-letters"),
            ..Config::default()
        }
    }

    fn open(config: &Config) -> io::Result<DeadLetters> {
        let throttle = Arc::new(LogThrottle::new(Duration::ZERO));
        let credentials = Credentials::new(BTreeMap::new(), BTreeMap::new(), None, throttle);
        DeadLetters::open(config, Arc::new(credentials))
    }

    fn event() -> Event<'static> {
        Event {
            body: b"{\n}\0",
            ..Event::sample(None)
        }
    }

    #[test]
    fn a_dead_letter_is_a_file_with_the_body_byte_for_byte_and_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let event = event();
        let payload = [event.encode_envelope().as_slice(), event.body].concat();
        let mut dead_letters = open(&config).unwrap();
        for _ in 0..2 {
            dead_letters
                .write("j", 7, Reason::TooLarge, &payload)
                .unwrap();
        }
        let file = config.dead_letter_path.join("00000000000000000007.event");
        let content = fs::read(&file).unwrap();
        let line_end = content.iter().position(|byte| *byte == b'\n').unwrap();
        assert_eq!(&content[line_end + 1..], event.body);
        let line: serde_json::Value = serde_json::from_slice(&content[..line_end]).unwrap();
        assert_eq!(line["reason"], "too_large");
        let mode = fs::metadata(&config.dead_letter_path)
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(dead_letters.bytes(), content.len() as u64);
        assert_eq!(open(&config).unwrap().bytes(), dead_letters.bytes());

        let dead_letter = DeadLetterFile::read(&file).unwrap();
        assert_eq!(dead_letter.event().unwrap(), event);
        assert_eq!(dead_letter.journal_id.as_deref(), Some("j"));
        fs::remove_file(&file).unwrap();
        assert!(dead_letters.recount().unwrap());
        assert_eq!(dead_letters.bytes(), 0);
    }

    #[test]
    fn a_dead_letter_of_another_journal_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let mut dead_letters = open(&config).unwrap();
        for (journal, body) in [
            ("old", b"{1}\n\0"),
            ("new", b"{2}\n\0"),
            ("new", b"{2}\n\0"),
        ] {
            let payload = [event().encode_envelope().as_slice(), body].concat();
            dead_letters
                .write(journal, 7, Reason::TooLarge, &payload)
                .unwrap();
        }
        let files = dead_letter_files(&config.dead_letter_path).unwrap();
        let read: Vec<_> = files
            .iter()
            .map(|file| DeadLetterFile::read(file).unwrap())
            .collect();
        let found: Vec<_> = read
            .iter()
            .map(|dead_letter| {
                (
                    dead_letter.journal_id.as_deref(),
                    dead_letter.event().unwrap().body,
                )
            })
            .collect();
        assert_eq!(
            found,
            [(Some("new"), &b"{2}\n\0"[..]), (Some("old"), b"{1}\n\0")]
        );
        assert!(read.iter().all(|dead_letter| dead_letter.position == 7));
        assert_eq!(
            dead_letter_bytes(&config.dead_letter_path).unwrap(),
            dead_letters.bytes()
        );
    }

    #[test]
    fn a_file_that_is_not_known_to_be_this_journal_s_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        fs::create_dir(&config.dead_letter_path).unwrap();
        let payload = [event().encode_envelope().as_slice(), b"{1}"].concat();
        let (line, start) = self::file::head(7, Reason::TooLarge, "j", &payload).unwrap();
        let whole = [line.as_bytes(), b"\n", &payload[start..]].concat();
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        let first_format = serde_json::json!({
            "position": 7,
            "reason": "too_large",
            "envelope": hex::encode(event().encode_envelope()),
        });
        let first_format = [first_format.to_string().as_bytes(), b"\n{1}"].concat();
        for foreign in [damaged, first_format] {
            let usual = config.dead_letter_path.join(self::file::name(7));
            fs::write(&usual, &foreign).unwrap();
            let mut dead_letters = open(&config).unwrap();
            for _ in 0..2 {
                dead_letters
                    .write("j", 7, Reason::TooLarge, &payload)
                    .unwrap();
            }
            assert_eq!(fs::read(&usual).unwrap(), foreign);
            let files = dead_letter_files(&config.dead_letter_path).unwrap();
            assert_eq!(files.len(), 2);
            let other = files.iter().find(|file| **file != usual).unwrap();
            let written = DeadLetterFile::read(other).unwrap();
            assert_eq!(written.event().unwrap().body, b"{1}");
        }
    }

    #[test]
    fn a_dead_letter_that_is_moved_replaces_its_own_file_only() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        let write = |journal: &str, folder: &std::path::Path, body: &[u8]| {
            let config = Config {
                dead_letter_path: folder.to_owned(),
                ..config(folder)
            };
            let payload = [event().encode_envelope().as_slice(), body].concat();
            let mut dead_letters = open(&config).unwrap();
            dead_letters
                .write(journal, 7, Reason::TooLarge, &payload)
                .unwrap();
        };
        write("new", &to, b"{2}");
        for _ in 0..2 {
            write("old", &from, b"{1}");
            move_dead_letters(&from, &to).unwrap();
            assert_eq!(dead_letter_files(&from).unwrap().len(), 0);
        }
        let files = dead_letter_files(&to).unwrap();
        let bodies = files.iter().map(|file| {
            let dead_letter = DeadLetterFile::read(file).unwrap();
            let body = dead_letter.event().unwrap().body.to_vec();
            (dead_letter.journal_id.unwrap(), body)
        });
        let mut bodies: Vec<_> = bodies.collect();
        bodies.sort_unstable();
        let expected = [("new", &b"{2}"[..]), ("old", b"{1}")];
        assert_eq!(
            bodies,
            expected.map(|(id, body)| (id.to_owned(), body.to_vec()))
        );
    }

    #[test]
    fn a_dead_letter_of_the_first_format_is_read_and_a_damaged_one_is_not() {
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
        assert_eq!(DeadLetterFile::read(&file).unwrap().event().unwrap(), event);

        let payload = [event.encode_envelope().as_slice(), event.body].concat();
        let (line, start) = self::file::head(7, Reason::TooLarge, "j", &payload).unwrap();
        write(&line, &payload[start..]);
        let whole = fs::read(&file).unwrap();
        DeadLetterFile::read(&file).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(&file, &damaged).unwrap();
            if let Ok(dead_letter) = DeadLetterFile::read(&file) {
                // Only what the checksum does not cover, and no event depends on, may differ.
                assert_eq!(dead_letter.event().unwrap(), event, "bit {bit}");
            }
        }
        write(&line, &payload[start..payload.len() - 1]);
        assert!(matches!(
            DeadLetterFile::read(&file),
            Err(DeadLetterError::Checksum)
        ));
        fs::write(&file, &line).unwrap();
        assert!(matches!(
            DeadLetterFile::read(&file),
            Err(DeadLetterError::Head(None))
        ));
    }

    #[test]
    fn beside_a_journal_in_memory_a_dead_letter_goes_nowhere_and_no_file_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            ack: Ack::Kafka,
            ..config(folder.path())
        };
        fs::create_dir(&config.dead_letter_path).unwrap();
        let unfinished = config.dead_letter_path.join(format!("{UNFINISHED}x"));
        fs::write(&unfinished, b"of another relay").unwrap();
        let mut dead_letters = open(&config).unwrap();
        let payload = [event().encode_envelope().as_slice(), event().body].concat();
        let place = dead_letters.write("j", 7, Reason::TooLarge, &payload);
        assert_eq!(place.unwrap(), DeadLetterPlace::Nowhere);
        assert!(!dead_letters.recount().unwrap());
        assert_eq!(dead_letters.bytes(), 0);
        assert_eq!(fs::read_dir(&config.dead_letter_path).unwrap().count(), 1);
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
