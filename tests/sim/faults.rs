//! The proof that the simulator bites: each deliberate fault must be found within the ordinary seeds.

use libtest_mimic::{Failed, Trial};
use ringback::fault::{self, Fault};

use crate::{SEEDS, range};

/// Each fault and what it breaks.
const FAULTS: [(Fault, &str); 55] = [
    (
        Fault::AnswerBeforeSync,
        "a batch is answered without its sync",
    ),
    (Fault::NoDirectorySync, "a new segment's name is not synced"),
    (
        Fault::RetriedSync,
        "a failed sync is tried again and believed",
    ),
    (
        Fault::GoOnAfterPoison,
        "a failed write or sync does not poison",
    ),
    (
        Fault::ReadBeforeSync,
        "the publisher reads what is written and not synced",
    ),
    (
        Fault::UnlinkBeforeCheckpoint,
        "segments go before the checkpoint that covers them",
    ),
    (
        Fault::CheckpointOfTail,
        "the checkpoint tells the tail, not the watermark",
    ),
    (
        Fault::OneCheckpointSlot,
        "both checkpoints go into one slot, over the newest",
    ),
    (
        Fault::OlderCheckpointSlot,
        "the older of two checkpoints is believed",
    ),
    (
        Fault::WriteIntoTornSegment,
        "after a start, writing goes on in the last segment, whose tail is not cut",
    ),
    (Fault::PositionReused, "a start leaves no positions out"),
    (
        Fault::LeapFromTailOnly,
        "a start forgets where the one before began",
    ),
    (
        Fault::RecoveryWithoutSync,
        "recovery publishes what it has not synced",
    ),
    (
        Fault::FailedSyncTrusted,
        "recovery believes the cache of a file whose sync had failed",
    ),
    (
        Fault::TailCutAtDamage,
        "a torn tail is cut though intact records follow",
    ),
    (
        Fault::HeaderlessDiscarded,
        "a segment with a damaged header is removed, records and all",
    ),
    (
        Fault::PositionOutsideCrc,
        "a record's checksums do not cover its position",
    ),
    (
        Fault::DamageEndsSegment,
        "damage costs the rest of its segment",
    ),
    (Fault::DamageInSilence, "lost records are not counted"),
    (Fault::FullForEver, "a full journal does not open again"),
    (Fault::BudgetIgnored, "the budget does not refuse"),
    (Fault::NoWake, "a commit does not wake the publisher"),
    (
        Fault::WatermarkOfHighest,
        "the highest acknowledged position truncates",
    ),
    (
        Fault::WindowWithoutBound,
        "any number of positions runs ahead of the watermark",
    ),
    (
        Fault::OldProducerKept,
        "the old producer lives on beside the new one",
    ),
    (Fault::NotStopped, "a failed report does not stop the pipe"),
    (
        Fault::ResendTooLate,
        "resending begins one position too late",
    ),
    (
        Fault::BatchSetAside,
        "every record of a refused batch is dead-lettered",
    ),
    (
        Fault::NotIsolated,
        "a refused batch is only ever sent whole",
    ),
    (
        Fault::FullQueueDrops,
        "a record that finds the client's queue full is forgotten",
    ),
    (
        Fault::SeveralInFlight,
        "a fresh producer has several requests in flight",
    ),
    (
        Fault::KeylessBlamed,
        "a compacted topic's refusal of what has no key is the record's fault",
    ),
    (
        Fault::TopicBlamed,
        "a missing permission is the record's fault",
    ),
    (
        Fault::ReadErrorIsTail,
        "an unreadable record is taken for the journal's end",
    ),
    (
        Fault::LetterUnwritten,
        "a dead letter that could not be written counts as done",
    ),
    (
        Fault::BuiltOnce,
        "a producer that could not be built is not built again",
    ),
    (
        Fault::RefusalIgnored,
        "a record that the client refuses at once counts as sent",
    ),
    (
        Fault::TruncatedOneTooFar,
        "one position too many is truncated",
    ),
    (
        Fault::CheckpointTrustedAsRead,
        "a start writes over the only durable checkpoint, trusting one that is in the cache alone",
    ),
    (
        Fault::AnswerAfterPoison,
        "a batch synced after a poison is acknowledged",
    ),
    (Fault::DiskFullForEver, "a full disk is not looked at again"),
    (
        Fault::OldFailureCounts,
        "an old producer's failure counts against the new one",
    ),
    (Fault::Gaps, "the client goes on behind a failed batch"),
    (
        Fault::HeldKept,
        "a record that a full queue had kept back is handed to the next producer before those that it must resend",
    ),
    (
        Fault::PurgeUnanswered,
        "a purge without reports is waited for without end",
    ),
    (
        Fault::CheckpointUnsynced,
        "a checkpoint is believed before it is synced",
    ),
    (
        Fault::SealedEndBelieved,
        "what lies behind a sealed segment's last intact record is passed over",
    ),
    (
        Fault::IdForgotten,
        "without a checkpoint, the journal's id in the segments' headers is not looked at",
    ),
    (
        Fault::FullSegmentKept,
        "on a full disk, a segment that is published is kept for what still fits into it",
    ),
    (
        Fault::WaitersForgotten,
        "who waits in the queue as the journal is poisoned gets no answer",
    ),
    (Fault::SentIsDone, "what is sent counts as acknowledged"),
    (
        Fault::FailureIsDone,
        "a failed report counts as one of success",
    ),
    (
        Fault::NothingResent,
        "a new producer goes on where reading was",
    ),
    (
        Fault::RenewIgnored,
        "a producer that lives by a clock that was set back is kept",
    ),
    (Fault::KeyDropped, "a record is sent without its key"),
];

/// Where the table stands for a reader.
const README: &str = include_str!("README.md");

/// A test each: the fault is found, and the README's table says so.
pub fn trials() -> impl Iterator<Item = Trial> {
    FAULTS.into_iter().map(|(fault, breaks)| {
        Trial::test(format!("the_simulator_finds_{fault:?}"), move || {
            let row = row(fault, breaks);
            if row.seed.is_none() {
                return Err(Failed::from("not found"));
            }
            // Without the words of the violation: what they name may change with every fix.
            let begin = row.text[..row.words_at].to_owned();
            if README.contains(&begin) {
                return Ok(());
            }
            Err(Failed::from(format!(
                "tests/sim/README.md does not have the row\n{begin}\nMake its table anew: cargo test --test sim -- --faults"
            )))
        })
    })
}

/// The table, on standard output; only of some faults where names are given.
pub fn table(names: &[String]) {
    println!("| fault | breaks | first seed | found as |\n|---|---|---|---|");
    for (fault, breaks) in FAULTS {
        if names.is_empty() || names.contains(&format!("{fault:?}")) {
            println!("{}", row(fault, breaks).text);
        }
    }
}

/// The fault of this name.
pub fn named(name: &str) -> Option<Fault> {
    let all = FAULTS.iter();
    all.map(|(fault, _)| *fault)
        .find(|fault| format!("{fault:?}") == name)
}

struct Row {
    text: String,
    /// Where the violation's words begin.
    words_at: usize,
    seed: Option<u64>,
}

fn row(fault: Fault, breaks: &str) -> Row {
    let found = first_find(fault);
    let seed = found.as_ref().map(|(seed, _)| *seed);
    let (seed_text, words) = found.map_or_else(
        || (String::from("none"), String::new()),
        |(seed, words)| (seed.to_string(), words),
    );
    let begin = format!("| `{fault:?}` | {breaks} | {seed_text} | ");
    Row {
        words_at: begin.len(),
        text: format!("{begin}{words} |"),
        seed,
    }
}

/// The first of the ordinary seeds in whose history the fault shows.
fn first_find(fault: Fault) -> Option<(u64, String)> {
    let metrics = range::metrics();
    fault::set(Some(fault));
    let found = (0..SEEDS).find_map(|seed| {
        let violation = range::history(seed, &metrics).err()?;
        Some((seed, violation))
    });
    fault::set(None);
    found
}
