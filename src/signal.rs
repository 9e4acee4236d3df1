//! The process's signals, to be awaited.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ringback handles. Create it before anything is started, so that no signal is missed.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    hangup_shuts_down: bool,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM or SIGINT: stop in order.
    Shutdown,
    /// SIGHUP: read keys and credentials again.
    Reload,
}

impl Signals {
    /// Replaces the signals' default actions; must be called inside a tokio runtime.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            hangup_shuts_down: false,
        })
    }

    /// For commands that have nothing to reload: SIGHUP, which a closing terminal sends, means shutdown too.
    #[must_use]
    pub fn without_reload(mut self) -> Self {
        self.hangup_shuts_down = true;
        self
    }

    /// The next request. Cancel safe.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Shutdown,
            _ = self.interrupt.recv() => Request::Shutdown,
            _ = self.hangup.recv() => {
                if self.hangup_shuts_down {
                    Request::Shutdown
                } else {
                    Request::Reload
                }
            }
        }
    }
}
