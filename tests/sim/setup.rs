//! The parameters of a history.

use std::collections::BTreeMap;
use std::time::Duration;

use bytesize::ByteSize;
use ringback::journal::Config;
use ringback::publish;

use crate::lies::{self, Lie};
use crate::random::{MS, Random};

/// ringback's own default.
const STALL: Duration = Duration::from_mins(1);
const YEAR: Duration = Duration::from_hours(365 * 24);

/// The parameters that a seed chooses for its history.
pub struct Setup {
    pub journal: Config,
    pub ahead: usize,
    /// `kafka.stall_timeout`.
    pub stall: Duration,
    /// The disk's capacity, if it is small: room for the checkpoint and for one and a half or two and a half segments, or for so
    /// many that it is the disk that limits the budget.
    pub disk: Option<u64>,
    /// How late the publisher's thread may be at the best of times: a container with little CPU quota gets no CPU
    /// for most of each 100 ms.
    pub throttled: u64,
    pub properties: BTreeMap<String, String>,
}

impl Setup {
    /// The same with `ack = "kafka"`.
    pub fn in_memory(self) -> Self {
        let publish = publish::Config {
            ack: publish::Ack::Kafka,
            max_body: 1 << 20,
            ..publish::Config::default()
        };
        Self {
            properties: publish.properties().expect("ringback's own properties"),
            ..self
        }
    }

    pub fn new(random: &mut Random) -> Self {
        let publish = publish::Config {
            max_body: 1 << 20,
            ..publish::Config::default()
        };
        let segment = random.pick(&[2048, 4096, 16_384]);
        let room = 8_192 + segment / 2 + segment * random.pick(&[1, 2, 1, 2, 6, 12]);
        Self {
            disk: random.percent(15).then_some(room),
            journal: Config {
                segment_size: ByteSize::b(segment),
                budget: ByteSize::b(random.pick(&[65_536, 262_144, 1 << 20])),
                read_patience: Duration::from_secs(random.pick(&[2, 20, 60])),
                ..Config::default()
            },
            ahead: random.pick(&[4, 16, 64, publish::MAX_AHEAD]),
            stall: if lies::is_on(Lie::SilenceForEver) {
                YEAR
            } else {
                STALL
            },
            throttled: random.pick(&[0, 0, 0, 80 * MS]),
            properties: publish.properties().expect("ringback's own properties"),
        }
    }
}
