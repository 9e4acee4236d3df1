//! What can go wrong.

use rdkafka::types::RDKafkaErrorCode as Code;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Kill,
    PowerCut,
    /// A kill in the middle of one of the next operations on the disk.
    KillInside,
    PowerCutInside,
    /// Two crashes close together: the second one tests what the first start has not made safe.
    KillThenPowerCut,
    Terminate,
    FailWrite,
    FailSync,
    FailRead,
    /// The volume is unreachable for reads: all of them fail for a while, also those of a start.
    ReadsFail,
    ReadsFailThenKill,
    /// One page cannot be read, for a while or from now on.
    BadSector,
    BadSectorStays,
    BadSectorThenKill,
    FailThenPowerCut,
    DiskFull,
    /// Other programs take the room, and also whatever ringback frees.
    DiskTaken,
    SlowDisk,
    /// A crash, and the next starts are disturbed too, each in its own way.
    TroubledStarts,
    /// The checkpoint's place on the disk is bad: writes or syncs of it fail for a while, those of other files succeed.
    BadCheckpoint,
    /// One checkpoint is left in the cache alone, and the power fails during the start after it.
    CheckpointFailsThenPowerCut,
    /// A slow disk on which one checkpoint fails: most likely while a batch is between its write and its sync.
    CheckpointFailsBesideBatch,
    /// The publisher's thread gets little CPU, or waits for the disk.
    SlowPublisher,
    FlipRecord,
    FlipAnywhere,
    FlipThenKill,
    /// Garbage over neighbouring records.
    Spoil,
    SpoilThenKill,
    /// Garbage over the journal's last records.
    SpoilTailThenKill,
    FlipHeaderThenKill,
    /// Flips in a segment's header and in the last record of the segment before, in an outage with a start in it.
    FlipSeamInOutage,
    /// The checkpoint's file is gone.
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
    /// The topic gets more partitions while a backlog leaves: some records wait for a slow broker.
    Grow,
    /// ringback is killed, and started again hours later.
    LongStop,
    /// Kafka is away for hours.
    LongOutage,
    Refusal,
    /// Each partition refuses one batch, as a leader does that does not know of a new permission yet, while the publisher is
    /// slow.
    RefusalOfOne,
    NoTopic,
    NoClients,
    SlowPurge,
    /// A broker stands still, while a partition refuses and the client is slow.
    Freeze,
    /// Dead letters cannot be written.
    NoDeadLetters,
    /// The topic is deleted and made again with other leaders, and the producer goes on asking the former ones.
    TopicRemade,
    /// The leaders only move, and the producer goes on asking the former ones.
    StaleLeaders,
    /// The producer's threads hang, as in a resolver that does not answer, and it reports nothing.
    HungClient,
    /// A broker takes requests and answers none.
    SilentBroker,
    /// Brokers have forgotten the producer.
    ProducersExpire,
    /// librdkafka waits by the wall clock, so its threads stand still for as long as the clock was set back.
    ClockSetBack,
}

/// Each kind with its weight: one that must strike at the right time is listed more than once.
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
    Kind::NoDeadLetters,
    Kind::TopicRemade,
    Kind::StaleLeaders,
    Kind::HungClient,
    Kind::SilentBroker,
    Kind::ProducersExpire,
    Kind::ClockSetBack,
];

/// The kinds that concern neither a disk nor the clock; a kill may be an orderly end instead.
pub const KINDS_WITHOUT_DISK: [Kind; 26] = [
    Kind::Kill,
    Kind::Kill,
    Kind::SlowPublisher,
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
    Kind::Refusal,
    Kind::Refusal,
    Kind::RefusalOfOne,
    Kind::NoTopic,
    Kind::NoClients,
    Kind::SlowPurge,
    Kind::Freeze,
    Kind::NoDeadLetters,
    Kind::TopicRemade,
    Kind::StaleLeaders,
    Kind::HungClient,
    Kind::SilentBroker,
    Kind::ProducersExpire,
];

/// Where a bit flips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Record,
    Header,
    Anything,
}

/// What a partition may answer for a while: errors that the client retries, and errors that end it.
pub const REFUSALS: [Code; 10] = [
    Code::NotEnoughReplicas,
    Code::NotEnoughReplicasAfterAppend,
    Code::RequestTimedOut,
    Code::TopicAuthorizationFailed,
    Code::ClusterAuthorizationFailed,
    Code::InvalidTimestamp,
    Code::PolicyViolation,
    Code::InvalidProducerEpoch,
    // A compacted topic's refusal, which concerns only records without a key.
    Code::InvalidRecord,
    Code::InvalidRecord,
];
