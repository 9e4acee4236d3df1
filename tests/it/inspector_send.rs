//! The inspector sends: samples of every sender, and requests again, as they were or changed.

use serde_json::{Value, json};

use crate::support::page::{Inspected, base64};

#[test]
fn each_sample_of_each_source_is_accepted_and_comes_to_the_topic() {
    let inspected = Inspected::start(&[], None);
    let mut stream = inspected.page.stream(None);
    let info = inspected.page.get("/api/info").json();
    let sources = info["sources"].as_array().expect("an array");
    let names: Vec<_> = sources.iter().map(|source| &source["name"]).collect();
    let expected = [
        "retell",
        "stripe",
        "github",
        "slack",
        "shopify",
        "twilio",
        "vapi",
        "standard-webhooks",
    ];
    assert_eq!(names, expected);
    let mut sent = 0;
    for source in sources {
        assert_eq!(source["signs"], source["name"] != "retell", "{source}");
        for sample in source["samples"].as_array().expect("an array") {
            let wanted =
                json!({ "source": source["name"], "event": sample["event"], "key": "id-1" });
            let answer = inspected.page.post("/api/sample", &wanted).json();
            assert_eq!(answer["status"], 204, "{wanted}: {answer}");
            sent += 1;
            assert_eq!(answer["n"], sent, "{wanted}: {answer}");
        }
    }
    assert!(sent > 25, "{sent}");
    for n in 1..=sent {
        let row = stream.until(|row| row["n"] == n && !row["kafka"].is_null());
        let is_open = row["source"] == "retell";
        let verdict = if is_open { "unchecked" } else { "valid" };
        assert_eq!(row["signature"], verdict, "{row}");
        let details = inspected.page.details(n);
        let text = details["verdict"]["text"].as_str().expect("a sentence");
        assert_eq!(text.contains("key \"made-at-start\""), !is_open, "{text}");
    }
}

#[test]
fn a_sample_that_is_changed_or_stale_is_refused_if_its_sender_signs_that() {
    let inspected = Inspected::start(&[], None);
    let sample = |source: &str, event: &str, how: &str| {
        let wanted = json!({ "source": source, "event": event, how: true });
        let reply = inspected.page.post("/api/sample", &wanted);
        (reply.status, reply.json())
    };
    for (source, event, how, reason, words) in [
        (
            "stripe",
            "invoice.paid",
            "tamper",
            "signature_mismatch",
            "the body without the white space around it",
        ),
        (
            "stripe",
            "invoice.paid",
            "stale",
            "signature_stale",
            "The request was signed 2 days before",
        ),
        (
            "github",
            "push",
            "tamper",
            "signature_mismatch",
            "The signature does not match.",
        ),
    ] {
        let (status, answer) = sample(source, event, how);
        assert_eq!(
            (status, &answer["status"]),
            (200, &json!(401)),
            "{source} {how}: {answer}"
        );
        let details = inspected.page.details(answer["n"].as_u64().expect("a row"));
        assert_eq!(
            (&details["reason"], &details["signature"]),
            (&json!(reason), &json!("invalid"))
        );
        let text = details["verdict"]["text"].as_str().expect("a sentence");
        assert!(text.contains(words), "{source} {how}: {text}");
        let remedy = details["refusal"]["remedy"].as_str().expect("a sentence");
        assert_eq!(details["verdict"]["remedy"], remedy);
        assert!(!text.contains(remedy), "{text}");
    }
    for (source, event, how, words) in [
        ("github", "push", "stale", "signs no time"),
        ("vapi", "status-update", "tamper", "signs no body"),
        ("retell", "call_ended", "tamper", "signs nothing"),
        (
            "retell",
            "no_such_event",
            "none",
            "no sample of the event \"no_such_event\"",
        ),
        ("nobody", "call_ended", "none", "no source \"nobody\""),
    ] {
        let (status, answer) = sample(source, event, how);
        assert_eq!(status, 400, "{source} {how}: {answer}");
        let error = answer["error"].as_str().expect("a sentence");
        assert!(error.contains(words), "{source} {how}: {error}");
    }
}

#[test]
fn a_request_is_sent_again_as_it_was_or_changed_and_signed_anew() {
    let inspected = Inspected::start(&[], None);
    let page = &inspected.page;
    for (source, event) in [
        ("stripe", "invoice.paid"),
        ("standard-webhooks", "invoice.paid"),
        ("twilio", "call-status"),
        ("vapi", "status-update"),
    ] {
        let wanted = json!({ "source": source, "event": event });
        let first = page.post("/api/sample", &wanted).json();
        let n = first["n"].as_u64().expect("a row");
        let details = page.details(n);
        let send = |body: &Value, sign: bool| {
            let path = match details["query"].as_str() {
                Some(query) => format!("{}?{query}", details["path"].as_str().expect("a path")),
                None => details["path"].as_str().expect("a path").to_owned(),
            };
            let again = json!({
                "from": n, "path": path, "headers": details["headers"], "body": body, "sign": sign,
            });
            page.post("/api/send", &again).json()
        };
        let same = send(&details["body"], false);
        assert_eq!(same["status"], 204, "{source}: {same}");
        let row = page.details(same["n"].as_u64().expect("a row"));
        assert_eq!(
            (&row["again"], &row["body"]),
            (&json!(n), &details["body"]),
            "{source}"
        );
        let changed = json!(base64(b"{\"type\":\"changed\"}"));
        let refused = send(&changed, false);
        let expected = if source == "vapi" { 204 } else { 401 };
        assert_eq!(refused["status"], expected, "{source}: {refused}");
        // Twilio signs forms by their parameters, of which this body is one.
        let signed = send(&changed, true);
        assert_eq!(signed["status"], 204, "{source}: {signed}");
        let row = page.details(signed["n"].as_u64().expect("a row"));
        assert_eq!(
            (&row["signature"], &row["body"]),
            (&json!("valid"), &changed)
        );
    }
    for (wanted, words) in [
        (
            json!({ "path": "webhook", "headers": [], "body": "" }),
            "must begin with \"/\"",
        ),
        (
            json!({ "path": "/web hook", "headers": [], "body": "" }),
            "such as a space, in percent-encoding (%20).",
        ),
        (
            json!({ "path": "/webhook", "headers": [], "body": "?" }),
            "in base64",
        ),
        (
            json!({ "path": "/webhook", "headers": [["a b", "c"]], "body": "" }),
            "\"a b\" is not a header",
        ),
        (
            json!({ "path": "/no", "headers": [], "body": "", "sign": true }),
            "No source has the path /no",
        ),
        (
            json!({ "path": "/webhook", "headers": [], "body": "", "sign": true }),
            "has no key that can be read here",
        ),
    ] {
        let reply = page.post("/api/send", &wanted);
        assert_eq!(reply.status, 400, "{wanted}");
        let error = reply.json()["error"].to_string().replace("\\\"", "\"");
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(page.post("/api/send", &json!({})).status, 400);
}
