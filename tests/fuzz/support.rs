//! What the targets share: one source over a journal that keeps nothing, and a client on a socket.

pub mod oracle;

use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use ringback::config::{Config, Environment};
use ringback::event::Event;
use ringback::ingest::{Append, Ingest, Metrics};
use ringback::journal::AppendError;
use ringback::telemetry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No answer takes this long. It exceeds what a busy machine adds, and is below libFuzzer's own limit for one input.
const PATIENCE: Duration = Duration::from_secs(20);

/// Syncs at once, and checks what would be written: only what can be read again may be acknowledged.
pub struct Checked;

impl Append for Checked {
    type Commit = Ready<Result<u64, AppendError>>;

    fn append(&self, head: Vec<u8>, body: Bytes) -> Result<Self::Commit, AppendError> {
        let event = Event::decode_parts(&head, &body).expect("ringback reads what it writes");
        assert_eq!(event.body, &body[..], "the body is the sender's");
        for text in [
            event.id,
            event.content_type,
            event.traceparent,
            event.tracestate,
        ] {
            // They become headers of a record, and consumers put those into headers and logs of their own.
            assert!(
                !text.contains(['\r', '\n', '\0']),
                "{text:?} can be injected"
            );
        }
        Ok(ready(Ok(0)))
    }
}

/// The ingest side with this configuration of its one source, and with `listen` as lines of `[listen]`.
pub fn ingest(source: &str, listen: &str) -> Ingest<Checked> {
    let text = format!(
        "[listen]\n{listen}\n[kafka]\ntopic = \"t\"\nclient.\"bootstrap.servers\" = \"k:9092\"\n\
         [[source]]\nname = \"s\"\npath = \"/\"\n{source}"
    );
    let config = Config::parse(&text, "target", &Environment::default());
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    let metrics = Metrics::register(&Registry::new()).expect("fresh metrics");
    let ingest = Ingest::new(&config.listen, &config.source, Checked, metrics);
    ingest.unwrap_or_else(|error| panic!("{}", ringback::telemetry::chain(&error)))
}

/// Sends `bytes`, then the end, and reads until the other side closes.
pub async fn exchange(server: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let talk = async {
        let mut stream = TcpStream::connect(server).await.expect("it listens");
        let mut answer = Vec::new();
        let (mut from, mut to) = stream.split();
        let send = async {
            // The server may close the connection before everything is sent.
            if to.write_all(bytes).await.is_ok() {
                let _ = to.shutdown().await;
            }
        };
        let receive = from.read_to_end(&mut answer);
        let _ = tokio::join!(send, receive);
        answer
    };
    let answer = tokio::time::timeout(PATIENCE, talk).await;
    answer.expect("the connection is closed: its client has sent everything")
}
