//! The inspector of `ringback dev`: what its page learns of each request, and who may ask.

use serde_json::Value;

use crate::support::page::{Inspected, base64};
use crate::support::server::{now_ms, signature};

const BODY: &[u8] = br#"{"event":"call_ended","call":{"call_id":"a <script>"}}"#;

#[test]
fn a_row_comes_at_once_is_completed_by_kafka_and_a_reconnect_gets_only_what_it_missed() {
    let inspected = Inspected::start(&[], None);
    let mut stream = inspected.page.stream(None);
    assert_eq!(stream.message().0, "reset");
    let answer = inspected.post("/webhook", "Content-Type: application/json\r\n", BODY);
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let row = stream.until(|row| !row["kafka"].is_null() && !row["status"].is_null());
    for (member, expected) in [
        ("n", 1.into()),
        ("method", "POST".into()),
        ("path", "/webhook".into()),
        ("source", "retell".into()),
        ("event", "call_ended".into()),
        ("key", "a <script>".into()),
        ("size", BODY.len().into()),
        ("status", 204.into()),
        ("reason", Value::Null),
        ("signature", "unchecked".into()),
        ("dead_letter", false.into()),
        ("again", Value::Null),
        ("repeats", Value::Null),
    ] {
        assert_eq!(row[member], expected, "{member}: {row}");
    }
    assert_eq!(row["kafka"]["offset"], 0, "{row}");
    assert!(row["answer_us"].as_u64() > Some(0), "{row}");
    let id = row["id"].as_str().expect("an id");
    assert!(answer.contains(id), "{answer}");
    let last = stream.last.take().expect("messages have ids");
    drop(stream);

    inspected.post("/webhook", "", BODY);
    let mut again = inspected.page.stream(Some(&last));
    let (event, data) = again.message();
    assert_eq!(event, "rows", "no reset: the page knows the rest");
    assert_eq!(data["rows"][0]["n"], 2, "{data}");
    let row = again.until(|row| row["n"] == 2 && !row["kafka"].is_null());
    assert_eq!(row["repeats"], 1, "{row}");
    assert!(!again.rows.contains_key(&1), "{:?}", again.rows);
    let mut other = inspected.page.stream(Some("0123456789abcdef-1"));
    assert_eq!(other.message().0, "reset", "an id of another run");
    other.until(|row| row["n"] == 1);
    assert_eq!(inspected.dev.interrupt(), Some(0));
}

#[test]
fn a_request_is_shown_in_full_with_its_record_and_can_be_saved_and_found() {
    let inspected = Inspected::start(&[], None);
    let page = &inspected.page;
    let mut stream = page.stream(None);
    inspected.post("/webhook?a=b", "X-One: 1\r\nX-One: \u{fc}\r\n", BODY);
    stream.until(|row| !row["kafka"].is_null() && !row["status"].is_null());
    let details = page.details(1);
    assert_eq!(details["query"], "a=b");
    assert_eq!(details["version"], "HTTP/1.1");
    assert!(
        details["client"]
            .as_str()
            .is_some_and(|client| client.starts_with("127.0.0.1:"))
    );
    let headers = details["headers"].as_array().expect("an array");
    let ones: Vec<_> = headers.iter().filter(|pair| pair[0] == "x-one").collect();
    assert_eq!(
        (&ones[0][1], &ones[1][1]),
        (&"1".into(), &"\u{c3}\u{bc}".into())
    );
    assert_eq!(details["body"], base64(BODY));
    assert_eq!(details["body_is_whole"], true);
    let text = details["verdict"]["text"].as_str().expect("a sentence");
    assert_eq!(
        text,
        "Source \"retell\" takes requests from anybody (verify = \"none\")."
    );
    assert_eq!(details["answer"]["status"], 204);
    assert_eq!(details["record"]["key"], "a <script>");
    assert_eq!(
        details["record"]["partition"],
        details["kafka"]["partition"]
    );
    let headers = details["record"]["headers"].as_array().expect("an array");
    let kind = headers.iter().find(|pair| pair[0] == "ce_type");
    assert_eq!(kind.expect("it has one")[1], "retell.call_ended");

    let fixture = page.get("/api/requests/1/fixture");
    assert!(
        fixture
            .head
            .contains("content-disposition: attachment; filename=\"call_ended-1.ndjson\""),
        "{}",
        fixture.head
    );
    let lines = String::from_utf8(fixture.body).expect("UTF-8");
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines[0]["ringback_recording"], 1);
    assert_eq!(lines[1]["path"], "/webhook");
    assert_eq!(lines[1]["body"].as_str().map(str::as_bytes), Some(BODY));

    for (text, matches) in [
        ("CALL_END", 1),
        ("x-one", 1),
        ("a+%3CSCRIPT%3e", 1),
        ("nowhere", 0),
        ("", 0),
    ] {
        let found = page.get(&format!("/api/search?text={text}")).json();
        let found = found["matches"].as_array().expect("an array");
        assert_eq!(found.len(), matches, "{text}");
    }
    assert_eq!(page.get("/api/requests/2").status, 404);
    let info = page.get("/api/info").json();
    assert_eq!(info["topic"], "retell-events");
    assert_eq!(
        info["webhook"],
        format!("http://localhost:{}/webhook", port(&inspected.webhooks))
    );
    let retell = &info["sources"][0];
    assert_eq!(
        (&retell["name"], &retell["signs"]),
        (&"retell".into(), &false.into())
    );
    let unsigned = retell["unsigned"].as_str().expect("a sentence");
    assert!(unsigned.contains("Set RETELL_API_KEY"), "{unsigned}");
    assert_eq!(retell["samples"].as_array().map(Vec::len), Some(13));
}

#[test]
fn a_refused_request_has_its_reason_a_remedy_and_what_differs_in_its_signature() {
    let inspected = Inspected::start(&["--require-signature"], Some("key_1"));
    let mut stream = inspected.page.stream(None);
    inspected.post("/nowhere", "", BODY);
    inspected.post(
        "/webhook",
        &signature("key_1", now_ms(), BODY),
        b"{\"event\": \"changed\"}",
    );
    inspected.post("/webhook", &signature("key_1", now_ms(), BODY), BODY);
    inspected.post("/webhook", "", BODY);
    let row = stream.until(|row| row["n"] == 3 && row["status"] == 204);
    assert_eq!(row["signature"], "valid");
    let unknown = inspected.page.details(1);
    assert_eq!(
        (&unknown["status"], &unknown["reason"]),
        (&404.into(), &"unknown_path".into())
    );
    assert_eq!(
        unknown["refusal"]["detail"],
        "No webhook source is configured at this path."
    );
    let remedy = unknown["refusal"]["remedy"].as_str().expect("a sentence");
    assert!(
        remedy.starts_with("No source has the path: a scanner"),
        "{remedy}"
    );
    assert_eq!(unknown["body_is_whole"], false);
    assert_eq!(unknown["size"], Value::Null, "it was not read");
    let changed = inspected.page.details(2);
    assert_eq!(
        (&changed["status"], &changed["signature"]),
        (&401.into(), &"invalid".into())
    );
    let text = changed["verdict"]["text"].as_str().expect("a sentence");
    assert!(
        text.starts_with("The signature does not match. Another key has made the signature"),
        "{text}"
    );
    // What to do is said once: for this body, not for every one that does not match.
    let remedy = changed["refusal"]["remedy"].as_str().expect("a sentence");
    assert!(
        remedy.starts_with("Give the key that the sender signs with"),
        "{remedy}"
    );
    assert_eq!(changed["verdict"]["remedy"], remedy);
    assert!(!text.contains("ive the key"), "{text}");
    assert_eq!(inspected.page.details(4)["signature"], "missing");
    let valid = inspected.page.details(3);
    assert_eq!(valid["verdict"]["key"], "0", "{valid}");
    let text = valid["verdict"]["text"].as_str().expect("a sentence");
    assert!(
        text.starts_with("The signature is valid: key \"0\" of source \"retell\", signed"),
        "{text}"
    );
}

#[test]
fn no_other_site_may_ask_and_every_answer_has_the_headers_that_protect_the_page() {
    let inspected = Inspected::start(&[], None);
    let (page, port) = (&inspected.page, inspected.page.port);
    let own = format!("Host: localhost:{port}\r\n");
    let json = "Content-Type: application/json\r\n";
    for (method, headers, status) in [
        ("GET", own.clone(), 200),
        (
            "GET",
            format!(
                "Host: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\nSec-Fetch-Site: same-origin\r\n"
            ),
            200,
        ),
        ("GET", String::from("Host: evil.example\r\n"), 403),
        ("GET", format!("Host: evil.example:{port}\r\n"), 403),
        ("GET", format!("{own}Origin: http://evil.example\r\n"), 403),
        ("GET", format!("{own}Sec-Fetch-Site: cross-site\r\n"), 403),
        (
            "POST",
            format!("{own}{json}Origin: https://evil.example\r\n"),
            403,
        ),
        ("POST", format!("{own}Content-Type: text/plain\r\n"), 415),
        ("PUT", own.clone(), 405),
    ] {
        for path in ["/", "/api/info"] {
            let reply = page.request(method, path, &headers, "");
            assert_eq!(reply.status, status, "{method} {path} {headers}");
            for header in [
                "cache-control: no-store",
                "x-content-type-options: nosniff",
                "referrer-policy: no-referrer",
                "cross-origin-resource-policy: same-origin",
                "content-security-policy: default-src 'none'; script-src 'self'; ",
            ] {
                assert!(reply.head.contains(header), "{header} in {}", reply.head);
            }
        }
    }
    let page_html = page.get("/");
    assert!(
        page_html.head.contains("content-type: text/html"),
        "{}",
        page_html.head
    );
    assert!(page.get("/nothing").status == 404);
    let compressed = page.request(
        "GET",
        "/api/info",
        &format!("{own}Accept-Encoding: gzip\r\n"),
        "",
    );
    assert!(
        compressed.head.contains("content-encoding: gzip"),
        "{}",
        compressed.head
    );
}

#[test]
fn streams_are_bounded_and_closed_ones_make_room() {
    let inspected = Inspected::start(&[], None);
    let mut streams: Vec<_> = (0..16).map(|_| inspected.page.stream(None)).collect();
    for stream in &mut streams {
        assert_eq!(stream.message().0, "reset");
    }
    let refused = inspected.page.get("/api/stream");
    assert_eq!(refused.status, 503);
    drop(streams);
    crate::support::eventually("a closed stream makes room", || {
        let headers = format!("Host: localhost:{}\r\n", inspected.page.port);
        inspected
            .page
            .request("HEAD", "/api/stream", &headers, "")
            .status
            == 200
    });
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().expect("an address has a port")
}
