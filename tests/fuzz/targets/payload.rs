//! Any bytes as a body: what is JSON is exactly what serde_json says, and the fields are those of its tree.

#![no_main]

use std::sync::LazyLock;

use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use ringback::ingest::Ingest;
use ringback_fuzz::{Checked, ingest, oracle};

static INGEST: LazyLock<Ingest<Checked>> = LazyLock::new(|| ingest(oracle::SOURCE, ""));

fuzz_target!(|body: &[u8]| {
    let headers = HeaderMap::new();
    oracle::compare(body, INGEST.fields(&headers, body));
});
