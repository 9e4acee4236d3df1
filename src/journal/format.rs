//! The format on disk, as bytes and as values: segments, records, and the search for intact records.

pub mod record;
pub mod scan;
pub mod segment;
