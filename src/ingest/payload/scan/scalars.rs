//! Checks numbers, `true`, `false` and `null`, 64 bytes at once.

use super::blocks::{Block, Classes};
use fearless_simd::Simd;

/// State carried from one block to the next: each a bit for the next block's first byte, except `name`.
#[derive(Debug, Default)]
pub(crate) struct Scalars {
    /// A scalar continues.
    inside: u64,
    /// The bytes of a name that lie in the next block.
    name: u64,
    /// A name continues or has just ended.
    named: u64,
    /// The last byte was a zero that began an integer.
    zero: u64,
    /// The next byte must be a digit.
    digit: u64,
    /// The last byte was a digit.
    digits: u64,
    /// A fraction's digits begin or continue.
    fraction: u64,
    /// An exponent's sign or digits follow.
    exponent: u64,
    /// An exponent's digits begin or continue.
    power: u64,
}

/// Moves the bits on by one byte. The last bit goes into `carry`, and the previous carry becomes the first bit.
#[inline(always)]
pub(crate) fn next(bits: u64, carry: &mut u64) -> u64 {
    let moved = (bits << 1) | *carry;
    *carry = bits >> 63;
    moved
}

/// The first byte after each run of `run` that begins at a bit of `from`; a bit of `from` outside of `run` is itself
/// that byte. A run that continues in the next block is added to `carry`.
#[inline(always)]
pub(crate) fn past(from: u64, run: u64, carry: &mut u64) -> u64 {
    let (sum, overflow) = from.overflowing_add(run);
    *carry |= u64::from(overflow);
    sum & !run
}

impl Scalars {
    /// Reads the bytes of a block that are neither strings nor structure nor white space; gives where scalars begin.
    #[inline(always)]
    pub(crate) fn read<S: Simd>(
        &mut self,
        bytes: u64,
        block: Block<S>,
        classes: &Classes,
        text: &[u8],
        start: usize,
    ) -> Option<u64> {
        let starts = bytes & !next(bytes, &mut self.inside);
        let mut wrong = 0;
        let mut numbers = bytes;
        let odd = starts & !(classes.digits | classes.minuses);
        if (odd | self.named) != 0 {
            let names = self.names(odd, text, start)?;
            numbers &= !names;
            wrong = next(names, &mut self.named) & numbers;
        }
        let digits = classes.digits & numbers;
        let dots = classes.dots & numbers;
        let minuses = classes.minuses & numbers;
        let after_digit = next(digits, &mut self.digits);
        let fraction = next(dots, &mut self.fraction);
        let mut leading = classes.zeros & digits & !(after_digit | fraction);
        // A digit must follow. A dot or letter without a digit before it is thereby wrong as well: it begins a scalar,
        // or stands where a digit must be.
        let mut must = minuses | dots;

        let others = (numbers & !(digits | must)) | (minuses & !starts);
        if (others | self.exponent | self.power) != 0 {
            let exponents = block.exponents();
            let letters = exponents.letters & numbers;
            let pluses = exponents.pluses & numbers;
            let exponent = next(letters, &mut self.exponent);
            let signed = exponent & (minuses | pluses);
            let power = (exponent & !signed) | next(signed, &mut self.power);
            wrong |= others & !(letters | signed);
            wrong |= past(power, digits, &mut self.power) & (dots | letters);
            wrong |= exponent & !(digits | signed);
            leading &= !power;
            must |= pluses;
        }
        wrong |= past(fraction, digits, &mut self.fraction) & dots;
        wrong |= next(must, &mut self.digit) & !digits;
        wrong |= next(leading, &mut self.zero) & digits;
        (wrong == 0).then_some(starts)
    }

    /// The bytes of names: the rest of one from the previous block, and those that begin at `starts`.
    fn names(&mut self, mut starts: u64, text: &[u8], start: usize) -> Option<u64> {
        let mut bytes = self.name;
        self.name = 0;
        while starts != 0 {
            let bit = starts.trailing_zeros();
            let rest = &text[start + bit as usize..];
            let length = match rest.first()? {
                b't' if rest.starts_with(b"true") => 4,
                b'n' if rest.starts_with(b"null") => 4,
                b'f' if rest.starts_with(b"false") => 5,
                _ => return None,
            };
            let name = (1_u64 << length) - 1;
            bytes |= name << bit;
            self.name |= name.checked_shr(u64::BITS - bit).unwrap_or(0);
            starts &= starts - 1;
        }
        Some(bytes)
    }
}
