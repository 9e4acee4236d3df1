//! Branches that histories must reach: a fault that is never met is not tested, however many seeds are run.
//!
//! They are observed from outside: in what ringback logs, and in what the simulator does to it or learns of it.

use std::cell::Cell;

/// In a run of this many histories or more, a branch that none of them has reached is a failure.
pub const ENOUGH: u64 = 20_000;

/// Branches that a log line shows, each with the beginning of that line.
const LOGGED: [(&str, &str); 27] = [
    ("a failed read is tried again", "cannot read the journal"),
    (
        "reading goes on where it could not",
        "the journal is readable again",
    ),
    (
        "an unreadable place is passed over",
        "passing over bytes that cannot be read",
    ),
    (
        "a torn write is copied",
        "the last write before this open was torn",
    ),
    ("damage is found", "the journal is damaged at these bytes"),
    (
        "a damaged stretch cannot be copied",
        "cannot copy a damaged stretch",
    ),
    ("records are lost to damage", "records lost to damage"),
    (
        "a segment's header is damaged",
        "the segment's header is damaged",
    ),
    ("the journal is poisoned", "the journal is poisoned"),
    (
        "a published segment cannot be removed",
        "cannot remove a published segment",
    ),
    (
        "an unused segment cannot be removed",
        "cannot remove an unused segment",
    ),
    (
        "the disk is full",
        "the disk has no room for the journal's next segment",
    ),
    (
        "the disk has room again",
        "the disk has room for the journal's next segment again",
    ),
    (
        "the volume has less room than the budget",
        "the journal's volume is smaller than journal.budget",
    ),
    ("the journal is full", "the journal is full"),
    (
        "the journal has room again",
        "the journal has room again: events are accepted",
    ),
    ("a dead letter is written", "an event was dead-lettered"),
    (
        "a dead letter cannot be written",
        "cannot write a dead letter",
    ),
    (
        "a record is no event",
        "a record of the journal is no event",
    ),
    (
        "a stalled producer is replaced",
        "Kafka has acknowledged nothing of what is in flight",
    ),
    (
        "a producer cannot be built",
        "cannot build a Kafka producer",
    ),
    (
        "an event is restamped",
        "an event was published with the present time",
    ),
    (
        "a producer is replaced because its records get too old",
        "records have waited long in the Kafka producer",
    ),
    (
        "the topic's new number of partitions is noticed",
        "the topic has another number of partitions",
    ),
    (
        "a slot of the checkpoint cannot be read",
        "a slot of the checkpoint cannot be read",
    ),
    (
        "a segment's header cannot be read",
        "the segment's header cannot be read",
    ),
    (
        "segments are missing at a start",
        "a segment with unpublished records is missing",
    ),
];

/// Branches that the simulator observes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    TenDeadLettersInRow,
    AsideAtStart,
    SectorSpoilt,
    GrownUnderBacklog,
    StaleNumber,
    TopicRemade,
    ProducerExpired,
    UnknownGoesOn,
    UnknownRefused,
    ProducerRenewed,
    TooOld,
    SilentBroker,
    OutOfSync,
    TooFewReplicas,
    TooFewAfterwards,
    Unreplicated,
    KeptByNextLeader,
    LostWithLeader,
    PublisherBeside,
    RequestBeside,
    NameTaken,
    LostAndSetAside,
    SecondTopicGrown,
    OneOfTwoMissing,
}

const SEEN: [(Seen, &str); 24] = [
    (Seen::TenDeadLettersInRow, "ten dead letters in a row"),
    (
        Seen::AsideAtStart,
        "a segment that is set aside is there at a start",
    ),
    (
        Seen::SectorSpoilt,
        "a power cut leaves garbage in a half-written sector",
    ),
    (
        Seen::GrownUnderBacklog,
        "the topic grows while a producer has records",
    ),
    (
        Seen::StaleNumber,
        "a broker reports a grown topic's former number of partitions",
    ),
    (
        Seen::TopicRemade,
        "the topic is deleted and made again, and knows no producer",
    ),
    (
        Seen::ProducerExpired,
        "the id of a producer that lives has expired",
    ),
    (
        Seen::UnknownGoesOn,
        "a leader takes a later batch of a producer that it does not know",
    ),
    (
        Seen::UnknownRefused,
        "a leader refuses a later batch of a producer that it does not know",
    ),
    (
        Seen::ProducerRenewed,
        "a producer is replaced because a secret has changed or the clock was set back",
    ),
    (Seen::TooOld, "a leader refuses a timestamp as too old"),
    (
        Seen::SilentBroker,
        "a broker carries a request out and does not answer",
    ),
    (Seen::OutOfSync, "a slow follower gets out of sync"),
    (
        Seen::TooFewReplicas,
        "a batch is refused because too few replicas are in sync",
    ),
    (
        Seen::TooFewAfterwards,
        "a batch is written and reported as failed: too few replicas in sync afterwards",
    ),
    (
        Seen::Unreplicated,
        "a batch is written and reported as failed: its followers took too long",
    ),
    (
        Seen::KeptByNextLeader,
        "the leader changes before it answers, and the next one has the batch",
    ),
    (
        Seen::LostWithLeader,
        "the leader changes before it answers, and the batch is gone with it",
    ),
    (
        Seen::PublisherBeside,
        "the publisher goes on inside a step of the upkeep",
    ),
    (
        Seen::RequestBeside,
        "a request comes inside a step of the upkeep",
    ),
    (
        Seen::NameTaken,
        "an earlier journal's file has the name of a copy or of a segment that is set aside",
    ),
    (
        Seen::LostAndSetAside,
        "an event that could not be read is in a segment that is set aside",
    ),
    (
        Seen::SecondTopicGrown,
        "the second topic grows while a producer has records",
    ),
    (
        Seen::OneOfTwoMissing,
        "a topic is written to while the other one is missing",
    ),
];

/// All branches, in the order of [`Reached`]'s bits.
const COUNT: usize = LOGGED.len() + SEEN.len();

/// A bit for each branch.
pub type Reached = u64;

thread_local! {
    static REACHED: Cell<Reached> = const { Cell::new(0) };
}

/// Notes the branch that a log line of ringback shows, if any.
pub fn logged(message: &str) {
    for (bit, (_, begin)) in LOGGED.iter().enumerate() {
        if message.starts_with(begin) {
            REACHED.set(REACHED.get() | 1 << bit);
        }
    }
}

/// Notes a branch that the simulator has observed.
pub fn seen(what: Seen) {
    if let Some(at) = SEEN.iter().position(|(seen, _)| *seen == what) {
        REACHED.set(REACHED.get() | 1 << (LOGGED.len() + at));
    }
}

/// What has been reached on this thread since the last call.
pub fn take() -> Reached {
    REACHED.replace(0)
}

/// How many histories have reached each branch.
#[derive(Debug, Clone)]
pub struct Counters([u64; COUNT]);

impl Default for Counters {
    fn default() -> Self {
        Self([0; COUNT])
    }
}

impl Counters {
    pub fn add(&mut self, reached: Reached) {
        for (bit, counter) in self.0.iter_mut().enumerate() {
            *counter += reached >> bit & 1;
        }
    }

    /// One line per branch.
    pub fn lines(&self) -> String {
        let lines = names().zip(self.0);
        lines
            .map(|(name, count)| format!("{count:>9} {name}\n"))
            .collect()
    }

    pub fn missed(&self) -> Vec<&'static str> {
        let all = names().zip(self.0);
        all.filter(|(_, count)| *count == 0)
            .map(|(name, _)| name)
            .collect()
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    let logged = LOGGED.iter().map(|(name, _)| *name);
    logged.chain(SEEN.iter().map(|(_, name)| *name))
}
