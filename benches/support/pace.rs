//! Waiting for a moment to some microseconds: tokio's own timer knows milliseconds only.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// One timer of the kernel's.
pub struct Pace(AsyncFd<OwnedFd>);

impl Pace {
    /// Must be made inside a runtime.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: the descriptor is owned, hence open and the same for as long as it is registered.
        Ok(Self(unsafe { AsyncFd::register(timer) }?))
    }

    /// Returns at `moment`, at once where that has passed.
    pub async fn until(&mut self, moment: Instant) -> io::Result<()> {
        let left = moment.saturating_duration_since(Instant::now());
        if left < Duration::from_micros(5) {
            return Ok(());
        }
        let value = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: left.try_into().map_err(io::Error::other)?,
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &value)?;
        let mut guard = self.0.readable().await?;
        let mut count = [0; 8];
        // An expiry that is not there yet would only mean a moment too early, which the next look at the clock mends.
        let _ = rustix::io::read(guard.get_inner(), &mut count);
        guard.clear_ready();
        Ok(())
    }
}
