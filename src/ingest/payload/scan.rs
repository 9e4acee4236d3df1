//! Scans a body for the pointers' strings, 64 bytes at a time.
//!
//! Why not serde_json alone: validation was the most expensive part of a request after the signature, 5.7 µs for a body
//! of 7 KB. This scan takes 2.5 µs; sonic-rs and simd-json were no faster than serde_json (docs/benchmarks.md).
//!
//! ```text
//! blocks     loads 64 bytes and classifies them: one 64-bit word per class of bytes, one bit per byte
//! strings    where strings are, and whether their escapes are valid
//! scalars    numbers, true, false, null
//! nesting    brackets one by one: object or array, and the pointers' paths
//! grammar    which token may follow which
//! ```
//!
//! The scan accepts a body or gives up; it never rejects one. It gives up on text that is not JSON and on JSON of
//! shapes that no sender has: a root other than an object, more than 63 levels, an escaped name or an array on a
//! pointer's path, more than eight pointers. serde_json decides on those. So the scan can be wrong in two ways only: to
//! accept what serde_json rejects, or to find other strings. The tests compare both with serde_json, on every
//! instruction set that the machine has.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into `dispatch!` is compiled for the instruction set that it chose"
)]

mod blocks;
mod grammar;
mod nesting;
mod scalars;
mod strings;

use fearless_simd::{Level, Simd, dispatch};

use self::blocks::{BLOCK, Block, is_white};
use self::grammar::{Grammar, Tokens};
use self::nesting::{Nesting, Starts};
use self::scalars::Scalars;
use self::strings::Strings;
use super::pointers::Pointers;
use super::serde::{Text, unescape};

/// The string of each slot, or `None` if the scan gave up.
pub(crate) type Slots<'a> = Option<Vec<Option<Text<'a>>>>;

/// Scans `text` with the best instructions of this machine.
pub(crate) fn scan<'a>(text: &'a str, pointers: &Pointers) -> Slots<'a> {
    scan_at(Level::new(), text, pointers)
}

fn scan_at<'a>(level: Level, text: &'a str, pointers: &Pointers) -> Slots<'a> {
    let starts = dispatch!(level, simd => scan_with(simd, text.as_bytes(), pointers))?;
    starts[..pointers.slots]
        .iter()
        .map(|start| match start {
            Some(start) => string_at(text, *start).map(Some),
            None => Some(None),
        })
        .collect()
}

/// The string whose opening quote is at `start`.
fn string_at(text: &str, start: usize) -> Option<Text<'_>> {
    let bytes = text.as_bytes();
    let mut end = start + 1;
    loop {
        match bytes.get(end)? {
            b'"' => break,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    unescape(text.get(start..=end)?).ok()
}

#[inline(always)]
fn scan_with<S: Simd>(simd: S, text: &[u8], pointers: &Pointers) -> Option<Starts> {
    if text.iter().find(|byte| !is_white(**byte)) != Some(&b'{') {
        return None;
    }
    let (mut strings, mut scalars, mut grammar) =
        (Strings::default(), Scalars::default(), Grammar::default());
    let mut nesting = Nesting::new(text, pointers)?;
    let mut padded = [b' '; BLOCK];
    for start in (0..text.len()).step_by(BLOCK) {
        let rest = &text[start..];
        let block = if let Some(bytes) = rest.first_chunk() {
            Block::load(simd, bytes)
        } else {
            padded[..rest.len()].copy_from_slice(rest);
            Block::load(simd, &padded)
        };
        let classes = block.classes();
        let quoted = strings.read(&classes, text, start)?;
        // A block within one long string changes no state.
        if quoted.within == u64::MAX && quoted.opening == 0 {
            continue;
        }
        let outside = !(quoted.within | quoted.closing);
        let whites = classes.whites & outside;
        let opens = classes.opens & outside;
        let closes = classes.closes & outside;
        let commas = classes.commas & outside;
        let colons = classes.colons & outside;
        let others = outside & !(whites | opens | closes | commas | colons);
        let scalars = scalars.read(others, block, &classes, text, start)?;
        let in_objects = nesting.read(opens, closes, colons, &classes, quoted, start)?;
        let accepted = grammar.accepts(&Tokens {
            whites,
            open_objects: opens & classes.curly,
            open_arrays: opens & !classes.curly,
            closes,
            commas,
            colons,
            strings: quoted.opening,
            quoted: quoted.within,
            scalars,
            in_objects,
        });
        if !accepted {
            return None;
        }
        if let Some(end) = nesting.end {
            return text[end..]
                .iter()
                .all(|byte| is_white(*byte))
                .then_some(nesting.starts);
        }
    }
    None
}

#[cfg(test)]
mod tests;
