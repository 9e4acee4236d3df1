//! Which configurations are refused, how keys are replaced while serving, and what is counted when a request is cut short.

use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use ::bytes::Bytes;
use bytesize::ByteSize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::journal::AppendError;
use crate::telemetry::Registry;

struct Nowhere;

impl Append for Nowhere {
    type Commit = Ready<Result<u64, AppendError>>;

    fn append(&self, _: Vec<u8>, _: Bytes) -> Result<Self::Commit, AppendError> {
        Ok(ready(Err(AppendError::Closed)))
    }
}

fn source(name: &str, path: &str) -> SourceConfig {
    SourceConfig {
        name: name.into(),
        path: path.into(),
        verify: Verify::None,
        keys: Vec::new(),
        ..SourceConfig::default()
    }
}

fn build(sources: &[SourceConfig]) -> Result<Table, IngestError> {
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let budget = Budget::new(1 << 20, metrics.body_bytes.clone());
    Table::new(&ListenConfig::default(), sources, &budget, &metrics, None)
}

#[test]
fn sources_that_are_ambiguous_or_unreachable_are_refused_by_name() {
    let check_sources = |sources: &[SourceConfig]| build(sources).map(drop);
    let good = [
        source("retell", "/webhook"),
        source("agent-2_x", "/agents/2"),
    ];
    assert!(check_sources(&good).is_ok());
    assert!(matches!(check_sources(&[]), Err(IngestError::NoSource)));
    for name in ["", "Retell", "a b", "é", &"a".repeat(65)] {
        let refused = check_sources(&[source(name, "/")]);
        assert!(matches!(refused, Err(IngestError::Name { .. })), "{name}");
    }
    for path in ["", "webhook", "/a?b", "/a#b", "/a b", "/é"] {
        let refused = check_sources(&[source("a", path)]);
        assert!(matches!(refused, Err(IngestError::Path { .. })), "{path}");
    }
    let refused = check_sources(&[source("a", "/a"), source("a", "/b")]);
    assert!(matches!(refused, Err(IngestError::DuplicateName { .. })));
    let refused = check_sources(&[source("a", "/a"), source("b", "/a")]);
    assert!(matches!(refused, Err(IngestError::DuplicatePath { .. })));
    let mut bad = source("a", "/a");
    bad.key_pointers = Some(vec!["/x".into(), "y".into()]);
    let text = check_sources(&[bad]).unwrap_err().to_string();
    assert!(text.contains("\"a\"") && text.contains("\"y\""), "{text}");
    let mut keyless = source("a", "/a");
    keyless.verify = Verify::Retell;
    let refused = check_sources(&[keyless]);
    assert!(matches!(refused, Err(IngestError::Key { .. })));
}

fn read<T: crate::settings::SettingValue + Default>(text: &str) -> Option<T> {
    let none = std::collections::BTreeMap::new;
    let (value, errors) = crate::settings::decode(text.parse().unwrap(), &none(), &none());
    Some(value).filter(|_| errors.is_empty())
}

#[test]
fn a_source_has_one_path_or_a_list_and_a_slash_at_the_end_makes_no_difference() {
    let with_path = |path: &str| {
        let text = format!("name = \"a\"\npath = {path}\nverify = \"none\"");
        read::<SourceConfig>(&text)
    };
    for wrong in ["[]", "7", "[7]", "{ a = 1 }"] {
        assert!(with_path(wrong).is_none(), "{wrong}");
    }
    let one = with_path("\"/a\"").unwrap();
    assert!(one.path.iter().eq(["/a"]));
    let two = with_path("[\"/b\", \"/c/\", \"/b\"]").unwrap();
    assert!(two.path.iter().eq(["/b", "/c/", "/b"]));
    assert!(two.path.contains("/b/") && two.path.contains("/c") && !two.path.contains("/c//"));
    // A path as it is configured comes before the variant of another.
    let sources = [
        one,
        SourceConfig {
            name: "b".into(),
            ..two
        },
        source("c", "/a/"),
    ];
    let Table { routes, .. } = build(&sources).unwrap();
    let served = [
        ("/a", 0),
        ("/b", 1),
        ("/b/", 1),
        ("/c", 1),
        ("/c/", 1),
        ("/a/", 2),
    ];
    for (path, index) in served {
        assert_eq!(routes[path], index, "{path}");
    }
    assert_eq!(routes.len(), served.len());
    let refused = build(&[sources[1].clone(), source("c", "/b")]);
    assert!(matches!(refused, Err(IngestError::DuplicatePath { .. })));
}

#[test]
fn how_to_verify_has_no_default() {
    let spelled = "name = \"a\"\npath = \"/\"\nverify = \"none\"";
    assert!(read::<SourceConfig>(spelled).is_some());
    assert!(read::<SourceConfig>("name = \"a\"\npath = \"/\"").is_none());
    assert!(read::<SourceConfig>(&format!("{spelled}\nkey = 1")).is_none());
    let listen: ListenConfig = read("max_body = \"1MiB\"\nbody_timeout = \"3s\"").unwrap();
    assert_eq!(listen.max_body, ByteSize::mib(1));
    assert_eq!(listen.body_timeout, Duration::from_secs(3));
}

#[test]
fn everything_that_is_wrong_with_a_source_is_reported_at_once_by_its_key() {
    let unset = |name: &str| KeyConfig {
        env: Some(name.to_owned()),
        ..KeyConfig::default()
    };
    let bad = SourceConfig {
        verify: Verify::Retell,
        keys: vec![
            unset("RINGBACK_TEST_NEVER_SET"),
            unset("PATH"),
            KeyConfig::default(),
        ],
        key_pointers: Some(vec!["y".into(), "/ok".into(), "/~2".into()]),
        ..source("A", "a")
    };
    let faults = source_faults(&bad);
    let keys: Vec<_> = faults.iter().map(|fault| fault.key(1)).collect();
    let expected = [
        "name",
        "path",
        "key_pointers",
        "key_pointers",
        "keys.0",
        "keys.2",
    ];
    assert_eq!(keys, expected.map(|key| format!("source.1.{key}")));
    let without_keys = SourceConfig {
        verify: Verify::Retell,
        ..source("a", "/a")
    };
    let faults = source_faults(&without_keys);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].key(0), "source.0.keys");
}

#[test]
fn a_reload_that_fails_keeps_every_old_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "first\n").unwrap();
    let mut config = source("retell", "/webhook");
    config.verify = Verify::Retell;
    config.keys = vec![KeyConfig {
        env: None,
        file: Some(file.clone()),
        name: None,
    }];
    let sources = [config];
    let registry = crate::telemetry::Registry::new();
    let metrics = Metrics::register(&registry).unwrap();
    let listen = ListenConfig::default();
    let ingest = Ingest::new(&listen, &sources, Nowhere, metrics).unwrap();
    let verdict = |secret: &str| {
        let (mut headers, uri) = (http::HeaderMap::new(), http::Uri::default());
        headers.insert(
            "x-retell-signature",
            sign(secret, b"body", 7).parse().unwrap(),
        );
        let request = super::scheme::UnverifiedRequest {
            headers: &headers,
            uri: &uri,
            body: b"body",
        };
        ingest.ingress.table.load().sources[0]
            .authenticator
            .authenticate(&request, 7)
    };
    assert_eq!(verdict("first"), Ok(Some(0)));
    assert_eq!(verdict("second"), Err(AuthenticateError::Mismatch));
    for bad in ["\n", "\"second\"", "\u{feff}second", "sec\nond"] {
        std::fs::write(&file, bad).unwrap();
        assert!(ingest.prepare(&listen, &sources).is_err(), "{bad:?}");
        assert_eq!(verdict("first"), Ok(Some(0)));
    }
    std::fs::write(&file, "second").unwrap();
    let prepared = ingest.prepare(&listen, &sources).unwrap();
    assert_eq!(verdict("first"), Ok(Some(0)));
    prepared.open();
    assert_eq!(verdict("first"), Err(AuthenticateError::Mismatch));
    assert_eq!(verdict("second"), Ok(Some(0)));
}

fn sign(secret: &str, body: &[u8], timestamp_ms: u64) -> String {
    use hmac::{KeyInit as _, Mac as _};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    mac.update(timestamp_ms.to_string().as_bytes());
    format!(
        "v={timestamp_ms},d={}",
        hex::encode(mac.finalize().into_bytes())
    )
}

/// A journal whose commits wait for the test, or whose append panics.
#[derive(Clone, Default)]
struct Scripted {
    panics: bool,
    commits: Arc<Mutex<Vec<oneshot::Sender<()>>>>,
}

impl Append for Scripted {
    type Commit = Pin<Box<dyn Future<Output = Result<u64, AppendError>> + Send>>;

    fn append(&self, _: Vec<u8>, _: Bytes) -> Result<Self::Commit, AppendError> {
        assert!(!self.panics, "as the test asked for");
        let (commit, committed) = oneshot::channel();
        self.commits.lock().unwrap().push(commit);
        Ok(Box::pin(async {
            committed.await.map_err(|_| AppendError::Closed)?;
            Ok(0)
        }))
    }
}

/// A relay in this process, over a scripted journal.
struct Relay {
    address: SocketAddr,
    registry: Registry,
    server: JoinHandle<std::io::Result<()>>,
}

impl Relay {
    async fn start(journal: Scripted, commit_timeout: Duration) -> Self {
        let sources = [source("open", "/open")];
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let listen = ListenConfig {
            commit_timeout,
            ..ListenConfig::default()
        };
        let ingest = Ingest::new(&listen, &sources, journal, metrics).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, ingest, std::future::pending()));
        Self {
            address,
            registry,
            server,
        }
    }

    /// Sends an event on a connection of its own.
    async fn post(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let event = "{\"event\":\"call_ended\"}";
        let length = event.len();
        let head = format!("POST /open HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n\r\n");
        stream
            .write_all(format!("{head}{event}").as_bytes())
            .await
            .unwrap();
        stream
    }

    /// The sum of the family's children that have this label value.
    fn count(&self, family: &str, label: &str) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|known| known.name() == family);
        let children = family.unwrap().get_metric().iter();
        let sum: f64 = children
            .filter(|child| child.get_label().iter().any(|pair| pair.value() == label))
            .map(|child| child.get_counter().get_value())
            .sum();
        sum.to_string().parse().unwrap()
    }

    async fn await_count(&self, family: &str, label: &str, count: u64) {
        while self.count(family, label) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(self.count(family, label), count);
    }
}

#[tokio::test]
async fn a_panic_is_answered_503_and_counted_under_its_source() {
    let journal = Scripted {
        panics: true,
        ..Scripted::default()
    };
    let relay = Relay::start(journal, Duration::from_mins(1)).await;
    let mut answer = String::new();
    relay
        .post()
        .await
        .read_to_string(&mut answer)
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert_eq!(relay.count("http_rejections_total", "panic"), 1);
    assert_eq!(relay.count("http_requests_total", "503"), 1);
    assert_eq!(relay.count("http_rejections_total", "client_gone"), 0);
    assert_eq!(relay.count("http_rejections_total", "open"), 1);
}

#[tokio::test]
async fn an_event_is_counted_at_its_commit_whether_or_not_somebody_waits_for_it() {
    let journal = Scripted::default();
    let relay = Relay::start(journal.clone(), Duration::from_millis(20)).await;
    let mut stream = relay.post().await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
    assert_eq!(relay.count("events_accepted_total", "call_ended"), 0);
    let commit = journal.commits.lock().unwrap().pop().unwrap();
    commit.send(()).unwrap();
    relay
        .await_count("events_accepted_total", "call_ended", 1)
        .await;

    let relay = Relay::start(journal.clone(), Duration::from_mins(1)).await;
    let _stream = relay.post().await;
    while journal.commits.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Drops the request as a client that leaves does.
    relay.server.abort();
    relay
        .await_count("http_rejections_total", "client_gone", 1)
        .await;
    assert_eq!(relay.count("events_accepted_total", "call_ended"), 0);
    let commit = journal.commits.lock().unwrap().pop().unwrap();
    commit.send(()).unwrap();
    relay
        .await_count("events_accepted_total", "call_ended", 1)
        .await;
    assert_eq!(relay.count("events_without_key_total", "open"), 1);
}
