//! The reasons for which requests are refused: each with its label, and what it tells an operator.

/// What the operator should know or do about refusals with this label; `None` if no refusal has it.
pub fn advice(label: &str) -> Option<&'static str> {
    let mut reasons = Reason::ALL.into_iter();
    reasons
        .find(|reason| reason.label() == label)
        .map(Reason::advice)
}

/// Declares the closed list of labels, so that each has one counter, resolved at start and found by its index.
macro_rules! reasons {
    ($($name:ident = $label:literal, $advice:literal;)*) => {
        /// The `reason` label of `ringback_http_rejections_total`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in crate::ingest) enum Reason { $($name,)* }

        impl Reason {
            /// Every reason, in the order of its discriminants.
            pub(in crate::ingest) const ALL: [Self; [$($label),*].len()] = [$(Self::$name),*];

            pub(in crate::ingest) fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// What the operator should know or do: the log's hint, the status page's and the inspector's.
            pub(in crate::ingest) fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }
        }
    };
}

reasons! {
    UnknownPath = "unknown_path",
        "no source has the path: a scanner, or a wrong URL at the sender, which must end in the path of a source";
    AddressNotAllowed = "address_not_allowed",
        "the client is in none of the source's allow networks; the log has its address. If that is your load balancer's, name it in listen.trusted_proxies";
    MethodNotAllowed = "method_not_allowed",
        "only POST carries events: a browser or a scanner, or a wrong URL at the sender";
    ContentEncoding = "content_encoding",
        "the body came compressed: have the sender, or the proxy between, send it as it was signed";
    TransferEncoding = "transfer_encoding",
        "a transfer encoding other than chunked: look at the proxy between the sender and ringback";
    TooManyHeaders = "too_many_headers",
        "more headers than senders send: look at what the proxy between adds";
    BodyTooLarge = "body_too_large",
        "larger than max_body: if the sender is genuine, raise it, and the topic's max.message.bytes too";
    BodyTimeout = "body_timeout",
        "the body did not arrive within listen.body_timeout: a slow or broken connection";
    BodyStalled = "body_stalled",
        "memory or connections ran short, and this body was the slowest: if senders in good faith get this, raise listen.max_in_flight or listen.max_connections";
    BodyBroken = "body_broken",
        "the connection broke within the body";
    MemoryExhausted = "memory_exhausted",
        "bodies in memory have reached listen.max_in_flight: raise it together with the container's memory, or add replicas";
    RateLimited = "rate_limited",
        "beyond the source's rate_limit, or the client's client_rate_limit: have the sender wait as long as Retry-After says, or raise the limit";
    SignatureMissing = "signature_missing",
        "nothing shows who sends: another client posts here, or a proxy drops the header; to try a source, ringback send signs";
    SignatureMalformed = "signature_malformed",
        "the header does not have the form of this source's scheme: another sender posts here, or a proxy changes it";
    SignatureStale = "signature_stale",
        "a replayed request, or a clock that is minutes wrong, here or at the sender; the log has the difference";
    SignatureMismatch = "signature_mismatch",
        "another key than the source's, or something between changes the body: ringback verify says which";
    NotJson = "not_json",
        "from a source without verification: the body is not JSON, and the answer says where; if such bodies are meant to come, list the JSON ones in the source's content_types";
    NoEvent = "no_event",
        "from a source without verification: the body has no event's name where the source's event_pointer says";
    JournalFull = "journal_full",
        "the journal's budget, or its disk, is used up by events that wait for Kafka: see what keeps Kafka from taking them";
    JournalPoisoned = "journal_poisoned",
        "the disk has failed: ringback publishes what it has and ends; the log has the error";
    JournalOverloaded = "journal_overloaded",
        "events come faster than the disk syncs them, or with ack = \"kafka\" than Kafka acknowledges them";
    JournalClosed = "journal_closed",
        "the request came while ringback was ending";
    Unpublishable = "unpublishable",
        "Kafka refuses the event for good, or it is not JSON, and no topic takes dead letters: set kafka.dead_letter_topic";
    CommitTimeout = "commit_timeout",
        "not synced within listen.commit_timeout: the disk is slow, or with ack = \"kafka\" Kafka is";
    Panic = "panic",
        "a bug in ringback: the log has it; please report it";
    // Without an answer. The client left first; if its event was appended, it is stored all the same.
    ClientGone = "client_gone",
        "the sender left before its answer; an event that was stored is published nevertheless";
    HeaderTimeout = "header_timeout",
        "the request's head did not arrive within listen.header_timeout";
    HeadMalformed = "head_malformed",
        "if the sender posts to https://, set listen.tls, or terminate TLS in front of ringback";
    HeadTooLarge = "head_too_large",
        "a head may have 64 KiB and 256 headers";
    WriteTimeout = "write_timeout",
        "the client did not read its answer";
    // Without a request: the handshake failed, or nothing followed it.
    TlsPlaintext = "tls_plaintext",
        "have the sender post to https://, or remove listen.tls if TLS is terminated in front of ringback";
    TlsIncompatible = "tls_incompatible",
        "ringback takes TLS 1.2 and 1.3 with current ciphers, for HTTP/1.1 and HTTP/2: update the client";
    TlsDistrusted = "tls_distrusted",
        "the client does not trust the certificate: look whether it is still valid, for the name that the sender uses, and followed in its file by those between it and an authority that the sender knows";
    TlsFailed = "tls_failed",
        "a client that does not trust the certificate may leave like this; so does what is no TLS at all";
    TlsTimeout = "tls_timeout",
        "the client did not finish it within listen.header_timeout";
    TlsUnused = "tls_unused",
        "some clients do so if they do not trust the certificate; a load balancer's probe does too: have it ask for listen.health_path";
}
