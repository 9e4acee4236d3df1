//! The quick way through a body: one pass over blocks of 64 bytes checks the whole text and follows the pointers.
//!
//! ```text
//! blocks     the one place that knows vectors: a word a class of bytes, a bit a byte
//! strings    where strings are, and their escapes
//! scalars    numbers, true, false, null
//! nesting    the brackets one by one: object or array, and the pointers' paths
//! grammar    which token may follow which
//! ```
//!
//! It says yes or nothing. What it does not take (text that is no JSON, and JSON of shapes that no sender has: a root
//! that is no object, more than 63 levels, an escaped name or an array on a pointer's path, more than seven pointers)
//! the slow way decides. So it has one way to be wrong: to take what serde_json refuses, or to find something else in
//! it; which the tests look for.

#![expect(
    clippy::inline_always,
    reason = "code outside of `dispatch!` would be compiled for the plainest machine"
)]

mod blocks;
mod grammar;
mod nesting;
mod scalars;
mod strings;

use super::pointers::Pointers;
use super::walk::{Hit, unescape};
use blocks::{BLOCK, Block};
use fearless_simd::{Level, Simd, dispatch};
use grammar::{Grammar, Tokens};
use nesting::{Nesting, Places};
use scalars::Scalars;
use strings::Strings;

/// What each slot holds, or `None` where the slow way has to look.
pub(crate) type Hits<'a> = Option<Vec<Option<Hit<'a>>>>;

/// Reads `text` with the best instructions of this machine.
pub(crate) fn scan<'a>(text: &'a str, pointers: &Pointers) -> Hits<'a> {
    scan_at(Level::new(), text, pointers)
}

fn scan_at<'a>(level: Level, text: &'a str, pointers: &Pointers) -> Hits<'a> {
    let places = dispatch!(level, simd => scan_with(simd, text.as_bytes(), pointers))?;
    places[..pointers.slots]
        .iter()
        .map(|place| match place {
            Some(at) => hit(text, *at).map(Some),
            None => Some(None),
        })
        .collect()
}

/// The string that begins at `at`, if one does.
fn hit(text: &str, at: usize) -> Option<Hit<'_>> {
    let bytes = text.as_bytes();
    let mut end = at + 1;
    loop {
        match bytes.get(end)? {
            b'"' => break,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    unescape(text.get(at..=end)?).ok()
}

#[inline(always)]
fn scan_with<S: Simd>(simd: S, text: &[u8], pointers: &Pointers) -> Option<Places> {
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
        // The middle of a long string changes nothing.
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
                .then_some(nesting.places);
        }
    }
    None
}

/// May stand between tokens.
fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests;
