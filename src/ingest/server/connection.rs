//! One connection from its first byte to its end: which protocol, whose limits, and how it ends.
//!
//! hyper keeps the protocols; what it leaves open is closed here: time for the first byte and for an idle HTTP/2
//! connection, a head that is on its way when the end comes, and an end that does not reset the last answer.

use super::sniff::{Activity, InFlight, Io, Protocol};
use crate::ingest::ingress::{Append, Phase, Shared};
use crate::ingest::stack::{Call, stack};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::cell::RefCell;
use std::convert::Infallible;
use std::error::Error as _;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tower::Service;

/// The longest request head, in bytes; hyper answers 431 beyond.
pub(crate) const MAX_HEAD: u32 = 64 * 1024;
/// Headers of one head. hyper's own default is 100, which long chains of proxies come near.
pub(crate) const MAX_HEADERS: usize = 256;
/// Streams of one HTTP/2 connection at once: RFC 9113 asks for no fewer than 100.
const MAX_STREAMS: u32 = 100;
/// Flow control of HTTP/2, in bytes: what a client may send of all bodies before ringback has read it. Bodies are read
/// as they come, so the window bounds speed (one window a round trip) rather than memory.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// Streams that a client may reset before ringback has looked at them (CVE-2023-44487).
const MAX_RESETS: usize = 20;
/// At the end, for a request that has left its sender but not yet arrived.
const GRACE: Duration = Duration::from_millis(500);

/// How a connection ended, where that is worth counting.
enum End {
    /// By the book, or by the network.
    Plain,
    /// For a fault, by its label.
    Fault(&'static str),
}

/// Serves one connection to its end.
pub(crate) async fn serve<A: Append>(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared<A>>,
    phase: watch::Receiver<Phase>,
) {
    let accepted = Instant::now();
    let activity = Arc::new(Activity::default());
    let mut io = Io::new(stream, Arc::clone(&activity), shared.header_timeout);
    let head_deadline = accepted + shared.header_timeout;
    let connection = Connection {
        peer,
        activity,
        phase,
        head_deadline,
        shared: Arc::clone(&shared),
    };
    let (end, has_spoken) = match connection.sniff(&mut io).await {
        Ok(Protocol::Http1) => (connection.http1(&mut io).await, true),
        Ok(Protocol::Http2) => (connection.http2(&mut io).await, true),
        Err(end) => (end, false),
    };
    // Counted first: a client that keeps its side open may take the whole of the lingering time.
    if let End::Fault(label) = end {
        tracing::debug!(%peer, reason = label, "connection closed");
        shared.metrics.unknown.count(label);
    }
    if has_spoken {
        io.linger().await;
    }
}

struct Connection<A> {
    peer: SocketAddr,
    activity: Arc<Activity>,
    phase: watch::Receiver<Phase>,
    /// For the first request's head, from the start of the connection.
    head_deadline: Instant,
    shared: Arc<Shared<A>>,
}

impl<A: Append> Connection<A> {
    async fn sniff(&self, io: &mut Io) -> Result<Protocol, End> {
        let mut phase = self.phase.clone();
        let sniffed = tokio::select! {
            biased;
            sniffed = timeout_at(self.head_deadline, io.sniff()) => sniffed,
            () = reached(&mut phase, Phase::Stopping) => {
                // A client that connected just before the end has its request under way.
                let mut deadline = self.head_deadline;
                if !io.has_begun() {
                    deadline = deadline.min(Instant::now() + GRACE);
                }
                match timeout_at(deadline, io.sniff()).await {
                    Err(_) if !io.has_begun() => return Err(End::Plain),
                    sniffed => sniffed,
                }
            }
        };
        match sniffed {
            Ok(Ok(Some(protocol))) => Ok(protocol),
            Ok(Ok(None) | Err(_)) => Err(End::Plain),
            Err(_) => Err(End::Fault("header_timeout")),
        }
    }

    async fn http1(mut self, io: &mut Io) -> End {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.shared.header_timeout)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD as usize)
            // A client may close its sending side once its request is out, and still wait for the answer.
            .half_close(true);
        let requests = self.requests();
        let connection = builder.serve_connection(TokioIo::new(io), requests);
        let mut connection = pin!(connection);
        let mut first_head = pin!(sleep_until(self.head_deadline));
        let mut waiting_for_first = true;
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => return end_of(ended),
                () = reached(&mut self.phase, Phase::Stopping) => break,
                () = first_head.as_mut(), if waiting_for_first => {
                    if self.activity.requests() == 0 {
                        return End::Fault("header_timeout");
                    }
                    waiting_for_first = false;
                }
            }
        }
        // Every answer says `Connection: close` by now, so a connection with a request ends by itself.
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => return end_of(ended),
                () = sleep(GRACE) => {}
            }
            if self.activity.is_idle() {
                connection.as_mut().graceful_shutdown();
                return end_of(connection.await);
            }
        }
    }

    async fn http2(mut self, io: &mut Io) -> End {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_pending_accept_reset_streams(MAX_RESETS)
            .keep_alive_interval(self.shared.header_timeout)
            .keep_alive_timeout(self.shared.header_timeout);
        let requests = self.requests();
        let connection = builder.serve_connection(TokioIo::new(io), requests);
        let mut connection = pin!(connection);
        let (mut seen, mut idle, mut ending) = (0, false, false);
        let mut look_at = Instant::now() + self.shared.header_timeout;
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    return if idle { End::Fault("header_timeout") } else { end_of(ended) };
                }
                () = may_end(&mut self.phase, &self.activity), if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = sleep_until(look_at) => {
                    look_at = Instant::now() + self.shared.header_timeout;
                    let quiet = self.activity.in_flight() == 0 && self.activity.requests() == seen;
                    seen = self.activity.requests();
                    if quiet && (idle || ending) {
                        // It was told to go and did not.
                        return End::Fault("header_timeout");
                    }
                    if quiet {
                        idle = true;
                        connection.as_mut().graceful_shutdown();
                    }
                }
            }
        }
    }

    fn requests(
        &self,
    ) -> Requests<
        A,
        impl Service<
            Call<Incoming>,
            Response = Response<Full<Bytes>>,
            Error = Infallible,
            Future: Future<Output = Answered> + Send + Unpin,
        > + Send
        + 'static,
    > {
        Requests {
            stack: RefCell::new(stack::<A, Incoming>(&self.shared)),
            shared: Arc::clone(&self.shared),
            activity: Arc::clone(&self.activity),
            peer: self.peer,
        }
    }
}

type Answered = Result<Response<Full<Bytes>>, Infallible>;

/// What hyper calls for each request: the stack, and the connection's knowledge that one is running.
struct Requests<A, S> {
    /// hyper calls for one request at a time, with no `&mut`; a clone would touch what all connections share.
    stack: RefCell<S>,
    shared: Arc<Shared<A>>,
    activity: Arc<Activity>,
    peer: SocketAddr,
}

impl<A, S> hyper::service::Service<Request<Incoming>> for Requests<A, S>
where
    S: Service<Call<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible>,
    S::Future: Future<Output = Answered> + Unpin,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Running<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let in_flight = self.activity.begin();
        let call = Call::new(request, self.peer, &self.shared);
        Running {
            answer: self.stack.borrow_mut().call(call),
            _in_flight: in_flight,
        }
    }
}

struct Running<F> {
    answer: F,
    _in_flight: InFlight,
}

impl<F: Future<Output = Answered> + Unpin> Future for Running<F> {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        Pin::new(&mut self.answer).poll(cx)
    }
}

/// Waits until the end has come as far as `phase`.
async fn reached(phases: &mut watch::Receiver<Phase>, phase: Phase) {
    if phases.wait_for(|present| *present >= phase).await.is_err() {
        // Nobody is left to announce anything.
        std::future::pending::<()>().await;
    }
}

/// Waits until an HTTP/2 connection may be told to go away: one that has not had its first request gets it served,
/// because its client would otherwise only meet another such connection, until the listener is closed.
async fn may_end(phases: &mut watch::Receiver<Phase>, activity: &Activity) {
    reached(phases, Phase::Leaving).await;
    let first = async {
        while activity.requests() == 0 {
            activity.begun.notified().await;
        }
    };
    tokio::select! {
        () = first => {}
        () = async {
            reached(phases, Phase::Stopping).await;
            sleep(GRACE).await;
        } => {}
    }
}

fn end_of(ended: hyper::Result<()>) -> End {
    match ended {
        Err(error) if is_h2_fault(&error) => End::Fault("head_malformed"),
        Err(error) if error.is_parse_too_large() => End::Fault("head_too_large"),
        Err(error) if error.is_parse() => End::Fault("head_malformed"),
        Err(error) if error.is_timeout() => End::Fault("header_timeout"),
        Err(error) if is_stall(&error) => End::Fault("write_timeout"),
        _ => End::Plain,
    }
}

/// What the HTTP/2 parser refuses ends the connection with one of RFC 9113's codes that speak against the client.
fn is_h2_fault(error: &hyper::Error) -> bool {
    let Some(error) = error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>())
    else {
        return false;
    };
    let faults = [
        h2::Reason::PROTOCOL_ERROR,
        h2::Reason::COMPRESSION_ERROR,
        h2::Reason::FRAME_SIZE_ERROR,
        h2::Reason::FLOW_CONTROL_ERROR,
        h2::Reason::ENHANCE_YOUR_CALM,
    ];
    !error.is_remote()
        && error
            .reason()
            .is_some_and(|reason| faults.contains(&reason))
}

/// A write that a client did not take in time: [`Io`]'s own error somewhere below hyper's.
fn is_stall(error: &hyper::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return error.kind() == std::io::ErrorKind::TimedOut;
        }
        cause = error.source();
    }
    false
}
