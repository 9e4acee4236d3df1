//! A connection's bytes: what was read to tell the protocol comes first, a stalled write has an end.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

/// RFC 9113, section 3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What a refused upload may still send after its answer before it is cut off, in bytes and time: enough for a client
/// to notice the answer instead of a reset, too little to keep an upload alive.
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER: Duration = Duration::from_secs(1);

/// The protocol that a client's first bytes speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// What a connection is doing, seen from both its bytes and its requests.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    requests: AtomicU64,
    in_flight: AtomicUsize,
    /// Bytes have come that no request has begun or ended after: a head is on its way.
    arriving: AtomicBool,
    pub(crate) begun: Notify,
}

/// A running request.
pub(crate) struct InFlight(Arc<Activity>);

impl Activity {
    /// A request's head is complete.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.arriving.store(false, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.begun.notify_one();
        InFlight(Arc::clone(self))
    }

    /// How many requests have begun so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// True between requests, with nothing of a further one received.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight() == 0 && !self.arriving.load(Ordering::Relaxed)
    }

    /// Requests without an answer.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // What came until now belonged to this request's body.
        self.0.arriving.store(false, Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection's two directions.
#[derive(Debug)]
pub(crate) struct Io {
    stream: TcpStream,
    prefix: [u8; PREFACE.len()],
    /// The unread part of `prefix`.
    start: usize,
    end: usize,
    ended: bool,
    activity: Arc<Activity>,
    stall_limit: Duration,
    stall: Option<Pin<Box<Sleep>>>,
}

impl Io {
    /// A client that takes nothing for `stall_limit` is given up.
    pub(crate) fn new(stream: TcpStream, activity: Arc<Activity>, stall_limit: Duration) -> Self {
        Self {
            stream,
            prefix: [0; PREFACE.len()],
            start: 0,
            end: 0,
            ended: false,
            activity,
            stall_limit,
            stall: None,
        }
    }

    /// Reads until the protocol is certain, which for HTTP/1 is nearly always the first read; `None` if the client
    /// closed before that. Unbounded in time: the caller's matter. May be cancelled and called again.
    pub(crate) async fn sniff(&mut self) -> io::Result<Option<Protocol>> {
        loop {
            if self.prefix[..self.end] != PREFACE[..self.end] {
                return Ok(Some(Protocol::Http1));
            }
            if self.end == PREFACE.len() {
                return Ok(Some(Protocol::Http2));
            }
            let read = self.stream.read(&mut self.prefix[self.end..]).await?;
            if read == 0 {
                self.ended = true;
                return Ok(None);
            }
            self.end += read;
            self.activity.arriving.store(true, Ordering::Relaxed);
        }
    }

    /// True once the first byte has been read.
    pub(crate) fn has_begun(&self) -> bool {
        self.end > 0
    }

    /// Ends the connection so that the last answer is not lost to a reset: says that nothing more will be sent, then
    /// takes what is still coming, within bounds.
    pub(crate) async fn linger(mut self) {
        if self.stream.shutdown().await.is_err() || self.ended {
            return;
        }
        let drain = async {
            let mut scratch = [0; 4096];
            let mut left = LINGER_BYTES;
            while left > 0 {
                match self.stream.read(&mut scratch).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => left = left.saturating_sub(read),
                }
            }
        };
        // Whether the client or the time ended it, there is nothing left to do.
        let _ = tokio::time::timeout(LINGER, drain).await;
    }

    fn watch_stall<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let limit = self.stall_limit;
        let stall = self
            .stall
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
        match stall.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.start < self.end {
            let length = buffer.remaining().min(self.end - self.start);
            buffer.put_slice(&self.prefix[self.start..self.start + length]);
            self.start += length;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if matches!(polled, Poll::Ready(Ok(()))) {
            if buffer.filled().len() > before {
                self.activity.arriving.store(true, Ordering::Relaxed);
            } else {
                self.ended = true;
            }
        }
        polled
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch_stall(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch_stall(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
