//! docs/senders.md is true, and senders of other schemes than Retell's are answered as they expect.

use hmac::{Hmac, KeyInit as _, Mac as _};
use ringback::config::{Config, Environment};
use ringback::ingest::PRESETS;
use sha2::Sha256;

use crate::support::server::{Server, now_ms, post};

const PAGE: &str = include_str!("../../docs/senders.md");
const CLOSE: &str = "Connection: close\r\n";

/// The code blocks of the page in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let opening = format!("```{language}\n");
    let blocks = PAGE.split(&opening).skip(1);
    blocks
        .map(|block| block.split("```").next().expect("it is closed"))
        .collect()
}

#[test]
fn every_source_of_the_page_is_valid_and_every_preset_has_one() {
    let mut text = String::from("[kafka.client]\n\"bootstrap.servers\" = \"localhost:9092\"\n");
    for block in blocks("toml") {
        text.push_str(block);
    }
    let config = Config::parse(&text, "docs/senders.md", &Environment::default());
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.source.len(), blocks("toml").len());
    for preset in &PRESETS {
        let mut sources = config.source.iter();
        assert!(
            sources.any(|source| source.preset == Some(preset)),
            "docs/senders.md has no section for {preset}"
        );
    }
    let tests = blocks("sh").len();
    assert!(tests >= 10 && tests < blocks("toml").len(), "{tests}");
}

/// A relay with the senders whose behaviour is more than a signature.
fn relay() -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = folder.path().join("key");
    std::fs::write(&key, "secret").expect("it can be written");
    let credentials = folder.path().join("credentials");
    std::fs::write(&credentials, "name:password").expect("it can be written");
    let more = format!(
        "[[source]]\nname = \"slack\"\npath = \"/slack\"\npreset = \"slack\"\nkeys = [{{ file = {key:?}, name = \"app\" }}]\n\
         [[source]]\nname = \"github\"\npath = \"/github\"\nverify = \"github\"\nkeys = [{{ file = {key:?} }}]\n\
         [[source]]\nname = \"basic\"\npath = \"/basic\"\nverify = \"basic\"\nkeys = [{{ file = {credentials:?} }}]\n\
         [[source]]\nname = \"own\"\npath = \"/own\"\nverify = \"hmac\"\nkeys = [{{ file = {key:?} }}]\n\
         hmac = {{ header = \"X-Signature\", content = \"{{timestamp}}.{{id}}.{{body}}\", timestamp_header = \"X-Time\", id_header = \"X-Id\" }}\n"
    );
    std::fs::write(folder.path().join("more.toml"), more).expect("it can be written");
    let server = Server::start_in(folder.path(), "127.0.0.1:1", "", "");
    (server, folder)
}

fn mac(pieces: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"secret").expect("HMAC takes any length");
    for piece in pieces {
        mac.update(piece);
    }
    hex::encode(mac.finalize().into_bytes())
}

/// A request as Slack signs it now.
fn slack(body: &[u8], more: &str) -> Vec<u8> {
    let time = (now_ms() / 1000).to_string();
    let digest = mac(&[b"v0:", time.as_bytes(), b":", body]);
    let headers = format!(
        "X-Slack-Request-Timestamp: {time}\r\nX-Slack-Signature: v0={digest}\r\n{more}{CLOSE}"
    );
    post("/slack", &headers, body)
}

#[test]
fn slack_s_challenge_is_answered_if_it_is_signed_and_never_kept() {
    let (server, _folder) = relay();
    let challenge =
        br#"{"type":"url_verification","token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV"}"#;
    let answer = server.exchange(&slack(challenge, ""));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        answer.contains("content-type: text/plain; charset=utf-8\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\n3eZbrw1aBm2rZgRNFdxV"), "{answer}");
    let matches = "ringback_signature_matches_total{key=\"app\",source=\"slack\"}";
    assert_eq!(server.sample(matches), 1.0);
    assert_eq!(
        server.sample("ringback_http_requests_total{code=\"200\",source=\"slack\"}"),
        1.0
    );
    assert_eq!(server.sample("ringback_journal_unpublished_events"), 0.0);

    let forged = post(
        "/slack",
        &format!("X-Slack-Signature: v0={}\r\n{CLOSE}", "0".repeat(64)),
        challenge,
    );
    let answer = server.exchange(&forged);
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(
        answer.contains("The header X-Slack-Request-Timestamp is missing"),
        "{answer}"
    );
    assert!(!answer.contains("3eZbrw"), "{answer}");

    let event = br#"{"type":"event_callback","event":{"type":"message"}}"#;
    assert!(
        server
            .exchange(&slack(event, ""))
            .starts_with("HTTP/1.1 204 ")
    );
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    assert!(
        server
            .exchange(&slack(b"command=%2Fping", form))
            .starts_with("HTTP/1.1 204 ")
    );
    let accepted = |kind| {
        server.sample(&format!(
            "ringback_events_accepted_total{{kind=\"{kind}\",source=\"slack\"}}"
        ))
    };
    assert_eq!(accepted("none"), 1.0, "a form is an event without a name");
    assert_eq!(accepted("unparsed"), 0.0);
    assert_eq!(server.sample(matches), 3.0);
}

#[test]
fn a_sender_s_message_id_is_the_event_s_id() {
    let (server, _folder) = relay();
    let body = b"{}";
    let github = |delivery: &str| {
        let signature = mac(&[body]);
        let headers = format!("X-Hub-Signature-256: sha256={signature}\r\n{delivery}{CLOSE}");
        server.exchange(&post("/github", &headers, body))
    };
    let id = |answer: &str| {
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
        let mut lines = answer.lines();
        let id = lines.find_map(|line| line.strip_prefix("ringback-id: "));
        id.expect("an answer has the id").to_owned()
    };
    assert_eq!(
        id(&github("X-GitHub-Delivery: 72d3162e-cc78\r\n")),
        "72d3162e-cc78"
    );
    let hash = id(&github(""));
    assert_eq!(hash.len(), 32, "{hash}");
    for unusable in [
        String::from("X-GitHub-Delivery: \r\n"),
        String::from("X-GitHub-Delivery: a b\r\n"),
        String::from("X-GitHub-Delivery: a\r\nX-GitHub-Delivery: a\r\n"),
        format!("X-GitHub-Delivery: {}\r\n", "a".repeat(129)),
    ] {
        assert_eq!(id(&github(&unusable)), hash, "{unusable}");
    }
}

#[test]
fn the_beginning_of_a_signed_body_is_not_taken_as_the_end_of_the_id() {
    let (server, _folder) = relay();
    let time = (now_ms() / 1000).to_string();
    let body: &[u8] = b"{\"price\":1.5}";
    let digest = mac(&[time.as_bytes(), b".m1.", body]);
    let send = |id: &str, body: &[u8]| {
        let headers = format!("X-Signature: {digest}\r\nX-Time: {time}\r\nX-Id: {id}\r\n{CLOSE}");
        server.exchange(&post("/own", &headers, body))
    };
    let genuine = send("m1", body);
    assert!(genuine.starts_with("HTTP/1.1 204 "), "{genuine}");
    assert!(genuine.contains("ringback-id: m1\r\n"), "{genuine}");
    // The same bytes are signed, and with both the signature is right.
    let moved = send("m1.{\"price\":1", b"5}");
    assert!(moved.starts_with("HTTP/1.1 401 "), "{moved}");
    assert!(moved.contains("visible ASCII without"), "{moved}");
}

#[test]
fn whoever_sends_a_password_only_when_asked_is_asked() {
    let (server, _folder) = relay();
    let ask = |header: &str| server.exchange(&post("/basic", &format!("{header}{CLOSE}"), b"{}"));
    let answer = ask("");
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(
        answer.contains("www-authenticate: Basic realm=\"webhooks\""),
        "{answer}"
    );
    // base64 of `name:password` and of `name:passwore`.
    assert!(ask("Authorization: Basic bmFtZTpwYXNzd29yZA==\r\n").starts_with("HTTP/1.1 204 "));
    let wrong = ask("Authorization: Basic bmFtZTpwYXNzd29yZQ==\r\n");
    assert!(wrong.contains("none of the configured ones"), "{wrong}");
}
