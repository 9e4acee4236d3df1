//! The scan against serde_json as its oracle, on every instruction set that this machine has.

use proptest::prelude::*;

use super::*;
use crate::ingest::payload::serde;
use crate::ingest::payload::tests::compile;

const POINTERS: [&str; 4] = ["/call/call_id", "/data/call_id", "/chat/chat_id", "/call"];

/// Every instruction set that can be tested here.
fn levels() -> Vec<Level> {
    let best = Level::new();
    let mut levels = vec![best, Level::baseline()];
    #[cfg(target_arch = "x86_64")]
    {
        levels.extend(best.as_sse4_2().map(Level::Sse4_2));
        levels.extend(best.as_avx2().map(Level::Avx2));
    }
    levels
}

/// What the scan finds, which must be the same at every level.
fn scan_at_all_levels<'a>(text: &'a str, pointers: &Pointers) -> Slots<'a> {
    let mut results: Vec<_> = levels()
        .into_iter()
        .map(|level| scan_at(level, text, pointers))
        .collect();
    results.dedup();
    assert_eq!(results.len(), 1, "levels differ: {text:?}");
    results.remove(0)
}

/// True if the scan accepts `text`; what it found must be what serde_json finds.
fn accepts(text: &str, pointers: &Pointers) -> bool {
    let Some(found) = scan_at_all_levels(text, pointers) else {
        return false;
    };
    let oracle = serde::find(text, pointers);
    assert_eq!(oracle.ok(), Some(found), "{text:?}");
    true
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<::serde::de::IgnoredAny>(text).is_ok()
}

const VALUES: &[&str] = &[
    "0",
    "-0",
    "7",
    "12",
    "-120",
    "0.5",
    "10.25",
    "-1.0",
    "1e5",
    "1E5",
    "1e+5",
    "1e-05",
    "0e0",
    "1.50E+007",
    "true",
    "false",
    "null",
    "{}",
    "[]",
    r#"{"a":1}"#,
    "[1,2]",
    "[[],{}]",
    r#""""#,
    r#""a""#,
    r#""\n""#,
    r#""\\""#,
    r#""\"""#,
    r#""\u00e9""#,
    r#""\ud800""#,
    r#""{[,:""#,
    "\"\u{e9}\u{6771}\"",
    " 1 ",
    "\t[ ]\n",
    r#"{ "a" : 1 }"#,
];

const NO_VALUES: &[&str] = &[
    "",
    "00",
    "01",
    "-",
    "-01",
    "+1",
    ".5",
    "5.",
    "1.e5",
    "1e",
    "1e+",
    "1e5.5",
    "1e5e5",
    "1.5.5",
    "1-1",
    "1+1",
    "--1",
    "1e+-5",
    "0x1",
    "1 2",
    "tru",
    "truee",
    "true1",
    "1true",
    "nul",
    "nulll",
    "True",
    "NaN",
    "Infinity",
    "#",
    "'a'",
    "\"",
    r#""\""#,
    r#""\x""#,
    r#""\u12""#,
    r#""\u12g4""#,
    "\"a\nb\"",
    "\"\u{1}\"",
    r#""a""b""#,
    r#""a"1"#,
    r#"1"a""#,
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "{]",
    "[}",
    "{,}",
    "[,]",
    "[1,]",
    r#"{"a":1,}"#,
    r#"{"a"}"#,
    r#"{"a":}"#,
    "{1:2}",
    r#"{"a":1 "b":2}"#,
    r#"{"a":1:2}"#,
    r#"{"a","b"}"#,
    "{null:1}",
    "[1 2]",
    r#"["a":1]"#,
    "[,1]",
    "[1,,2]",
    "\\",
    r#"\"""#,
    "\u{a0}1",
    "\u{b}1",
    "1}{",
    "1]",
];

/// At every offset of a block and across its edges, in objects and in arrays.
#[test]
fn each_token_is_judged_alike_at_every_offset() {
    let pointers = compile(&POINTERS);
    // Strings longer than a block as well.
    let long = "x".repeat(150);
    let (name, value) = (format!("{{\"{long}\":1}}"), format!("\"{long}\""));
    let (missing, no_comma) = (format!("{{\"{long}\"}}"), format!("[1 \"{long}\"]"));
    let values = VALUES.iter().copied().chain([&*name, &*value]);
    let others = NO_VALUES.iter().copied().chain([&*missing, &*no_comma]);
    let tokens = values.map(|token| (token, true));
    for (token, good) in tokens.chain(others.map(|token| (token, false))) {
        for length in 0..140 {
            let (filler, white) = ("x".repeat(length), " ".repeat(length));
            for text in [
                format!(r#"{{"p":"{filler}","call":{token},"q":[{token},{token}]}}"#),
                format!(r#"{{"p{filler}":{token}}}"#),
                format!(r#"{{{white}"a":{token}}}"#),
                format!("{{\"a\":{white}{token}{white}\n}}"),
            ] {
                assert_eq!(is_json(&text), good, "{text:?}");
                assert_eq!(accepts(&text, &pointers), good, "{text:?}");
            }
        }
    }
}

/// A body is one document with nothing but white space around it, and a string counts only exactly on its path.
#[test]
fn what_follows_a_document_or_lies_beside_a_path_is_noticed() {
    let pointers = compile(&POINTERS);
    for behind in [
        "{}", ",{}", ",", ":{}", "1", "\"a\"", "]", "}", "[", "\u{0}", "\u{a0}",
    ] {
        for length in 0..140 {
            let white = " ".repeat(length);
            let text = format!("{{}}{white}{behind}");
            assert!(!is_json(&text) && !accepts(&text, &pointers), "{text:?}");
            assert!(accepts(&format!("{white}{{}}{white}"), &pointers));
        }
    }
    // A long name is read once, however many colons follow it.
    let colons = format!("{{\"{}\"{}1}}", "x".repeat(1 << 20), ":".repeat(64));
    assert!(!is_json(&colons) && !accepts(&colons, &pointers));
    for (text, found) in [
        (r#"{"call":7,"x":{"call_id":"a"}}"#, None),
        (r#"{"call":{"x":{"call_id":"a"}}}"#, None),
        (r#"{"call":[{"call_id":"a"}]}"#, None),
        (r#"{"x":{},"call":{"call_id":"a"}}"#, Some("a")),
        (r#"{"call":{"x":{"y":[]},"call_id":"a"}}"#, Some("a")),
    ] {
        let slots = scan_at_all_levels(text, &pointers).unwrap();
        let found = found.map(|id| Text::Unicode(id.into()));
        assert_eq!(slots[1], found, "{text}");
    }
}

/// What senders send, compact as it comes and pretty-printed.
#[test]
fn the_scan_accepts_events() {
    let events = include_str!("../../../../tests/fixtures/retell-events.ndjson");
    let pointers = compile(&POINTERS);
    for event in events.lines() {
        let tree: serde_json::Value = serde_json::from_str(event).unwrap();
        for text in [
            event.to_owned(),
            serde_json::to_string_pretty(&tree).unwrap(),
            format!(" \n{event}\r\n\t"),
        ] {
            assert!(accepts(&text, &pointers), "{text}");
        }
    }
}

/// The shapes that the scan gives up on are those of its documentation, and no similar ones.
#[test]
fn the_scan_gives_up_only_on_the_documented_shapes() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!("{{\"a\":{open}1{close}}}")
    };
    let pointers = compile(&["/call/0/id", "/call/call_id"]);
    for (text, accepted) in [
        (nested(62), true),
        (nested(63), false),
        ("[]".into(), false),
        ("7".into(), false),
        (r#"{"call":[{"id":"a"}]}"#.into(), false),
        (r#"{"other":[{"id":"a"}]}"#.into(), true),
        (r#"{"c\u0061ll":{"call_id":"a"}}"#.into(), false),
        (r#"{"call":{"call\u005fid":"a"}}"#.into(), false),
        (
            r#"{"other":{"c\u0061ll":"a"},"call":{"call_id":"\u0061"}}"#.into(),
            true,
        ),
    ] {
        assert!(is_json(&text));
        assert_eq!(accepts(&text, &pointers), accepted, "{text}");
    }
    let raw = compile(&[r"/a\n", r"/a\n/b", r"/\u0061"]);
    for text in [
        r#"{"a\n":"x"}"#,
        r#"{"a\n":{"b":"x"}}"#,
        r#"{"a\\n":"x"}"#,
        r#"{"\u0061":"x"}"#,
    ] {
        assert!(is_json(text) && !accepts(text, &raw), "{text}");
    }
    let many = |pointers: usize| compile(&vec!["/a"; pointers]);
    assert!(accepts("{}", &many(7)) && !accepts("{}", &many(8)));
    let deep = |tokens: usize| compile(&["/a".repeat(tokens)]);
    let text = format!("{}\"x\"{}", "{\"a\":".repeat(9), "}".repeat(9));
    assert!(accepts(&text, &deep(8)) && !accepts(&text, &deep(9)));
}

/// JSON objects; names, strings and numbers may be longer than a block.
fn object() -> impl Strategy<Value = String> {
    let string = || {
        let piece = prop_oneof![
            4 => r"[a-c {}:,\[\]]{0,3}",
            2 => r#"\\[\\"nu/]"#.prop_map(|escape| escape.replace('u', "u00e9")),
            1 => Just(String::from(r"\ud800")),
            1 => Just(String::from("\u{6771}\u{e9}")),
            1 => "x{0,80}",
        ];
        prop::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
    };
    let white = || prop_oneof![6 => Just(String::new()), 1 => "[ \n\t\r]{1,3}", 1 => " {60,70}"];
    let name = move || prop_oneof!["\"(event|call|call_id|data|chat|chat_id)\"", string()];
    let leaf = prop_oneof![
        string(),
        "null|true|false",
        "-?(0|[1-9][0-9]{0,30})([.][0-9]{1,70})?([eE][+-]?[0-9]{1,3})?",
    ];
    let value = leaf.prop_recursive(5, 40, 5, move |inner| {
        let member = (name(), white(), inner.clone(), white())
            .prop_map(|(name, before, value, after)| format!("{name}{before}:{value}{after}"));
        let array = (white(), prop::collection::vec(inner, 0..4))
            .prop_map(|(white, items)| format!("[{white}{}{white}]", items.join(",")));
        let object = (white(), prop::collection::vec(member, 0..6)).prop_map(|(white, members)| {
            format!("{{{white}{}}}", members.join(&format!(",{white}")))
        });
        prop_oneof![array, object]
    });
    (value.clone(), value).prop_map(|(call, data)| format!(r#"{{"call":{call},"data":{data}}}"#))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn it_accepts_what_serde_json_accepts_and_finds_the_same(
        text in object(),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0_usize..2, r#"[\[\]{}:,"\\0-9eE.+\- \ntu]{0,2}"#),
            0..3,
        ),
    ) {
        let pointers = compile(&POINTERS);
        prop_assert!(is_json(&text));
        // Of these texts the scan gives up only on those with an escaped name on a path.
        prop_assert!(accepts(&text, &pointers) || text.contains('\\'), "{}", text);
        let mut changed = text;
        for (place, removed, inserted) in changes {
            let at = changed.floor_char_boundary(place.index(changed.len() + 1));
            let rest = changed.split_off(at);
            changed.push_str(&inserted);
            changed.extend(rest.chars().skip(removed));
        }
        accepts(&changed, &pointers);
    }
}
