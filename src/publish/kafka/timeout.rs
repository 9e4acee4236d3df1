//! Runs work that may hang on a thread of its own, and waits for it within bounds.
//!
//! librdkafka waits for its own threads, and these for the resolver, which may not answer; its time-outs do not end if the wall clock
//! is set back ([`super::wall_clock`]); files may be on a server that is gone. The publisher must not hang with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Runs one kind of work, one piece at a time, so that threads which hang do not pile up.
#[derive(Debug, Default)]
pub(crate) struct SideThread {
    is_busy: Arc<AtomicBool>,
}

/// Frees the slot when it is dropped, also if the work panics.
struct Slot(Arc<AtomicBool>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl SideThread {
    /// Returns what `work` returns if it does within `timeout`; a later value is dropped on the thread that made it.
    ///
    /// Returns `None` also if the work panics, if an earlier piece has not ended, and if no thread can be started.
    pub(crate) fn with_timeout<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = mpsc::sync_channel(0);
        self.start(move |slot| {
            let value = work();
            // Freed first: the caller that gets the value may start the next piece at once.
            let is_busy = slot.0.clone();
            drop(slot);
            if let Err(late) = sender.send(value) {
                // The caller waits no longer, and dropping the value may hang as well.
                is_busy.store(true, Ordering::Release);
                let _slot = Slot(is_busy);
                drop(late);
            }
        });
        receiver.recv_timeout(timeout).ok()
    }

    /// Starts `work` without waiting for it. False if it is dropped instead, because an earlier piece has not ended or no
    /// thread can be started.
    pub(crate) fn spawn(&self, work: impl FnOnce() + Send + 'static) -> bool {
        self.start(move |_slot| work())
    }

    fn start(&self, work: impl FnOnce(Slot) + Send + 'static) -> bool {
        if self.is_busy.swap(true, Ordering::Acquire) {
            return false;
        }
        let slot = Slot(self.is_busy.clone());
        let thread = thread::Builder::new().name(String::from("kafka-side"));
        let started = thread.spawn(move || work(slot));
        if let Err(error) = &started {
            tracing::warn!(%error, "cannot start a thread for work that may hang");
        }
        started.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    /// Sends the name of the thread on which it is dropped.
    struct ReportsDrop(mpsc::Sender<Option<String>>);
    impl Drop for ReportsDrop {
        fn drop(&mut self) {
            let name = std::thread::current().name().map(str::to_owned);
            self.0.send(name).expect("the test waits for it");
        }
    }

    #[test]
    fn a_value_in_time_is_returned_and_a_late_one_is_dropped_on_its_own_thread() {
        let thread = SideThread::default();
        for number in 0..100 {
            assert_eq!(thread.with_timeout(LONG, move || number), Some(number));
        }
        let (release, hangs) = mpsc::channel::<()>();
        let (dropped, is_dropped) = mpsc::channel();
        let late = thread.with_timeout(Duration::ZERO, move || {
            let _ = hangs.recv();
            ReportsDrop(dropped)
        });
        assert!(late.is_none());
        assert_eq!(thread.with_timeout(LONG, || 8), None, "one at a time");
        drop(release);
        let name = is_dropped.recv_timeout(LONG).expect("it is dropped");
        assert_eq!(name.as_deref(), Some("kafka-side"));
    }

    #[test]
    fn a_panic_returns_nothing_and_frees_the_slot() {
        let thread = SideThread::default();
        let none: Option<u8> = thread.with_timeout(LONG, || panic!("on purpose"));
        assert_eq!(none, None);
        while thread.with_timeout(LONG, || 9) != Some(9) {
            std::thread::yield_now();
        }
    }
}
