//! `ringback send`: what it signs is accepted by the real relay, for every scheme.

use std::io::{Read as _, Write as _};
use std::process::Output;

use serde_json::Value;

use crate::support::dev::ringback;
use crate::support::mock_kafka::MockKafka;
use crate::support::server::{KEY, Server};
use crate::support::terminal;

const GETTING_STARTED: &str = include_str!("../../docs/getting-started.md");

/// Name, the lines of its source, and its key.
const SENDERS: [(&str, &str, &str); 12] = [
    ("vapi", "preset = \"vapi\"", "token"),
    ("stripe", "preset = \"stripe\"", "whsec_c2VjcmV0"),
    ("github", "preset = \"github\"", "secret"),
    ("slack", "preset = \"slack\"", "secret"),
    ("shopify", "preset = \"shopify\"", "secret"),
    (
        "twilio",
        "preset = \"twilio\"\ntwilio = { url = \"https://hooks.example.com/twilio\" }",
        "secret",
    ),
    ("svix", "preset = \"svix\"", "whsec_c2VjcmV0"),
    (
        "standard",
        "preset = \"standard-webhooks\"",
        "whsec_c2VjcmV0",
    ),
    ("basic", "verify = \"basic\"", "name:password"),
    (
        "token",
        "verify = \"bearer\"\nbearer = { header = \"X-Token\" }",
        "token",
    ),
    (
        "upper",
        "verify = \"hmac\"\nhmac = { header = \"X-Sign\", encoding = \"hex-upper\", digest = \"sha1\" }",
        "secret",
    ),
    (
        "hmac",
        "verify = \"hmac\"\nhmac = { header = \"X-Sign\", prefix = \"v1=\", encoding = \"base64\", digest = \"sha512\", \
         content = \"{id}.{timestamp}.{body}\", id_header = \"X-Id\", timestamp_header = \"X-Time\" }",
        "secret",
    ),
];

/// A relay with a source for each sender, and a folder with its configuration.
fn relay() -> (Server, tempfile::TempDir) {
    relay_to("127.0.0.1:1")
}

fn relay_to(bootstrap: &str) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut more = String::new();
    for (name, lines, key) in SENDERS {
        let file = folder.path().join(name);
        std::fs::write(&file, key).expect("it can be written");
        more.push_str(&format!(
            "[[source]]\nname = \"{name}\"\npath = \"/{name}\"\n{lines}\nkeys = [{{ file = {file:?} }}]\n"
        ));
    }
    std::fs::write(folder.path().join("more.toml"), more).expect("it can be written");
    let server = Server::start_in(folder.path(), bootstrap, "", "");
    (server, folder)
}

struct Sending<'a> {
    server: &'a Server,
    folder: &'a tempfile::TempDir,
}

impl Sending<'_> {
    fn send(&self, source: &str, path: &str, more: &[&str]) -> Output {
        let url = format!("http://{}{path}", self.server.address);
        let mut command = ringback();
        command.args(["send", "--source", source, "--url", &url, "--config"]);
        command.arg(self.folder.path().join("ringback.toml"));
        let command = command.args(more).env("RETELL_API_KEY", KEY);
        command.output().expect("the binary runs")
    }
}

fn answers(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().map(serde_json::from_str);
    lines.map(|line| line.expect("JSON lines")).collect()
}

#[test]
fn each_sample_of_each_sender_is_accepted_and_a_changed_one_is_not() {
    let (server, folder) = relay();
    let sending = Sending {
        server: &server,
        folder: &folder,
    };
    for (name, lines, _) in SENDERS {
        let path = format!("/{name}");
        let output = sending.send(name, &path, &["--json"]);
        assert_eq!(output.status.code(), Some(0), "{name}: {output:?}");
        let answers = answers(&output);
        assert!(!answers.is_empty(), "{name}");
        for answer in answers {
            assert_eq!(answer["status"], 204, "{name}: {answer}");
            assert!(answer["headers"]["ringback-id"].is_string(), "{answer}");
        }
        let is_token = lines.contains("bearer") || lines.contains("basic") || name == "vapi";
        let changed = sending.send(name, &path, &["--tamper"]);
        let expected = if is_token { 2 } else { 0 };
        assert_eq!(changed.status.code(), Some(expected), "{name}: {changed:?}");
        let has_time = ["stripe", "slack", "svix", "standard", "hmac"].contains(&name);
        let stale = sending.send(name, &path, &["--stale"]);
        let expected = if has_time { 0 } else { 2 };
        assert_eq!(stale.status.code(), Some(expected), "{name}: {stale:?}");
        for (refused, what) in [(&changed, "body"), (&stale, "time")] {
            let said = String::from_utf8_lossy(&refused.stderr);
            assert_eq!(
                said.contains(&format!(" signs no {what}, so --")),
                refused.status.code() == Some(2),
                "{name}: {said}"
            );
        }
    }
    // A body that is no form makes Twilio sign its hash in the URL.
    let file = folder.path().join("body.json");
    std::fs::write(&file, "{\"a\":1}").expect("it can be written");
    let file = file.to_str().expect("UTF-8");
    let output = sending.send("twilio", "/twilio", &["--file", file]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn each_preset_finds_the_name_the_key_and_the_id_of_its_sender_s_events() {
    // The source, what it sends, the event's name and key in Kafka, and whether the sender gives it an id.
    const SENT: [(&str, &str, &str, Option<&str>, bool); 10] = [
        ("retell", "call_ended", "call_ended", Some("c-1"), false),
        ("vapi", "status-update", "status-update", Some("c-1"), false),
        ("stripe", "invoice.paid", "invoice.paid", Some("c-1"), true),
        ("github", "push", "push", Some("octocat/c-1"), true),
        ("slack", "message", "message", Some("c-1"), true),
        ("slack", "command", "none", None, false),
        (
            "shopify",
            "orders/create",
            "orders/create",
            Some("c-1"),
            true,
        ),
        ("twilio", "message", "none", None, true),
        ("svix", "invoice.paid", "invoice.paid", None, true),
        ("standard", "invoice.paid", "invoice.paid", None, true),
    ];
    let kafka = MockKafka::start();
    let (server, folder) = relay_to(&kafka.bootstrap);
    let sending = Sending {
        server: &server,
        folder: &folder,
    };
    let ids = SENT.map(|(source, event, ..)| {
        let path = match source {
            "retell" => String::from("/webhook"),
            other => format!("/{other}"),
        };
        let more = ["--event", event, "--call-id", "c-1", "--json"];
        let output = sending.send(source, &path, &more);
        let answers = answers(&output);
        let id = answers[0]["headers"]["ringback-id"].as_str();
        id.unwrap_or_else(|| panic!("{source}: {output:?}"))
            .to_owned()
    });
    let arrived = kafka.read(SENT.len());
    for (record, ((source, _, name, key, has_id), id)) in arrived.iter().zip(SENT.iter().zip(ids)) {
        assert_eq!(record.header("ce_type"), Some(&*format!("{source}.{name}")));
        assert_eq!(record.key.as_deref(), *key, "{source}");
        assert_eq!(record.header("ce_id"), Some(&*id), "{source}");
        let hash = hex::encode(&blake3::hash(&record.value).as_bytes()[..16]);
        assert_eq!(id != hash, *has_id, "{source}: {id}");
    }
}

#[test]
fn retell_s_events_go_by_name_id_file_and_count_and_the_answer_is_shown() {
    let (server, folder) = relay();
    let sending = Sending {
        server: &server,
        folder: &folder,
    };
    let send = |more: &[&str]| sending.send("retell", "/webhook", more);
    let output = send(&["--json"]);
    let all = answers(&output);
    assert_eq!(all.len(), 11, "{all:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        said,
        "Not sent: call_inbound, chat_inbound, whose sender waits for an answer with content, which no relay gives; --event sends one.\n"
    );
    assert!(
        all.iter()
            .all(|answer| answer["status"] == 204 && answer["id"] == all[0]["id"])
    );
    let one = send(&["--event", "call_ended", "--call-id", "test-1"]);
    let text = String::from_utf8_lossy(&one.stdout);
    assert!(text.starts_with("call_ended  test-1  12."), "{text}");
    assert!(text.contains("  204 No Content  "), "{text}");
    let id = text
        .lines()
        .find(|line| line.starts_with("  ringback-id: "));
    let id = id.expect("the answer has it");
    assert!(
        GETTING_STARTED.contains(id),
        "docs/getting-started.md shows another id than {id}"
    );
    assert!(one.stderr.is_empty(), "{one:?}");
    let inbound = send(&["--event", "call_inbound", "--json"]);
    assert_eq!(answers(&inbound)[0]["status"], 204, "{inbound:?}");
    let many = send(&["--event", "call_started", "--count", "30", "--rate", "1000"]);
    assert!(many.status.success(), "{many:?}");
    let text = String::from_utf8_lossy(&many.stdout);
    assert!(
        text.starts_with("30 sent in ") && text.ends_with("answers: 204: 30\n"),
        "{text}"
    );
    let lines = folder.path().join("events.ndjson");
    std::fs::write(&lines, "{\"event\":\"a\"}\n\n{\"event\":\"b\"}\n").expect("it can be written");
    let of_file = send(&["--file", lines.to_str().expect("UTF-8"), "--json"]);
    assert_eq!(answers(&of_file).len(), 2, "{of_file:?}");
    for refused in [
        ["--event", "call_ended", "--tamper"],
        ["--event", "call_ended", "--stale"],
    ] {
        let output = send(&refused);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("  401 Unauthorized  "), "{text}");
        assert!(
            text.contains("\n  content-type: application/problem+json\n"),
            "{text}"
        );
    }
    // Neither is a refusal for another reason what a changed event is to get.
    for (path, more, error) in [
        ("/nowhere", &[][..], "not answered 2xx: 1 of 1"),
        (
            "/nowhere",
            &["--tamper"],
            "not answered 401, though they must be refused: 1 of 1",
        ),
    ] {
        let more = [&["--event", "call_ended"], more].concat();
        let output = sending.send("retell", path, &more);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(error), "{text}");
    }
    assert_eq!(
        server.sample("ringback_events_accepted_total{kind=\"call_started\",source=\"retell\"}"),
        31.0
    );
}

#[test]
fn nobody_listening_is_an_answer_that_did_not_come() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("it has one");
    drop(socket);
    let url = format!("http://{address}/webhook");
    let mut command = ringback();
    let output = command.args(["send", "--url", &url]).output();
    let output = output.expect("the binary runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    let expected = format!("cannot connect to {url}: Connection refused");
    assert_eq!(said.matches("cannot connect").count(), 1, "{said}");
    assert!(said.contains(&expected), "{said}");
    assert!(
        said.contains("is `ringback serve` or `ringback dev` running"),
        "{said}"
    );
}

#[test]
fn a_relay_that_goes_away_in_the_middle_is_seen_at_each_event() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("it has one");
    let relay = std::thread::spawn(move || {
        let (mut connection, _) = socket.accept().expect("a connection");
        let mut request = [0; 1024];
        let _ = connection.read(&mut request).expect("it can be read");
        drop(socket);
        let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
        connection.write_all(answer).expect("it can be written");
    });
    let url = format!("http://{address}/webhook");
    let mut command = ringback();
    command.args(["send", "--event", "call_started", "--count", "3", "--url"]);
    let output = command.arg(&url).output().expect("the binary runs");
    relay.join().expect("it has answered");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(shown.contains("  204 No Content  "), "{shown}");
    assert_eq!(shown.matches("cannot connect: ").count(), 2, "{shown}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("not answered 2xx: 2 of 3"), "{said}");
}

#[test]
fn a_forgotten_variable_is_named_by_whatever_would_sign_or_verify_with_it() {
    let (relay, _folder) = relay();
    let url = format!("http://{}/webhook", relay.address);
    let unsigned = |arguments: &[&str]| {
        let mut command = ringback();
        command.args(arguments).env_remove("RETELL_API_KEY");
        let output = command.output().expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = unsigned(&["send", "--event", "call_ended", "--url", &url]);
    assert_eq!(code, Some(1), "{said}");
    let words = "Nothing was signed, because RETELL_API_KEY is not set.";
    assert!(said.contains(words), "{said}");
    let (code, said) = unsigned(&["send", "--tamper", "--url", &url]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("for Retell set RETELL_API_KEY"), "{said}");
    let (code, said) = unsigned(&["verify", "--body", "/nonexistent"]);
    assert_eq!(code, Some(2), "{said}");
    let words = "there is no key to verify with: set RETELL_API_KEY, or give --key-env NAME";
    assert!(said.contains(words), "{said}");
}

#[test]
fn a_setting_that_the_command_line_lacks_is_no_fault_of_the_key() {
    let mut command = ringback();
    command.args(["send", "--preset", "twilio", "--key-env", "TOKEN"]);
    let output = command.env("TOKEN", "secret").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains(
            "a setting of the sender is wrong: twilio is missing; write twilio = { url = "
        ) && said.contains("give it with --set"),
        "{said}"
    );
}

#[test]
fn a_row_never_follows_the_progress_bar_in_its_line() {
    let (server, _folder) = relay();
    let mut command = ringback();
    let url = format!("http://{}/nope", server.address);
    command.args(["send", "--event", "call_ended", "--url", &url]);
    command.args(["--count", "30", "--rate", "10"]);
    let (shown, code) = terminal::shown(80, &mut command);
    assert_eq!(code, Some(1), "{shown}");
    let rows: Vec<_> = shown
        .lines()
        .filter(|line| line.contains(" 404 Not Found "))
        .collect();
    assert!(
        rows.iter().any(|row| row.contains("/30  404: ")),
        "no bar came before: {shown:?}"
    );
    for row in rows {
        let row = row
            .rsplit("\r\u{1b}[K")
            .next()
            .expect("there is a last one");
        assert!(row.starts_with("call_ended  send-"), "{row:?}");
    }
}
