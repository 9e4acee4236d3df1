//! The budget follows what the volume can hold, and whoever looks at the journal learns that it is full.

use ringback::journal::AppendError;
use ringback::journal::engine::writer::Payload as _;
use ringback::journal::format::segment::HEADER;
use ringback::readiness::{CheckKind, Readiness};

use crate::support::core::{Body, Core, SEGMENT, body};
use crate::support::faulty_fs::FaultyFs;

/// Far more than any disk here has.
const CONFIGURED: u64 = 1 << 30;
/// Segments that fit beside the checkpoint and the lock.
const ROOM: u64 = 40;

/// What the checkpoint takes.
fn others(disk: &FaultyFs) -> u64 {
    let names = disk.names().into_iter();
    let files = names.filter(|name| !name.ends_with(".segment"));
    files.map(|name| disk.bytes(&name).len() as u64).sum()
}

fn open(disk: &FaultyFs) -> Core {
    Core::open(disk, SEGMENT, CONFIGURED).expect("the journal opens")
}

/// What the relay does with the report.
fn room_check(core: &Core) -> Readiness {
    let readiness = Readiness::new();
    let check = readiness.check("journal-room", CheckKind::Informational, "recovering");
    let report = move |room: Result<&str, &str>| match room {
        Ok(words) => check.pass(words),
        Err(words) => check.fail(words),
    };
    core.engine.admission.set_room_report(Box::new(report));
    readiness
}

/// Appends as ingest does, until it is refused; how many bytes count against the budget then.
fn fill(core: &mut Core, record: &Body) -> u64 {
    loop {
        let admitted = core.engine.admission.admit(0, record.size());
        if admitted == Err(AppendError::Full) {
            return core.engine.lock().budget_used();
        }
        let is_written = core.append(std::slice::from_ref(record)).is_some();
        assert!(is_written || core.engine.lock().is_disk_full());
    }
}

#[test]
fn a_volume_smaller_than_the_budget_is_the_budget_and_a_full_one_says_so() {
    let disk = FaultyFs::default();
    disk.set_capacity(Some(ROOM * SEGMENT));
    let mut core = open(&disk);
    let readiness = room_check(&core);
    let budget = (ROOM - 3) * SEGMENT - others(&disk);
    assert_eq!(core.metric("journal_budget_bytes"), budget);
    core.upkeep.step();
    let words = readiness.verbose();
    assert!(
        words.starts_with("[+]journal-room ok, but the volume has room for"),
        "{words}"
    );

    // Each fills a segment to the last byte: what no other record fits into would be no room.
    let framing = body(0).size();
    let length = usize::try_from(SEGMENT - HEADER - framing).expect("a segment's length");
    let record = body(length);
    assert_eq!(record.size(), SEGMENT - HEADER);
    let used = fill(&mut core, &record);
    assert!(
        used <= budget && used + record.size() > budget,
        "{used} of {budget}"
    );
    assert!(
        !core.engine.lock().is_disk_full(),
        "the budget refuses before the disk is full"
    );
    assert_eq!(core.metric("journal_exhaustion_seconds"), 0);
    assert!(
        core.upkeep.is_behind(&core.engine.lock()),
        "the upkeep has this to report"
    );
    core.upkeep.step();
    let words = readiness.verbose();
    assert!(
        words.starts_with("[!]journal-room full: the budget of"),
        "{words}"
    );
    assert_eq!(
        core.metric("journal_budget_bytes"),
        budget,
        "what the journal itself takes is its own"
    );

    let last = core.read_all().last().expect("there are many").position;
    core.truncate(last);
    core.upkeep.step();
    while core.upkeep.reclaim_pause().is_some() {
        core.upkeep.reclaim();
    }
    core.upkeep.step();
    assert_eq!(core.engine.admission.admit(0, record.size()), Ok(()));
    assert!(readiness.verbose().starts_with("[+]journal-room ok"));
    assert_eq!(core.metric("journal_budget_bytes"), budget);
}

#[test]
fn what_others_take_from_the_volume_and_give_back_moves_the_budget() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    assert_eq!(
        core.engine.admission.budget(),
        CONFIGURED,
        "nothing bounds this disk"
    );
    for _ in 0..100 {
        core.append(&[body(500)]).expect("there is room");
    }
    let used = core.engine.lock().budget_used();
    // Others take all that the journal has not reserved.
    disk.set_capacity(Some(0));
    core.upkeep.step();
    let tight = core.engine.admission.budget();
    assert!(tight <= used, "{tight} for {used} bytes");
    assert_eq!(core.engine.admission.admit(0, 500), Err(AppendError::Full));
    assert_eq!(core.metric("journal_exhaustion_seconds"), 0);
    disk.set_capacity(None);
    assert!(core.upkeep.is_behind(&core.engine.lock()));
    core.upkeep.step();
    assert_eq!(core.engine.admission.budget(), CONFIGURED);
    assert_eq!(core.engine.admission.admit(0, 500), Ok(()));
}

#[test]
fn a_disk_that_is_full_before_the_budget_is_reported_as_full_too() {
    let disk = FaultyFs::default();
    let mut core = open(&disk);
    let readiness = room_check(&core);
    core.append(&[body(500)]).expect("there is room");
    // Others take all the rest before the upkeep looks again.
    disk.set_capacity(Some(0));
    let record = body(500);
    fill(&mut core, &record);
    assert!(core.engine.lock().is_disk_full());
    assert_eq!(core.metric("journal_exhaustion_seconds"), 0);
    core.upkeep.step();
    let words = readiness.verbose();
    assert!(
        words.starts_with("[!]journal-room full: the disk has no room"),
        "{words}"
    );
    disk.set_capacity(None);
    core.upkeep.step();
    assert_eq!(core.engine.admission.admit(0, record.size()), Ok(()));
    assert!(readiness.verbose().starts_with("[+]journal-room ok"));
}
