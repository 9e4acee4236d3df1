//! An inspection while the relay writes and removes: whatever happens between two of the inspection's reads, an intact journal
//! never seems damaged.

use std::io;
use std::sync::{Arc, Mutex};

use ringback::journal::disk::filesystem::{File, FileSystem};
use ringback::journal::disk::real::DiskFileSystem;
use ringback::journal::inspect::{Folder, Inspection, Item};

use crate::support::core::{Body, Core, segments};
use crate::support::faulty_fs::{FaultyFile, FaultyFs};

/// More than one of the scan's windows.
const SEGMENT: u64 = 3 << 20;
const BUDGET: u64 = 64 << 20;

/// The disk as the inspection sees it, with events between two of its operations.
struct Watched {
    disk: FaultyFs,
    turn: Arc<Mutex<Turn>>,
}

struct Turn {
    /// Operations before the next event.
    left: usize,
    /// Operations between two events; `None` if there is only one event.
    pause: Option<usize>,
    event: Box<dyn FnMut(&mut Core) + Send>,
    /// The relay, which cannot see the inspection.
    relay: Core,
    happened: usize,
    /// The first listing misses the newest file but one, as one that is not atomic can.
    is_blind: bool,
    /// Reads of the checkpoint that meet a half-written slot.
    torn: usize,
}

fn operation(turn: &Mutex<Turn>) {
    let mut turn = turn.lock().expect("no panic in there");
    if turn.left > 0 {
        turn.left -= 1;
        return;
    }
    let Turn { event, relay, .. } = &mut *turn;
    event(relay);
    turn.happened += 1;
    turn.left = turn.pause.unwrap_or(usize::MAX);
}

impl Watched {
    fn new(disk: &FaultyFs, relay: Core, event: impl FnMut(&mut Core) + Send + 'static) -> Self {
        // The same order as `Folder`'s.
        disk.look_into(true);
        Self {
            disk: disk.clone(),
            turn: Arc::new(Mutex::new(Turn {
                left: 0,
                pause: None,
                event: Box::new(event),
                relay,
                happened: 0,
                is_blind: false,
                torn: 0,
            })),
        }
    }

    fn set(self, change: impl FnOnce(&mut Turn)) -> Self {
        change(&mut self.turn.lock().expect("no panic in there"));
        self
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.disk.look_into(false);
    }
}

struct WatchedFile {
    file: FaultyFile,
    is_checkpoint: bool,
    turn: Arc<Mutex<Turn>>,
}

impl FileSystem for Watched {
    type File = WatchedFile;

    fn create(&self, _name: &str) -> io::Result<WatchedFile> {
        panic!("a look makes nothing");
    }

    fn open(&self, name: &str) -> io::Result<WatchedFile> {
        operation(&self.turn);
        Ok(WatchedFile {
            file: self.disk.open(name)?,
            is_checkpoint: name == "checkpoint",
            turn: self.turn.clone(),
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        operation(&self.turn);
        let mut names = self.disk.list()?;
        let mut turn = self.turn.lock().expect("no panic in there");
        if std::mem::take(&mut turn.is_blind) {
            let segments = segments(&self.disk);
            let missed = &segments[segments.len() - 2];
            names.retain(|name| name != missed);
        }
        Ok(names)
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        panic!("a look removes nothing");
    }

    fn link(&self, _name: &str, _second: &str) -> io::Result<()> {
        panic!("a look makes nothing");
    }

    fn is_same(&self, _name: &str, _second: &str) -> io::Result<bool> {
        panic!("a look does not ask");
    }

    fn sync_directory(&self) -> io::Result<()> {
        panic!("a look syncs nothing");
    }

    fn is_looked_into(&self) -> io::Result<bool> {
        panic!("a look does not ask");
    }
}

impl File for WatchedFile {
    fn write_all_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        panic!("a look writes nothing");
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        operation(&self.turn);
        let mut turn = self.turn.lock().expect("no panic in there");
        if self.is_checkpoint && turn.torn > 0 {
            turn.torn -= 1;
            bytes.fill(7);
            return Ok(bytes.len());
        }
        self.file.read_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        panic!("a look syncs nothing");
    }

    fn allocate(&self, _length: u64) -> io::Result<()> {
        panic!("a look reserves nothing");
    }

    fn truncate(&self, _length: u64) -> io::Result<()> {
        panic!("a look cuts nothing");
    }

    fn length(&self) -> io::Result<u64> {
        operation(&self.turn);
        self.file.length()
    }

    fn is_removed(&self) -> io::Result<bool> {
        operation(&self.turn);
        self.file.is_removed()
    }
}

fn large() -> Body {
    Body(vec![7; 600 << 10])
}

/// A relay that has taken so many records; five make a segment.
fn relay(disk: &FaultyFs, records: usize) -> Core {
    let mut relay = Core::open(disk, SEGMENT, BUDGET).expect("the journal opens");
    for _ in 0..records {
        relay.append(&[large()]).expect("it is appended");
    }
    relay
}

/// Inspects once and expects no damage, nothing missing, all earlier `records` that are not published, and no gap if the relay
/// can see the inspection. Returns how many events happened.
fn look(watched: Watched, records: u64, is_known: bool, case: &str) -> usize {
    let turn = watched.turn.clone();
    let inspection = Inspection::open(watched).expect("there is a journal");
    assert!(inspection.checkpoint.is_some(), "{case}");
    assert_eq!(inspection.missing(), 0, "{case}");
    if !is_known {
        inspection.folder().disk.look_into(false);
    }
    let watermark = inspection.watermark();
    let mut next = None;
    for item in inspection.walk(0) {
        match item.expect("the disk in memory can be read") {
            Item::Record(record) => {
                let expected = next.replace(record.position + 1);
                assert!(
                    expected.is_none_or(|it| it == record.position)
                        || !is_known && record.position <= watermark.max(records),
                    "{case}: {expected:?} is passed over"
                );
            }
            item @ (Item::Damage(_) | Item::Unreadable { .. }) => panic!("{case}: {item:?}"),
            Item::Tail { .. } => {}
        }
    }
    let published = turn.lock().expect("no panic").relay.engine.lock().watermark;
    assert!(
        next.unwrap_or(published) >= records.min(published.max(watermark)) || next >= Some(records),
        "{case}: only up to {next:?}"
    );
    let turn = turn.lock().expect("no panic in there");
    turn.happened
}

/// Inspects once for every operation before which `event` can happen; returns how many there are.
fn at_every_operation(
    records: usize,
    is_known: bool,
    event: impl FnMut(&mut Core) + Copy + Send + 'static,
) -> usize {
    for before in 0.. {
        let disk = FaultyFs::default();
        let relay = relay(&disk, records);
        let watched = Watched::new(&disk, relay, event).set(|turn| turn.left = before);
        let case = format!("before operation {before}");
        if look(watched, records as u64, is_known, &case) == 0 {
            return before;
        }
    }
    0
}

#[test]
fn records_that_appear_meanwhile_leave_no_hole() {
    let operations = at_every_operation(1, true, |core| {
        core.append(&[large(), large(), large()])
            .expect("it is appended");
    });
    assert!(operations > 10, "only {operations}");
}

#[test]
fn segments_that_are_begun_and_removed_meanwhile_are_not_missed() {
    let operations = at_every_operation(6, true, |core| turn_over(core, 7));
    assert!(operations > 10, "only {operations}");
    // None of the listed files is left.
    let operations = at_every_operation(6, true, |core| turn_over(core, 9));
    assert!(operations > 10, "only {operations}");
}

#[test]
fn an_inspected_segment_is_not_truncated_when_it_is_removed() {
    // One of four segments or three, so that the walk passes from what is gone to what is not.
    for upto in [4, 9] {
        let operations = at_every_operation(16, true, move |core| remove_and_cut(core, upto));
        assert!(operations > 20, "only {operations}");
    }
}

#[test]
fn a_segment_truncated_by_a_relay_that_cannot_see_the_inspection_was_published() {
    for upto in [4, 14] {
        let operations = at_every_operation(16, false, move |core| remove_and_cut(core, upto));
        assert!(operations > 20, "only {operations}");
    }
}

#[test]
fn a_relay_that_never_rests_is_inspected_without_a_gap() {
    for pause in [2, 5, 13] {
        for before in 0..8 {
            let disk = FaultyFs::default();
            let mut steps = 0;
            let watched = Watched::new(&disk, relay(&disk, 12), move |core| {
                steps += 1;
                never_rest(core, steps);
            });
            let watched = watched.set(|turn| (turn.left, turn.pause) = (before, Some(pause)));
            let case = format!("every {pause} operations from {before} on");
            let happened = look(watched, 12, true, &case);
            assert!(happened >= 3, "{case}: only {happened}");
        }
    }
}

#[test]
fn a_listing_that_misses_a_file_is_repeated() {
    let disk = FaultyFs::default();
    let watched = Watched::new(&disk, relay(&disk, 16), |_| {});
    let turn = watched.turn.clone();
    look(watched.set(|turn| turn.is_blind = true), 16, true, "blind");
    let turn = turn.lock().expect("no panic in there");
    assert!(!turn.is_blind, "no listing missed the file");
}

#[test]
fn a_spare_that_is_still_being_reserved_may_be_full_when_it_is_read() {
    for before in 0..40 {
        let disk = FaultyFs::default();
        let mut relay = relay(&disk, 4);
        relay.upkeep.step();
        let spare = segments(&disk).pop().expect("there is one");
        disk.damage(&spare, |bytes| bytes.truncate(1 << 20));
        let reserved = disk.clone();
        let watched = Watched::new(&disk, relay, move |core| {
            reserved.damage(&spare, |bytes| {
                bytes.resize(usize::try_from(SEGMENT).expect("a test's length"), 0);
            });
            turn_over(core, 4);
        });
        let watched = watched.set(|turn| turn.left = before);
        look(watched, 4, true, &format!("before operation {before}"));
    }
}

#[test]
fn a_checkpoint_that_is_being_written_is_read_again() {
    // Both slots of one reading, then of two. That the newest slot alone is half-written does no harm: a relay removes
    // nothing before the slot that covers it is synced.
    for torn in [2, 4] {
        let disk = FaultyFs::default();
        let mut relay = relay(&disk, 16);
        remove_and_cut(&mut relay, 9);
        let watched = Watched::new(&disk, relay, |_| {});
        look(watched.set(|turn| turn.torn = torn), 16, true, "torn");
    }
}

#[test]
fn the_relay_keeps_removed_files_whole_for_as_long_as_an_inspection_lives() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let relay = DiskFileSystem::lock(folder.path()).expect("no process holds it");
    let is_looked_into = || relay.is_looked_into().expect("the folder can be locked");
    let inspect = || {
        let folder = Folder::open(folder.path()).expect("it is there");
        Inspection::open(folder)
    };
    // No journal yet, hence no inspection.
    assert!(inspect().is_err());
    assert!(!is_looked_into());
    let disk = FaultyFs::default();
    drop(Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens"));
    for name in ["checkpoint", &segments(&disk)[0]] {
        std::fs::write(folder.path().join(name), disk.bytes(name)).expect("it can be written");
    }
    let inspection = inspect().expect("there is a journal");
    assert!(is_looked_into());
    assert_eq!(inspection.walk(0).count(), 0);
    assert!(is_looked_into());
    drop(inspection);
    assert!(!is_looked_into());
}

/// Begins another segment, publishes up to `upto` and removes what that frees.
fn turn_over(core: &mut Core, upto: u64) {
    for _ in 0..5 {
        core.append(&[large()]).expect("it is appended");
    }
    core.truncate(upto);
    core.upkeep.step();
    core.append(&[large()]).expect("it is appended");
}

fn remove_and_cut(core: &mut Core, upto: u64) {
    turn_over(core, upto);
    while core.upkeep.reclaim_pause().is_some() {
        core.upkeep.reclaim();
    }
}

/// Takes a record, or publishes all but the last few and removes what that frees.
fn never_rest(core: &mut Core, step: u64) {
    if !step.is_multiple_of(3) {
        core.append(&[large()]).expect("it is appended");
        return;
    }
    let tail = core.engine.lock().tail();
    core.truncate(tail.saturating_sub(4));
    core.upkeep.step();
    while core.upkeep.reclaim_pause().is_some() {
        core.upkeep.reclaim();
    }
}
