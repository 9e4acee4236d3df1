//! Follows brackets: the container of each byte, and the containers on a pointer's path.

use super::blocks::{Classes, is_white};
use super::strings::Quoted;
use crate::ingest::payload::pointers::{Node, Pointers};

/// Levels that one word can hold as a stack.
const MAX_DEPTH: usize = 63;
/// Slots, and levels of a path, that fit without an allocation. The scan gives up on more.
const MAX_SLOTS: usize = 8;
const MAX_PATH: usize = 8;

/// Where each slot's string begins.
pub(crate) type Starts = [Option<usize>; MAX_SLOTS];

pub(crate) struct Nesting<'t, 'n> {
    text: &'t [u8],
    /// One bit per level, the innermost lowest; one for an object, zero for an array.
    stack: u64,
    depth: usize,
    /// The nodes of the outermost levels, as far as these lie on a pointer's path.
    path: [Option<&'n Node>; MAX_PATH],
    followed: usize,
    /// The node of the value that follows.
    pending: Option<&'n Node>,
    pub(crate) starts: Starts,
    /// The quotes of the last string of the previous blocks.
    opened: usize,
    closed: usize,
    /// The opening quote of the last name.
    named: Option<usize>,
    /// The end of the document, once its last bracket is closed.
    pub(crate) end: Option<usize>,
}

impl<'t, 'n> Nesting<'t, 'n> {
    /// `None` if there are more pointers than [`MAX_SLOTS`].
    pub(crate) fn new(text: &'t [u8], pointers: &'n Pointers) -> Option<Self> {
        (pointers.slots <= MAX_SLOTS).then_some(Self {
            text,
            stack: 0,
            depth: 0,
            path: [None; MAX_PATH],
            followed: 0,
            pending: Some(&pointers.root),
            starts: [None; MAX_SLOTS],
            opened: 0,
            closed: 0,
            named: None,
            end: None,
        })
    }

    /// The bytes of the block at `start` whose innermost container is an object; `None` if brackets do not match.
    #[inline(always)]
    pub(crate) fn read(
        &mut self,
        opens: u64,
        closes: u64,
        colons: u64,
        classes: &Classes,
        quoted: Quoted,
        start: usize,
    ) -> Option<u64> {
        let (mut stack, mut depth) = (self.stack, self.depth);
        let mut in_objects = 0_u64.wrapping_sub(stack & 1);
        let (mut brackets, mut colons) = (opens | closes, colons);
        while brackets != 0 {
            let bit = brackets.trailing_zeros();
            // This bracket and everything after it.
            let from = u64::MAX << bit;
            let opening = (opens >> bit) & 1 == 1;
            let object = (classes.curly >> bit) & 1;
            brackets &= brackets - 1;
            if self.followed == depth {
                self.members(colons & !from, quoted, start)?;
                self.bracket(opening, object == 1)?;
            }
            colons &= from;
            if opening {
                if depth == MAX_DEPTH {
                    return None;
                }
                stack = (stack << 1) | object;
                depth += 1;
            } else {
                if depth == 0 || stack & 1 != object {
                    return None;
                }
                stack >>= 1;
                depth -= 1;
                if depth == 0 {
                    self.end.get_or_insert(start + bit as usize + 1);
                }
            }
            let present = 0_u64.wrapping_sub(stack & 1);
            in_objects = (in_objects & !from) | (present & from);
        }
        (self.stack, self.depth) = (stack, depth);
        if self.followed == depth {
            self.members(colons, quoted, start)?;
            // Names matter only on a pointer's path.
            self.opened = last(quoted.opening, start).unwrap_or(self.opened);
            self.closed = last(quoted.closing, start).unwrap_or(self.closed);
        }
        Some(in_objects)
    }

    /// Follows a bracket of a container on a path, or of one directly within it.
    fn bracket(&mut self, opening: bool, object: bool) -> Option<()> {
        let pending = self.pending.take();
        if !opening {
            self.followed = self.followed.saturating_sub(1);
            return Some(());
        }
        let Some(node) = pending else {
            return Some(());
        };
        if object {
            *self.path.get_mut(self.followed)? = Some(node);
            self.followed += 1;
            return Some(());
        }
        // The scan does not count elements.
        let indexed = node.children.iter().any(|child| child.index.is_some());
        (!indexed).then_some(())
    }

    /// Reads the members of the innermost container, which is on a path, by the colons after their names.
    fn members(&mut self, mut colons: u64, quoted: Quoted, start: usize) -> Option<()> {
        while colons != 0 {
            let colon = start + colons.trailing_zeros() as usize;
            let before = !(u64::MAX << colons.trailing_zeros());
            colons &= colons - 1;
            let node = self
                .followed
                .checked_sub(1)
                .and_then(|top| self.path[top])?;
            let opened = last(quoted.opening & before, start).unwrap_or(self.opened);
            let closed = last(quoted.closing & before, start).unwrap_or(self.closed);
            // A name has one colon. Without this check a long name followed by many colons would take quadratic time.
            if self.named.replace(opened) == Some(opened) {
                return None;
            }
            let name = self.text.get(opened + 1..closed)?;
            // An escaped name may spell any other, which a comparison of bytes would not find.
            if name.contains(&b'\\') {
                return None;
            }
            self.pending = None;
            let Some(child) = node.member(name) else {
                continue;
            };
            if !child.children.is_empty() {
                self.pending = Some(child);
            }
            // A duplicate member replaces everything that the earlier one led to.
            for slot in &child.beneath {
                self.starts[*slot] = None;
            }
            if !child.leaves.is_empty() {
                let rest = &self.text[colon + 1..];
                let value = colon + 1 + rest.iter().take_while(|byte| is_white(**byte)).count();
                if self.text.get(value) == Some(&b'"') {
                    for slot in &child.leaves {
                        self.starts[*slot] = Some(value);
                    }
                }
            }
        }
        Some(())
    }
}

/// The position in the text of the last of `bits`.
#[inline(always)]
fn last(bits: u64, start: usize) -> Option<usize> {
    bits.checked_ilog2().map(|bit| start + bit as usize)
}
