//! The status page: what it says of a relay that works, of one that does not, and what it never shows.

mod html;

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::mock_kafka::MockKafka;
use crate::support::server::{
    KEY, PATIENCE, Server, now_ms, post, signature, until_closed, write_config,
};

const EVENT: &[u8] = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;
const CLOSE: &str = "Connection: close\r\n";

/// The page's text without its markup, once it is found to be well-formed.
fn page(server: &Server) -> String {
    let answer = server.admin("/");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let (_, page) = answer.split_once("\r\n\r\n").expect("a head and a body");
    html::text(page)
}

/// Waits until the page has these words; gives it.
pub fn await_words(server: &Server, words: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = page(server);
        if page.contains(words) {
            return page;
        }
        assert!(Instant::now() < deadline, "no {words:?} in {page}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn has(page: &str, words: &str) {
    assert!(page.contains(words), "no {words:?} in {page}");
}

/// Changes the configuration in `folder` before a relay starts with it.
fn configure(folder: &Path, bootstrap: &str, from: &str, to: &str) -> Server {
    let config = write_config(folder, bootstrap, "", "");
    let text = fs::read_to_string(&config).expect("it was written");
    assert!(text.contains(from), "{text}");
    fs::write(&config, text.replace(from, to)).expect("it can be written");
    Server::start_with(&config)
}

#[test]
fn a_relay_that_works_says_so_with_its_sources_keys_and_counts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kafka = MockKafka::start();
    let server = Server::start_in(folder.path(), &kafka.bootstrap, "", "");
    for _ in 0..3 {
        assert_eq!(server.post(EVENT), 204);
    }
    let signed = signature(KEY, now_ms(), EVENT) + CLOSE;
    let answer = server.exchange(&post("/webhook", &signed, EVENT));
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    kafka.read(4);
    await_words(&server, "4 events delivered");
    let page = await_words(&server, "1 of 1 broker connected");
    has(&page, "Webhooks: Answering ok");
    has(&page, "4 accepted, last ");
    has(&page, "Kafka: Delivering ok");
    has(&page, "no event waits");
    has(&page, "Journal: Has room ok");
    has(&page, "of 512.0 MiB used");
    has(&page, "room for an outage of ");
    // Name, path, scheme, keys, and what was accepted recently and in all.
    has(&page, "open /open none: anybody may post 3 3");
    has(&page, "retell /webhook retell key 0 (1) 1 1");
    has(&page, "Nothing has been refused since the start.");
    has(&page, "retell-events (1 partition)");
    has(&page, env!("CARGO_PKG_VERSION"));
}

#[test]
fn what_is_wrong_with_kafka_is_said_in_words_while_webhooks_are_answered() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start_in(folder.path(), "127.0.0.1:1", "", "");
    assert_eq!(server.post(EVENT), 204);
    let page = await_words(
        &server,
        "Kafka: Not as it should be attention no broker is connected: 127.0.0.1:1",
    );
    has(&page, "Webhooks: Answering ok");
    has(&page, "1 event waiting, the oldest for ");
    has(&page, "kafka attention no broker is connected: 127.0.0.1:1");
}

#[test]
fn a_full_journal_and_a_shutdown_are_said_first() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let journal = "segment_size = \"1MiB\"\nbudget = \"4MiB\"";
    let listen = "max_body = \"64KiB\"\nmax_in_flight = \"64KiB\"";
    let config = write_config(folder.path(), "127.0.0.1:1", listen, journal);
    let text = fs::read_to_string(&config).expect("it was written");
    let text = text.replace("readiness_delay = \"0s\"", "readiness_delay = \"60s\"");
    fs::write(&config, text).expect("it can be written");
    let server = Server::start_with(&config);
    let body = [EVENT, &b" ".repeat(60_000)].concat();
    while server.post(&body) != 503 {}
    let page = await_words(&server, "Webhooks: Refusing events failing ");
    has(&page, "1 request answered 503");
    has(&page, "Journal: Full failing");
    has(&page, "of 4.0 MiB used");
    has(&page, "journal_full open 1 1 the journal's budget");
    server.terminate();
    let page = await_words(&server, "Webhooks: Not ready failing shutting down");
    has(&page, "process failing shutting down");
}

#[test]
fn refusals_are_shown_with_what_to_do_and_nothing_of_the_requests_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let proxies = "trusted_proxies = [\"127.0.0.0/8\"]";
    let server = Server::start_in(folder.path(), "127.0.0.1:1", proxies, "");
    let body = br#"{"event":"bodymarker","call":{"call_id":"bodymarker"}}"#;
    let more = format!("X-Forwarded-For: 100.20.5.228\r\nX-Marker: headermarker\r\n{CLOSE}");
    let forged = signature("another key", now_ms(), body) + &more;
    let genuine = signature(KEY, now_ms(), body) + &more;
    for (path, header, status) in [
        ("/webhook", &forged, 401),
        ("/webhook", &forged, 401),
        ("/webhook", &genuine, 204),
        ("/open", &more, 204),
        ("/pathmarker?querymarker", &more, 404),
    ] {
        let answer = server.exchange(&post(path, header, body));
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    let page = await_words(&server, "retell: 2 of 3 signatures refused");
    has(
        &page,
        "signature_mismatch retell 2 2 another key than the source's",
    );
    has(&page, "only the API key with Retell's webhook badge");
    has(&page, "unknown_path none 1 1 no source has the path");
    let answers = ["/", "/look.css", "/style.css", "/refresh.js"].map(|path| server.admin(path));
    let answers = answers.concat();
    for secret in ["marker", "100.20.5.228", KEY] {
        assert!(!answers.contains(secret), "{answers}");
    }
}

#[test]
fn names_are_escaped_and_a_reloaded_configuration_is_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let hostile = r#"path = "/open/<script>alert('&amp;')</script>""#;
    let from = r#"path = "/open""#;
    let server = configure(folder.path(), "127.0.0.1:1", from, hostile);
    let answer = server.admin("/");
    let escaped = "/open/&lt;script&gt;alert('&amp;amp;')&lt;/script&gt;";
    assert!(answer.contains(escaped), "{answer}");
    assert!(!answer.contains("alert('&amp;')"), "{answer}");
    has(
        &page(&server),
        "open /open/<script>alert('&amp;')</script> none",
    );
    has(&page(&server), "changes taken: 0, refused: 0");

    fs::write(
        folder.path().join("more.toml"),
        "[[source]]\nname = \"third\"\npath = [\"/a\", \"/b\"]\nverify = \"github\"\n\
         keys = [{ env = \"RETELL_API_KEY\", name = \"2026\" }]\n",
    )
    .expect("it can be written");
    write_config(folder.path(), "127.0.0.1:1", "", "");
    server.reload();
    let page = await_words(&server, "third /a /b github 2026 (not used yet) 0 0");
    has(&page, "open /open none");
    has(&page, "changes taken: 1, refused: 0");
}

/// A GET of the admin port with this header line.
fn get(server: &Server, path: &str, header: &str) -> String {
    let mut stream = TcpStream::connect(server.admin_address()).expect("the admin port is open");
    let request = format!("GET {path} HTTP/1.1\r\nHost: t\r\n{header}{CLOSE}\r\n");
    stream.write_all(request.as_bytes()).expect("it is sent");
    until_closed(&mut stream)
}

#[test]
fn the_page_needs_the_token_which_a_browser_may_send_as_password() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let token = folder.path().join("token");
    fs::write(&token, "hunter2").expect("it can be written");
    let setting = format!("[admin]\ntoken = {{ file = {token:?} }}");
    let server = configure(folder.path(), "127.0.0.1:1", "[admin]", &setting);
    let basic = |text: &str| format!("Authorization: Basic {}\r\n", STANDARD.encode(text));
    for path in ["/", "/look.css", "/refresh.js"] {
        for wrong in [String::new(), basic("hunter2:"), basic("any:hunter3")] {
            let answer = get(&server, path, &wrong);
            assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
            has(&answer, "www-authenticate: Basic realm=\"ringback\"");
            has(&answer, "www-authenticate: Bearer realm=\"ringback\"");
            has(&answer, "content-security-policy: default-src 'none'; ");
            assert!(!answer.contains("Sources"), "{answer}");
        }
        let bearer = String::from("Authorization: Bearer hunter2\r\n");
        for right in [basic("any:hunter2"), basic(":hunter2"), bearer] {
            let answer = get(&server, path, &right);
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            assert!(!answer.contains("hunter"), "{answer}");
        }
    }
    let log = server.log().join("\n");
    assert!(!log.contains("hunter"), "{log}");
}

#[test]
fn every_answer_forbids_what_the_page_does_not_need_and_may_be_compressed() {
    let server = Server::start("", "");
    for path in [
        "/",
        "/look.css",
        "/refresh.js",
        "/metrics",
        "/livez",
        "/nothing",
    ] {
        let answer = get(&server, path, "");
        for header in [
            "cache-control: no-store\r\n",
            "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
             img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n",
            "cross-origin-resource-policy: same-origin\r\n",
            "referrer-policy: no-referrer\r\n",
            "x-content-type-options: nosniff\r\n",
        ] {
            has(&answer, header);
        }
        assert!(!answer.contains("access-control-"), "{answer}");
        assert!(!answer.contains("content-encoding"), "{answer}");
    }
    for path in ["/", "/metrics"] {
        let answer = get(&server, path, "Accept-Encoding: gzip\r\n");
        has(&answer, "content-encoding: gzip\r\n");
    }
    // No inline script and no style, which the policy would forbid.
    let page = server.admin("/");
    for forbidden in [" style=", "<style", " onclick=", "http://", "https://"] {
        assert!(!page.contains(forbidden), "{forbidden}: {page}");
    }
    has(
        &server.admin("/look.css"),
        "content-type: text/css; charset=utf-8\r\n",
    );
    has(
        &server.admin("/refresh.js"),
        "content-type: text/javascript; charset=utf-8\r\n",
    );
}
