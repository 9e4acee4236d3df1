//! Accepts connections up to the limit until the shutdown, then waits for all of them to end.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::{Phase, Server, connection};

/// Waits after a failed accept, which means that descriptors have run out: they come free only as connections end.
const FIRST_BACKOFF: Duration = Duration::from_millis(5);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// Serves until `shutdown` resolves and every connection has ended. Dropping the future cuts off what still runs.
pub(crate) async fn serve(
    listener: TcpListener,
    server: Arc<Server>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    // A limit beyond what the semaphore can count never takes effect anyway.
    let permits = server.max_connections.clamp(1, Semaphore::MAX_PERMITS);
    let mut acceptor = Acceptor {
        permits: Arc::new(Semaphore::new(permits)),
        connections: JoinSet::new(),
        server,
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
            // The client left between its handshake and our accept.
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
    acceptor.server.phases.advance(Phase::Stopping);
    acceptor.drain_backlog(listener).await?;
    while acceptor.connections.join_next().await.is_some() {}
    Ok(())
}

struct Acceptor {
    permits: Arc<Semaphore>,
    connections: JoinSet<()>,
    server: Arc<Server>,
}

impl Acceptor {
    fn spawn(&mut self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        // An answer is one small packet, so waiting for more to send only delays it. If setting the option fails, the
        // connection is already gone.
        let _ = stream.set_nodelay(true);
        let server = Arc::clone(&self.server);
        let open = OpenConnection::new(server.metrics.connections.clone());
        self.connections.spawn(async move {
            let _held = (open, permit);
            connection::serve(stream, peer, server).await;
        });
    }

    /// Accepts what is in the kernel's backlog, because closing a listener resets those connections.
    async fn drain_backlog(&mut self, listener: TcpListener) -> io::Result<()> {
        // tokio's accept would wait for more; a non-blocking accept reports that the backlog is empty.
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
                    tracing::warn!(%error, "cannot accept the connections left in the backlog at shutdown");
                    return Ok(());
                }
            }
        }
    }
}

/// Takes the permit before accepting, so that connections beyond the limit wait in the kernel and cost no descriptor.
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
