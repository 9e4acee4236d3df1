//! Checks which token may follow which, for 64 bytes at once.
//!
//! JSON's grammar needs a stack only to tell objects from arrays. Once that is known for each byte, every rule concerns
//! a token and the one before it, and takes a few operations on words.

use super::scalars::{next, past};

/// State carried from one block to the next.
#[derive(Debug)]
pub(crate) struct Grammar {
    member: u64,
    value: u64,
    no_end: u64,
    name: u64,
    colon: u64,
}

/// One block's tokens, each at its first byte; brackets by kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tokens {
    pub(crate) whites: u64,
    pub(crate) open_objects: u64,
    pub(crate) open_arrays: u64,
    pub(crate) closes: u64,
    pub(crate) commas: u64,
    pub(crate) colons: u64,
    pub(crate) strings: u64,
    /// The bytes of strings, from the opening quote to before the closing quote.
    pub(crate) quoted: u64,
    pub(crate) scalars: u64,
    /// The bytes whose innermost container is an object.
    pub(crate) in_objects: u64,
}

impl Default for Grammar {
    /// A document begins with a value.
    fn default() -> Self {
        Self {
            member: 0,
            value: 1,
            no_end: 0,
            name: 0,
            colon: 0,
        }
    }
}

impl Grammar {
    /// True if each token of the block may follow the token before it.
    #[inline(always)]
    pub(crate) fn accepts(&mut self, tokens: &Tokens) -> bool {
        // Machines write no white space between tokens, and without it a third of the operations is enough.
        if tokens.whites == 0 {
            self.follow(tokens, 0)
        } else {
            self.follow(tokens, tokens.whites)
        }
    }

    #[inline(always)]
    fn follow(&mut self, tokens: &Tokens, whites: u64) -> bool {
        let members = tokens.open_objects | (tokens.commas & tokens.in_objects);
        let elements = tokens.open_arrays | (tokens.commas & !tokens.in_objects);
        let separators = tokens.commas | tokens.colons;
        let values = tokens.strings | tokens.scalars | tokens.open_objects | tokens.open_arrays;

        let member = follows(members, whites, &mut self.member);
        let value = follows(elements | tokens.colons, whites, &mut self.value);
        let no_end = follows(separators, whites, &mut self.no_end);
        let names = tokens.strings & member;
        // No name begins while the previous one continues or ends.
        let from = names | std::mem::take(&mut self.name);
        let ends = past(from, tokens.quoted, &mut self.name);
        let colon = follows(ends, whites, &mut self.colon);

        // A member begins with its name, and a value must be expected.
        let wrong = (values & !(member | value))
            | (member & values & !tokens.strings)
            | (separators & (member | value))
            | (tokens.closes & no_end)
            | (tokens.colons ^ colon);
        wrong == 0
    }
}

/// The next byte after each of `tokens` that is not white space.
#[inline(always)]
fn follows(tokens: u64, whites: u64, carry: &mut u64) -> u64 {
    let from = next(tokens, carry);
    past(from, whites, carry)
}
