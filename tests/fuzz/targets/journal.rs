//! Any files as a journal: it opens or is refused, never gives a position twice or out of order, and what is appended
//! afterwards is there after another open.
//!
//! The input chooses the files' pieces. Headers, records and checkpoints have right checksums, or no input would come past
//! these; what they say, and the bytes between them, is up to the input. Or it damages what a genuine journal has written.

#![no_main]

#[path = "../../it/support"]
mod support {
    #[allow(dead_code, reason = "the journal's own tests use the rest")]
    pub mod core;
    #[allow(dead_code, reason = "the journal's own tests use the rest")]
    pub mod faulty_fs;
}

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use ringback::journal::disk::filesystem::{File as _, FileSystem as _};
use ringback::journal::engine::checkpoint::CheckpointFile;
use ringback::journal::format::record::Codec;
use ringback::journal::format::segment::{Header, name};

use self::support::core::{BUDGET, Core, SEGMENT, body};
use self::support::faulty_fs::FaultyFs;

/// As [`Core`]'s journals have it.
const ID: [u8; 16] = *b"0123456789abcdef";
/// If damage hides the id, an open draws another one, under which no record is intact.
const FRESH_ID: [u8; 16] = *b"another journal!";

fuzz_target!(|input: &[u8]| {
    let disk = FaultyFs::default();
    let mut choices = Unstructured::new(input);
    // It ends with the choices, at any piece.
    let _ = if choices.ratio(1, 2).unwrap_or(false) {
        forge(&mut choices, &disk)
    } else {
        damage(&mut choices, &disk)
    };
    let mut core = match Core::open_as(&disk, SEGMENT, BUDGET, FRESH_ID) {
        Ok(core) => core,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let mut records = core.read_all();
    let in_order = records
        .windows(2)
        .all(|two| two[0].position < two[1].position);
    assert!(in_order, "out of order, or twice");
    let Some(appended) = core.append(&[body(30)]) else {
        return;
    };
    let last = records.last().map(|record| record.position);
    assert!(last.is_none_or(|last| last < appended[0]), "used again");
    records.extend(core.read_all());
    drop(core);
    let core = Core::open_as(&disk, SEGMENT, BUDGET, *b"one more journal");
    let mut core = core.expect("it opened once");
    assert_eq!(core.read_all(), records, "after another open");
});

/// Segments of pieces. Their headers do not contradict each other: a checksum protects each, so damage cannot do that.
fn forge(choices: &mut Unstructured<'_>, disk: &FaultyFs) -> Result<()> {
    if choices.arbitrary()? {
        let (watermark, open_start) = (choices.int_in_range(0..=40)?, 0);
        CheckpointFile::create(disk, ID, watermark, open_start).expect("a disk in memory");
    }
    let (mut sequence, mut position) = (0, 0);
    for _ in 0..choices.int_in_range(1..=4)? {
        let mut bytes = Vec::new();
        let pieces = pieces(choices, sequence, &mut position, &mut bytes);
        let file = disk.create(&name(sequence)).expect("a new name");
        file.write_all_at(&bytes, 0).expect("a disk in memory");
        pieces?;
        sequence += choices.int_in_range(1..=2)?;
    }
    Ok(())
}

fn pieces(
    choices: &mut Unstructured<'_>,
    sequence: u64,
    position: &mut u64,
    bytes: &mut Vec<u8>,
) -> Result<()> {
    let header = Header {
        journal_id: ID,
        sequence,
        first: *position,
        previous_end: *position,
        opened_ms: choices.arbitrary()?,
    };
    bytes.extend(header.encode());
    for _ in 0..choices.int_in_range(0..=12)? {
        match choices.int_in_range(0..=5)? {
            0 => bytes.extend(choices.arbitrary::<[u8; 24]>()?),
            1 => bytes.resize(bytes.len() + choices.int_in_range(0..=5_000)?, 0),
            _ => {
                let payload = body(choices.int_in_range(0..=300)?);
                Codec::new(&ID).encode(*position, &[], &payload.0, bytes);
                *position += 1;
            }
        }
    }
    if choices.ratio(1, 4)? {
        bytes.truncate(choices.choose_index(bytes.len() + 1)?);
    }
    Ok(())
}

/// A journal of one or two opens, of which the input then overwrites, cuts or removes parts.
fn damage(choices: &mut Unstructured<'_>, disk: &FaultyFs) -> Result<()> {
    for _ in 0..choices.int_in_range(1..=2)? {
        let mut core = Core::open(disk, SEGMENT, BUDGET).expect("nothing is damaged yet");
        for _ in 0..choices.int_in_range(0..=8)? {
            let size = choices.int_in_range(1..=3_000)?;
            core.append(&[body(size)]);
            core.upkeep.step();
        }
        if choices.arbitrary()? {
            let records = core.read_all();
            if let Some(record) = records.get(choices.choose_index(records.len().max(1))?) {
                core.truncate(record.position);
                core.upkeep.step();
            }
        }
    }
    for _ in 0..choices.int_in_range(0..=5)? {
        let names = disk.names();
        let name = choices.choose(&names)?.clone();
        let kind = choices.int_in_range(0..=7)?;
        let (at, with): (u16, [u8; 4]) = (choices.arbitrary()?, choices.arbitrary()?);
        match kind {
            0 => disk.lose_file(&name),
            1 => disk.damage(&name, |bytes| bytes.truncate(at.into())),
            _ => disk.damage(&name, |bytes| {
                let from = usize::from(at).min(bytes.len());
                let to = (from + with.len()).min(bytes.len());
                bytes[from..to].copy_from_slice(&with[..to - from]);
            }),
        }
    }
    Ok(())
}
