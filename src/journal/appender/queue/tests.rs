//! Floods share the batches, and only what would be late is refused.

use bytes::Bytes;
use proptest::prelude::*;
use tokio::sync::oneshot;

use super::*;
use crate::journal::engine::writer::Payload;
use crate::journal::format::record::size_on_disk;

fn record(bytes: usize) -> Queued {
    Queued {
        head: Vec::new(),
        body: Bytes::from(vec![0; bytes]),
        done: oneshot::channel().0,
    }
}

/// Puts a record of `bytes` into the lane at `now`.
fn push(state: &mut QueueState, lane: usize, bytes: usize, now: Instant) -> bool {
    let record = record(bytes);
    let size = record.size();
    let pushed = state.push(lane, record, size, || now);
    assert!(pushed.is_ok() || pushed == Err(AppendError::Overloaded));
    pushed.is_ok()
}

fn queue(patience: Duration) -> Queue {
    let queue = Queue::new();
    queue.set_patience(patience);
    queue
}

/// How many records of `bytes` bytes the batch has.
fn count(batch: &[Queued], bytes: usize) -> usize {
    batch
        .iter()
        .filter(|record| record.body.len() == bytes)
        .count()
}

#[test]
fn a_source_waits_behind_its_own_records_and_not_behind_a_flood_of_another() {
    let queue = queue(Duration::MAX);
    let now = Instant::now();
    // 40 MB of one source, then one event of another, then a few of a third.
    for _ in 0..400 {
        assert!(push(&mut queue.lock(), 0, 100_000, now));
    }
    assert!(push(&mut queue.lock(), 1, 300, now));
    for _ in 0..60 {
        assert!(push(&mut queue.lock(), 2, 100_001, now));
    }
    let mut batch = Vec::new();
    let mut batches = Vec::new();
    loop {
        queue.take(&mut batch);
        let bytes: u64 = batch.iter().map(Payload::size).sum();
        if bytes == 0 {
            break;
        }
        assert!(bytes <= BATCH_BYTES);
        batches.push([100_000, 300, 100_001].map(|size| count(&batch, size)));
        batch.clear();
        queue.committed(bytes);
    }
    // A third of 2 MiB each; the second source leaves most of its share, which goes to the first lane that has more.
    assert_eq!(batches[..2], [[14, 1, 6], [10, 0, 10]]);
    let sums = batches.iter().fold([0; 3], |sums, batch| {
        std::array::from_fn(|lane| sums[lane] + batch[lane])
    });
    assert_eq!(sums, [400, 1, 60]);
    assert!(queue.abandon().is_empty());
}

#[test]
fn one_lane_s_records_never_take_every_place_beside_another() {
    let queue = queue(Duration::MAX);
    let mut state = queue.lock();
    let now = Instant::now();
    assert!(push(&mut state, 1, 0, now));
    let flood = (0..QUEUE_RECORDS)
        .take_while(|_| push(&mut state, 0, 0, now))
        .count();
    assert!(
        (QUEUE_RECORDS / 4 * 3 - 1..=QUEUE_RECORDS / 4 * 3 + 1).contains(&flood),
        "{flood}"
    );
    assert!(push(&mut state, 1, 0, now), "the other still has places");
}

/// A disk with a fixed time for each sync and for each byte, and a writer that takes the next batch as soon as one is done.
struct Disk {
    sync: Duration,
    per_mebibyte: Duration,
    queue: Queue,
    now: Instant,
    /// When the present batch ends, and the sizes in it.
    batch: Option<(Instant, u64)>,
}

impl Disk {
    fn new(sync: Duration, per_mebibyte: Duration, patience: Duration) -> Self {
        Self {
            sync,
            per_mebibyte,
            queue: queue(patience),
            now: Instant::now(),
            batch: None,
        }
    }

    /// The time that it takes for a batch of so many bytes.
    fn time(&self, bytes: u64) -> Duration {
        let bytes = u32::try_from(bytes).expect("a batch is small");
        self.sync + self.per_mebibyte * bytes / (1 << 20)
    }

    fn begin(&mut self) {
        let mut records = Vec::new();
        let mut state = self.queue.lock();
        let bytes = state.take(&mut records);
        state.pace.begin(bytes, self.now);
        self.batch = (bytes > 0).then(|| (self.now + self.time(bytes), bytes));
    }

    /// Lets time pass until `until`; gives when each batch ended.
    fn run(&mut self, until: Instant) {
        loop {
            if self.batch.is_none() {
                self.begin();
            }
            match self.batch {
                Some((end, bytes)) if end <= until => {
                    self.now = end;
                    let mut state = self.queue.lock();
                    state.pace.committed(bytes, end);
                    state.release(bytes);
                    drop(state);
                    self.batch = None;
                }
                _ => break,
            }
        }
        self.now = until;
    }

    /// Pushes a record; whether it was taken, and how long it would have waited if it was, or if it had been.
    fn push(&mut self, bytes: usize) -> (bool, Duration) {
        let taken = push(&mut self.queue.lock(), 0, bytes, self.now);
        let state = self.queue.lock();
        let ahead = state.waiting + if taken { 0 } else { size_on_disk(bytes) };
        drop(state);
        let full = u32::try_from(ahead / BATCH_BYTES).unwrap_or(u32::MAX);
        let rest = ahead % BATCH_BYTES;
        let rest = if rest > 0 {
            self.time(rest)
        } else {
            Duration::ZERO
        };
        let present = self.batch.map_or(Duration::ZERO, |(end, _)| end - self.now);
        (taken, present + self.time(BATCH_BYTES) * full + rest)
    }
}

#[test]
fn a_sender_that_will_time_out_is_told_at_once() {
    // 2 s for a full batch: what is behind more than 32 MiB waits for longer than 8 s.
    let patience = Duration::from_secs(8);
    let mut disk = Disk::new(
        Duration::from_millis(5),
        Duration::from_millis(250),
        patience,
    );
    let (mut refused, mut late) = (0, 0);
    for tick in 0..6000 {
        // 8 MB a second come, 4 MiB are synced, as soon as the disk is known.
        let (taken, wait) = disk.push(80_000);
        if !taken {
            refused += 1;
            assert!(
                wait > patience,
                "refused, but it would have waited for {wait:?}"
            );
        } else if tick > 2000 && wait > patience + Duration::from_secs(2) {
            late += 1;
        }
        disk.run(disk.now + Duration::from_millis(10));
    }
    assert!(refused > 1500, "{refused} refused");
    assert_eq!(late, 0, "taken, and late by more than one batch");
}

#[test]
fn a_journal_at_rest_takes_an_event_whatever_was_before_and_one_fast_batch_ends_the_refusals() {
    let patience = Duration::from_secs(8);
    let mut disk = Disk::new(Duration::from_secs(9), Duration::ZERO, patience);
    for _ in 0..RECENT_BATCHES {
        assert!(disk.push(100).0, "at rest");
        disk.run(disk.now + Duration::from_secs(9));
        disk.run(disk.now);
    }
    assert!(disk.push(100).0, "at rest");
    disk.run(disk.now + Duration::from_millis(1));
    assert!(!disk.push(100).0, "17 s are more than 8");
    disk.run(disk.now + Duration::from_secs(9));
    disk.sync = Duration::from_millis(1);
    assert!(disk.push(100).0, "at rest");
    disk.run(disk.now + Duration::from_millis(10));
    assert!(disk.push(100).0);
    disk.run(disk.now);
    assert!(disk.push(100).0, "one batch was fast");
}

/// As many as the pace looks at.
const RECENT_BATCHES: usize = 4;

proptest! {
    #[test]
    fn nothing_is_refused_that_would_have_been_answered_in_time(
        sync_ms in 1_u64..3_000,
        mebibyte_ms in 1_u64..500,
        steps in prop::collection::vec((1_usize..2_000_000, 0_u64..300), 1..300),
    ) {
        let patience = Duration::from_secs(4);
        let (sync, per_mebibyte) = (Duration::from_millis(sync_ms), Duration::from_millis(mebibyte_ms));
        let mut disk = Disk::new(sync, per_mebibyte, patience);
        for (bytes, pause) in steps {
            let (taken, wait) = disk.push(bytes);
            prop_assert!(taken || wait > patience, "{wait:?}");
            disk.run(disk.now + Duration::from_millis(pause));
        }
    }
}
