//! Looking into a journal while its relay writes and removes: whatever happens between two of the looker's own reads, an
//! intact journal is never taken for a damaged one.

use std::io;
use std::sync::{Arc, Mutex};

use ringback::journal::filesystem::{File, FileSystem};
use ringback::journal::inspect::{Inspection, Item};

use crate::support::core::{Body, Core};
use crate::support::faulty_fs::{FaultyFile, FaultyFs};

/// More than one of the scan's windows.
const SEGMENT: u64 = 3 << 20;
const BUDGET: u64 = 64 << 20;

type Meanwhile = Box<dyn FnOnce() + Send>;

/// The disk as the looker sees it: something happens just before its n-th operation.
#[derive(Clone)]
struct Watched {
    disk: FaultyFs,
    turn: Arc<Mutex<Turn>>,
}

struct Turn {
    left: usize,
    meanwhile: Option<Meanwhile>,
}

impl Watched {
    fn operation(&self) {
        let mut turn = self.turn.lock().expect("no panic in there");
        if turn.left > 0 {
            turn.left -= 1;
        } else if let Some(meanwhile) = turn.meanwhile.take() {
            meanwhile();
        }
    }

    fn has_happened(&self) -> bool {
        let turn = self.turn.lock().expect("no panic in there");
        turn.meanwhile.is_none()
    }
}

struct WatchedFile {
    file: FaultyFile,
    watched: Watched,
}

impl FileSystem for Watched {
    type File = WatchedFile;

    fn create(&self, _name: &str) -> io::Result<WatchedFile> {
        panic!("a look makes nothing");
    }

    fn open(&self, name: &str) -> io::Result<WatchedFile> {
        self.operation();
        Ok(WatchedFile {
            file: self.disk.open(name)?,
            watched: self.clone(),
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.operation();
        self.disk.list()
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        panic!("a look removes nothing");
    }

    fn link(&self, _name: &str, _second: &str) -> io::Result<()> {
        panic!("a look makes nothing");
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
        self.watched.operation();
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
        self.watched.operation();
        self.file.length()
    }

    fn is_removed(&self) -> io::Result<bool> {
        panic!("a look does not ask");
    }
}

fn large() -> Body {
    Body(vec![7; 600 << 10])
}

/// Looks once for every operation before which `meanwhile` can happen; returns how many there are.
fn at_every_operation(
    records: usize,
    meanwhile: impl Fn(&mut Core) + Copy + Send + 'static,
) -> usize {
    for before in 0.. {
        let disk = FaultyFs::default();
        let mut core = Core::open(&disk, SEGMENT, BUDGET).expect("the journal opens");
        for _ in 0..records {
            core.append(&[large()]).expect("it is appended");
        }
        // As `Folder` does it.
        disk.look_into(true);
        let core = Arc::new(Mutex::new(core));
        let hand = core.clone();
        let watched = Watched {
            disk,
            turn: Arc::new(Mutex::new(Turn {
                left: before,
                meanwhile: Some(Box::new(move || {
                    meanwhile(&mut hand.lock().expect("no panic in there"));
                })),
            })),
        };
        let inspection = Inspection::open(&watched).expect("there is a journal");
        assert_eq!(inspection.missing(), 0, "before operation {before}");
        let mut next = None;
        for item in inspection.walk(0) {
            match item.expect("the disk in memory can be read") {
                Item::Record(record) => {
                    let expected = next.replace(record.position + 1);
                    assert!(
                        expected.is_none_or(|it| it == record.position),
                        "before operation {before}: {expected:?} is passed over"
                    );
                }
                Item::Damage(damage) => panic!("before operation {before}: {damage:?}"),
                Item::Tail { .. } => {}
            }
        }
        assert!(
            next.is_some_and(|next| next >= records as u64),
            "before operation {before}: only up to {next:?}"
        );
        if !watched.has_happened() {
            return before;
        }
    }
    0
}

#[test]
fn records_that_appear_meanwhile_leave_no_hole() {
    let operations = at_every_operation(1, |core| {
        core.append(&[large(), large(), large()])
            .expect("it is appended");
    });
    assert!(operations > 10, "only {operations}");
}

#[test]
fn segments_that_are_begun_and_removed_meanwhile_are_not_missed() {
    let operations = at_every_operation(6, |core| turn_over(core, 7));
    assert!(operations > 10, "only {operations}");
    // None of those that were listed is left.
    let operations = at_every_operation(6, |core| turn_over(core, 9));
    assert!(operations > 10, "only {operations}");
}

#[test]
fn a_segment_that_is_looked_at_is_not_cut_when_it_is_removed() {
    // One of four segments or three, so that the walk passes from what is gone to what is not.
    for upto in [4, 9] {
        let operations = at_every_operation(16, move |core| {
            turn_over(core, upto);
            while core.maintenance.freeing().is_some() {
                core.maintenance.free();
            }
        });
        assert!(operations > 20, "only {operations}");
    }
}

/// Five records make a segment: begins another, publishes up to `upto` and removes what that frees.
fn turn_over(core: &mut Core, upto: u64) {
    for _ in 0..5 {
        core.append(&[large()]).expect("it is appended");
    }
    core.truncate(upto);
    core.maintenance.step();
    core.append(&[large()]).expect("it is appended");
}
