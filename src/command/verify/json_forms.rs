//! The ways in which common serialisers write one JSON document.
//!
//! A body that was parsed and written again has lost the sender's spaces, escapes and numbers. Writing it in every common
//! form finds the one that the sender signed, unless its numbers or its order of members were unusual.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::de::IgnoredAny;

/// White space between tokens.
#[derive(Debug, Clone, Copy)]
enum Layout {
    /// JavaScript, Go, Rust.
    Compact,
    /// Python.
    Spaced,
    /// With this many spaces a level.
    Indented(usize),
}

/// How texts and numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalars {
    /// As in the body.
    Kept,
    /// Texts in UTF-8, numbers as JavaScript writes them.
    Utf8,
    /// Texts in ASCII, as Python writes them.
    Ascii,
    /// In ASCII, slashes escaped, as PHP writes them.
    AsciiSlash,
    /// In UTF-8, `<`, `>` and `&` escaped, as Go writes them.
    Html,
}

const LAYOUTS: [(Layout, &str); 4] = [
    (Layout::Compact, "without spaces"),
    (Layout::Spaced, "with a space after each colon and comma"),
    (Layout::Indented(2), "indented by 2"),
    (Layout::Indented(4), "indented by 4"),
];
const SCALARS: [(Scalars, &str); 5] = [
    (Scalars::Kept, ""),
    (Scalars::Utf8, ", texts in UTF-8"),
    (Scalars::Ascii, ", texts in ASCII"),
    (Scalars::AsciiSlash, ", texts in ASCII with slashes escaped"),
    (Scalars::Html, ", <, > and & escaped"),
];

/// Each form with its description; empty if `body` is not JSON.
pub fn forms(body: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
    let text = Some(body).filter(|_| is_json);
    let text = text.and_then(|body| std::str::from_utf8(body).ok());
    // `Value` keeps its members sorted.
    let sorted: Option<serde_json::Value> = text.and_then(|text| serde_json::from_str(text).ok());
    let sorted = sorted.map(|value| (value.to_string(), ", members sorted"));
    let sources = text.map(|text| (text.to_owned(), "")).into_iter();
    sources.chain(sorted).flat_map(|(text, order)| {
        SCALARS.into_iter().flat_map(move |(scalars, how)| {
            let written: Vec<_> = tokens(&text)
                .map(|token| scalar(token, scalars).into_owned())
                .collect();
            LAYOUTS.map(|(layout, spaces)| {
                (format!("{spaces}{how}{order}"), lay_out(&written, layout))
            })
        })
    })
}

/// Brackets, colons, commas, texts with their quotes, and other scalars of valid JSON.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let first = rest.chars().next()?;
        let length = match first {
            '"' => text_length(rest),
            '{' | '}' | '[' | ']' | ':' | ',' => 1,
            _ => rest
                .find([',', '}', ']', ' ', '\t', '\r', '\n'])
                .unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        Some(token)
    })
}

/// Bytes of the text that `rest` begins with.
fn text_length(rest: &str) -> usize {
    let mut is_escaped = false;
    let end = rest.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(rest.len(), |end| end + 2)
}

fn scalar(token: &str, scalars: Scalars) -> Cow<'_, str> {
    if scalars == Scalars::Kept {
        return token.into();
    }
    if token.starts_with('"') {
        let text: Option<String> = serde_json::from_str(token).ok();
        let plain = text.and_then(|text| serde_json::to_string(&text).ok());
        return plain.map_or(token.into(), |plain| escape(&plain, scalars).into());
    }
    let number: Option<f64> = token
        .parse()
        .ok()
        .filter(|_| token.contains(['.', 'e', 'E']));
    match number {
        Some(number) if scalars == Scalars::Utf8 => number.to_string().into(),
        _ => token.into(),
    }
}

/// Escapes more than JSON demands.
fn escape(plain: &str, scalars: Scalars) -> String {
    let mut text = String::with_capacity(plain.len());
    for c in plain.chars() {
        let is_ascii = matches!(scalars, Scalars::Ascii | Scalars::AsciiSlash);
        match c {
            '/' if scalars == Scalars::AsciiSlash => text.push_str("\\/"),
            '<' | '>' | '&' if scalars == Scalars::Html => push_units(&mut text, c),
            c if is_ascii && !c.is_ascii() => push_units(&mut text, c),
            c => text.push(c),
        }
    }
    text
}

/// `\uXXXX`, twice beyond the basic plane.
fn push_units(text: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing into a text never fails.
        let _ = write!(text, "\\u{unit:04x}");
    }
}

fn lay_out(tokens: &[String], layout: Layout) -> Vec<u8> {
    let mut text = String::new();
    let mut depth = 0;
    let new_line = |text: &mut String, depth: usize| {
        if let Layout::Indented(width) = layout {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', depth * width));
        }
    };
    let mut previous = "";
    for token in tokens {
        let opened = matches!(previous, "{" | "[");
        let closes = matches!(token.as_str(), "}" | "]");
        depth -= usize::from(closes);
        // An empty object or list stays on its line.
        if (opened || closes) && !(opened && closes) {
            new_line(&mut text, depth);
        }
        text.push_str(token);
        match (token.as_str(), layout) {
            ("{" | "[", _) => depth += 1,
            (",", Layout::Indented(_)) => new_line(&mut text, depth),
            (":", Layout::Indented(_)) | (":" | ",", Layout::Spaced) => text.push(' '),
            _ => {}
        }
        previous = token;
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRETTY: &str =
        "{\n  \"b\": [\n    1.50,\n    {}\n  ],\n  \"a\": \"Zo\u{eb} \\u00eb <\\/>\"\n}";

    #[test]
    fn the_common_serialisers_forms_are_among_them() {
        let forms: Vec<_> = forms(PRETTY.as_bytes()).map(|(_, form)| form).collect();
        for expected in [
            // Kept, JavaScript, Python, PHP, Go, and Python with sort_keys.
            PRETTY,
            "{\"b\":[1.5,{}],\"a\":\"Zo\u{eb} \u{eb} </>\"}",
            "{\"b\": [1.50, {}], \"a\": \"Zo\\u00eb \\u00eb </>\"}",
            "{\"b\":[1.50,{}],\"a\":\"Zo\\u00eb \\u00eb <\\/>\"}",
            "{\"b\":[1.50,{}],\"a\":\"Zo\u{eb} \u{eb} \\u003c/\\u003e\"}",
            "{\"a\": \"Zo\\u00eb \\u00eb </>\", \"b\": [1.5, {}]}",
        ] {
            assert!(
                forms.iter().any(|form| form == expected.as_bytes()),
                "{expected}"
            );
        }
        assert_eq!(super::forms(b"{\"a\":").count(), 0);
        assert_eq!(super::forms(b"a=b").count(), 0);
    }

    proptest! {
        #[test]
        fn every_form_says_the_same(text in "\\PC{0,12}", number in any::<i32>(), more in "[a-z\"\\\\]{0,5}") {
            let value = serde_json::json!({"x": [text, number, null, {"y": more}, [], true]});
            for (how, form) in forms(value.to_string().as_bytes()) {
                let read: serde_json::Value = serde_json::from_slice(&form).unwrap();
                prop_assert_eq!(&read, &value, "{}", how);
            }
        }
    }
}
