//! The journal's two threads: one commits, the other does the upkeep behind the commits.

use std::io;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::appender::{Appender, Queue};
use super::commit_loop::{CommitLoop, Step};
use super::disk::filesystem::FileSystem;
use super::engine::Engine;
use super::engine::upkeep::Upkeep;

/// The longest that a moved watermark waits for its checkpoint, and a full disk for the next try.
pub const PACE: Duration = Duration::from_secs(1);

/// The running threads.
pub(super) struct Threads {
    queue: Arc<Queue>,
    writer: JoinHandle<()>,
    upkeep: JoinHandle<io::Result<()>>,
}

impl Threads {
    pub(super) fn start<FS: FileSystem>(
        engine: Arc<Engine<FS>>,
        upkeep: Upkeep<FS>,
    ) -> io::Result<(Appender, Self)> {
        let (appender, commits) = CommitLoop::new(engine.clone());
        let queue = commits.queue.clone();
        let writer = thread::Builder::new()
            .name(String::from("journal-writer"))
            .spawn(move || run_commits(commits))?;
        let upkeep = thread::Builder::new()
            .name(String::from("journal-upkeep"))
            .spawn(move || run_upkeep(&engine, upkeep))?;
        let threads = Self {
            queue,
            writer,
            upkeep,
        };
        Ok((appender, threads))
    }

    /// Accepts no further appends, waits until the writer has emptied its queue, then writes and syncs a last checkpoint.
    pub(super) fn close<FS: FileSystem>(self, engine: &Engine<FS>) -> io::Result<()> {
        let panicked = |_| io::Error::other("a thread of the journal has panicked");
        self.queue.close();
        // The writer first: it may still wait for a segment, which the other thread makes.
        self.writer.join().map_err(panicked)?;
        engine.stop();
        self.upkeep.join().map_err(panicked)?
    }
}

fn run_commits<FS: FileSystem>(mut commits: CommitLoop<FS>) {
    loop {
        match commits.step() {
            Step::Idle => commits.queue.wait(),
            Step::Written | Step::Answered => {}
            Step::NeedsSegment => await_segment(&commits.engine),
            Step::End => return,
        }
    }
}

/// Waits until the upkeep has made the wanted segment, or has found no room for it.
fn await_segment<FS: FileSystem>(engine: &Engine<FS>) {
    let mut state = engine.lock();
    while state.wanted.is_some() && !engine.admission.is_poisoned() {
        state = engine
            .segment_made
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

/// Poisons the journal if the upkeep panics: without its segments the writer would wait for ever.
struct PoisonOnPanic<'a, FS: FileSystem>(&'a Engine<FS>);

impl<FS: FileSystem> Drop for PoisonOnPanic<'_, FS> {
    fn drop(&mut self) {
        if thread::panicking() {
            let error = io::Error::other("the panic is reported above");
            self.0.poison("go on after a panic of the upkeep", &error);
        }
    }
}

fn run_upkeep<FS: FileSystem>(engine: &Engine<FS>, mut upkeep: Upkeep<FS>) -> io::Result<()> {
    let _poison = PoisonOnPanic(engine);
    let mut last = Instant::now();
    let mut state = engine.lock();
    while !engine.is_stopping() {
        let rest = last.elapsed();
        let is_behind = rest >= PACE && upkeep.is_behind(&state);
        if upkeep.is_due(&state) || is_behind || upkeep.must_measure(rest) {
            drop(state);
            upkeep.step();
            last = Instant::now();
            state = engine.lock();
            continue;
        }
        let pause = upkeep.reclaim_pause();
        let rest = PACE.saturating_sub(last.elapsed());
        let rest = if rest.is_zero() { PACE } else { rest };
        // A wait that ends early or without cause only checks again.
        let waited = engine
            .work
            .wait_timeout(state, pause.map_or(rest, |pause| pause.min(rest)));
        let (woken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        state = woken;
        if pause.is_some() && waited.timed_out() {
            drop(state);
            upkeep.reclaim();
            state = engine.lock();
        }
    }
    drop(state);
    upkeep.close()
}
