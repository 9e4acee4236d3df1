//! Validation against an oracle that builds the tree.

use proptest::prelude::*;
use serde_json::Value;

use super::pointers::Role;
use super::*;

const RETELL: [&str; 5] = [
    "/call/call_id",
    "/data/call_id",
    "/chat/chat_id",
    "/call_inbound/call_id",
    "/chat_inbound/chat_id",
];

/// The event's pointer, then those to the key.
pub(super) fn compile<S: AsRef<str>>(keys: &[S]) -> Pointers {
    let keys = keys.iter().map(AsRef::as_ref);
    let keys = keys.map(|key| (Role::Key, key));
    let pointers: Vec<_> = std::iter::once((Role::Event, "/event"))
        .chain(keys)
        .collect();
    Pointers::compile(&pointers).unwrap()
}

fn find<'a>(body: &'a str, pointers: &[&str]) -> Result<EventFields<'a>, NotJson> {
    validate(body.as_bytes(), &compile(pointers))
}

fn kind(body: &str) -> Option<String> {
    find(body, &[]).unwrap().kind.map(Cow::into_owned)
}

fn key(body: &str, pointers: &[&str]) -> Option<String> {
    find(body, pointers).unwrap().key.map(Cow::into_owned)
}

#[test]
fn the_first_pointer_that_leads_to_a_string_is_the_key() {
    for (body, expected) in [
        (r#"{"event":"e","call":{"call_id":"a"}}"#, Some("a")),
        (
            r#"{"chat":{"chat_id":"c"},"data":{"call_id":"b"},"event":"e"}"#,
            Some("b"),
        ),
        (
            r#"{"event":"e","call":{"call_id":7},"chat":{"chat_id":"c"}}"#,
            Some("c"),
        ),
        (r#"{"event":"e","call":{"call_id":""}}"#, Some("")),
        (
            r#"{"event":"call_inbound","call_inbound":{"call_id":"i"}}"#,
            Some("i"),
        ),
        (
            r#"{"event":"chat_inbound","chat_inbound":{"chat_id":"j"}}"#,
            Some("j"),
        ),
        (
            r#"{"event":"e","call":{"call_id":"\u00e9\ud83d\ude00\n"}}"#,
            Some("é😀\n"),
        ),
        (r#"{"event":"e","call":"call_id"}"#, None),
        (r#"{"event":"e","call":null}"#, None),
        (r#"{"event":"e","call":[{"call_id":"a"}]}"#, None),
        (r#"{"event":"e","other":{"call":{"call_id":"a"}}}"#, None),
    ] {
        assert_eq!(key(body, &RETELL).as_deref(), expected, "{body}");
    }
}

#[test]
fn of_duplicate_members_the_last_wins() {
    for (body, expected) in [
        (
            r#"{"event":"e","call":{"call_id":"a","call_id":"b"}}"#,
            Some("b"),
        ),
        (r#"{"event":"e","call":{"call_id":"a","call_id":1}}"#, None),
        (r#"{"event":"e","call":{"call_id":"a"},"call":{}}"#, None),
        (
            r#"{"event":"e","call":{"call_id":"a"},"call":7,"data":{"call_id":"d"}}"#,
            Some("d"),
        ),
        (
            r#"{"event":"e","call":1,"c\u0061ll":{"call_id":"a"}}"#,
            Some("a"),
        ),
    ] {
        assert_eq!(key(body, &RETELL).as_deref(), expected, "{body}");
    }
    let last = kind(r#"{"event":"a","event":"b"}"#);
    assert_eq!(last.as_deref(), Some("b"));
    assert_eq!(kind(r#"{"event":"a","event":1}"#), None);
}

#[test]
fn what_is_not_json_and_what_has_no_name_are_distinguished() {
    for body in [
        "",
        " ",
        "{",
        "{}x",
        "{} {}",
        r#"{"event":"e"}]"#,
        r#"{"event":"e",}"#,
        r#"{"event":"e","call":{"call_id":"a}"#,
        r#"{"event":"e","a":01}"#,
        r#"{"event":"e","a":"\x"}"#,
        "{\"event\":\"e\",\"a\":\"\n\"}",
        "{\"event\":\"e\",\"a\tb\":1}",
        "{\"event\":\"e\",\"call\":{\"\u{0}\":1}}",
        "{\"event\":\"e\",\"\\ud800\":1,\"a\tb\":1}",
        r"{'event':'e'}",
        "nul",
        r#"{"event":"\ud800}"#,
        r#"{"event":"e","call":"\ud8"}"#,
        " \u{feff}{}",
        "\u{feff}\u{feff}{}",
    ] {
        assert!(find(body, &RETELL).is_err(), "{body}");
    }
    for body in [
        "{}",
        "[]",
        "1",
        "null",
        "\"event\"",
        "1e999",
        r#""\ud800""#,
        r#"[{"event":"e"}]"#,
        r#"{"event":null}"#,
        r#"{"event":["e"]}"#,
        r#"{"Event":"e"}"#,
        r#"{"call":{"event":"e"}}"#,
    ] {
        assert_eq!(kind(body), None, "{body}");
    }
}

#[test]
fn text_that_utf8_cannot_represent_is_no_key_and_no_reason_to_refuse() {
    for body in [
        r#"{"event":"e","call":{"call_id":"\ud800"}}"#,
        r#"{"event":"e","call":{"call_id":"\udc00\ud800x"}}"#,
        r#"{"event":"e","call":"\ud800"}"#,
        r#"{"event":"e","call":1e999}"#,
        r#"{"event":"e","\ud800":{"\udfff":"\ud800"},"call":{"\ud800":1}}"#,
    ] {
        assert_eq!(key(body, &RETELL), None, "{body}");
    }
    let body = r#"{"event":"a\ud800","data":-1e999,"call":{"call_id":"k","x":1e999}}"#;
    let found = find(body, &RETELL).unwrap();
    assert_eq!(found.kind.as_deref(), Some("a\u{fffd}\u{fffd}\u{fffd}"));
    assert_eq!(found.key.as_deref(), Some("k"));
}

#[test]
fn a_body_that_is_not_json_is_reported_with_its_place() {
    let pointers = compile(&RETELL);
    for (body, reason) in [
        (&b""[..], "it is empty"),
        (b"\xEF\xBB\xBF", "it is empty"),
        (b" \n", "it ends too early, at line 2, column 0"),
        (b"{\"event\":\"\xE9\"}", "invalid UTF-8 at byte 10"),
        (
            b"\xEF\xBB\xBF{\"event\":\"\xE9\"}",
            "invalid UTF-8 at byte 13",
        ),
        (b"\xFF\xFE{\0", "invalid UTF-8 at byte 0"),
        (
            b"{\"event\":\"call_ended\",\"call\":{",
            "it ends too early, at line 1, column 30",
        ),
        (
            b"{\"event\":\"e\",\"call\":{\"x\":NaN}}",
            "unexpected character at line 1, column 26",
        ),
        (
            b"\xEF\xBB\xBF{\"event\":\"e\",\"call\":{\"x\":NaN}}",
            "unexpected character at line 1, column 26",
        ),
        (
            b"{\"event\":\"e\",\n\"call\":{\"call_id\":'a'}}",
            "unexpected character at line 2, column 19",
        ),
        (
            b"{\"event\":\"e\"}{}",
            "unexpected character at line 1, column 14",
        ),
        (
            b"event=call_ended",
            "unexpected character at line 1, column 1",
        ),
    ] {
        let error = validate(body, &pointers).unwrap_err();
        assert_eq!(error.to_string(), reason, "{}", body.escape_ascii());
    }
}

#[test]
fn a_leading_byte_order_mark_changes_nothing_that_is_found() {
    let body = r#"{"event":"call_ended","call":{"call_id":"a"}}"#;
    let marked = format!("\u{feff}{body}");
    assert_eq!(find(&marked, &RETELL), find(body, &RETELL));
    assert_eq!(key(&marked, &RETELL).as_deref(), Some("a"));
    assert_eq!(find("\u{feff}[]", &RETELL), find("[]", &RETELL));
}

#[test]
fn a_body_without_a_name_has_its_key_all_the_same() {
    let body = r#"{"name":"lookup","args":{},"call":{"call_id":"a"}}"#;
    assert_eq!(kind(body), None);
    assert_eq!(key(body, &RETELL).as_deref(), Some("a"));
}

#[test]
fn a_string_that_is_no_text_ends_the_search_for_a_key_only_for_its_own_pointer() {
    let body = r#"{"event":"e","call":{"call_id":"\ud800"},"chat":{"chat_id":"c"}}"#;
    assert_eq!(key(body, &RETELL).as_deref(), Some("c"));
    let long = "x".repeat(MAX_KEY + 1);
    let body = format!(r#"{{"event":"e","call":{{"call_id":"{long}"}},"chat":{{"chat_id":"c"}}}}"#);
    assert_eq!(key(&body, &RETELL).as_deref(), Some("c"));
}

#[test]
fn an_overlong_event_name_is_cut_at_a_character() {
    let body = format!(r#"{{"event":"{}"}}"#, "é".repeat(MAX_KIND));
    assert_eq!(kind(&body), Some("é".repeat(MAX_KIND / 2)));
    let body = format!(r#"{{"event":"x{}"}}"#, "é".repeat(MAX_KIND));
    assert_eq!(kind(&body).map(|kind| kind.len()), Some(MAX_KIND - 1));
}

#[test]
fn depth_costs_no_stack_and_is_not_refused() {
    let depth = 100_000;
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    let objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    for value in [format!("{open}{close}"), objects] {
        for body in [
            format!(r#"{{"event":"e","x":{value},"call":{{"call_id":"k","y":{value}}}}}"#),
            format!(r#"{{"event":"e","data":{{"call_id":{value}}},"call":{{"call_id":"k"}}}}"#),
        ] {
            assert_eq!(key(&body, &RETELL).as_deref(), Some("k"));
        }
    }
    let body = format!(r#"{{"event":"e","x":{open}}}"#);
    assert!(find(&body, &RETELL).is_err());
}

#[test]
fn pointers_reach_into_arrays_and_may_share_a_path() {
    let body = r#"{"event":"e","a":["x",{"b":"y"}],"0":{"~/":"z"},"":"w"}"#;
    for (pointers, expected) in [
        (&["/a/0"][..], Some("x")),
        (&["/a/1/b"], Some("y")),
        (&["/a/01", "/a/-", "/a/2", "/a/1"], None),
        (&["/0/~0~1"], Some("z")),
        (&["/"], Some("w")),
        (&["/event"], Some("e")),
        (&["/a", "/a/1", "/a/1/b", "/a/0"], Some("y")),
        (&["/a/0", "/a"], Some("x")),
        (&[], None),
    ] {
        assert_eq!(key(body, pointers).as_deref(), expected, "{pointers:?}");
    }
    assert_eq!(
        key(r#"{"event":"e","a":"s"}"#, &["/a/b", "/a"]).as_deref(),
        Some("s")
    );
}

#[test]
fn every_fixture_has_its_calls_or_chats_id_as_key() {
    let fixtures = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/retell-events.ndjson"
    );
    let events = std::fs::read_to_string(fixtures).unwrap();
    assert_eq!(events.lines().count(), 63);
    for line in events.lines() {
        let tree: Value = serde_json::from_str(line).unwrap();
        let found = find(line, &RETELL).unwrap();
        assert_eq!(found.kind.as_deref(), tree["event"].as_str());
        let id = tree["call"]["call_id"]
            .as_str()
            .or(tree["chat"]["chat_id"].as_str());
        assert!(id.is_some());
        assert_eq!(found.key.as_deref(), id);
    }
}

/// JSON texts with few names, so that duplicates and pointers' paths are common.
fn json() -> impl Strategy<Value = String> {
    let name = || {
        prop_oneof!["event", "call", "call_id", "0", "1", "a\\u0062"]
            .prop_map(|name| format!("\"{name}\""))
    };
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        Just("-0.5e3".to_owned()),
        "[a-cé\\PC]{0,4}".prop_map(|text| Value::String(text).to_string()),
        Just("\"\\ud83d\\ude00\\n\"".to_owned()),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let member = (name(), inner.clone()).prop_map(|(name, value)| format!("{name} : {value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[ {} ]", items.join(","))),
            prop::collection::vec(member, 0..6)
                .prop_map(|members| format!("{{{}}}", members.join(", "))),
        ]
    })
}

fn pointer() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        "event",
        "call",
        "call_id",
        "0",
        "1",
        "ab",
        "01",
        "-",
        r"a\\u0062"
    ];
    prop::collection::vec(token, 1..4).prop_map(|tokens| format!("/{}", tokens.join("/")))
}

proptest! {
    #[test]
    fn one_pass_finds_what_a_tree_would(
        members in json(),
        pointers in prop::collection::vec(pointer(), 0..5),
        wrap in any::<bool>(),
    ) {
        let body = if wrap { format!("{{\"event\":\"e\",\"call\":{members},\"0\":[{members}]}}") } else { members };
        let tree: Value = serde_json::from_str(&body).unwrap();
        let text = |pointer: &str| tree.pointer(pointer).and_then(Value::as_str);
        let expected = EventFields {
            kind: text("/event").map(Cow::Borrowed),
            key: pointers.iter().find_map(|pointer| text(pointer)).map(Cow::Borrowed),
            id: None,
            is_json: true,
        };
        let compiled = compile(&pointers);
        prop_assert_eq!(validate(body.as_bytes(), &compiled), Ok(expected));
        // The exact mode runs rarely; it must find the same.
        let interpreted = super::serde::pass(&body, &compiled, false).unwrap();
        prop_assert_eq!(super::serde::pass(&body, &compiled, true).unwrap(), interpreted);
    }

    #[test]
    fn what_serde_json_refuses_is_refused_and_nothing_panics(
        body in json(),
        cut in any::<prop::sample::Index>(),
        insert in "[\\PC]{0,2}",
    ) {
        let mut at = cut.index(body.len() + 1);
        while !body.is_char_boundary(at) { at -= 1; }
        let mutated = format!("{}{insert}{}", &body[..at], body[at..].chars().skip(1).collect::<String>());
        let is_json = serde_json::from_str::<::serde::de::IgnoredAny>(&mutated).is_ok();
        let refused = find(&mutated, &["/call/call_id", "/call/0"]).is_err();
        prop_assert_eq!(refused, !is_json);
    }
}
