//! An HTTP client that posts one event after the other on one kept-alive connection, signed as Retell signs.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::either::Either;

use super::webhook_url::WebhookUrl;
use crate::time::now_ms;

/// How long Retell waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a reply's body that are read, so that the connection can be used again; a longer body closes it.
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
    /// The key or the address cannot be made into a header.
    #[error("cannot make the request")]
    Request(#[from] http::Error),
}

/// Posts to one URL on one connection, and connects again when that has ended.
pub struct WebhookClient {
    url: Arc<WebhookUrl>,
    key: Option<SecretString>,
    tls: Option<TlsConnector>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl WebhookClient {
    /// Connects at the first post, over TLS if there is a connector. Without a key the events are not signed.
    pub fn new(url: Arc<WebhookUrl>, key: Option<SecretString>, tls: Option<TlsConnector>) -> Self {
        Self {
            url,
            key,
            tls,
            connection: None,
        }
    }

    /// Posts once and returns the reply's status code.
    pub async fn post(&mut self, body: &Bytes) -> Result<u16, PostError> {
        // Taken out, so that a connection with an unfinished reply is closed and never used again.
        let mut connection = self.connection.take();
        let exchange = self.exchange(&mut connection, body);
        let status = tokio::time::timeout(TIMEOUT, exchange)
            .await
            .map_err(|_| PostError::Late)??;
        self.connection = connection;
        Ok(status)
    }

    async fn exchange(
        &self,
        connection: &mut Option<SendRequest<Full<Bytes>>>,
        body: &Bytes,
    ) -> Result<u16, PostError> {
        let mut request = self.request(body)?;
        if let Some(mut kept) = connection.take().filter(SendRequest::is_ready) {
            match kept.try_send_request(request).await {
                Ok(reply) => return finish(reply, kept, connection).await,
                // The relay had closed the idle connection before any of the request was sent: not an attempt yet.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(PostError::Broken(error.into_error())),
                },
            }
        }
        let mut fresh = self.connect().await?;
        let reply = fresh.send_request(request).await;
        finish(reply.map_err(PostError::Broken)?, fresh, connection).await
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, PostError> {
        let address = (self.url.host.as_str(), self.url.port);
        let stream = TcpStream::connect(address)
            .await
            .map_err(PostError::Connect)?;
        stream.set_nodelay(true).map_err(PostError::Connect)?;
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
        Ok(sender)
    }

    fn request(&self, body: &Bytes) -> Result<http::Request<Full<Bytes>>, PostError> {
        let mut request = http::Request::post(&self.url.path)
            .header(http::header::HOST, &self.url.authority)
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(
                http::header::USER_AGENT,
                concat!("ringback-prove/", env!("CARGO_PKG_VERSION")),
            );
        if let Some(key) = &self.key {
            request = request.header("x-retell-signature", sign(key, now_ms(), body));
        }
        Ok(request.body(Full::new(body.clone()))?)
    }
}

/// Reads the reply to its end, and keeps the connection if that succeeds.
async fn finish(
    reply: http::Response<hyper::body::Incoming>,
    used: SendRequest<Full<Bytes>>,
    connection: &mut Option<SendRequest<Full<Bytes>>>,
) -> Result<u16, PostError> {
    let status = reply.status().as_u16();
    // The status decides; an error after it only ends the connection.
    if Limited::new(reply.into_body(), MAX_REPLY)
        .collect()
        .await
        .is_ok()
    {
        *connection = Some(used);
    }
    Ok(status)
}

/// `v=<unix ms>,d=<hex>`: HMAC-SHA256 over the body and the digits, Retell's own scheme.
fn sign(key: &SecretString, unix_ms: u64, body: &[u8]) -> String {
    let digits = unix_ms.to_string();
    // HMAC takes a key of any length; the error is the trait's, for other algorithms.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()) else {
        return String::new();
    };
    mac.update(body);
    mac.update(digits.as_bytes());
    format!("v={digits},d={}", hex::encode(mac.finalize().into_bytes()))
}

/// hyper's own text says little; the operating system's gives the reason.
fn innermost(error: &hyper::Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_equals_the_sender_s_own() {
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/");
        let vectors = std::fs::read(format!("{fixtures}retell-signatures.json")).unwrap();
        let vectors: Vec<serde_json::Value> = serde_json::from_slice(&vectors).unwrap();
        assert_eq!(vectors.len(), 3);
        for vector in vectors {
            let body = match vector["body_file"].as_str() {
                Some(name) => std::fs::read(format!("{fixtures}{name}")).unwrap(),
                None => vector["body"].as_str().unwrap().as_bytes().to_vec(),
            };
            let key = SecretString::from(vector["key"].as_str().unwrap());
            let time = vector["timestamp_ms"].as_u64().unwrap();
            assert_eq!(sign(&key, time, &body), vector["header"].as_str().unwrap());
        }
    }
}
