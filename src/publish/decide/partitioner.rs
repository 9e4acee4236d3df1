//! Which partition a record goes to, and which number of partitions that is computed from.
//!
//! The rule is that of Kafka's Java clients (`murmur2_random`), so other producers of the topic agree on a key's partition.
//! ringback applies it itself because librdkafka takes up a new number of partitions at once, while records sent by the old number
//! are still in flight: a key that moves to another partition then overtakes its own earlier records.

use std::num::NonZeroI32;

/// This many consecutive positions without a key share a partition, so that they also share a batch.
const RUN: u64 = 64;

/// The number of a topic's partitions that records are sent by. It changes only while nothing is in flight, to whichever topic:
/// a topic grows rarely, and the wait is short.
#[derive(Debug, Default)]
pub(crate) struct PinnedCount {
    pinned: Option<NonZeroI32>,
    /// As the topic's metadata last showed it.
    observed: Option<NonZeroI32>,
    /// A record has asked for the number.
    is_asked: bool,
}

impl PinnedCount {
    /// The topic's metadata shows `count` partitions; 0 if they are not known. Returns true if another number is
    /// pinned.
    pub(crate) fn observe(&mut self, count: i32) -> bool {
        let Some(count) = NonZeroI32::new(count.max(0)) else {
            return false;
        };
        self.observed = Some(count);
        self.pinned.is_some_and(|pinned| pinned != count)
    }

    /// The number to send by. `None` if nothing may be sent yet: the number is not known, or a new one takes effect once the
    /// records in flight are acknowledged.
    pub(crate) fn in_force(&mut self, in_flight: usize) -> Option<NonZeroI32> {
        self.is_asked = true;
        // Without a number this producer has sent nothing to the topic.
        if in_flight == 0 || self.pinned.is_none() {
            self.pinned = self.observed;
        }
        self.pinned.filter(|_| self.pinned == self.observed)
    }

    /// A new producer must learn the number before it sends: it may meet another topic of the same name.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// True if a record waits because the number is not known.
    pub(crate) fn is_awaited(&self) -> bool {
        self.is_asked && self.observed.is_none()
    }

    pub(crate) fn is_known(&self) -> bool {
        self.observed.is_some()
    }
}

/// The partition of a record among `count`. A record without a key gets its partition from its position, so that it meets the
/// same partition when it is sent again.
pub(crate) fn partition(key: Option<&str>, position: u64, count: NonZeroI32) -> i32 {
    let partition = if let Some(key) = key {
        (murmur2(key.as_bytes()) & i32::MAX) % count.get()
    } else {
        let count = u64::from(count.get().unsigned_abs());
        i32::try_from(position / RUN % count).unwrap_or_default()
    };
    debug_assert!((0..count.get()).contains(&partition));
    partition
}

/// Kafka's 32-bit variant of MurmurHash2, signed as in Java.
fn murmur2(bytes: &[u8]) -> i32 {
    const FACTOR: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a key comes from a bounded body, and Java's length is an int too"
    )]
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks();
    for word in words {
        let mixed = u32::from_le_bytes(*word).wrapping_mul(FACTOR);
        let mixed = (mixed ^ (mixed >> 24)).wrapping_mul(FACTOR);
        hash = hash.wrapping_mul(FACTOR) ^ mixed;
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(FACTOR);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(FACTOR);
    (hash ^ (hash >> 15)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(count: i32) -> NonZeroI32 {
        NonZeroI32::new(count).unwrap()
    }

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn a_key_s_hash_is_that_of_kafka_s_java_clients() {
        let vectors: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (
                b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key), hash, "{key:?}");
        }
        // Without the sign: 1_173_551_340.
        assert_eq!(partition(Some("21"), 0, count(1_000)), 340);
    }

    #[test]
    fn every_partition_gets_records_and_none_lies_outside() {
        for many in [1_i32, 2, 8, 100] {
            let keyless = (0..u64::from(many.unsigned_abs()) * RUN)
                .map(|position| partition(None, position, count(many)));
            let keyed = (0..20 * many).map(|number| {
                let key = format!("call-{number}");
                partition(Some(&key), 0, count(many))
            });
            let both = [keyless.collect::<Vec<_>>(), keyed.collect()];
            for partitions in both {
                let seen: std::collections::BTreeSet<_> = partitions.into_iter().collect();
                assert!(seen.into_iter().eq(0..many), "of {many}");
            }
        }
    }

    #[test]
    fn nothing_is_sent_before_the_number_is_known_and_a_new_one_waits_for_what_is_in_flight() {
        let mut pinned = PinnedCount::default();
        assert_eq!(pinned.in_force(0), None);
        assert!(!pinned.observe(0), "the topic is between two leaders");
        assert_eq!((pinned.is_known(), pinned.in_force(0)), (false, None));
        assert!(!pinned.observe(2), "the first number changes nothing");
        assert_eq!(
            pinned.in_force(1),
            Some(count(2)),
            "what is in flight goes to another topic"
        );
        assert!(pinned.observe(6));
        assert_eq!(pinned.in_force(1), None);
        assert_eq!(pinned.in_force(0), Some(count(6)));
        assert!(pinned.observe(1), "the topic was created again");
        assert!(
            !pinned.observe(6),
            "or that broker did not know of its growth yet"
        );
        assert_eq!(pinned.in_force(1), Some(count(6)));
        pinned.forget();
        assert_eq!((pinned.is_known(), pinned.in_force(0)), (false, None));
    }
}
