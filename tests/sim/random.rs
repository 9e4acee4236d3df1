//! A history's chance, all of it from one seed, and its clock.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::trace;

/// Splitmix64 (Steele, Lea, Flood 2014): small, fast, and the same for ever, unlike a crate's generator.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5249_4e47);
        random.next();
        random
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A generator of its own, so that one part's draws do not shift another's.
    pub fn fork(&mut self) -> Self {
        Self::new(self.next())
    }

    /// In `0..end`; 0 for an empty range.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }

    /// In `low..=high`.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// True with this chance, in percent.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    /// Mostly short, sometimes long: what latencies are like.
    pub fn latency(&mut self, typical: u64, longest: u64) -> u64 {
        if self.percent(90) {
            self.range(0, typical)
        } else {
            self.range(typical, longest)
        }
    }
}

/// Virtual time, in microseconds since the history's start.
pub struct Clock {
    now: Arc<AtomicU64>,
    /// By how much the wall clock is ahead of the history's own time.
    ahead: Cell<Duration>,
    base: Instant,
}

pub const MS: u64 = 1_000;
pub const SECOND: u64 = 1_000_000;
/// The wall clock as a history begins: 2025.
const BEGIN: Duration = Duration::from_secs(1_735_689_600);

impl Clock {
    pub fn new() -> Self {
        Self {
            now: Arc::default(),
            ahead: Cell::new(BEGIN),
            base: Instant::now(),
        }
    }

    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    pub fn set(&self, now: u64) {
        self.now.fetch_max(now, Ordering::Relaxed);
    }

    pub fn instant(&self) -> Instant {
        self.at(self.now())
    }

    /// Virtual time for code that may run on any thread.
    pub fn everywhere(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let now = self.now.clone();
        move || now.load(Ordering::Relaxed)
    }

    pub fn base(&self) -> Instant {
        self.base
    }

    /// The wall clock: the time since the Unix epoch.
    pub fn wall(&self) -> Duration {
        self.ahead.get() + Duration::from_micros(self.now())
    }

    /// Moves the wall clock forward.
    pub fn leap(&self, by: Duration) {
        self.ahead.set(self.ahead.get() + by);
    }

    pub fn at(&self, time: u64) -> Instant {
        self.base + Duration::from_micros(time)
    }

    /// The virtual time of an instant, rounded up: a deadline must have passed when it is checked.
    pub fn of(&self, instant: Instant) -> u64 {
        let nanos = instant.saturating_duration_since(self.base).as_nanos();
        nanos.div_ceil(1_000) as u64
    }

    pub fn log(&self, words: impl FnOnce() -> String) {
        trace::log(|| format!("{:12.6} {}", self.now() as f64 / 1e6, words()));
    }
}
