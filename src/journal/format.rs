//! The format on disk, as bytes and as values: segments, records, and the search for intact records; the names of segments that are
//! set aside.

pub mod record;
pub mod scan;
pub mod segment;
pub mod set_aside;
