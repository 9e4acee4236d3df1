//! The disk: the trait that the journal is written against, the real disk, and reading past what a disk cannot read.

pub mod filesystem;
pub mod real;
pub mod volume;
pub mod zero_fill;
