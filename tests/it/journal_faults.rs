//! The journal's guarantees under damage, full disks and failing syncs.

use std::time::Instant;

use bytes::Bytes;
use bytesize::ByteSize;
use rand::RngExt as _;
use ringback::journal::disk::real::{DiskFileSystem, FolderError};
use ringback::journal::engine::writer::CommitResult;
use ringback::journal::error::OpenError;
use ringback::journal::recovery::POSITION_STRIDE;
use ringback::journal::{self, AppendError, Config, Journal, Metrics};

use crate::support::core::{BUDGET, Core, SEGMENT, body, open, segments};
use crate::support::faulty_fs::{FaultyFs, Operation};

fn quiet() -> rand::rngs::StdRng {
    rand::SeedableRng::seed_from_u64(1)
}

#[test]
fn a_failed_write_or_sync_poisons_for_good_and_what_was_synced_stays_readable() {
    for operation in [Operation::Write, Operation::Sync] {
        let disk = FaultyFs::default();
        let mut core = open(&disk);
        core.append(&[body(10)]).expect("it is appended");
        disk.fail_next(operation);
        assert_eq!(core.append(&[body(11)]), None);
        assert_eq!(
            core.append(&[body(12)]),
            None,
            "no second try after {operation:?}"
        );
        assert!(core.engine.admission.is_poisoned());
        assert_eq!(core.read_all().len(), 1);
        assert_eq!(
            core.engine.admission.admit(0, 1),
            Err(AppendError::Poisoned)
        );
    }
}

#[test]
fn a_batch_synced_after_the_journal_was_poisoned_is_published_and_not_acknowledged() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    let batch = [body(10)];
    let Ok(unsynced) = core.writer.write(&batch, 1_000) else {
        panic!("it is written");
    };
    let error = std::io::Error::other("the checkpoint cannot be written");
    core.engine.poison("write the checkpoint", &error);
    assert_eq!(core.writer.sync(unsynced), CommitResult::Poisoned);
    assert_eq!(core.read_all().len(), 1);
}

#[test]
fn a_full_disk_refuses_before_a_write_could_fail_and_accepts_again_once_there_is_room() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    disk.set_capacity(Some(disk.names().len() as u64 * 4096 + 8192));
    let mut taken = 0;
    while core.append(&[body(1000)]).is_some() {
        taken += 1;
        core.upkeep.step();
        assert!(taken < 100, "the disk never ran full");
    }
    assert!(!core.engine.admission.is_poisoned());
    assert!(core.engine.lock().is_disk_full());
    assert_eq!(
        core.engine.admission.admit(0, 1 << 20),
        Err(AppendError::Full)
    );
    // Once everything is published, even the open segment is removed, because it may be all the room there is.
    let last = core.read_all().last().expect("records were taken").position;
    core.truncate(last);
    for _ in 0..3 {
        core.upkeep.step();
    }
    assert!(!core.engine.lock().is_disk_full());
    assert!(core.append(&[body(1000)]).is_some());
}

#[test]
fn a_lack_of_descriptors_for_a_segment_does_not_poison() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    // The append uses the spare up, and creating the next one fails once.
    core.append(&[body(3000)]).expect("it is appended");
    disk.fail_next(Operation::Create);
    core.upkeep.step();
    assert!(!core.engine.admission.is_poisoned());
    assert!(core.engine.lock().is_disk_full());
    core.upkeep.step();
    assert!(!core.engine.lock().is_disk_full());
    core.append(&[body(3000)]).expect("there is room again");
}

#[test]
fn a_failed_checkpoint_is_not_retried() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    core.append(&[body(10)]).expect("it is appended");
    core.truncate(0);
    disk.fail_next(Operation::Sync);
    core.upkeep.step();
    assert!(core.engine.admission.is_poisoned());
    disk.take_log();
    assert!(core.upkeep.checkpoint().is_err());
    assert_eq!(
        disk.take_log(),
        [] as [String; 0],
        "nothing was synced again"
    );
}

#[test]
fn opens_whose_sync_fails_leave_a_durable_checkpoint_for_a_power_cut() {
    for seed in 0..64 {
        let mut random: rand::rngs::StdRng = rand::SeedableRng::seed_from_u64(seed);
        let disk = FaultyFs::default();
        let mut core = open(&disk);
        let taken = core.append(&[body(10), body(10)]).expect("they are taken");
        core.truncate(taken[1]);
        core.upkeep.checkpoint().expect("it is written");
        drop(core);
        // Each such open may leave a slot in the page cache that never reaches the disk.
        for _ in 0..4 {
            disk.fail_sync_of("checkpoint", random.random_range(0..2));
            let failed = Core::open(&disk, SEGMENT, BUDGET);
            assert!(matches!(failed, Err(OpenError::Io { .. })));
        }
        let core = open(&disk.crash(&mut random));
        assert_eq!(core.recovery.resume_at, taken[1] + 1, "seed {seed}");
    }
}

#[test]
fn a_journal_opened_on_a_full_disk_publishes_and_refuses() {
    let disk = FaultyFs::default();
    open(&disk).append(&[body(10)]).expect("it is appended");
    disk.set_capacity(Some(0));
    let mut core = open(&disk);
    assert_eq!(core.read_all().len(), 1);
    assert_eq!(core.append(&[body(10)]), None);
    assert!(!core.engine.admission.is_poisoned());
}

#[test]
fn a_segment_is_unlinked_only_after_the_checkpoint_is_synced() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    for _ in 0..8 {
        core.append(&[body(1500)]).expect("it is appended");
    }
    let last = core.read_all().last().expect("records").position;
    disk.take_log();
    core.truncate(last);
    core.upkeep.step();
    let log = disk.take_log();
    let checkpoint = log
        .iter()
        .position(|entry| entry == "sync checkpoint")
        .expect("a checkpoint is synced");
    let unlink = log
        .iter()
        .position(|entry| entry.starts_with("unlink"))
        .expect("segments are removed");
    assert!(checkpoint < unlink, "{log:?}");
    assert!(log[unlink..].contains(&String::from("sync .")), "{log:?}");
    assert_eq!(
        core.engine.lock().segments.len(),
        1,
        "only the active segment is left"
    );
}

#[test]
fn a_failed_checkpoint_unlinks_nothing() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    for _ in 0..8 {
        core.append(&[body(1500)]).expect("it is appended");
    }
    let last = core.read_all().last().expect("records").position;
    core.truncate(last);
    disk.take_log();
    disk.fail_next(Operation::Sync);
    core.upkeep.step();
    assert!(core.engine.admission.is_poisoned());
    assert!(
        !disk
            .take_log()
            .iter()
            .any(|entry| entry.starts_with("unlink"))
    );
}

#[test]
fn published_records_do_not_count_again_when_the_next_record_comes() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    core.append(&[body(1000), body(1000)])
        .expect("it is appended");
    assert_eq!(core.read_all().len(), 2);
    core.truncate(1);
    core.append(&[body(100)]).expect("it is appended");
    let used = core.engine.lock().unpublished_bytes();
    assert!((100..200).contains(&used), "{used}");
    assert_eq!(core.read_all().len(), 1);
    core.truncate(2);
    assert_eq!(core.engine.lock().unpublished_bytes(), 0);
}

#[test]
fn a_record_larger_than_a_segment_gets_its_own() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    let large = body(20_000);
    core.append(&[body(10), large.clone(), body(11)])
        .expect("it is appended");
    let payloads: Vec<_> = core
        .read_all()
        .into_iter()
        .map(|record| record.payload.to_vec())
        .collect();
    assert_eq!(payloads, [body(10).0, large.0, body(11).0]);
}

#[test]
fn each_open_skips_positions_and_the_gap_counts_as_done() {
    let disk = FaultyFs::default();
    assert_eq!(open(&disk).append(&[body(1), body(2)]), Some(vec![0, 1]));
    let mut core = open(&disk);
    assert_eq!(core.append(&[body(3)]), Some(vec![2 + POSITION_STRIDE]));
    assert_eq!(core.unpublished(), 3);
    core.read_all();
    core.truncate(1);
    assert_eq!(core.unpublished(), 1);
    core.truncate(2 + POSITION_STRIDE);
    assert_eq!(
        (core.unpublished(), core.engine.lock().unpublished_bytes()),
        (0, 0)
    );
}

#[test]
fn a_lost_checkpoint_costs_duplicates_and_no_events() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    core.append(&[body(1), body(2), body(3)])
        .expect("it is appended");
    core.read_all();
    core.truncate(1);
    core.upkeep.checkpoint().expect("it is written");
    drop(core);
    assert_eq!(open(&disk).read_all().len(), 1);
    // With one slot damaged, the older one is used. With both damaged, all records are read again, under the same id.
    let id = open(&disk).recovery.journal_id;
    disk.damage("checkpoint", |bytes| bytes.fill(0));
    let mut core = open(&disk);
    assert_eq!(core.read_all().len(), 3);
    assert_eq!(core.recovery.journal_id, id);
}

#[test]
fn another_version_and_another_journal_are_refused_by_name() {
    let disk = FaultyFs::default();
    open(&disk).append(&[body(1)]).expect("it is appended");
    let name = segments(&disk).remove(0);
    let reseal = |bytes: &mut Vec<u8>| {
        let crc = crc32c::crc32c(&bytes[..64]);
        bytes[64..68].copy_from_slice(&crc.to_le_bytes());
    };
    let newer = disk.crash(&mut quiet());
    newer.damage(&name, |bytes| {
        bytes[8] = 2;
        reseal(bytes);
    });
    let refused = Core::open(&newer, SEGMENT, BUDGET).err();
    assert!(
        matches!(refused, Some(OpenError::Version { version: 2, .. })),
        "{refused:?}"
    );
    disk.damage(&name, |bytes| {
        bytes[16] ^= 1;
        reseal(bytes);
    });
    let refused = Core::open(&disk, SEGMENT, BUDGET).err();
    assert!(
        matches!(refused, Some(OpenError::Foreign { .. })),
        "{refused:?}"
    );
}

fn on_disk(path: &std::path::Path, budget: ByteSize) -> Journal {
    let config = Config {
        path: path.to_owned(),
        segment_size: ByteSize::kib(64),
        budget,
        ..Config::default()
    };
    let metrics = Metrics::register(&ringback::telemetry::Registry::new()).expect("fresh metrics");
    journal::open(&config, metrics).expect("the journal opens")
}

#[test]
fn a_second_process_is_kept_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = DiskFileSystem::lock(folder.path()).expect("it is free");
    assert!(matches!(
        DiskFileSystem::lock(folder.path()),
        Err(FolderError::Locked)
    ));
    drop(held);
    assert!(DiskFileSystem::lock(folder.path()).is_ok());
}

#[tokio::test]
async fn the_whole_journal_on_a_real_disk_keeps_what_it_acknowledged()
-> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let mut positions = Vec::new();
    {
        let journal = on_disk(folder.path(), ByteSize::mib(64));
        let commits: Vec<_> = (0..500_u32)
            .map(|number| {
                journal
                    .appender
                    .append(number.to_le_bytes().to_vec(), Bytes::from(vec![7; 1000]))
            })
            .collect::<Result<_, _>>()?;
        for commit in commits {
            positions.push(commit.await?);
        }
        drop(journal.appender);
        journal.truncator.close()?;
    }
    assert!(positions.is_sorted());
    let mut journal = on_disk(folder.path(), ByteSize::mib(64));
    for (number, position) in positions.iter().enumerate() {
        let record = journal
            .reader
            .next_record(Instant::now())?
            .ok_or("a record is missing")?;
        assert_eq!(record.position, *position);
        assert_eq!(record.payload[..4], u32::try_from(number)?.to_le_bytes());
    }
    assert_eq!(journal.reader.next_record(Instant::now())?, None);
    Ok(())
}

#[tokio::test]
async fn the_budget_refuses_and_opens_again_as_publishing_goes_on()
-> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let mut journal = on_disk(folder.path(), ByteSize::kib(256));
    let body = Bytes::from(vec![1; 8_000]);
    let mut taken = 0_u64;
    loop {
        match journal.appender.append(Vec::new(), body.clone()) {
            Ok(commit) => {
                commit.await?;
                taken += 1;
            }
            Err(error) => {
                assert_eq!(error, AppendError::Full);
                break;
            }
        }
    }
    assert!(
        (25..=32).contains(&taken),
        "{taken} records of 8 KB in 256 KiB"
    );
    assert_eq!(journal.truncator.unpublished(), taken);
    let mut last = None;
    while let Some(record) = journal.reader.next_record(Instant::now())? {
        last = Some(record.position);
    }
    journal
        .truncator
        .truncate(..=last.ok_or("nothing was read")?);
    journal.appender.append(Vec::new(), body)?.await?;
    Ok(())
}
