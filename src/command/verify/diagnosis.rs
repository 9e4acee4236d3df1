//! Finds the cause by trying: what would have to be different for the signature to match?

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};

use super::capture::Capture;
use super::causes::{Cause, Finding};
use super::json_forms::forms;
use super::report::Diagnosis;
use crate::command::sender::SenderKey;
use crate::ingest::{AuthenticateError, Examined, HeaderForm, Signer, UnverifiedRequest, Verify};
use crate::words::about;

mod keys;

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The year 2001 in milliseconds since the Unix epoch, and the year 2286: real signatures are between.
const PLAUSIBLE: std::ops::Range<u64> = 1_000_000_000_000..10_000_000_000_000;
/// Hexadecimal digits of the shortest digest, SHA-1.
const MIN_DIGITS: usize = 40;

/// A captured request and everything that can explain it.
pub struct Case<'a> {
    pub verify: Verify,
    /// At least one.
    pub keys: &'a [SenderKey],
    pub strangers: &'a [Stranger],
    pub capture: &'a Capture,
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
}

/// Another sender that may have signed.
pub struct Stranger {
    pub verify: Verify,
    /// Of the configuration.
    pub source: Option<String>,
    pub signer: Signer,
}

pub fn diagnose(case: &Case<'_>) -> Diagnosis {
    let mut diagnosis = Diagnosis::new(case.verify, case.now_ms);
    let request = request(&case.capture.headers, case.capture, &case.capture.body);
    let examined: Result<Vec<_>, _> = case
        .keys
        .iter()
        .map(|key| key.signer.examine(&request, case.now_ms))
        .collect();
    let examined = match examined {
        Ok(examined) => examined,
        Err(error) => {
            diagnosis.causes.push(case.claimed_nothing(error));
            return diagnosis;
        }
    };
    let matching = examined.iter().position(|examined| examined.is_match);
    let Some(first) = examined.first() else {
        return diagnosis;
    };
    diagnosis.signed_ms = first.signed_ms;
    diagnosis.key = matching.map(|index| case.keys[index].origin.to_string());
    if matching.is_none() {
        diagnosis.causes.push(case.mismatch());
    }
    diagnosis.causes.extend(stale(first));
    diagnosis
}

/// Whose headers the request has.
pub fn present(strangers: &[Stranger], capture: &Capture) -> Option<Verify> {
    let request = request(&capture.headers, capture, &capture.body);
    let mut strangers = strangers.iter();
    let stranger = strangers.find(|stranger| stranger.is_seen_in(&request))?;
    Some(stranger.verify)
}

impl Stranger {
    /// True if the request has its headers, however they are written.
    fn is_seen_in(&self, request: &UnverifiedRequest<'_>) -> bool {
        // The time does not matter to that.
        let examined = self.signer.examine(request, 0);
        !matches!(examined, Err(AuthenticateError::Missing(_)))
    }
}

fn request<'a>(
    headers: &'a HeaderMap,
    capture: &'a Capture,
    body: &'a [u8],
) -> UnverifiedRequest<'a> {
    UnverifiedRequest {
        headers,
        uri: &capture.uri,
        body,
    }
}

/// The time is too far from the clock, or in the wrong unit.
fn stale(examined: &Examined) -> Option<Finding> {
    let Some(AuthenticateError::Stale {
        difference,
        is_ahead,
        tolerance,
    }) = examined.stale
    else {
        return None;
    };
    let signed = examined.signed_ms.unwrap_or_default();
    let units = [
        (signed.saturating_mul(1000), "seconds where milliseconds"),
        (signed / 1000, "milliseconds where seconds"),
    ];
    let unit = units
        .into_iter()
        .find(|(ms, _)| !PLAUSIBLE.contains(&signed) && PLAUSIBLE.contains(ms));
    if let Some((_, unit)) = unit {
        let detail = format!("the time of the signature is in {unit} are documented");
        return Some(Finding::new(Cause::TimestampUnit, detail));
    }
    let detail = format!(
        "the request was signed {} {} the time at which it is looked at, and {} are allowed",
        about(difference),
        if is_ahead { "after" } else { "before" },
        about(tolerance)
    );
    Some(Finding::new(Cause::StaleClock, detail))
}

impl Case<'_> {
    /// The headers do not have the form of the scheme.
    fn claimed_nothing(&self, error: AuthenticateError) -> Finding {
        match error {
            AuthenticateError::Missing(form) => self.missing(&form),
            AuthenticateError::Malformed(form) => self.malformed(&form),
            AuthenticateError::Uncovered { wanted } => Finding::new(
                Cause::Uncovered,
                format!("the signature would not cover the body: the request must be {wanted}"),
            ),
            // Twilio's hash of the body, which needs no key.
            AuthenticateError::Mismatch
            | AuthenticateError::WrongCredentials(_)
            | AuthenticateError::Stale { .. } => Finding::new(
                Cause::ChangedBody,
                "the hash in the URL's query is not the body's",
            ),
        }
    }

    fn missing(&self, form: &HeaderForm) -> Finding {
        if let Some(finding) = self.stranger() {
            return finding;
        }
        let detail = format!(
            "the header {} is missing; its form is {}",
            form.header, form.form
        );
        Finding::new(Cause::HeaderMissing, detail)
    }

    /// The request has the headers of another sender. One whose key matches comes before one whose headers are there.
    fn stranger(&self) -> Option<Finding> {
        let capture = self.capture;
        let request = request(&capture.headers, capture, &capture.body);
        let examined = |stranger: &Stranger| stranger.signer.examine(&request, self.now_ms);
        let matching = self
            .strangers
            .iter()
            .find(|stranger| examined(stranger).is_ok_and(|examined| examined.is_match));
        let present = || {
            let mut strangers = self.strangers.iter();
            strangers.find(|stranger| stranger.is_seen_in(&request))
        };
        let stranger = matching.or_else(present)?;
        let who = match &stranger.source {
            Some(source) => format!("source {source:?} (verify = \"{}\")", stranger.verify),
            None => format!("verify = \"{}\"", stranger.verify),
        };
        let detail = match (matching.is_some(), &stranger.source) {
            (true, Some(_)) => format!("the signature is that of {who}, and matches its key"),
            (true, None) => format!("the signature is that of {who}, and matches this key"),
            (false, _) => format!("the headers are those of {who}, whose keys do not match"),
        };
        Some(Finding::new(Cause::AnotherScheme, detail))
    }

    fn malformed(&self, form: &HeaderForm) -> Finding {
        let HeaderForm { header, form, .. } = form;
        let headers = &self.capture.headers;
        let count = headers.get_all(header.as_ref()).iter().count();
        if count > 1 {
            let detail = format!("the header {header} is there {count} times");
            return Finding::new(Cause::HeaderDoubled, detail);
        }
        let mut keys = self.keys.iter();
        if let Some(settings) = keys.find_map(|key| key.signer.other_settings(headers)) {
            let detail = format!(
                "the header {header} does not have the form that is configured, {form}: {settings}"
            );
            return Finding::new(Cause::HeaderSettings, detail);
        }
        let value = headers.get(header.as_ref());
        let swapped = value.and_then(|value| swap_case(value.to_str().ok()?).parse().ok());
        let swapped = swapped.map(|value| {
            let mut swapped = headers.clone();
            swapped.insert(name(headers, header), value);
            swapped
        });
        let is_case = swapped.is_some_and(|swapped| {
            let request = request(&swapped, self.capture, &self.capture.body);
            let key = self.keys.first();
            key.is_some_and(|key| key.signer.examine(&request, self.now_ms).is_ok())
        });
        let (cause, what) = if is_case {
            (Cause::DigestCase, "has its digest in the wrong case")
        } else {
            (Cause::HeaderMalformed, "does not have its form")
        };
        Finding::new(cause, format!("the header {header} {what}, {form}"))
    }

    /// No key gives the signature of this body.
    fn mismatch(&self) -> Finding {
        let signs_body = self.keys.iter().any(|key| key.signer.signs_body());
        let body = || self.changed_body().filter(|_| signs_body);
        let found = body()
            .or_else(|| self.key_in_another_form())
            .or_else(|| self.key_of_another_source())
            .or_else(|| self.evidence().filter(|_| signs_body));
        found.unwrap_or_else(|| Finding {
            hint: self.verify.key_hint(),
            ..Finding::new(
                Cause::WrongKey,
                if signs_body {
                    "another key has made the signature, or the body was changed in a way that leaves no trace"
                } else {
                    "the credentials are none of the keys"
                },
            )
        })
    }

    /// True if one of the keys matches with this body.
    fn matches(&self, body: &[u8]) -> bool {
        let request = request(&self.capture.headers, self.capture, body);
        let mut keys = self.keys.iter();
        keys.any(|key| {
            let examined = key.signer.examine(&request, self.now_ms);
            examined.is_ok_and(|examined| examined.is_match)
        })
    }

    fn changed_body(&self) -> Option<Finding> {
        let body = self.capture.body.as_slice();
        let with = |before: &[u8], after: &[u8]| [before, body, after].concat();
        let cut = |end: &[u8]| body.strip_suffix(end).map(<[u8]>::to_vec);
        let mark = body.strip_prefix(BYTE_ORDER_MARK).map(<[u8]>::to_vec);
        let text = String::from_utf8_lossy(body);
        let edits = [
            (
                Cause::ByteOrderMark,
                mark,
                "of the body without the byte order mark that the body begins with",
            ),
            (
                Cause::ByteOrderMark,
                Some(with(BYTE_ORDER_MARK, b"")),
                "of the body with a byte order mark, which the body has lost",
            ),
            (
                Cause::TrailingNewline,
                cut(b"\r\n"),
                "of the body without the line break at the end of the body",
            ),
            (
                Cause::TrailingNewline,
                cut(b"\n"),
                "of the body without the newline at the end of the body",
            ),
            (
                Cause::TrailingNewline,
                Some(with(b"", b"\n")),
                "of the body with a newline at its end, which the body has lost",
            ),
            (
                Cause::TrailingNewline,
                Some(with(b"", b"\r\n")),
                "of the body with a line break at its end, which the body has lost",
            ),
            (
                Cause::ChangedBody,
                Some(text.replace("\r\n", "\n").into_bytes()),
                "of the body with \\n at the ends of lines, where the body has \\r\\n",
            ),
            (
                Cause::ChangedBody,
                Some(text.replace('\n', "\r\n").into_bytes()),
                "of the body with \\r\\n at the ends of lines, where the body has \\n",
            ),
            (
                Cause::ChangedBody,
                Some(text.trim().as_bytes().to_vec()),
                "of the body without the white space around it",
            ),
            (Cause::ChangedBody, Some(Vec::new()), "of an empty body"),
        ];
        let edits = edits.into_iter();
        let edited = edits.filter_map(|(cause, body, how)| Some((cause, body?, how.to_owned())));
        let written = forms(body).map(|(how, form)| {
            (
                Cause::ReserialisedJson,
                form,
                format!("of the same JSON written {how}"),
            )
        });
        let mut tried = edited.chain(written);
        let found = tried.find(|(_, body, _)| self.matches(body));
        found.map(|(cause, _, how)| Finding::new(cause, format!("the signature is that {how}")))
    }

    /// What shows without a key that the body is not the one that was sent.
    fn evidence(&self) -> Option<Finding> {
        let Capture { headers, body, .. } = self.capture;
        let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let declared = value(CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
        let is_json = value(CONTENT_TYPE).is_some_and(|kind| kind.contains("json"));
        let detail = if let Some(declared) = declared.filter(|length| *length != body.len()) {
            format!(
                "Content-Length says {declared} bytes, and the body has {}",
                body.len()
            )
        } else if is_json && std::str::from_utf8(body).is_ok_and(|text| text.contains('\u{fffd}')) {
            String::from(
                "the body has U+FFFD, which stands for bytes that somebody could not decode",
            )
        } else if is_json && let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(body)
        {
            format!("the body is said to be JSON and is not: {error}")
        } else {
            return None;
        };
        Some(Finding::new(Cause::ChangedBody, detail))
    }
}

/// The header's name, as the map has it.
fn name(headers: &HeaderMap, shown: &str) -> http::HeaderName {
    let known = headers
        .keys()
        .find(|name| shown.eq_ignore_ascii_case(name.as_str()));
    known.cloned().unwrap_or(CONTENT_TYPE)
}

/// Every run of hexadecimal digits that is long enough for a digest, with its letters in the other case.
fn swap_case(value: &str) -> String {
    let mut swapped = String::with_capacity(value.len());
    let mut rest = value;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(rest.len());
        let (digits, after) = rest.split_at(end);
        if digits.len() < MIN_DIGITS {
            swapped.push_str(digits);
        } else if digits.contains(|c: char| c.is_ascii_uppercase()) {
            swapped.push_str(&digits.to_ascii_lowercase());
        } else {
            swapped.push_str(&digits.to_ascii_uppercase());
        }
        let next = after.chars().next();
        swapped.extend(next);
        rest = &after[next.map_or(0, char::len_utf8)..];
    }
    swapped
}
