//! Finds the bytes within strings, and checks that strings may hold them.

use super::blocks::{BLOCK, Classes};

/// State carried from one block to the next.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    /// All ones if a string continues in the next block.
    within: u64,
    /// One if the next block's first byte is escaped.
    escaped: u64,
}

/// One block's strings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quoted {
    pub(crate) opening: u64,
    pub(crate) closing: u64,
    /// From the opening quote to the last byte before the closing quote.
    pub(crate) within: u64,
}

impl Strings {
    /// Reads the block at `start` of `text`; `None` if a string holds what JSON forbids.
    #[inline(always)]
    pub(crate) fn read(&mut self, classes: &Classes, text: &[u8], start: usize) -> Option<Quoted> {
        let mut quotes = classes.quotes;
        if (classes.backslashes | self.escaped) != 0 {
            quotes &= !self.escapes(classes.backslashes, text, start)?;
        }
        let within = prefix_parity(quotes) ^ self.within;
        self.within = 0_u64.wrapping_sub(within >> (BLOCK - 1));
        (classes.controls & within == 0).then_some(Quoted {
            opening: quotes & within,
            closing: quotes & !within,
            within,
        })
    }

    /// The bytes that a backslash escapes. A backslash outside of strings is not a token, so the tokens' check finds
    /// it.
    fn escapes(&mut self, mut backslashes: u64, text: &[u8], start: usize) -> Option<u64> {
        let mut escaped = self.escaped;
        self.escaped = 0;
        backslashes &= !escaped;
        while backslashes != 0 {
            let bit = backslashes.trailing_zeros();
            let rest = &text[start + bit as usize + 1..];
            match *rest.first()? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                b'u' if rest.get(1..5)?.iter().all(u8::is_ascii_hexdigit) => {}
                _ => return None,
            }
            let Some(next) = (1_u64 << bit).checked_mul(2) else {
                self.escaped = 1;
                break;
            };
            escaped |= next;
            backslashes &= !next & (backslashes - 1);
        }
        Some(escaped)
    }
}

/// Sets each bit to the parity of the bits up to and including it: ones from each odd bit to before the next one.
#[inline(always)]
fn prefix_parity(mut bits: u64) -> u64 {
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    bits ^= bits << 8;
    bits ^= bits << 16;
    bits ^ (bits << 32)
}
