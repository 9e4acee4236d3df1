//! Why a signature does not match: each cause has a name for programs, what was seen, and a remedy.

/// What is wrong with a captured request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    HeaderMissing,
    HeaderDoubled,
    HeaderMalformed,
    HeaderSettings,
    AnotherScheme,
    DigestCase,
    TimestampUnit,
    StaleClock,
    ByteOrderMark,
    TrailingNewline,
    ReserialisedJson,
    ChangedBody,
    KeyEncoding,
    WrongKey,
    Uncovered,
}

impl Cause {
    /// As in the output.
    pub fn name(self) -> &'static str {
        match self {
            Self::HeaderMissing => "header-missing",
            Self::HeaderDoubled => "header-doubled",
            Self::HeaderMalformed => "header-malformed",
            Self::HeaderSettings => "header-settings",
            Self::AnotherScheme => "another-scheme",
            Self::DigestCase => "digest-case",
            Self::TimestampUnit => "timestamp-unit",
            Self::StaleClock => "stale-clock",
            Self::ByteOrderMark => "byte-order-mark",
            Self::TrailingNewline => "trailing-newline",
            Self::ReserialisedJson => "reserialised-json",
            Self::ChangedBody => "changed-body",
            Self::KeyEncoding => "key-encoding",
            Self::WrongKey => "wrong-key",
            Self::Uncovered => "uncovered",
        }
    }

    /// What to do about it, if nothing more exact is known.
    fn remedy(self) -> &'static str {
        match self {
            Self::HeaderMissing => {
                "send the request from the sender itself, or sign it (ringback send does); a proxy in between must pass the header on"
            }
            Self::HeaderDoubled => {
                "find what adds the second one, often a proxy or a test that both sets and copies headers: exactly one may arrive"
            }
            Self::HeaderMalformed => {
                "write the header as the sender documents it, without quotes or spaces around it, and not shortened"
            }
            Self::HeaderSettings => {
                "have the source's hmac describe the header as the sender writes it; the header itself is well-formed"
            }
            Self::AnotherScheme => {
                "choose the source or the scheme of the sender that signed: verify = \"…\" in the source, or the sender's own path in its settings"
            }
            Self::DigestCase => {
                "write the digest's letters in the case that the form above shows; hexdigest() and openssl dgst write lower case"
            }
            Self::TimestampUnit => {
                "sign the time in the unit that the sender documents, and send the very digits that were signed"
            }
            Self::StaleClock => {
                "if the request is old, have it sent again; if it is new, set the clocks of the signing machine and of this one (NTP)"
            }
            Self::ByteOrderMark => {
                "sign and send the same bytes: whatever adds or removes the byte order mark must do so before the signature, or not at all"
            }
            Self::TrailingNewline => {
                "sign and send the same bytes: curl --data-binary @FILE keeps a final newline and --data does not; echo adds one, printf %s does not"
            }
            Self::ReserialisedJson => {
                "pass the body on as the bytes that arrived: a proxy, function or framework in between parses the JSON and writes it again"
            }
            Self::ChangedBody => {
                "find what changes or cuts the body between the sender and ringback, and have it pass the bytes on as they are"
            }
            Self::KeyEncoding => {
                "give the key in the form that the signature was made with; a source with verify = \"hmac\" can set hmac.key_encoding"
            }
            Self::WrongKey => {
                "give the key that the sender signs with, of the same account, endpoint and environment (test or live); if it is the right one, \
                 something between changes the body"
            }
            Self::Uncovered => {
                "have the sender sign the body: Twilio does if the request is a form, or if its URL has bodySHA256"
            }
        }
    }
}

/// One cause, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub cause: Cause,
    /// A sentence without its full stop.
    pub detail: String,
    /// What to do about it.
    pub remedy: &'static str,
    /// What else to check, if the sender has something of its own.
    pub hint: Option<&'static str>,
}

impl Finding {
    pub fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self {
            cause,
            detail: detail.into(),
            remedy: cause.remedy(),
            hint: None,
        }
    }
}
