//! Accepts connections, as many as are allowed, until it is told to stop; then sees all of them to their end.

use super::connection;
use crate::ingest::ingress::{Append, Phase, Shared};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// After a failed accept: descriptors come free as connections end, not sooner for being asked for.
const FIRST_BACKOFF: Duration = Duration::from_millis(5);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// Serves until `shutdown` resolves and every connection has ended. Dropping the future cuts off what still runs.
pub(crate) async fn serve<A: Append>(
    listener: TcpListener,
    shared: Arc<Shared<A>>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut acceptor = Acceptor {
        // More permits than the semaphore can count are as good as no limit.
        permits: Arc::new(Semaphore::new(
            shared.max_connections.clamp(1, Semaphore::MAX_PERMITS),
        )),
        connections: JoinSet::new(),
        shared,
    };
    let mut shutdown = pin!(shutdown);
    let mut backoff = FIRST_BACKOFF;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.as_mut() => break,
            Some(_) = acceptor.connections.join_next() => continue,
            accepted = accept(&listener, &acceptor.permits) => accepted,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                backoff = FIRST_BACKOFF;
                acceptor.spawn(stream, peer, permit);
            }
            // The client's affair: it left between its handshake and our accept.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, ?backoff, "cannot accept connections, trying again");
                tokio::select! {
                    () = shutdown.as_mut() => break,
                    () = tokio::time::sleep(backoff) => {}
                }
                backoff = (backoff * 2).min(LONGEST_BACKOFF);
            }
        }
    }
    acceptor.shared.advance(Phase::Stopping);
    acceptor.drain_backlog(listener).await?;
    while acceptor.connections.join_next().await.is_some() {}
    Ok(())
}

struct Acceptor<A> {
    permits: Arc<Semaphore>,
    connections: JoinSet<()>,
    shared: Arc<Shared<A>>,
}

impl<A: Append> Acceptor<A> {
    fn spawn(&mut self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        // Answers are single small packets. A socket that refuses the option is gone already.
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&self.shared);
        let phase = shared.phase.subscribe();
        let open = Open::new(shared.metrics.connections.clone());
        self.connections.spawn(async move {
            let _held = (open, permit);
            connection::serve(stream, peer, shared, phase).await;
        });
    }

    /// Closing a listener resets what the kernel has accepted for it and we have not: so all of that is taken first.
    async fn drain_backlog(&mut self, listener: TcpListener) -> io::Result<()> {
        // tokio's own accept waits for readiness; only the call itself tells for certain that nothing is left.
        let listener = listener.into_std()?;
        loop {
            let permit = tokio::select! {
                biased;
                permit = Arc::clone(&self.permits).acquire_owned() => permit,
                Some(_) = self.connections.join_next() => continue,
            };
            let Ok(permit) = permit else { return Ok(()) };
            match listener.accept() {
                Ok((stream, peer)) => {
                    stream.set_nonblocking(true)?;
                    self.spawn(TcpStream::from_std(stream)?, peer, permit);
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept what had connected before the end");
                    return Ok(());
                }
            }
        }
    }
}

/// The permit comes first: what is beyond the limit waits in the kernel, at no cost to us.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}

/// Counts an open connection.
struct Open(prometheus::IntGauge);

impl Open {
    fn new(gauge: prometheus::IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
