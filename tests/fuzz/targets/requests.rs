//! Any bytes on a connection, HTTP/1.1 or HTTP/2: the connection ends once its client has sent all, each answer is one of
//! the contract's, and what is appended is what ringback can read again.

#![no_main]

use std::net::SocketAddr;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ringback::ingest::serve;
use ringback_fuzz::{exchange, ingest};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// `carry` and the headers for an event's fields are read too.
const SOURCE: &str = "verify = \"none\"\nevent_header = \"X-Event\"\nkey_header = \"X-Key\"\nid_header = \"X-Id\"\n\
     carry = [\"x-carried\", \"?carried\"]";
const ANSWERS: [&str; 14] = [
    "100", "200", "204", "400", "401", "403", "404", "405", "408", "413", "414", "415", "431",
    "503",
];

static SERVER: LazyLock<(Runtime, SocketAddr)> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    // Small, so that inputs reach them.
    let ingest = ingest(SOURCE, "max_body = \"1KiB\"\nmax_in_flight = \"16KiB\"");
    runtime.spawn(serve(listener, ingest, std::future::pending()));
    (runtime, address)
});

fuzz_target!(|bytes: &[u8]| {
    let (runtime, address) = &*SERVER;
    let answer = runtime.block_on(exchange(*address, bytes));
    let Some(line) = answer.strip_prefix(b"HTTP/1.") else {
        return;
    };
    let status = line.get(2..5).unwrap_or_default();
    let is_known = ANSWERS.iter().any(|known| known.as_bytes() == status);
    assert!(is_known, "{}", String::from_utf8_lossy(&answer));
});
