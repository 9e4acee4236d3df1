//! Classifies 64 bytes at once; in each word of a class, bit *i* stands for byte *i*.
//!
//! Only this file uses vector instructions. `fearless_simd` chooses them when the program runs (SSE2 to AVX-512, NEON),
//! so no `unsafe` is needed here.

use fearless_simd::{Simd, SimdBase as _, SimdMask as _, u8x64};

/// Bytes of a block.
pub(crate) const BLOCK: usize = 64;

/// True if JSON allows `byte` between tokens.
pub(crate) fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Where the bytes of each class are, inside and outside of strings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Classes {
    pub(crate) quotes: u64,
    pub(crate) backslashes: u64,
    /// Below U+0020.
    pub(crate) controls: u64,
    /// As [`is_white`].
    pub(crate) whites: u64,
    /// `{` and `[`.
    pub(crate) opens: u64,
    /// `}` and `]`.
    pub(crate) closes: u64,
    /// Of the brackets, those of objects. The bits of other bytes mean nothing.
    pub(crate) curly: u64,
    pub(crate) commas: u64,
    pub(crate) colons: u64,
    pub(crate) digits: u64,
    pub(crate) zeros: u64,
    pub(crate) dots: u64,
    pub(crate) minuses: u64,
}

/// The bytes that only numbers with an exponent have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exponents {
    /// `e` and `E`.
    pub(crate) letters: u64,
    pub(crate) pluses: u64,
}

/// 64 bytes in registers.
#[derive(Clone, Copy)]
pub(crate) struct Block<S: Simd>(u8x64<S>);

impl<S: Simd> Block<S> {
    #[inline(always)]
    pub(crate) fn load(simd: S, bytes: &[u8; BLOCK]) -> Self {
        Self(u8x64::from_slice(simd, bytes))
    }

    #[inline(always)]
    pub(crate) fn classes(self) -> Classes {
        // The brackets of objects and arrays differ in this bit only, and no other byte equals them without it.
        let folded = self.0 | 0x20;
        let controls = self.0.simd_lt(0x20).to_bitmask();
        let mut whites = self.equal(b' ');
        // Compact JSON has no other white space.
        if controls != 0 {
            whites |= self.equal(b'\n') | self.equal(b'\r') | self.equal(b'\t');
        }
        Classes {
            quotes: self.equal(b'"'),
            backslashes: self.equal(b'\\'),
            controls,
            whites,
            opens: folded.simd_eq(b'{').to_bitmask(),
            closes: folded.simd_eq(b'}').to_bitmask(),
            curly: folded.simd_eq(self.0).to_bitmask(),
            commas: self.equal(b','),
            colons: self.equal(b':'),
            digits: (self.0 - b'0').simd_lt(10).to_bitmask(),
            zeros: self.equal(b'0'),
            dots: self.equal(b'.'),
            minuses: self.equal(b'-'),
        }
    }

    #[inline(always)]
    pub(crate) fn exponents(self) -> Exponents {
        let folded = self.0 | 0x20;
        Exponents {
            letters: folded.simd_eq(b'e').to_bitmask(),
            pluses: self.equal(b'+'),
        }
    }

    #[inline(always)]
    fn equal(self, byte: u8) -> u64 {
        self.0.simd_eq(byte).to_bitmask()
    }
}
