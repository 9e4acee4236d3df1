//! A timer that is exact to some microseconds; tokio's own has milliseconds only.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// A timer of the kernel.
pub struct Pace(AsyncFd<OwnedFd>);

impl Pace {
    /// Must be called inside a runtime.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: the descriptor is owned, hence it stays open and the same while it is registered.
        Ok(Self(unsafe { AsyncFd::register(timer) }?))
    }

    /// Returns at `moment`, or at once if it has passed.
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
        // If the read fails, this returns a little early; the caller reads the clock again.
        let _ = rustix::io::read(guard.get_inner(), &mut count);
        guard.clear_ready();
        Ok(())
    }
}
