//! What can go wrong.

use rdkafka::types::RDKafkaErrorCode as Code;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Kill,
    PowerCut,
    /// In the middle of one of the next operations on the disk.
    KillInside,
    PowerCutInside,
    /// Two ends close together: what the first start has not made safe is put to the test.
    KillThenPowerCut,
    Terminate,
    FailWrite,
    FailSync,
    FailRead,
    /// The volume is away for readers: all reads fail for a while, also those of a start.
    ReadsFail,
    ReadsFailThenKill,
    /// One page cannot be read, for a while or from now on.
    BadSector,
    BadSectorStays,
    BadSectorThenKill,
    FailThenPowerCut,
    DiskFull,
    /// Others have taken the room, and take what ringback gives back.
    DiskTaken,
    SlowDisk,
    /// The next starts are disturbed too, each in its own way.
    TroubledStarts,
    /// The checkpoint's place on the disk has gone bad: its syncs fail for a while, and everybody else's do not.
    BadCheckpoint,
    /// One checkpoint is left in the cache alone, and the power fails during the start after it.
    CheckpointFailsThenPowerCut,
    /// A slow disk on which one checkpoint fails: most likely while a batch is between its write and its sync.
    CheckpointFailsBesideBatch,
    /// The publisher's thread gets little of a processor, or waits for the disk.
    SlowPublisher,
    FlipRecord,
    FlipAnywhere,
    FlipThenKill,
    /// Garbage over neighbouring records.
    Spoil,
    SpoilThenKill,
    /// The same over the last ones of all.
    SpoilTailThenKill,
    FlipHeaderThenKill,
    /// In an outage with a start in it: a segment's header and the last record of the one before.
    FlipSeamInOutage,
    /// Both its slots, or the whole file.
    LoseCheckpoint,
    BrokerDown,
    AllDown,
    SlowBroker,
    LostAnswers,
    MoveLeaders,
    /// A broker that copies late from the leaders that it follows.
    SlowFollower,
    /// A leader ends before its followers have what it has.
    LeaderLost,
    /// The topic gets more partitions while a backlog leaves: some records stay in a slow broker's.
    Grow,
    /// It is stopped, and started again hours later.
    LongStop,
    /// Kafka is away for hours.
    LongOutage,
    Refusal,
    /// Of one batch of each partition and no more, by leaders that had not yet heard of a new permission, while the publisher is
    /// slow.
    RefusalOfOne,
    NoTopic,
    NoClients,
    SlowPurge,
    /// A broker that stands still, while another refuses and the client is slow.
    Freeze,
    /// Dead letters cannot be written.
    NoLetters,
    /// The topic is deleted and made again with other leaders, and the producer goes on asking the former ones.
    TopicRemade,
    /// The same with leaders that only move.
    StaleLeaders,
    /// The producer's threads hang, as in a resolver that does not answer, and not one word is heard of it.
    HungClient,
    /// A broker takes requests and answers none.
    SilentBroker,
    /// Brokers do not know the producer any more.
    ProducersExpire,
    /// The wall clock, by which librdkafka waits: its threads stand still for as long.
    ClockSetBack,
}

/// Each with its weight: what must come at the right time stands here more than once.
pub const KINDS: [Kind; 71] = [
    Kind::Kill,
    Kind::PowerCut,
    Kind::KillInside,
    Kind::PowerCutInside,
    Kind::KillThenPowerCut,
    Kind::KillThenPowerCut,
    Kind::Terminate,
    Kind::FailWrite,
    Kind::FailSync,
    Kind::FailRead,
    Kind::ReadsFail,
    Kind::ReadsFailThenKill,
    Kind::BadSector,
    Kind::BadSectorStays,
    Kind::BadSectorThenKill,
    Kind::FailThenPowerCut,
    Kind::DiskFull,
    Kind::DiskTaken,
    Kind::SlowDisk,
    Kind::TroubledStarts,
    Kind::TroubledStarts,
    Kind::BadCheckpoint,
    Kind::CheckpointFailsThenPowerCut,
    Kind::CheckpointFailsThenPowerCut,
    Kind::CheckpointFailsBesideBatch,
    Kind::SlowPublisher,
    Kind::FlipRecord,
    Kind::FlipAnywhere,
    Kind::FlipThenKill,
    Kind::Spoil,
    Kind::SpoilThenKill,
    Kind::SpoilThenKill,
    Kind::SpoilTailThenKill,
    Kind::SpoilTailThenKill,
    Kind::SpoilTailThenKill,
    Kind::FlipHeaderThenKill,
    Kind::FlipSeamInOutage,
    Kind::FlipSeamInOutage,
    Kind::FlipSeamInOutage,
    Kind::FlipSeamInOutage,
    Kind::LoseCheckpoint,
    Kind::LoseCheckpoint,
    Kind::BrokerDown,
    Kind::AllDown,
    Kind::SlowBroker,
    Kind::LostAnswers,
    Kind::MoveLeaders,
    Kind::SlowFollower,
    Kind::LeaderLost,
    Kind::LeaderLost,
    Kind::LeaderLost,
    Kind::Grow,
    Kind::Grow,
    Kind::Grow,
    Kind::LongStop,
    Kind::LongOutage,
    Kind::Refusal,
    Kind::Refusal,
    Kind::RefusalOfOne,
    Kind::RefusalOfOne,
    Kind::NoTopic,
    Kind::NoClients,
    Kind::SlowPurge,
    Kind::Freeze,
    Kind::NoLetters,
    Kind::TopicRemade,
    Kind::StaleLeaders,
    Kind::HungClient,
    Kind::SilentBroker,
    Kind::ProducersExpire,
    Kind::ClockSetBack,
];

/// Under what a bit flips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Under {
    Record,
    Header,
    Anything,
}

/// What a partition may answer for a while: retried by the client, or the end of it.
pub const REFUSALS: [Code; 10] = [
    Code::NotEnoughReplicas,
    Code::NotEnoughReplicasAfterAppend,
    Code::RequestTimedOut,
    Code::TopicAuthorizationFailed,
    Code::ClusterAuthorizationFailed,
    Code::InvalidTimestamp,
    Code::PolicyViolation,
    Code::InvalidProducerEpoch,
    // As a compacted topic refuses what has no key, which only some records are.
    Code::InvalidRecord,
    Code::InvalidRecord,
];
