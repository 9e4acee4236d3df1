//! An HTTP client that posts one event after the other on one kept-alive connection.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::either::Either;

use super::url::WebhookUrl;
use crate::ingest::SignError;

/// How long Retell waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a reply's body that are read; a longer one is cut, and its connection closed.
const MAX_REPLY: usize = 64 * 1024;

/// Why an attempt got no reply.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The connection could not be made.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The connection broke before the reply was complete, or the reply was not HTTP.
    #[error("no answer: {}", innermost(.0))]
    Broken(#[source] hyper::Error),
    /// No reply came in time.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Late,
    /// The address or a value cannot be made into a header.
    #[error("cannot make the request")]
    Request(#[from] http::Error),
    /// There is a key, and it does not sign this.
    #[error("cannot sign: the key {0}")]
    Sign(#[from] SignError),
}

/// Posts to one URL on one connection, and connects again when that has ended.
pub struct WebhookClient {
    url: Arc<WebhookUrl>,
    tls: Option<TlsConnector>,
    connection: Option<Connection>,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Its own end.
    client: SocketAddr,
}

/// A reply.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// At most 64 KiB; less if the connection broke meanwhile.
    pub body: Bytes,
    /// From where the request was sent.
    pub client: SocketAddr,
}

/// Removes the headers that describe a connection or how a body is cut into pieces: a request that is sent again has its own.
pub fn remove_transport(headers: &mut HeaderMap) {
    const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
    for name in [
        CONNECTION,
        CONTENT_LENGTH,
        EXPECT,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
}

impl WebhookClient {
    /// Connects at the first post, over TLS if there is a connector.
    pub fn new(url: Arc<WebhookUrl>, tls: Option<TlsConnector>) -> Self {
        Self {
            url,
            tls,
            connection: None,
        }
    }

    /// Posts `body` once, with these headers beside `Host`, to the URL with `query` added.
    pub async fn post(
        &mut self,
        headers: &HeaderMap,
        query: Option<&str>,
        body: &Bytes,
    ) -> Result<Answer, PostError> {
        let target = self.url.target(query);
        self.send(&Method::POST, &target, headers, body).await
    }

    /// As [`WebhookClient::post`], by this method to this path and query.
    pub async fn send(
        &mut self,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Answer, PostError> {
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(http::header::HOST, &self.url.authority)
            .body(Full::new(body.clone()))?;
        request.headers_mut().extend(headers.clone());
        // Taken out, so that a connection with an unfinished reply is closed and never used again.
        let mut connection = self.connection.take();
        let exchange = self.exchange(&mut connection, request);
        let answer = tokio::time::timeout(TIMEOUT, exchange)
            .await
            .map_err(|_| PostError::Late)??;
        self.connection = connection;
        Ok(answer)
    }

    async fn exchange(
        &self,
        connection: &mut Option<Connection>,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Answer, PostError> {
        let kept = connection.take();
        if let Some(mut kept) = kept.filter(|kept| kept.sender.is_ready()) {
            match kept.sender.try_send_request(request).await {
                Ok(reply) => return finish(reply, kept, connection).await,
                // The relay had closed the idle connection before any of the request was sent: not an attempt yet.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(PostError::Broken(error.into_error())),
                },
            }
        }
        let mut fresh = self.connect().await?;
        let reply = fresh.sender.send_request(request).await;
        finish(reply.map_err(PostError::Broken)?, fresh, connection).await
    }

    async fn connect(&self) -> Result<Connection, PostError> {
        let address = (self.url.host.as_str(), self.url.port);
        let stream = TcpStream::connect(address)
            .await
            .map_err(PostError::Connect)?;
        stream.set_nodelay(true).map_err(PostError::Connect)?;
        let client = stream.local_addr().map_err(PostError::Connect)?;
        let stream = match &self.tls {
            None => Either::Left(stream),
            Some(tls) => {
                let name = ServerName::try_from(self.url.host.clone());
                let name = name.map_err(|error| PostError::Connect(io::Error::other(error)))?;
                let connected = tls.connect(name, stream).await;
                Either::Right(Box::new(connected.map_err(PostError::Connect)?))
            }
        };
        let (sender, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(PostError::Broken)?;
        // Ends with the sender; its errors reach the request that waits for a reply.
        tokio::spawn(driver);
        Ok(Connection { sender, client })
    }
}

/// Reads the reply to its end, and keeps the connection if that succeeds.
async fn finish(
    reply: http::Response<hyper::body::Incoming>,
    used: Connection,
    connection: &mut Option<Connection>,
) -> Result<Answer, PostError> {
    let (head, mut incoming) = reply.into_parts();
    let mut body = BytesMut::new();
    let is_whole = loop {
        match incoming.frame().await {
            None => break true,
            // The status decides; an error after it only ends the connection.
            Some(Err(_)) => break false,
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                let room = MAX_REPLY - body.len();
                body.extend_from_slice(&data[..data.len().min(room)]);
                if data.len() > room {
                    break false;
                }
            }
        }
    };
    let client = used.client;
    if is_whole {
        *connection = Some(used);
    }
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: body.freeze(),
        client,
    })
}

/// hyper's own text says little; the operating system's gives the reason.
fn innermost(error: &hyper::Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string)
}
