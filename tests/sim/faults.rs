//! The proof that the simulator bites: each deliberate fault must be found within the ordinary seeds.

use libtest_mimic::{Failed, Trial};
use ringback::fault::{self, Fault};

use crate::lies::{self, LIES, Lie};
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

/// What is wrong on purpose: in ringback itself, or in what the simulator gives it to work with.
#[derive(Debug, Clone, Copy)]
pub enum Wrong {
    Fault(Fault),
    Lie(Lie),
}

impl Wrong {
    fn name(self) -> String {
        match self {
            Self::Fault(fault) => format!("{fault:?}"),
            Self::Lie(lie) => format!("{lie:?}"),
        }
    }

    /// Switches this on for the present thread, and everything else off.
    pub fn switch_on(self) {
        switch_off();
        match self {
            Self::Fault(fault) => fault::set(Some(fault)),
            Self::Lie(lie) => lies::set(Some(lie)),
        }
    }
}

/// Everything is right again on the present thread.
pub fn switch_off() {
    fault::set(None);
    lies::set(None);
}

/// All deliberate faults, and what each breaks.
fn all() -> impl Iterator<Item = (Wrong, &'static str)> {
    let faults = FAULTS.map(|(fault, breaks)| (Wrong::Fault(fault), breaks));
    let lies = LIES.map(|(lie, breaks)| (Wrong::Lie(lie), breaks));
    faults.into_iter().chain(lies)
}

/// A test each: the fault is found, and the README's table says so.
pub fn trials() -> impl Iterator<Item = Trial> {
    all().map(|(wrong, breaks)| {
        Trial::test(format!("the_simulator_finds_{}", wrong.name()), move || {
            let row = row(wrong, breaks);
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

/// Every history with the canary must fail: a simulator that checks nothing is red at once.
pub fn canary() -> Result<(), Failed> {
    let metrics = range::metrics();
    Wrong::Lie(lies::CANARY).switch_on();
    let passed = (0..20).find(|seed| range::history(*seed, &metrics).is_ok());
    switch_off();
    passed.map_or(Ok(()), |seed| {
        let words = format!("seed {seed} keeps the promise though no record ever reaches Kafka");
        Err(Failed::from(words))
    })
}

/// The table, on standard output; only of some faults where names are given.
pub fn table(names: &[String]) {
    println!("| fault | breaks | first seed | found as |\n|---|---|---|---|");
    for (wrong, breaks) in all() {
        if names.is_empty() || names.contains(&wrong.name()) {
            println!("{}", row(wrong, breaks).text);
        }
    }
}

/// The deliberate fault of this name.
pub fn named(name: &str) -> Option<Wrong> {
    all()
        .map(|(wrong, _)| wrong)
        .find(|wrong| wrong.name() == name)
}

struct Row {
    text: String,
    /// Where the violation's words begin.
    words_at: usize,
    seed: Option<u64>,
}

fn row(wrong: Wrong, breaks: &str) -> Row {
    let found = first_find(wrong);
    let seed = found.as_ref().map(|(seed, _)| *seed);
    let (seed_text, words) = found.map_or_else(
        || (String::from("none"), String::new()),
        |(seed, words)| (seed.to_string(), words),
    );
    let begin = format!("| `{}` | {breaks} | {seed_text} | ", wrong.name());
    Row {
        words_at: begin.len(),
        text: format!("{begin}{words} |"),
        seed,
    }
}

/// The first of the ordinary seeds in whose history the fault shows.
fn first_find(wrong: Wrong) -> Option<(u64, String)> {
    let metrics = range::metrics();
    wrong.switch_on();
    let found = (0..SEEDS).find_map(|seed| {
        let violation = range::history(seed, &metrics).err()?;
        Some((seed, violation))
    });
    switch_off();
    found
}
