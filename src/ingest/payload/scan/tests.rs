//! The quick way against the slow one, on every level of instructions that this machine has.

use super::*;
use crate::ingest::payload::walk;
use proptest::prelude::*;

const POINTERS: [&str; 4] = ["/call/call_id", "/data/call_id", "/chat/chat_id", "/call"];

/// All that can be tried here.
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

/// What every level says, which must be the same.
fn quick<'a>(text: &'a str, pointers: &Pointers) -> Hits<'a> {
    let mut said: Vec<_> = levels()
        .into_iter()
        .map(|level| scan_at(level, text, pointers))
        .collect();
    said.dedup();
    assert_eq!(said.len(), 1, "levels differ: {text:?}");
    said.remove(0)
}

/// Whether the quick way took it; what it found is compared.
fn takes(text: &str, pointers: &Pointers) -> bool {
    let Some(found) = quick(text, pointers) else {
        return false;
    };
    let slow = walk::walk(text, pointers);
    assert_eq!(slow.ok(), Some(found), "{text:?}");
    true
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
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

/// At every place of a block and over its edges, in objects and in arrays.
#[test]
fn each_token_is_judged_alike_wherever_it_lies() {
    let pointers = Pointers::compile(&POINTERS).unwrap();
    // Strings that fill blocks, too.
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
                assert_eq!(takes(&text, &pointers), good, "{text:?}");
            }
        }
    }
}

/// One document a body, with white space around it at most, and what follows the path follows it only.
#[test]
fn what_is_behind_a_document_or_beside_a_path_is_seen() {
    let pointers = Pointers::compile(&POINTERS).unwrap();
    for behind in [
        "{}", ",{}", ",", ":{}", "1", "\"a\"", "]", "}", "[", "\u{0}", "\u{a0}",
    ] {
        for length in 0..140 {
            let white = " ".repeat(length);
            let text = format!("{{}}{white}{behind}");
            assert!(!is_json(&text) && !takes(&text, &pointers), "{text:?}");
            assert!(takes(&format!("{white}{{}}{white}"), &pointers));
        }
    }
    // One look at a name, however long and however many colons follow it.
    let colons = format!("{{\"{}\"{}1}}", "x".repeat(1 << 20), ":".repeat(64));
    assert!(!is_json(&colons) && !takes(&colons, &pointers));
    for (text, found) in [
        (r#"{"call":7,"x":{"call_id":"a"}}"#, None),
        (r#"{"call":{"x":{"call_id":"a"}}}"#, None),
        (r#"{"call":[{"call_id":"a"}]}"#, None),
        (r#"{"x":{},"call":{"call_id":"a"}}"#, Some("a")),
        (r#"{"call":{"x":{"y":[]},"call_id":"a"}}"#, Some("a")),
    ] {
        let hits = quick(text, &pointers).unwrap();
        let found = found.map(|id| Hit::Text(id.into()));
        assert_eq!(hits[1], found, "{text}");
    }
}

/// What senders send takes the quick way, compact as it comes and laid out for people.
#[test]
fn events_take_the_quick_way() {
    let events = include_str!("../../../../tests/fixtures/retell-events.ndjson");
    let pointers = Pointers::compile(&POINTERS).unwrap();
    for event in events.lines() {
        let tree: serde_json::Value = serde_json::from_str(event).unwrap();
        for text in [
            event.to_owned(),
            serde_json::to_string_pretty(&tree).unwrap(),
            format!(" \n{event}\r\n\t"),
        ] {
            assert!(takes(&text, &pointers), "{text}");
        }
    }
}

/// The shapes that are left to the slow way are those, and no neighbours of theirs.
#[test]
fn the_quick_way_ends_where_it_says() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!("{{\"a\":{open}1{close}}}")
    };
    let pointers = Pointers::compile(&["/call/0/id", "/call/call_id"]).unwrap();
    for (text, taken) in [
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
        assert_eq!(takes(&text, &pointers), taken, "{text}");
    }
    let raw = Pointers::compile(&[r"/a\n", r"/a\n/b", r"/\u0061"]).unwrap();
    for text in [
        r#"{"a\n":"x"}"#,
        r#"{"a\n":{"b":"x"}}"#,
        r#"{"a\\n":"x"}"#,
        r#"{"\u0061":"x"}"#,
    ] {
        assert!(is_json(text) && !takes(text, &raw), "{text}");
    }
    let many = |pointers: usize| Pointers::compile(&vec!["/a"; pointers]).unwrap();
    assert!(takes("{}", &many(7)) && !takes("{}", &many(8)));
    let deep = |tokens: usize| Pointers::compile(&["/a".repeat(tokens)]).unwrap();
    let text = format!("{}\"x\"{}", "{\"a\":".repeat(9), "}".repeat(9));
    assert!(takes(&text, &deep(8)) && !takes(&text, &deep(9)));
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
    fn it_takes_what_the_slow_way_takes_and_finds_the_same(
        text in object(),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0_usize..2, r#"[\[\]{}:,"\\0-9eE.+\- \ntu]{0,2}"#),
            0..3,
        ),
    ) {
        let pointers = Pointers::compile(&POINTERS).unwrap();
        prop_assert!(is_json(&text));
        // Only escapes in names on a path keep JSON from the quick way.
        prop_assert!(takes(&text, &pointers) || text.contains('\\'), "{}", text);
        let mut changed = text;
        for (place, removed, inserted) in changes {
            let at = changed.floor_char_boundary(place.index(changed.len() + 1));
            let rest = changed.split_off(at);
            changed.push_str(&inserted);
            changed.extend(rest.chars().skip(removed));
        }
        takes(&changed, &pointers);
    }
}
