//! Webhooks over TLS: the same contract on the same port, and nothing that a handshake could take from other senders.
//!
//! The clients are rustls and OpenSSL; `tests/tls/check` has `openssl s_client`, curl, Python and Node.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use openssl::ssl::{HandshakeError, SslConnector, SslMethod, SslVersion};
use openssl::x509::X509;
use tokio_rustls::TlsConnector;

use crate::support::certificates::{Authority, Files, patient, server_name};
use crate::support::mock_kafka::MockKafka;
use crate::support::server::{KEY, PATIENCE, Server, post, raise_descriptor_limit, until_closed};

const EVENT: &[u8] = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;
const ACCEPTED: &str = "HTTP/1.1 204 No Content";
const CLOSE: &str = "Connection: close\r\n";

/// A relay over TLS, and the authority of its certificate.
struct Relay {
    server: Server,
    authority: Authority,
    _folder: tempfile::TempDir,
}

impl Relay {
    /// With these additional lines in `[listen]`.
    fn start(listen: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = Authority::new();
        let files = Files::in_folder(folder.path());
        authority.write(&files);
        let listen = format!("{}\n{listen}", files.setting());
        Self {
            server: Server::start(&listen, ""),
            authority,
            _folder: folder,
        }
    }

    fn tcp(&self) -> TcpStream {
        patient(self.server.connect())
    }

    fn connect(&self) -> impl Read + Write + use<> {
        self.authority.connect(self.tcp())
    }
}

/// Reads a head; gives its first line.
fn answer(stream: &mut impl Read) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("it is answered");
        answer.push(byte[0]);
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.lines().next().unwrap_or_default().to_owned()
}

/// Posts an event on a connection that stays open; gives the answer's status line.
fn post_on(stream: &mut (impl Read + Write)) -> String {
    let request = post("/open", "", EVENT);
    stream.write_all(&request).expect("the connection is open");
    answer(stream)
}

#[test]
fn tls_1_2_and_1_3_are_accepted_and_1_1_is_not() {
    let relay = Relay::start("");
    let connect = |version| {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("OpenSSL");
        let authority = X509::from_pem(&relay.authority.pem()).expect("a certificate");
        let store = builder.cert_store_mut();
        store.add_cert(authority).expect("it is added");
        // OpenSSL's own rules would not even offer the old versions.
        builder.set_security_level(0);
        let only = builder.set_min_proto_version(Some(version));
        only.expect("OpenSSL has it");
        let only = builder.set_max_proto_version(Some(version));
        only.expect("OpenSSL has it");
        builder.build().connect("localhost", relay.tcp())
    };
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let mut stream = connect(version).expect("it connects");
        assert_eq!(stream.ssl().version2(), Some(version));
        assert_eq!(post_on(&mut stream), ACCEPTED);
    }
    for version in [SslVersion::TLS1, SslVersion::TLS1_1] {
        let refused = connect(version);
        assert!(matches!(refused, Err(HandshakeError::Failure(_))));
    }
    relay.server.await_refused("", "tls_incompatible", 2.0);
    let line = relay.server.logged("\"reason\":\"tls_incompatible\"");
    assert!(line.contains("ringback takes TLS 1.2 and 1.3"), "{line}");
}

#[test]
fn http_2_is_chosen_by_alpn_and_http_1_1_without_it() {
    let relay = Relay::start("");
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().expect("a runtime");
    let exchange = async {
        let connect = async |protocols: &[&str]| {
            let stream = tokio::net::TcpStream::connect(relay.server.address).await;
            let connector = TlsConnector::from(relay.authority.client(protocols));
            let stream = stream.expect("it listens");
            connector.connect(server_name(), stream).await
        };
        let stream = connect(&["h2", "http/1.1"]).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("the relay speaks HTTP/2");
        let connection = tokio::spawn(connection);
        for _ in 0..20 {
            let request = Request::post("https://localhost/open");
            let request = request.body(Full::new(Bytes::from_static(EVENT)));
            let answer = sender.send_request(request.expect("a request")).await;
            let answer = answer.expect("it is answered");
            assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        }
        drop(sender);
        let ended = connection.await.expect("no panic");
        assert!(ended.is_ok(), "{ended:?}");
        let stream = connect(&["http/1.1"]).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert!(connect(&["acme-tls/1"]).await.is_err());
    };
    let bounded = async { tokio::time::timeout(PATIENCE, exchange).await };
    { runtime.block_on(bounded) }.expect("nothing here takes that long");
    relay.server.await_refused("", "tls_incompatible", 1.0);
    assert_eq!(post_on(&mut relay.connect()), ACCEPTED);
}

#[test]
fn a_client_without_tls_reads_a_400_and_what_is_neither_is_closed() {
    let relay = Relay::start("");
    for request in [
        &post("/open", "", EVENT)[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = relay.server.exchange(request);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.ends_with("to an https:// address.\n"), "{answer}");
        let length = answer.split("\r\n\r\n").nth(1).expect("a body").len();
        assert!(answer.contains(&format!("Content-Length: {length}\r\n")));
    }
    relay.server.await_refused("", "tls_plaintext", 2.0);
    let line = relay.server.logged("\"reason\":\"tls_plaintext\"");
    assert!(line.contains("have the sender post to https://"), "{line}");
    relay.server.exchange(&[0; 100]);
    relay.server.await_refused("", "tls_failed", 1.0);
    relay.server.logged("\"reason\":\"tls_failed\"");
    // A load balancer that only looks whether the port is open has done nothing wrong.
    drop(relay.tcp());
    assert_eq!(post_on(&mut relay.connect()), ACCEPTED);
    assert_eq!(relay.server.refused("", "tls_failed"), 1.0);
}

#[test]
fn a_client_that_does_not_trust_the_certificate_is_reported_with_what_to_look_at() {
    let relay = Relay::start("");
    let mut stranger = Authority::new().connect(relay.tcp());
    assert!(stranger.write_all(EVENT).is_err());
    relay.server.await_refused("", "tls_distrusted", 1.0);
    let line = relay.server.logged("\"reason\":\"tls_distrusted\"");
    assert!(line.contains("does not trust the certificate"), "{line}");
    assert!(line.contains("\"client\":\"127.0.0.1\""), "{line}");
    // As a client does that looks at the certificate only when the handshake is over.
    let mut unused = relay.authority.connect(relay.tcp());
    let handshake = unused.conn.complete_io(&mut unused.sock);
    handshake.expect("a handshake");
    drop(unused);
    relay.server.await_refused("", "tls_unused", 1.0);
    relay
        .server
        .logged("left after the TLS handshake, without a request");
    let page = relay.server.admin("/readyz?verbose");
    assert!(
        page.contains("tls ok, the certificate is valid until"),
        "{page}"
    );
}

#[test]
fn a_handshake_has_no_more_time_than_a_head() {
    let relay = Relay::start("header_timeout = \"1s\"");
    let mut silent = relay.tcp();
    let mut begun = relay.tcp();
    // The header of a record that never comes.
    begun.write_all(&[22, 3, 1, 2, 0]).expect("it is sent");
    for stream in [&mut silent, &mut begun] {
        assert_eq!(until_closed(stream), "");
    }
    relay.server.await_refused("", "header_timeout", 1.0);
    relay.server.await_refused("", "tls_timeout", 1.0);
    // The handshake's time is a part of the first head's.
    let mut idle = relay.authority.connect(relay.tcp());
    let handshake = idle.conn.complete_io(&mut idle.sock);
    handshake.expect("a handshake");
    assert_ne!(idle.read(&mut [0]).ok(), Some(1));
    relay.server.await_refused("", "header_timeout", 2.0);
}

#[test]
fn an_unfinished_handshake_gives_way_to_a_new_connection_and_that_is_no_rejection() {
    let relay = Relay::start("max_connections = 1\nheader_timeout = \"60s\"");
    let mut begun = relay.tcp();
    begun.write_all(&[22, 3, 1, 2, 0]).expect("it is sent");
    assert_eq!(post_on(&mut relay.connect()), ACCEPTED);
    assert_eq!(until_closed(&mut begun), "");
    assert_eq!(relay.server.refused("", "tls_timeout"), 0.0);
    assert_eq!(relay.server.refused("", "header_timeout"), 0.0);
}

#[test]
fn a_client_that_sends_all_of_a_refused_body_reads_the_answer() {
    let relay = Relay::start("max_body = \"64KiB\"");
    let mut stream = relay.connect();
    let body = vec![b' '; 9 * 1024 * 1024];
    let request = post("/open", "", &body);
    stream
        .write_all(&request)
        .expect("the relay reads all of it");
    let mut answer = String::new();
    // The end is announced, as TLS requires, so that nobody can cut an answer short.
    stream.read_to_string(&mut answer).expect("an orderly end");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[test]
fn a_client_that_never_reads_is_cut_off() {
    let relay = Relay::start("header_timeout = \"1s\"\nidle_timeout = \"1h\"");
    let mut stream = relay.connect();
    let requests = post("/nowhere", "", b"").repeat(1000);
    let deadline = Instant::now() + PATIENCE;
    while stream.write_all(&requests).is_ok() {
        assert!(Instant::now() < deadline, "it goes on reading");
    }
    // Its answers stall, and so does its next head.
    let closed = || {
        let reasons = ["write_timeout", "header_timeout"].into_iter();
        reasons
            .map(|reason| relay.server.refused("", reason))
            .sum::<f64>()
    };
    while closed() < 1.0 {
        assert!(Instant::now() < deadline, "never counted");
    }
}

#[test]
fn shutdown_answers_a_running_request_and_then_closes_the_connection() {
    let relay = Relay::start("");
    let (mut running, mut waiting) = (relay.connect(), relay.connect());
    assert_eq!(post_on(&mut waiting), ACCEPTED);
    let request = post("/open", CLOSE, EVENT);
    running
        .write_all(&request[..request.len() - 1])
        .expect("most is sent");
    running.flush().expect("it is sent");
    while relay.server.sample("ringback_http_body_bytes") < 10.0 {
        std::thread::yield_now();
    }
    relay.server.terminate();
    assert_eq!(waiting.read(&mut [0]).expect("an orderly end"), 0);
    running
        .write_all(&request[request.len() - 1..])
        .expect("the rest");
    assert_eq!(answer(&mut running), ACCEPTED);
    assert_eq!(relay.server.wait().code(), Some(0));
}

#[test]
fn a_thousand_handshakes_that_never_end_take_nothing_from_good_senders() {
    raise_descriptor_limit();
    // Fewer connections than hostile clients, so that these compete with the good ones for each.
    let relay = Relay::start("max_connections = 200\nheader_timeout = \"60s\"");
    let mut good: Vec<_> = (0..20).map(|_| relay.connect()).collect();
    let mut hostile = Vec::new();
    for round in 0..50 {
        for _ in 0..20 {
            let mut stream = relay.tcp();
            // Closed at once if the relay needs its place.
            let _ = stream.write_all(&[22, 3, 1, 2, 0, 1]);
            hostile.push(stream);
        }
        for stream in &mut good {
            assert_eq!(post_on(stream), ACCEPTED, "round {round}");
        }
        assert_eq!(post_on(&mut relay.connect()), ACCEPTED, "round {round}");
    }
    assert_eq!(hostile.len(), 1000);
    // No good connection was closed, and at most one more than permitted was accepted, to make room for it.
    assert!(relay.server.sample("ringback_http_connections") <= 201.0);
}

#[test]
fn with_more_clients_than_connections_each_finishes_its_handshake_and_is_answered() {
    let relay = Relay::start("max_connections = 4\nheader_timeout = \"60s\"");
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let mut stream = relay.connect();
                let request = post("/open", CLOSE, EVENT);
                stream.write_all(&request).expect("the connection is open");
                assert_eq!(answer(&mut stream), ACCEPTED);
            });
        }
    });
}

#[test]
fn a_flood_of_key_updates_is_cut_off() {
    let relay = Relay::start("header_timeout = \"60s\"");
    let mut stream = relay.authority.connect(relay.tcp());
    assert_eq!(post_on(&mut stream), ACCEPTED);
    // Each asks the relay for new keys of its own, which an honest client does after gigabytes.
    let deadline = Instant::now() + PATIENCE;
    loop {
        stream.conn.refresh_traffic_keys().expect("TLS 1.3");
        if stream.conn.complete_io(&mut stream.sock).is_err() {
            break;
        }
        assert!(Instant::now() < deadline, "all of them are answered");
    }
    assert_eq!(post_on(&mut relay.connect()), ACCEPTED);
}

#[test]
fn prove_posts_over_tls_and_trusts_only_the_certificate_of_the_relay_s_configuration() {
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files = Files::in_folder(folder.path());
    let authority = Authority::new();
    authority.write(&files);
    let listen = files.setting();
    let server = Server::start_in(folder.path(), &kafka.bootstrap, &listen, "");
    let config = folder.path().join("ringback.toml");
    let prove = || {
        let output = Command::new(env!("CARGO_BIN_EXE_ringback"))
            .args(["prove", "--duration", "1s", "--rate", "50"])
            .args(["--calls", "4", "--size", "600B", "--json", "--config"])
            .arg(&config)
            .env("RETELL_API_KEY", KEY)
            .output();
        output.expect("the binary runs")
    };
    let text = std::fs::read_to_string(&config).expect("it was written");
    let address = format!("address = \"{}\"", server.address);
    let text = text.replacen("address = \"127.0.0.1:0\"", &address, 1);
    std::fs::write(&config, text).expect("it can be written");
    let output = prove();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let url = format!("https://{}/webhook", server.address);
    assert!(errors.contains(&url), "{errors}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["kept"], true, "{report}");
    assert!(report["acknowledged"].as_u64() > Some(40), "{report}");

    // The relay still has the former one.
    authority.server((-1, 7)).write_certificate(&files);
    let output = prove();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("nothing was acknowledged"), "{errors}");
}
