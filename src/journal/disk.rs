//! The disk: the trait that the journal is written against, the real one, and reading past what a disk does not give.

pub mod filesystem;
pub mod zero_fill;
