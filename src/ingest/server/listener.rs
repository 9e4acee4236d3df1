//! Accepts connections up to the limit until the shutdown, then waits for all of them to end.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};

use super::activity::{Activity, Wait};
use super::{GRACE, Phase, Server, connection};
use crate::log_throttle::LogThrottle;

/// Waits after a failed accept, which means that descriptors have run out: they come free only as connections end.
const FIRST_BACKOFF: Duration = Duration::from_millis(5);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// The time after which another connection is asked to make room. One that was asked closes at once, unless a request
/// has just arrived on it.
const ROOM_RETRY: Duration = Duration::from_millis(20);
/// The part of all waiting connections that one look at them ranks, so that a flood of new connections does not cost a
/// look for each.
const RANKED_PART: usize = 16;
/// The least time between two warnings that connections run short.
const WARN_INTERVAL: Duration = Duration::from_mins(1);

/// Serves until `shutdown` resolves and every connection has ended. Dropping the future cuts off what still runs.
pub(crate) async fn serve(
    listener: TcpListener,
    server: Arc<Server>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut acceptor = Acceptor::new(server);
    let mut shutdown = pin!(shutdown);
    let mut backoff = FIRST_BACKOFF;
    let mut stops = false;
    while !stops {
        let accepted = tokio::select! {
            biased;
            () = shutdown.as_mut() => break,
            Some(ended) = acceptor.connections.join_next_with_id() => {
                acceptor.forget(&ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                backoff = FIRST_BACKOFF;
                stops = tokio::select! {
                    biased;
                    () = acceptor.make_room() => false,
                    () = shutdown.as_mut() => true,
                };
                if stops {
                    acceptor.server.phases.advance(Phase::Stopping);
                    acceptor.make_room().await;
                }
                acceptor.spawn(stream, peer);
            }
            // The client left between its handshake and our accept.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                acceptor.cannot_accept(&error);
                stops = tokio::select! {
                    () = shutdown.as_mut() => true,
                    () = sleep(backoff) => false,
                };
                backoff = (backoff * 2).min(LONGEST_BACKOFF);
            }
        }
    }
    acceptor.server.phases.advance(Phase::Stopping);
    acceptor.accept_last(&listener).await;
    drop(listener);
    while acceptor.connections.join_next().await.is_some() {}
    Ok(())
}

struct Acceptor {
    connections: JoinSet<()>,
    activities: HashMap<Id, Arc<Activity>>,
    /// Some of the connections that waited at the last look, the one to be closed first at the end.
    ranked: Vec<(Wait, Id)>,
    server: Arc<Server>,
    warnings: LogThrottle,
}

impl Acceptor {
    fn new(server: Arc<Server>) -> Self {
        Self {
            connections: JoinSet::new(),
            activities: HashMap::new(),
            ranked: Vec::new(),
            server,
            warnings: LogThrottle::new(WARN_INTERVAL),
        }
    }

    fn spawn(&mut self, stream: TcpStream, peer: SocketAddr) {
        // An answer is one small packet, so waiting for more to send only delays it. If setting the option fails, the
        // connection is already gone.
        let _ = stream.set_nodelay(true);
        let server = Arc::clone(&self.server);
        let open = OpenConnection::new(server.metrics.connections.clone());
        let activity = Arc::new(Activity::new(server.started));
        let shared = Arc::clone(&activity);
        let handle = self.connections.spawn(async move {
            let _open = open;
            connection::serve(stream, peer, server, shared).await;
        });
        self.activities.insert(handle.id(), activity);
    }

    fn forget(&mut self, ended: &Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        self.activities.remove(&id);
    }

    /// Waits until one more connection may be served, and closes others for it.
    async fn make_room(&mut self) {
        while let Some(ended) = self.connections.try_join_next_with_id() {
            self.forget(&ended);
        }
        let max_connections = self.server.max_connections.max(1);
        while self.connections.len() >= max_connections {
            if let Some(permit) = self.warnings.permit("connections") {
                tracing::warn!(
                    max_connections,
                    suppressed = permit.suppressed(),
                    "all connections that listen.max_connections permits are in use: each new one waits until the longest idle one, or one with an answer, has closed"
                );
            }
            self.close_one();
            tokio::select! {
                Some(ended) = self.connections.join_next_with_id() => self.forget(&ended),
                () = sleep(ROOM_RETRY) => {}
            }
        }
        self.server.phases.want_place(false);
    }

    /// Descriptors have run out: one is to come free.
    fn cannot_accept(&mut self, error: &io::Error) {
        if let Some(permit) = self.warnings.permit("accept") {
            let suppressed = permit.suppressed();
            tracing::warn!(%error, suppressed, "cannot accept connections, trying again until it can");
        }
        self.close_one();
    }

    /// Asks the connection that has been idle for longest to close; without an idle one, the one whose head or, last,
    /// whose body has been unfinished for longest.
    fn close_one(&mut self) {
        let activity = self.next_ranked().or_else(|| {
            self.rank();
            self.next_ranked()
        });
        if let Some(activity) = activity {
            activity.give_way();
            return;
        }
        // If no body has stalled either, the new one waits: for those that have just been made, which soon count as idle, or
        // for an answer if the others are more.
        if !(self.server.cut_stalled_body)() {
            let activities = self.activities.values();
            let new = activities.filter(|activity| activity.requests() == 0);
            let are_most_busy = new.count() * 2 < self.activities.len();
            self.server.phases.want_place(are_most_busy);
        }
    }

    /// The next of the ranked connections that still waits for the same. Any that has become idle since the look has been
    /// idle for a shorter time.
    fn next_ranked(&mut self) -> Option<Arc<Activity>> {
        let ranked = std::iter::from_fn(|| self.ranked.pop());
        let mut waiting = ranked.filter_map(|(wait, id)| {
            let activity = self.activities.get(&id)?;
            (activity.wait() == Some(wait)).then(|| Arc::clone(activity))
        });
        waiting.next()
    }

    /// Looks at all connections.
    fn rank(&mut self) {
        let waits = self.activities.iter();
        let waits = waits.filter_map(|(id, activity)| Some((activity.wait()?, *id)));
        self.ranked.extend(waits);
        let part = self.ranked.len().div_ceil(RANKED_PART);
        if part > 0 {
            self.ranked
                .select_nth_unstable_by_key(part - 1, |(wait, _)| *wait);
            self.ranked.truncate(part);
        }
        self.ranked
            .sort_unstable_by_key(|(wait, _)| std::cmp::Reverse(*wait));
    }

    /// Serves the connections that clients have already made, those in the kernel's queue and those whose handshake has
    /// begun: closing the listener would reset them.
    async fn accept_last(&mut self, listener: &TcpListener) {
        let grace = match refuse_new(listener) {
            Ok(()) => GRACE,
            // While new ones come, there is no end to wait for.
            Err(error) => {
                tracing::debug!(%error, "cannot refuse connections before the listener closes: it may reset some");
                Duration::ZERO
            }
        };
        let deadline = Instant::now() + grace;
        let mut backoff = FIRST_BACKOFF;
        while let Ok(accepted) = timeout_at(deadline, listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => {
                    self.make_room().await;
                    self.spawn(stream, peer);
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if self.connections.is_empty() => {
                    tracing::warn!(%error, "cannot accept the connections left in the queue at shutdown");
                    return;
                }
                Err(error) => {
                    self.cannot_accept(&error);
                    tokio::select! {
                        Some(ended) = self.connections.join_next_with_id() => self.forget(&ended),
                        () = sleep(backoff) => {}
                    }
                    backoff = (backoff * 2).min(LONGEST_BACKOFF);
                }
            }
        }
    }
}

/// Drops every packet that asks for a new connection, while the handshakes that have begun still end. Their clients ask
/// again after a second and are refused by the closed port.
fn refuse_new(listener: &TcpListener) -> io::Result<()> {
    // Classic BPF, as in the kernel's Documentation/networking/filter.rst. A packet begins with its TCP header (RFC 9293,
    // 3.1), whose byte 13 has the flags, SYN among them as 2.
    const LOAD_BYTE: u16 = 0x30;
    const SKIP_UNLESS_ANY: u16 = 0x45;
    const RETURN: u16 = 0x06;
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, 13),
        SockFilter::new(SKIP_UNLESS_ANY, 0, 1, 2),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

/// Keeps one connection counted in the gauge until it is dropped.
struct OpenConnection(prometheus::IntGauge);

impl OpenConnection {
    fn new(gauge: prometheus::IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests;
