//! Work that may hang, on a thread of its own and waited for within bounds.
//!
//! librdkafka waits for its own threads, and these for the resolver, which may not answer; its time-outs do not end where the
//! wall clock is set back ([`super::wall_clock`]); files may lie on a server that is gone. The publisher must not hang with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Where one kind of work is done: one piece at a time, so that threads which hang do not pile up.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    busy: Arc<AtomicBool>,
}

/// Frees the place, also where the work panics.
struct Place(Arc<AtomicBool>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Aside {
    /// What the work comes to, if it does within this time. `None` too where it panics, while an earlier piece has not ended,
    /// and where no thread can be started. What comes later is dropped on the thread that made it.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        at_most: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, is_done) = mpsc::sync_channel(0);
        self.start(move |place| {
            let value = work();
            // First the place: whoever gets the value may go on to the next piece at once.
            let busy = place.0.clone();
            drop(place);
            if let Err(late) = done.send(value) {
                // Nobody waits any more, and dropping it may hang as well.
                busy.store(true, Ordering::Release);
                let _place = Place(busy);
                drop(late);
            }
        });
        is_done.recv_timeout(at_most).ok()
    }

    /// As [`Aside::run`], without waiting; the work is dropped where the place is taken.
    pub(crate) fn begin(&self, work: impl FnOnce() + Send + 'static) {
        self.start(move |_place| work());
    }

    fn start(&self, work: impl FnOnce(Place) + Send + 'static) {
        if self.busy.swap(true, Ordering::Acquire) {
            return;
        }
        let place = Place(self.busy.clone());
        let thread = thread::Builder::new().name(String::from("kafka-aside"));
        if let Err(error) = thread.spawn(move || work(place)) {
            tracing::warn!(%error, "cannot start a thread beside the publisher's");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    /// Tells on which thread it was dropped.
    struct Told(mpsc::Sender<Option<String>>);
    impl Drop for Told {
        fn drop(&mut self) {
            let name = thread::current().name().map(str::to_owned);
            self.0.send(name).expect("the test listens");
        }
    }

    #[test]
    fn what_ends_in_time_is_had_and_what_does_not_is_dropped_where_it_hangs() {
        let aside = Aside::default();
        for piece in 0..100 {
            assert_eq!(aside.run(LONG, move || piece), Some(piece));
        }
        let (release, hangs) = mpsc::channel::<()>();
        let (dropped, is_dropped) = mpsc::channel();
        let late = aside.run(Duration::ZERO, move || {
            let _ = hangs.recv();
            Told(dropped)
        });
        assert!(late.is_none());
        assert_eq!(aside.run(LONG, || 8), None, "one at a time");
        drop(release);
        let name = is_dropped.recv_timeout(LONG).expect("it is dropped");
        assert_eq!(name.as_deref(), Some("kafka-aside"));
    }

    #[test]
    fn a_panic_is_no_answer_and_frees_the_place() {
        let aside = Aside::default();
        let none: Option<u8> = aside.run(LONG, || panic!("as it is to"));
        assert_eq!(none, None);
        while aside.run(LONG, || 9) != Some(9) {
            thread::yield_now();
        }
    }
}
