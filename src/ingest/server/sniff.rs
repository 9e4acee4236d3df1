//! A connection's byte stream: detects the protocol from the first bytes, and bounds how long a write may stall.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::activity::Activity;
use crate::ingest::refusal::READ_ON_BYTES;

/// The first bytes of every HTTP/2 connection (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How much, and how long, a client may still send after the last answer before the connection is cut: enough to notice
/// the answer instead of a reset, too little to keep an upload alive.
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER: Duration = Duration::from_secs(1);
/// Read at once while lingering, in bytes.
const LINGER_CHUNK: usize = 8 * 1024;

/// The protocol of a connection, known from its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// What carries a connection's bytes: the socket, or TLS over it. Which of them is one comparison for each read and write;
/// as a type parameter it would double hyper's code.
pub(crate) type Transport = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A connection's stream. The bytes read for sniffing are read again by hyper.
#[derive(Debug)]
pub(crate) struct SniffedStream {
    stream: Transport,
    prefix: [u8; PREFACE.len()],
    /// The unread part of `prefix`.
    start: usize,
    end: usize,
    protocol: Option<Protocol>,
    ended: bool,
    activity: Arc<Activity>,
    stall_limit: Duration,
    stall: Option<Pin<Box<Sleep>>>,
}

impl SniffedStream {
    /// Writes fail with `TimedOut` once a client has taken nothing for `stall_limit`.
    pub(crate) fn new(stream: Transport, activity: Arc<Activity>, stall_limit: Duration) -> Self {
        Self {
            stream,
            prefix: [0; PREFACE.len()],
            start: 0,
            end: 0,
            protocol: None,
            ended: false,
            activity,
            stall_limit,
            stall: None,
        }
    }

    /// Reads until the protocol is certain, which for HTTP/1 is nearly always the first read; `None` if the client
    /// closed before that. The caller bounds the time; a cancelled call may be repeated.
    pub(crate) async fn sniff(&mut self) -> io::Result<Option<Protocol>> {
        loop {
            if self.prefix[..self.end] != PREFACE[..self.end] {
                self.protocol = Some(Protocol::Http1);
            } else if self.end == PREFACE.len() {
                self.protocol = Some(Protocol::Http2);
                self.activity.speaks_http2();
            }
            if self.protocol.is_some() {
                return Ok(self.protocol);
            }
            let read = self.stream.read(&mut self.prefix[self.end..]).await?;
            if read == 0 {
                self.ended = true;
                return Ok(None);
            }
            self.end += read;
            self.activity.bytes_arrived();
        }
    }

    /// True once the first byte has been read.
    pub(crate) fn has_begun(&self) -> bool {
        self.end > 0
    }

    /// Closes the connection without losing the last answer to a reset: closes the sending side, then reads and drops
    /// what the client still sends. That is at most [`LINGER_BYTES`] within [`LINGER`]; if the client is still sending a
    /// body that has been refused, [`READ_ON_BYTES`] within `body_timeout`, for as long as it does not pause for
    /// [`LINGER`].
    pub(crate) async fn linger(mut self, body_timeout: Duration) {
        // Over TLS this sends a last record, for which a client that does not read leaves no room.
        let closed = timeout(LINGER, self.stream.shutdown()).await;
        if !matches!(closed, Ok(Ok(()))) || self.ended {
            return;
        }
        let is_sending = self.activity.is_body_unread() && self.protocol == Some(Protocol::Http1);
        let (mut left, limit) = if is_sending {
            (READ_ON_BYTES, body_timeout)
        } else {
            (LINGER_BYTES, LINGER)
        };
        let drain = async {
            // Not a part of this future, which would make every connection larger.
            let mut scratch = vec![0; LINGER_CHUNK];
            while left > 0 {
                match timeout(LINGER, self.stream.read(&mut scratch)).await {
                    Ok(Ok(read)) if read > 0 => left = left.saturating_sub(read),
                    _ => return,
                }
            }
        };
        // Whichever ended first, client or time, the connection is now dropped.
        let _ = timeout(limit, drain).await;
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

impl AsyncRead for SniffedStream {
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
            if buffer.filled().len() == before {
                self.ended = true;
            } else if self.protocol == Some(Protocol::Http1) {
                self.activity.bytes_arrived();
            }
        }
        polled
    }
}

impl AsyncWrite for SniffedStream {
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
        // Over TLS what was written may still wait for room. hyper flushes only once it has written everything, so a
        // flush that is done leaves no write behind that could stall.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch_stall(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch_stall(cx, closed)
    }
}
