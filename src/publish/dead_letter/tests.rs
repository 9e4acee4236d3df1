//! Which files there are after a dead letter, a move, a crash, or what somebody else put there.

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
fn a_link_in_the_place_of_a_dead_letter_hinders_neither_the_start_nor_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    fs::create_dir(&config.dead_letter_path).unwrap();
    let usual = config.dead_letter_path.join(super::file::name(7));
    std::os::unix::fs::symlink(&usual, &usual).unwrap();
    let mut dead_letters = open(&config).unwrap();
    let payload = [event().encode_envelope().as_slice(), event().body].concat();
    let place = dead_letters.write("j", 7, Reason::TooLarge, &payload);
    let other = config
        .dead_letter_path
        .join(super::file::name_with_journal(7, "j"));
    assert_eq!(place.unwrap(), DeadLetterPlace::File(other.clone()));
    let written = DeadLetterFile::read(&other).unwrap();
    assert_eq!(written.event().unwrap(), event());
    assert!(!dead_letters.recount().unwrap());
    assert!(fs::symlink_metadata(&usual).unwrap().is_symlink());
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
    let (line, start) = super::file::head(7, Reason::TooLarge, "j", &payload).unwrap();
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
        let usual = config.dead_letter_path.join(super::file::name(7));
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
    let file = folder.path().join(super::file::name(7));
    let write = |line: &str, body: &[u8]| {
        let content = [line.as_bytes(), b"\n", body].concat();
        fs::write(&file, content).unwrap();
    };
    write(&old.to_string(), event.body);
    assert_eq!(DeadLetterFile::read(&file).unwrap().event().unwrap(), event);

    let payload = [event.encode_envelope().as_slice(), event.body].concat();
    let (line, start) = super::file::head(7, Reason::TooLarge, "j", &payload).unwrap();
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
