//! The writer's queue: bounded, and empty again once it is written.

use std::time::Duration;

use bytes::Bytes;
use ringback::journal::Appender;
use ringback::journal::commit_loop::{CommitLoop, Step};
use ringback::journal::format::record::size_on_disk;
use ringback::journal::{self, AppendError, Config, Metrics};

use crate::support::core::Core;
use crate::support::faulty_fs::{FaultyFs, Operation};

/// The appender's bounds: 65,536 records, 1 GiB, and no record of more than 2 GiB.
const RECORDS: usize = 1 << 16;
const BYTES: usize = 1 << 30;
const LARGEST: usize = 1 << 31;

fn queue() -> (Appender, CommitLoop<FaultyFs>) {
    let core = Core::open(&FaultyFs::default(), 1 << 20, 8 << 30).expect("the journal opens");
    CommitLoop::new(core.engine)
}

fn refusal(appender: &Appender, body: &Bytes) -> Option<AppendError> {
    appender.append(Vec::new(), body.clone()).err()
}

#[test]
fn the_queue_holds_a_bounded_number_of_records_until_some_are_written() {
    let (appender, mut commits) = queue();
    let nothing = Bytes::new();
    for _ in 0..RECORDS {
        assert_eq!(refusal(&appender, &nothing), None);
    }
    assert_eq!(refusal(&appender, &nothing), Some(AppendError::Overloaded));
    assert_eq!(commits.step(), Step::Written);
    assert_eq!(refusal(&appender, &nothing), None);
}

#[test]
fn the_queue_holds_a_bounded_number_of_bytes_until_some_are_written() {
    let (appender, mut commits) = queue();
    let eighth = BYTES / 8 - usize::try_from(size_on_disk(0)).expect("it is small");
    let eighth = Bytes::from(vec![0; eighth]);
    for _ in 0..8 {
        assert_eq!(refusal(&appender, &eighth), None);
    }
    assert_eq!(
        refusal(&appender, &Bytes::new()),
        Some(AppendError::Overloaded)
    );
    // The first record needs a segment of its own, and this journal's upkeep does not run, so no append is answered.
    assert_eq!(commits.step(), Step::NeedsSegment);
    assert_eq!(
        refusal(&appender, &Bytes::new()),
        Some(AppendError::Overloaded)
    );
}

#[test]
fn a_record_too_long_for_the_format_is_refused() {
    let (appender, _commits) = queue();
    // Zeroed memory takes no room until it is touched.
    let giant = Bytes::from(vec![0; LARGEST]);
    assert_eq!(refusal(&appender, &giant), Some(AppendError::Full));
    assert_eq!(
        refusal(&appender, &giant.slice(..BYTES / 2)),
        None,
        "half of the queue is no giant"
    );
}

#[test]
fn the_writer_ends_once_the_last_appender_is_dropped_and_the_queue_is_written() {
    let (appender, mut commits) = queue();
    let mut other = Some(appender.clone());
    let commit = appender.append(Vec::new(), Bytes::from_static(b"{}"));
    drop(appender);
    let mut turns = Vec::new();
    while turns.last() != Some(&Step::End) {
        turns.push(commits.step());
        if turns.last() == Some(&Step::Idle) {
            assert!(other.take().is_some(), "it does not end: {turns:?}");
        }
    }
    assert_eq!(
        turns,
        [Step::Written, Step::Answered, Step::Idle, Step::End]
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime without drivers");
    let committed = runtime.block_on(commit.expect("it is taken"));
    assert_eq!(committed, Ok(0));
}

#[tokio::test]
async fn nobody_waits_for_a_journal_that_has_ended() -> Result<(), Box<dyn std::error::Error>> {
    let disk = FaultyFs::default();
    let metrics = Metrics::register(&ringback::telemetry::Registry::new())?;
    let journal = journal::open_with(disk.clone(), &Config::default(), metrics)?;
    journal
        .appender
        .append(Vec::new(), Bytes::from_static(b"a"))?
        .await?;
    // A write fails rather than a sync, because the next sync may be the spare's.
    disk.fail_next(Operation::Write);
    let failed = journal
        .appender
        .append(Vec::new(), Bytes::from_static(b"b"))?;
    assert_eq!(failed.await, Err(AppendError::Poisoned));
    let reason = tokio::time::timeout(Duration::from_secs(30), journal.appender.poisoned()).await?;
    assert!(reason.starts_with("cannot write a segment"), "{reason}");
    assert_eq!(journal.appender.poison(), Some(reason));
    let refused = journal.appender.append(Vec::new(), Bytes::new()).err();
    assert_eq!(refused, Some(AppendError::Poisoned));
    Ok(())
}
