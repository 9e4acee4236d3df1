//! `ringback dev` with one's own sources, and with one's own handler.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc;

use serde_json::json;

use crate::support::dev::{dev, ringback};
use crate::support::page::Inspected;

/// A configuration for another machine: its Kafka, journal and certificate are not here.
fn write_config(folder: &Path, key: &str) -> String {
    let key_file = folder.join("key");
    std::fs::write(&key_file, key).expect("it can be written");
    let config = folder.join("ringback.toml");
    let text = format!(
        "[listen]\naddress = \"10.1.2.3:443\"\nmax_body = \"64KiB\"\n\
         tls = {{ certificate = \"/nowhere/tls.crt\", key = \"/nowhere/tls.key\" }}\n\
         [admin]\ntoken = {{ file = \"/nowhere/token\" }}\n\
         [journal]\npath = \"/nowhere/journal\"\n\
         [kafka]\ntopic = \"orders\"\n\
         [kafka.client]\n\"bootstrap.servers\" = \"kafka.example:9093\"\n\"ssl.ca.location\" = \"/nowhere/ca\"\n\
         [[source]]\nname = \"pay\"\npath = \"/pay\"\npreset = \"stripe\"\ntopic = \"payments\"\n\
         keys = [{{ file = {key_file:?}, name = \"mine\" }}]\n\
         [[source]]\nname = \"shop\"\npath = \"/shop\"\nverify = \"none\"\n"
    );
    std::fs::write(&config, text).expect("it can be written");
    config.display().to_string()
}

#[test]
fn one_s_own_sources_run_with_their_keys_limits_and_topics() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = write_config(folder.path(), "whsec_c2VjcmV0");
    let inspected = Inspected::start(&["--config", &config], None);
    let page = &inspected.page;
    let info = page.get("/api/info").json();
    assert_eq!(info["topic"], "orders");
    let webhook = format!("http://{}/pay", inspected.webhooks);
    assert_eq!(info["webhook"], webhook.replace("127.0.0.1", "localhost"));
    let sources = info["sources"].as_array().expect("an array");
    let shown: Vec<_> = sources
        .iter()
        .map(|source| (&source["name"], &source["path"], &source["signs"]))
        .collect();
    let [pay, shop] = shown.as_slice() else {
        panic!("two sources: {shown:?}");
    };
    assert_eq!(*pay, (&json!("pay"), &json!("/pay"), &json!(true)));
    assert_eq!(*shop, (&json!("shop"), &json!("/shop"), &json!(false)));
    let unsigned = sources[1]["unsigned"].as_str().expect("a sentence");
    assert!(unsigned.contains("from anybody"), "{unsigned}");
    assert!(sources[0]["unsigned"].is_null(), "{sources:?}");

    let mut stream = page.stream(None);
    let sample = json!({ "source": "pay", "event": "invoice.paid", "key": "in_1" });
    let answer = page.post("/api/sample", &sample).json();
    assert_eq!(answer["status"], 204, "{answer}");
    let row = stream.until(|row| row["n"] == 1 && !row["kafka"].is_null());
    assert_eq!(
        (&row["kafka"]["topic"], &row["key"]),
        (&json!("payments"), &json!("in_1"))
    );
    let text = page.details(1)["verdict"]["text"].to_string();
    assert!(
        text.contains("The signature is valid: key \\\"mine\\\" of source \\\"pay\\\""),
        "{text}"
    );
    // Not signed: required, as the file says.
    let answer = inspected.post("/pay", "", b"{\"type\":\"a\"}");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let answer = inspected.post("/shop", "", &vec![b' '; 65 * 1024]);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    inspected.post(
        "/shop",
        "",
        b"{\"event\":\"order\",\"call\":{\"call_id\":\"7\"}}",
    );
    let row = stream.until(|row| row["source"] == "shop" && !row["kafka"].is_null());
    assert_eq!(row["kafka"]["topic"], "orders");
    assert_eq!(inspected.dev.interrupt(), Some(0));
}

#[test]
fn a_key_that_cannot_be_read_is_an_error_as_for_serve() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = write_config(folder.path(), "whsec_c2VjcmV0");
    std::fs::remove_file(folder.path().join("key")).expect("it was written");
    let output = dev()
        .args(["--config", &config])
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("source.0.keys.0") || stderr.contains("key mine"),
        "{stderr}"
    );
    assert!(stderr.contains("cannot be read"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn each_accepted_event_is_handed_to_the_handler_as_it_came_and_its_answer_is_shown() {
    let handler = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = handler.local_addr().expect("it has one");
    let (sender, requests) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = handler.accept().expect("it is called");
        let mut request = Vec::new();
        while !request.ends_with(b"}}") {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).expect("a request comes");
            assert!(read > 0, "the request is cut");
            request.extend_from_slice(&part[..read]);
        }
        sender.send(request).expect("the test waits for it");
        let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\nConnection: close\r\n\r\nseen";
        stream.write_all(answer).expect("it is taken");
    });
    let url = format!("http://{address}/hook");
    let inspected = Inspected::start(&["--forward", &url], None);
    let page = &inspected.page;
    inspected.post("/nowhere", "", b"{}");
    let body = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;
    inspected.post(
        "/webhook?x=y",
        "X-Own: 1\r\nContent-Type: application/json\r\n",
        body,
    );
    let request = requests.recv().expect("the handler is called");
    let request = String::from_utf8(request).expect("text");
    let (head, forwarded) = request.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("POST /hook?x=y HTTP/1.1\r\n"), "{head}");
    let head = head.to_lowercase();
    for header in [
        format!("host: {address}"),
        "x-own: 1".into(),
        "content-type: application/json".into(),
    ] {
        assert!(
            head.contains(&format!("\r\n{header}")),
            "{header} in {head}"
        );
    }
    assert_eq!(forwarded.as_bytes(), body);
    let line = inspected.dev.line_with("  forwarded 201  call_ended");
    assert!(line.ends_with(&url), "{line}");
    thread.join().expect("the handler has answered");
    crate::support::eventually("the answer is kept", || {
        page.details(2)["forwarded"]["status"] == 201
    });
    assert_eq!(page.details(2)["forwarded"]["body"], "seen");
    assert_eq!(
        page.details(1)["forwarded"],
        json!(null),
        "a refused request is not forwarded"
    );
    // The handler is gone, which changes no answer.
    let answer = inspected.post("/webhook", "", body);
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    inspected.dev.line_with("  not forwarded  cannot connect");
    crate::support::eventually("the failure is kept", || {
        page.details(3)["forwarded"]["error"].is_string()
    });
    assert_eq!(page.details(3)["forwarded"]["status"], json!(null));
}

#[test]
fn a_thousand_events_beside_open_pages_are_all_answered_and_shown_once() {
    let inspected = Inspected::start(&[], None);
    let mut stream = inspected.page.stream(None);
    let mut slow = inspected.page.stream(None);
    let url = format!("http://{}/webhook", inspected.webhooks);
    let sent = ringback()
        .args([
            "send",
            "--count",
            "1000",
            "--event",
            "call_ended",
            "--url",
            &url,
        ])
        .output()
        .expect("the binary runs");
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");
    let is_complete = |row: &serde_json::Value| row["status"] == 204 && !row["kafka"].is_null();
    for stream in [&mut stream, &mut slow] {
        while stream.rows.len() < 1000 || !stream.rows.values().all(is_complete) {
            stream.message();
        }
        assert_eq!((stream.rows.len(), stream.first), (1000, 1));
        assert!(stream.rows.keys().copied().eq(1..=1000));
    }
}
