//! `[listen]` and `[[source]]`: their keys, from which ingest is built.

mod names;

use std::net::SocketAddr;
use std::time::Duration;

use bytesize::ByteSize;
use http::HeaderName;
use ipnet::IpNet;

pub use self::names::{CarriedName, ContentType, EventTopics};

use super::rate_limit::{Configured, RateLimit};
use super::scheme::{
    BearerConfig, HmacConfig, KeyConfig, Preset, SchemeConfig, TwilioConfig, Verify, labels,
};
use super::tls::TlsConfig;
use crate::settings::{Decoder, Kind, SettingValue, Shown, settings};

settings! {
    /// Where senders post their webhooks, and the limits that keep memory bounded. HTTP/1.1 and HTTP/2 share the port.
    pub struct ListenConfig {
        /// Where ringback listens for webhooks. Set `tls`, or terminate TLS in front of it (ingress, load balancer).
        address: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 8080));
        /// Connections served at once. If there are more, the one that has been idle for longest is closed for each new
        /// one; if none has been idle for 250 ms, one whose request has stalled for a second; else the new ones wait in
        /// the kernel's backlog until an answer ends its connection. Each costs a file descriptor and, while its head
        /// arrives, up to 100 KiB: in the worst case memory holds `max_in_flight` + `max_connections` x 100 KiB + 100 MiB.
        /// With `tls` each costs 60 KiB more at worst. If the process may not open that many descriptors, ringback serves
        /// fewer connections and logs that.
        max_connections: usize = 10_000, bounds(1..=1_000_000);
        /// A request's head must be complete within this time after its first byte, the first head of a connection
        /// within this time after the connection was accepted.
        header_timeout: Duration = Duration::from_secs(10),
            bounds(Duration::from_millis(100)..=Duration::from_mins(5));
        /// A connection on which no request has come for this long is closed. Keep this longer than the time after which a
        /// load balancer or proxy in front closes its idle connections (usually 60 s): if ringback closes first, a request
        /// may cross the close and be lost.
        idle_timeout: Duration = Duration::from_secs(75),
            bounds(Duration::from_secs(1)..=Duration::from_hours(1));
        /// A request's body must be complete within this time; otherwise the answer is 408.
        body_timeout: Duration = Duration::from_secs(10), reloaded,
            bounds(Duration::from_millis(100)..=Duration::from_mins(10));
        /// The largest body; a larger one is answered 413. The topic's `max.message.bytes` should allow it.
        max_body: ByteSize = ByteSize::mib(8), reloaded, bounds(ByteSize::kib(1)..=ByteSize::mib(512));
        /// An event that is not synced within this time (with `ack = "kafka"`: not acknowledged by Kafka) is answered 503. It may
        /// still be published: the sender's retry carries the same id. Keep this below the sender's own timeout (Retell AI: 10 s).
        commit_timeout: Duration = Duration::from_secs(8),
            bounds(Duration::from_millis(100)..=Duration::from_mins(1));
        /// Memory for the bodies of all requests together; at least `max_body`. A body is charged as its bytes arrive and
        /// until they are synced; a request whose body is awaited costs its head and 3 KiB besides. For a request that
        /// does not fit, the bodies that arrive most slowly are cut (408); if that is not enough, it is answered 503 at
        /// once. With `ack = "kafka"` a body is charged until Kafka has acknowledged it, also if its sender was answered 503
        /// meanwhile, and all such events, with their headers and 1 KiB each, may have seven eighths of this.
        max_in_flight: ByteSize = ByteSize::mib(64), bounds(ByteSize::kib(1)..=ByteSize::gib(64));
        /// Proxies whose X-Forwarded-For is trusted to give the client's address; it is read from the right. Networks in
        /// CIDR notation, such as `["10.0.0.0/8"]`. If there are none, the client's address is the connection's.
        trusted_proxies: Vec<IpNet> = Vec::new(), reloaded;
        /// The certificate with which ringback itself takes HTTPS, and nothing else, on this port: TLS 1.2 and 1.3, HTTP/2
        /// by ALPN. Both files are read again when one changes and on SIGHUP; while they do not fit each other, the present
        /// certificate stays. Other files can be named while ringback runs, but TLS itself is not switched on or off. Without `tls`, terminate TLS in front of ringback.
        tls: Option<TlsConfig> = None, files_reloaded,
            remedy("write tls = { certificate = \"/path\", key = \"/path\" }"),
            example("# tls = { certificate = \"/etc/ringback/tls/tls.crt\", key = \"/etc/ringback/tls/tls.key\" }");
        /// A path on which GET and HEAD answer readiness as `/readyz` does, 200 or 503: for load balancers that check the
        /// port to which they send. No source may have it. Its requests are neither counted nor logged.
        health_path: Option<String> = None, reloaded, check(|path| path.iter().try_for_each(|path| check_health_path(path))),
            example("# health_path = \"/healthz\"");
    }
}

settings! {
    /// One sender and its path. There must be at least one.
    pub struct SourceConfig {
        /// The source's name in metrics and in the records' `ce_source` and `ce_type`. Unique; 1 to 64 of a-z, 0-9, "-"
        /// and "_".
        name: String = String::new(), required, example("name = \"retell\"");
        /// The URL's path or a list of paths, compared without the query; one more or one less "/" at the end makes no
        /// difference unless another source has that path. Unique; begins with "/".
        path: Paths = Paths::default(), required, check(Paths::check),
            example("path = \"/webhook\"");
        /// A known sender: `"retell"`, `"vapi"`, `"stripe"`, `"github"`, `"slack"`, `"shopify"`, `"twilio"`, `"svix"` or
        /// `"standard-webhooks"`. It fills in those of this source's keys that are left out, `verify` first, and
        /// `ringback check` prints what it fills in. docs/senders.md has a section for each.
        preset: Option<&'static Preset> = None, example("# preset = \"stripe\"");
        /// How requests are authenticated. By a signature over the body: `"retell"`, `"standard-webhooks"` (Svix too),
        /// `"github"`, `"stripe"`, `"slack"`, `"shopify"`, `"twilio"`, or any other that `hmac` describes (`"hmac"`). By a
        /// shared secret, which does not protect the body: `"bearer"` or `"basic"`. Or `"none"`, which accepts requests
        /// from anybody, but only events: JSON with an event's name. What is authenticated is never refused for what it
        /// says: a body that is not JSON becomes a dead letter.
        verify: Verify = Verify::Retell, required, set_by("preset"), example("verify = \"retell\"");
        /// The signing keys that are valid at present: a request must be signed with any one of them.
        /// `ringback_signature_matches_total` shows which are still in use. Each key is read from either an environment
        /// variable (`env`) or a file (`file`); `name` is its label in the metrics, by default its index. White space around a key is
        /// trimmed; quotes around it, a `…` at its beginning or end (a placeholder), a byte order mark, and line breaks or
        /// control characters inside are errors. Keys are read again on SIGHUP and when a file changes. Required unless
        /// `verify = "none"`, which allows none. A key is the secret as the sender shows it; for `"standard-webhooks"`
        /// `whsec_…`, or `whpk_…` for Ed25519; for `"basic"` `name:password`.
        keys: Vec<KeyConfig> = Vec::new(), secret, reloaded,
            remedy("write where to read each key, for example keys = [{ env = \"RETELL_API_KEY\" }] or [{ file = \"…\", name = \"…\" }]"),
            example("keys = [{ env = \"RETELL_API_KEY\" }]
# keys = [{ file = \"/etc/ringback/secrets/retell\", name = \"2026\" }, { file = \"/etc/ringback/secrets/retell-old\", name = \"2025\" }]");
        /// The signature of `verify = "hmac"`: a digest of the body, and of what else the sender signs, in one header.
        hmac: Option<HmacConfig> = None,
            remedy("write where the signature is, for example hmac = { header = \"X-Signature\", content = \"{body}\" }"),
            example("# hmac = { header = \"X-Signature\", prefix = \"sha256=\", content = \"{timestamp}.{body}\", timestamp_header = \"X-Timestamp\" }");
        /// What `verify = "twilio"` has to know.
        twilio: Option<TwilioConfig> = None,
            remedy("write the URL that Twilio was given: twilio = { url = \"https://hooks.example.com/twilio\" }"),
            example("# twilio = { url = \"https://hooks.example.com/twilio\" }");
        /// Where `verify = "bearer"` finds the token, if it is not `Authorization: Bearer <token>`.
        bearer: Option<BearerConfig> = None,
            remedy("write the token's header, for example bearer = { header = \"X-Token\" }"),
            example("# bearer = { header = \"X-Token\" }");
        /// Where to find an event's name: a JSON pointer (RFC 6901). The name is in `ce_type` and chooses the topic. The
        /// default depends on the sender's scheme; for Retell AI it is as below.
        event_pointer: Option<String> = None, example("event_pointer = \"/event\"");
        /// The request header that has the event's name, instead of `event_pointer`. Signatures rarely cover headers: what
        /// is taken from one is as trustworthy as the way to this port.
        event_header: Option<HeaderName> = None, example("# event_header = \"X-GitHub-Event\"");
        /// Where to find an event's Kafka key: JSON pointers (RFC 6901), of which the first that leads to a string wins.
        /// An empty list means no key. The default depends on the sender's scheme; for Retell AI it is as below.
        key_pointers: Option<Vec<String>> = None,
            example("key_pointers = [\"/call/call_id\", \"/data/call_id\", \"/chat/chat_id\", \"/call_inbound/call_id\", \"/chat_inbound/chat_id\"]");
        /// The request header that has the key, instead of `key_pointers`.
        key_header: Option<HeaderName> = None, example("# key_header = \"X-GitHub-Hook-ID\"");
        /// Where to find the sender's id of the message, which becomes `ce_id`: a JSON pointer. Without an id, or if it is not
        /// 1 to 256 visible ASCII characters, `ce_id` is a hash of the body. Either is the same for every retry.
        id_pointer: Option<String> = None, example("# id_pointer = \"/id\"");
        /// The request header that has the id, instead of `id_pointer`.
        id_header: Option<HeaderName> = None, example("# id_header = \"X-GitHub-Delivery\"");
        /// The topic of this source's events; without one it is `kafka.topic`. The topic is chosen when an event is
        /// published: what waits in the journal after a change goes to the new one. Order per key holds within a topic.
        topic: Option<String> = None, example("# topic = \"payments\"");
        /// Topics for events with exactly these names, instead of `topic`. An event without a name is called `none`.
        topics: EventTopics = EventTopics::default(), example("# topics = { \"invoice.paid\" = \"invoices\" }");
        /// The largest body of this source, from 1KiB to 512MiB, and at most `listen.max_in_flight`; without one it is
        /// `listen.max_body`.
        max_body: Option<ByteSize> = None, check(|size| size.map_or(Ok(()), check_max_body)), example("# max_body = \"1MiB\"");
        /// The networks in CIDR notation from which requests are accepted; others are answered 403 before their body is
        /// read. If there are none, all are accepted. The client's address is found as `listen.trusted_proxies` says.
        allow: Vec<IpNet> = Vec::new(),
            example("allow = []
# allow = [\"100.20.5.228/32\"]     # from where Retell AI sends, as it documents");
        /// How many events the source takes; those beyond are answered 429 with `Retry-After`. Only authenticated requests
        /// count, duplicates included.
        rate_limit: Option<RateLimit> = None,
            remedy("write how many events a second, for example rate_limit = { per_second = 500, burst = 1000 }"),
            example("# rate_limit = { per_second = 500, burst = 1000 }");
        /// How many requests to this source one client address may send, whether or not they are accepted; those beyond are
        /// answered 429 with `Retry-After` before their body is read. An IPv6 network of 64 bits counts as one address. One address is
        /// often one whole sender, or a proxy that is not in `listen.trusted_proxies`. 65,536 addresses are known at once, in 1.1 MiB;
        /// beyond that, those that have paused for longest start afresh.
        client_rate_limit: Option<RateLimit> = None,
            remedy("write how many requests a second, for example client_rate_limit = { per_second = 100, burst = 200 }"),
            example("# client_rate_limit = { per_second = 100, burst = 200 }");
        /// The bodies that are JSON, by their `Content-Type`: media types, or suffixes such as `"+json"`. Others, such as
        /// forms, are published as they are: pointers find nothing in them, headers do. A request without `Content-Type`
        /// is JSON. If unset, every body must be JSON, whatever its header says.
        content_types: Option<Vec<ContentType>> = None,
            example("# content_types = [\"application/json\", \"+json\"]");
        /// Request headers, and query parameters after a `?`, that are kept as record headers `http_<name>`, header names in
        /// lower case; at most 32 values and 8 KiB an event. What is beyond that, or is not visible UTF-8 text, is left out
        /// and counted. ringback 0.1 cannot publish events that carry something.
        carry: Vec<CarriedName> = Vec::new(), example("carry = []
# carry = [\"X-Account\", \"?region\"]");
        /// For how long an event is known after its commit, from 1s to 7days: another one of this source with the same
        /// `ce_id` is answered 204 without a second record, and counted (`ringback_events_duplicate_total`). Off by
        /// default. Survives a restart, but not with `ack = "kafka"`, and a power cut may forget some events. With
        /// `verify = "none"` whoever guesses an id can have its event left out.
        dedup: Option<Duration> = None, check(|window| window.map_or(Ok(()), check_dedup)),
            example("# dedup = \"10m\"");
        /// How many events `dedup` knows at most. Beyond that the oldest one is forgotten and counted
        /// (`ringback_dedup_forgotten_total`). Each takes up to 40 bytes of memory and 48 bytes of the journal's disk.
        dedup_capacity: usize = 1_000_000, bounds(1_000..=100_000_000);
    }
}

fn check_max_body(size: ByteSize) -> Result<(), String> {
    if (ByteSize::kib(1)..=ByteSize::mib(512)).contains(&size) {
        return Ok(());
    }
    Err(String::from(
        "is out of range; write a size from 1KiB to 512MiB",
    ))
}

fn check_dedup(window: Duration) -> Result<(), String> {
    if (Duration::from_secs(1)..=Duration::from_hours(7 * 24)).contains(&window) {
        return Ok(());
    }
    Err(String::from(
        "is out of range; write a duration from 1s to 7days",
    ))
}

fn check_health_path(path: &str) -> Result<(), String> {
    if is_url_path(path) {
        return Ok(());
    }
    Err(format!(
        "{path:?} is not the path of a URL; write one such as \"/healthz\", of visible ASCII without \"?\" and \"#\""
    ))
}

/// True if `path` can be the path of a URL.
pub(super) fn is_url_path(path: &str) -> bool {
    let may_be_in_path = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
    path.starts_with('/') && path.bytes().all(may_be_in_path)
}

/// The paths of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths(Vec<String>);

impl Paths {
    /// In the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// True if a request with this path is for this source, provided that no other source has the path.
    pub fn contains(&self, path: &str) -> bool {
        self.matching(path).is_some()
    }

    /// The configured path that a request with this path matches.
    pub fn matching(&self, path: &str) -> Option<&str> {
        let mut paths = self.iter();
        paths.find(|known| *known == path || toggled(known).as_deref() == Some(path))
    }

    fn check(&self) -> Result<(), String> {
        if self.0.is_empty() {
            return Err(String::from(
                "is empty; write a path such as \"/webhook\", or a list of paths",
            ));
        }
        Ok(())
    }
}

/// `path` with a slash at its end if it has none, else without; `None` for the root.
pub(super) fn toggled(path: &str) -> Option<String> {
    match path.strip_suffix('/') {
        Some("") => None,
        Some(path) => Some(path.to_owned()),
        None => Some(format!("{path}/")),
    }
}

impl From<&str> for Paths {
    fn from(path: &str) -> Self {
        Self(vec![path.to_owned()])
    }
}

impl SettingValue for Paths {
    fn kind() -> Kind {
        Kind::scalar(
            "text or list of texts",
            "write a path such as \"/webhook\", or a list of paths",
            r#"{"type": ["string", "array"], "items": {"type": "string"}, "minItems": 1}"#,
        )
    }

    fn decode(value: toml::Value, decoder: &mut Decoder<'_>) -> Option<Self> {
        match value {
            toml::Value::Array(_) => Vec::decode(value, decoder).map(Self),
            _ => decoder.parse(&value, |path| Some(path.into())),
        }
    }

    fn show(&self) -> Option<Shown> {
        match self.0.as_slice() {
            [path] => path.show(),
            paths => paths.to_vec().show(),
        }
    }
}

impl SourceConfig {
    /// What the source says of who sends to it.
    pub(crate) fn scheme(&self) -> SchemeConfig<'_> {
        SchemeConfig {
            verify: self.verify,
            keys: &self.keys,
            hmac: self.hmac.as_ref(),
            twilio: self.twilio.as_ref(),
            bearer: self.bearer.as_ref(),
        }
    }

    /// Enters where the scheme's sender has an event's name and key, unless the source says where they are.
    pub fn fill_in_scheme(&mut self) {
        if self.event_header.is_none() {
            let event = || self.verify.event_pointer().to_owned();
            self.event_pointer.get_or_insert_with(event);
        }
        if self.key_header.is_none() {
            let keys = || {
                let keys = self.verify.key_pointers().iter();
                keys.map(ToString::to_string).collect()
            };
            self.key_pointers.get_or_insert_with(keys);
        }
    }

    /// True if records may have a key. Without one Kafka keeps no order among them.
    pub fn has_key(&self) -> bool {
        let pointers = self.key_pointers.as_ref();
        let has_pointers = pointers.map_or(!self.verify.key_pointers().is_empty(), |own| {
            !own.is_empty()
        });
        self.key_header.is_some() || has_pointers
    }

    /// True if an event's name is where the scheme's sender has it.
    pub(super) fn has_sender_s_names(&self) -> bool {
        let pointer = self.event_pointer.as_deref();
        self.event_header.is_none()
            && pointer.is_none_or(|pointer| pointer == self.verify.event_pointer())
    }

    /// How often events and requests may come.
    pub(super) fn rate_limits(&self) -> Configured<'_> {
        Configured {
            name: &self.name,
            events: self.rate_limit.as_ref(),
            client: self.client_rate_limit.as_ref(),
        }
    }

    /// The metric label of each key: its configured name, else its index.
    pub fn key_labels(&self) -> impl Iterator<Item = String> {
        labels(&self.keys)
    }
}
