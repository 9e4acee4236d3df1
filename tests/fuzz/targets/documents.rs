//! Generated documents: the input makes the choices. Most are JSON, with the pointers' names, duplicates and every kind of
//! value, padded so that tokens cross the 64 bytes that the scan takes at a time; some have one byte changed.

#![no_main]

use std::sync::LazyLock;

use http::HeaderMap;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use ringback::ingest::Ingest;
use ringback_fuzz::{Checked, ingest, oracle};

static INGEST: LazyLock<Ingest<Checked>> = LazyLock::new(|| ingest(oracle::SOURCE, ""));

const NAMES: [&str; 10] = [
    "event",
    "call",
    "call_id",
    "a",
    "id",
    "c\\u0061ll",
    "ev\\u0065nt",
    "",
    "\\u0000",
    "\\ud800",
];
const SCALARS: [&str; 18] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1e999",
    "-12.50E+007",
    "123456789012345678901234567890",
    "\"\"",
    "\"e\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\u0000\"",
    "\"{[,:]}\"",
    "\"\u{e9}\u{6771}\u{1f600}\"",
    "\"call_ended\"",
];
const SPACES: [&str; 5] = ["", " ", "\n", "\t\r ", "                                 "];
/// Deeper than serde_json's tree goes is left to the other target.
const DEPTH: usize = 12;

fuzz_target!(|choices: &[u8]| {
    let mut choices = Unstructured::new(choices);
    let mut body = String::new();
    // It ends with the choices; what is there by then is cut short, and compared too.
    let whole = value(&mut choices, &mut body, DEPTH);
    let mut body = body.into_bytes();
    if whole.is_ok() && choices.ratio(1, 8).unwrap_or(false) {
        let _ = spoil(&mut choices, &mut body);
    }
    let headers = HeaderMap::new();
    oracle::compare(&body, INGEST.fields(&headers, &body));
});

fn value(choices: &mut Unstructured<'_>, body: &mut String, depth: usize) -> Result<()> {
    space(choices, body)?;
    match choices.int_in_range(0..=if depth == 0 { 1 } else { 5 })? {
        0 => body.push_str(choices.choose(&SCALARS)?),
        1 => {
            body.push('"');
            let length = choices.int_in_range(0..=80)?;
            body.extend(std::iter::repeat_n('x', length));
            body.push_str(choices.choose(&["", "\u{e9}", "\\n", "\\\\", "\\u00e9"])?);
            body.push('"');
        }
        2 => several(choices, body, ['[', ']'], |choices, body| {
            value(choices, body, depth - 1)
        })?,
        _ => several(choices, body, ['{', '}'], |choices, body| {
            space(choices, body)?;
            let name = choices.choose(&NAMES)?;
            body.extend(["\"", name, "\""]);
            space(choices, body)?;
            body.push(':');
            value(choices, body, depth - 1)
        })?,
    }
    space(choices, body)
}

fn several(
    choices: &mut Unstructured<'_>,
    body: &mut String,
    [open, close]: [char; 2],
    mut one: impl FnMut(&mut Unstructured<'_>, &mut String) -> Result<()>,
) -> Result<()> {
    body.push(open);
    let count = choices.int_in_range(0..=5)?;
    for index in 0..count {
        if index > 0 {
            body.push(',');
        }
        one(choices, body)?;
    }
    space(choices, body)?;
    body.push(close);
    Ok(())
}

fn space(choices: &mut Unstructured<'_>, body: &mut String) -> Result<()> {
    if choices.ratio(1, 4)? {
        body.push_str(choices.choose(&SPACES)?);
    }
    Ok(())
}

fn spoil(choices: &mut Unstructured<'_>, body: &mut Vec<u8>) -> Result<()> {
    let at = choices.choose_index(body.len())?;
    let byte = choices.arbitrary()?;
    match choices.int_in_range(0..=2)? {
        0 => body[at] = byte,
        1 => body.insert(at, byte),
        _ => body.truncate(at),
    }
    Ok(())
}
