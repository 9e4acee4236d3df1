//! The process's signals, as things that can be awaited.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ringback listens to; made before anything is started, so that none is missed.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    hangup_ends: bool,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM or SIGINT: end in order.
    Shutdown,
    /// SIGHUP: read keys and credentials anew.
    Reload,
}

impl Signals {
    /// Takes the signals over from their default actions; must run inside a tokio runtime.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            hangup_ends: false,
        })
    }

    /// SIGHUP ends the process too, as when its terminal is closed: for what has nothing to reload.
    #[must_use]
    pub fn without_reload(mut self) -> Self {
        self.hangup_ends = true;
        self
    }

    /// The next request; safe to drop and call again.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Shutdown,
            _ = self.interrupt.recv() => Request::Shutdown,
            _ = self.hangup.recv() => {
                if self.hangup_ends {
                    Request::Shutdown
                } else {
                    Request::Reload
                }
            }
        }
    }
}
