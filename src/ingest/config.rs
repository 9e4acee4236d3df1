//! `[listen]` and `[[source]]`: their keys, from which ingest is built.

use std::net::SocketAddr;
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::IpNet;

use super::scheme::{KeyConfig, Verify, labels};
use crate::settings::settings;

settings! {
    /// Where senders post their webhooks, and the limits that keep memory bounded. HTTP/1.1 and h2c share the port.
    pub struct ListenConfig {
        /// Where ringback listens for webhooks. Terminate TLS in front of it (ingress, load balancer).
        address: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 8080));
        /// Connections served at once; more wait in the kernel's backlog. Each costs a file descriptor and, while its
        /// head arrives, up to 100 KiB: in the worst case memory holds `max_in_flight` + `max_connections` x 100 KiB +
        /// 100 MiB. If the process may not open that many descriptors, ringback serves fewer connections and logs that.
        max_connections: usize = 10_000, bounds(1..=1_000_000);
        /// A request's head must be complete within this time. An idle connection is closed after it.
        header_timeout: Duration = Duration::from_secs(10),
            bounds(Duration::from_millis(100)..=Duration::from_mins(5));
        /// A request's body must be complete within this time; otherwise the answer is 408.
        body_timeout: Duration = Duration::from_secs(10),
            bounds(Duration::from_millis(100)..=Duration::from_mins(10));
        /// The largest body; a larger one is answered 413. The topic's `max.message.bytes` should allow it.
        max_body: ByteSize = ByteSize::mib(8), bounds(ByteSize::kib(1)..=ByteSize::mib(512));
        /// An event that is not synced within this time is answered 503. It may still be published: the sender's retry
        /// carries the same id. Keep this below the sender's own timeout (Retell AI: 10 s).
        commit_timeout: Duration = Duration::from_secs(8),
            bounds(Duration::from_millis(100)..=Duration::from_mins(1));
        /// Memory for the bodies of all requests together; at least `max_body`. A body is charged as its bytes arrive and
        /// until they are synced; a request whose body is awaited costs its head and 3 KiB besides. A request that does
        /// not fit is answered 503 at once.
        max_in_flight: ByteSize = ByteSize::mib(64), bounds(ByteSize::kib(1)..=ByteSize::gib(64));
        /// Proxies whose X-Forwarded-For is trusted to give the client's address; it is read from the right. Networks in
        /// CIDR notation, such as `["10.0.0.0/8"]`. If there are none, the client's address is the connection's.
        trusted_proxies: Vec<IpNet> = Vec::new();
    }
}

settings! {
    /// One sender and its path. There must be at least one.
    pub struct SourceConfig {
        /// The source's name in metrics and in the records' `ce_source` and `ce_type`. Unique; 1 to 64 of a-z, 0-9, "-"
        /// and "_".
        name: String = String::new(), required, example("name = \"retell\"");
        /// The URL's path, compared exactly and without the query. Unique; begins with "/".
        path: String = String::new(), required, example("path = \"/webhook\"");
        /// How requests are authenticated: `"retell"` (X-Retell-Signature), or `"none"`, which accepts requests
        /// from anybody.
        verify: Verify = Verify::Retell, required, example("verify = \"retell\"");
        /// The signing keys that are valid at present: a request must be signed with any one of them.
        /// `ringback_signature_matches_total` shows which are still in use. Each key is read from either an environment
        /// variable (`env`) or a file (`file`); `name` is its label in the metrics, by default its index. White space around a key is
        /// trimmed; quotes around it, a byte order mark, and line breaks or control characters inside are errors. Keys are read
        /// again on SIGHUP and when a file changes. Required unless `verify = "none"`, which allows none.
        keys: Vec<KeyConfig> = Vec::new(), secret, reloaded,
            remedy("write where to read each key, for example keys = [{ env = \"RETELL_API_KEY\" }] or [{ file = \"…\", name = \"…\" }]"),
            example("keys = [{ env = \"RETELL_API_KEY\" }]
# keys = [{ file = \"/etc/ringback/secrets/retell\", name = \"2026\" }, { file = \"/etc/ringback/secrets/retell-old\", name = \"2025\" }]");
        /// Where to find an event's Kafka key: JSON pointers (RFC 6901), of which the first that leads to a string wins.
        /// An empty list means no key. The default depends on the sender's scheme; for Retell AI it is as below.
        key_pointers: Option<Vec<String>> = None,
            example("key_pointers = [\"/call/call_id\", \"/data/call_id\", \"/chat/chat_id\"]");
    }
}

impl SourceConfig {
    /// The metric label of each key: its configured name, else its index.
    pub(super) fn key_labels(&self) -> impl Iterator<Item = String> {
        labels(&self.keys)
    }
}
