//! The name of a segment that is set aside: a second name, which keeps the segment after the journal has removed it.
//!
//! ```text
//! unreadable-<number>-<first>-<end>-<used>-<journal's id>.segment
//! unreadable-<number>-<first>-<end>-<used>-<journal's id>-<copy>.segment    if other files have that name
//! unreadable-<number>.segment                                               from an older ringback
//! ```
//!
//! The number has 16 hexadecimal digits, the id 32; positions, bytes and the copy's number are decimal. The name says what the
//! journal knew of the segment: a repaired file may have zeros in place of its header or its end, and then nothing in it shows
//! what is missing.

use std::cmp::Ordering;
use std::fmt;

use super::segment::{name, sequence_of};

const PREFIX: &str = "unreadable-";
const SUFFIX: &str = ".segment";

/// A parsed name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAsideName {
    /// The segment's number.
    pub sequence: u64,
    /// `None` in a name from an older ringback.
    pub known: Option<KnownExtent>,
    /// Names that differ only in this belong to different files.
    pub copy: u32,
}

/// What the journal knew of a segment when it set it aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownExtent {
    /// The journal's id.
    pub journal_id: [u8; 16],
    /// The first record's position.
    pub first: u64,
    /// One past the last position.
    pub end: u64,
    /// The byte at which the last record ends, or a later one.
    pub used: u64,
}

impl KnownExtent {
    /// All that either knows of the same segment.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            end: self.end.max(other.end),
            used: match self.end.cmp(&other.end) {
                Ordering::Less => other.used,
                Ordering::Equal => self.used.min(other.used),
                Ordering::Greater => self.used,
            },
            ..other
        }
    }
}

/// True for a name that is meant to be one of these, right or not.
pub fn is_meant(file: &str) -> bool {
    file.starts_with(PREFIX) && file.ends_with(SUFFIX)
}

impl SetAsideName {
    /// Parses a file's name; `None` if it is no such name.
    pub fn parse(file: &str) -> Option<Self> {
        let body = file.strip_prefix(PREFIX)?;
        if let Some(sequence) = sequence_of(body) {
            return Some(Self {
                sequence,
                known: None,
                copy: 0,
            });
        }
        let mut parts = body.strip_suffix(SUFFIX)?.split('-');
        let sequence = sequence_of(&format!("{}{SUFFIX}", parts.next()?))?;
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (first, end, used) = (number()?, number()?, number()?);
        let mut journal_id = [0; 16];
        hex::decode_to_slice(parts.next()?, &mut journal_id).ok()?;
        let copy = parts.next().map_or(Ok(0), str::parse).ok()?;
        let found = Self {
            sequence,
            known: Some(KnownExtent {
                journal_id,
                first,
                end,
                used,
            }),
            copy,
        };
        // Each name has one spelling, so that a name and what it says identify each other.
        (found.to_string() == file).then_some(found)
    }
}

impl fmt::Display for SetAsideName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(known) = &self.known else {
            return write!(f, "{PREFIX}{}", name(self.sequence));
        };
        let (number, id) = (self.sequence, hex::encode(known.journal_id));
        let KnownExtent {
            first, end, used, ..
        } = known;
        write!(f, "{PREFIX}{number:016x}-{first}-{end}-{used}-{id}")?;
        if self.copy > 0 {
            write!(f, "-{}", self.copy)?;
        }
        f.write_str(SUFFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_others_are_none() {
        let known = KnownExtent {
            journal_id: *b"0123456789abcdef",
            first: 1 << 20,
            end: (1 << 20) + 40,
            used: 135_416,
        };
        let names = [(None, 0), (Some(known), 0), (Some(known), 12)];
        let names = names.map(|(known, copy)| SetAsideName {
            sequence: 0x1f,
            known,
            copy,
        });
        let id = "30313233343536373839616263646566";
        let spelt = [
            String::from("unreadable-000000000000001f.segment"),
            format!("unreadable-000000000000001f-1048576-1048616-135416-{id}.segment"),
            format!("unreadable-000000000000001f-1048576-1048616-135416-{id}-12.segment"),
        ];
        for (name, spelt) in names.iter().zip(&spelt) {
            assert_eq!(name.to_string(), *spelt);
            assert_eq!(SetAsideName::parse(spelt).as_ref(), Some(name));
        }
        for other in [
            "000000000000001f.segment",
            "unreadable-1f.segment",
            "unreadable-000000000000001f",
            "unreadable-000000000000001f-1-2-3.segment",
            &format!("unreadable-000000000000001f-1-2-{id}.segment"),
            &format!("unreadable-000000000000001f-01-2-3-{id}.segment"),
            &format!("unreadable-000000000000001f-1-2-3-{id}-0.segment"),
            &format!("unreadable-000000000000001f-1-2-3-{id}-1-1.segment"),
        ] {
            assert_eq!(SetAsideName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_known_of_a_segment_is_never_forgotten() {
        let known = |first, end, used| KnownExtent {
            journal_id: [7; 16],
            first,
            end,
            used,
        };
        for (one, other, both) in [
            (
                known(28, 36, 1_680),
                known(32, 36, 2_048),
                known(28, 36, 1_680),
            ),
            (
                known(28, 36, 1_680),
                known(28, 38, 1_900),
                known(28, 38, 1_900),
            ),
            (
                known(32, 36, 2_048),
                known(28, 33, 1_000),
                known(28, 36, 2_048),
            ),
        ] {
            assert_eq!(one.join(other), both);
            assert_eq!(other.join(one), both);
        }
    }
}
