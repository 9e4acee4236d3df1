//! The one translation of refusals to answers and to their bounded metric labels.
//!
//! The words of an answer are for the sender: what to mend. They never hold a secret, a path of ours or Kafka's text.

use super::payload::Invalid;
use super::scheme::AuthenticateError;
use crate::journal::AppendError;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejection {
    /// No source has this path.
    UnknownPath,
    /// Not a POST.
    MethodNotAllowed,
    /// `Content-Encoding` other than identity.
    ContentEncoding,
    /// `Transfer-Encoding` other than chunked.
    TransferEncoding,
    /// More headers than one head may have.
    TooManyHeaders,
    /// Declared or streamed beyond `max_body` bytes.
    BodyTooLarge {
        /// The limit, told to the sender.
        max_body: usize,
    },
    /// Not complete within `body_timeout`.
    BodyTimeout,
    /// Ended early, or with a broken chunk.
    BodyBroken,
    /// `max_in_flight` is used up.
    MemoryExhausted,
    /// The signature.
    Unauthenticated(AuthenticateError),
    /// Not an event.
    Invalid(Invalid),
    /// The journal did not take it.
    NotAppended(AppendError),
    /// No commit within `commit_timeout`; it may still land.
    CommitTimeout,
    /// Our own fault.
    Panicked,
}

/// Seconds after which room in memory or in the queue is likely: both empty with the next syncs.
const SOON: u32 = 1;
/// Seconds for what takes a drained journal or a new process.
const LATER: u32 = 5;

/// Every label that [`Rejection::label`] or a connection's end can give, so that children are resolved at start.
pub(super) const LABELS: [&str; 26] = [
    "unknown_path",
    "method_not_allowed",
    "content_encoding",
    "transfer_encoding",
    "too_many_headers",
    "body_too_large",
    "body_timeout",
    "body_broken",
    "memory_exhausted",
    "signature_missing",
    "signature_malformed",
    "signature_stale",
    "signature_mismatch",
    "not_json",
    "no_event",
    "journal_full",
    "journal_poisoned",
    "journal_overloaded",
    "journal_closed",
    "commit_timeout",
    "panic",
    "client_gone",
    "header_timeout",
    "head_malformed",
    "head_too_large",
    "write_timeout",
];

/// A sender that left before its answer; its event, if it was appended, lands all the same.
pub(super) const CLIENT_GONE: &str = "client_gone";

impl Rejection {
    /// The metric label, one of [`LABELS`]; also the last part of the problem's `type`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::UnknownPath => "unknown_path",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::ContentEncoding => "content_encoding",
            Self::TransferEncoding => "transfer_encoding",
            Self::TooManyHeaders => "too_many_headers",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::BodyBroken => "body_broken",
            Self::MemoryExhausted => "memory_exhausted",
            Self::Unauthenticated(AuthenticateError::Missing { .. }) => "signature_missing",
            Self::Unauthenticated(AuthenticateError::Malformed) => "signature_malformed",
            Self::Unauthenticated(AuthenticateError::Stale) => "signature_stale",
            Self::Unauthenticated(AuthenticateError::Mismatch) => "signature_mismatch",
            Self::Invalid(Invalid::NotJson) => "not_json",
            Self::Invalid(Invalid::NoEvent) => "no_event",
            Self::NotAppended(AppendError::Full) => "journal_full",
            Self::NotAppended(AppendError::Poisoned) => "journal_poisoned",
            Self::NotAppended(AppendError::Overloaded) => "journal_overloaded",
            Self::NotAppended(AppendError::Closed) => "journal_closed",
            Self::CommitTimeout => "commit_timeout",
            Self::Panicked => "panic",
        }
    }

    /// The answer's status.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentEncoding | Self::TransferEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyHeaders => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyBroken | Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::MemoryExhausted | Self::NotAppended(_) | Self::CommitTimeout | Self::Panicked => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// True where the request's body was not, or not wholly, read: the connection cannot carry another request.
    pub(super) fn leaves_body_unread(self) -> bool {
        match self {
            Self::UnknownPath
            | Self::MethodNotAllowed
            | Self::ContentEncoding
            | Self::TransferEncoding
            | Self::TooManyHeaders
            | Self::BodyTooLarge { .. }
            | Self::BodyTimeout
            | Self::BodyBroken
            | Self::MemoryExhausted
            | Self::Panicked => true,
            Self::Unauthenticated(_)
            | Self::Invalid(_)
            | Self::NotAppended(_)
            | Self::CommitTimeout => false,
        }
    }

    /// Whole seconds, at least one, where trying again helps.
    fn retry_after(self) -> Option<u32> {
        match self {
            Self::NotAppended(AppendError::Full | AppendError::Poisoned | AppendError::Closed) => {
                Some(LATER)
            }
            other => (other.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(SOON),
        }
    }

    /// What the sender is told to mend.
    pub(super) fn detail(self) -> String {
        self.words().1
    }

    fn words(self) -> (&'static str, String) {
        let (title, detail) = match self {
            Self::UnknownPath => (
                "No such path",
                "No webhook source is configured at this path.",
            ),
            Self::MethodNotAllowed => ("Method not allowed", "Send events with POST."),
            Self::ContentEncoding => (
                "Content encoding not supported",
                "Send the body as it was signed, without Content-Encoding.",
            ),
            Self::TransferEncoding => (
                "Transfer encoding not supported",
                "Send the body with Content-Length, or with chunked as its only Transfer-Encoding.",
            ),
            Self::TooManyHeaders => ("Too many headers", "Send fewer headers."),
            Self::BodyTooLarge { max_body } => {
                return (
                    "Body too large",
                    format!("Bodies may have {max_body} bytes at most."),
                );
            }
            Self::BodyTimeout => (
                "Body not received in time",
                "The body was not complete in time; send it again, faster.",
            ),
            Self::BodyBroken => (
                "Body incomplete",
                "The body ended before its declared length or its last chunk.",
            ),
            Self::MemoryExhausted => (
                "Too much in flight",
                "Too many bodies are being received at once; try again shortly.",
            ),
            Self::Unauthenticated(AuthenticateError::Missing { header }) => {
                return (
                    "Signature missing",
                    format!("The signature header, {header}, is missing."),
                );
            }
            Self::Unauthenticated(AuthenticateError::Malformed) => (
                "Signature malformed",
                "The signature header does not have the form that the sender documents, or is repeated.",
            ),
            Self::Unauthenticated(AuthenticateError::Stale) => (
                "Signature stale",
                "The signature's timestamp is more than five minutes from this server's clock.",
            ),
            Self::Unauthenticated(AuthenticateError::Mismatch) => (
                "Signature mismatch",
                "The signature does not match the body under any configured key.",
            ),
            Self::Invalid(Invalid::NotJson) => ("Not JSON", "The body is not one JSON document."),
            Self::Invalid(Invalid::NoEvent) => (
                "Not an event",
                "The body must be a JSON object with a string member \"event\".",
            ),
            Self::NotAppended(AppendError::Full) => (
                "Storage full",
                "Events cannot be stored at the moment; try again later.",
            ),
            Self::NotAppended(AppendError::Overloaded) => (
                "Overloaded",
                "More events arrive than can be stored; try again shortly.",
            ),
            Self::NotAppended(AppendError::Poisoned | AppendError::Closed) => (
                "Storage unavailable",
                "Events cannot be stored until this server has restarted; try again later.",
            ),
            Self::CommitTimeout => (
                "Storage slow",
                "The event was not known to be stored in time; send it again, unchanged.",
            ),
            Self::Panicked => ("Internal fault", "Something failed here; send it again."),
        };
        (title, detail.to_owned())
    }

    /// The answer: an RFC 9457 problem document and the headers that its status asks for.
    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let (title, detail) = self.words();
        let status = self.status();
        let problem = serde_json::json!({
            "type": format!("urn:ringback:problem:{}", self.label()),
            "title": title,
            "status": status.as_u16(),
            "detail": detail,
        });
        let mut response = Response::new(Full::new(Bytes::from(problem.to_string())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self == Self::MethodNotAllowed {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Rejection; 21] = [
        Rejection::UnknownPath,
        Rejection::MethodNotAllowed,
        Rejection::ContentEncoding,
        Rejection::TransferEncoding,
        Rejection::TooManyHeaders,
        Rejection::BodyTooLarge { max_body: 7 },
        Rejection::BodyTimeout,
        Rejection::BodyBroken,
        Rejection::MemoryExhausted,
        Rejection::Unauthenticated(AuthenticateError::Missing { header: "X" }),
        Rejection::Unauthenticated(AuthenticateError::Malformed),
        Rejection::Unauthenticated(AuthenticateError::Stale),
        Rejection::Unauthenticated(AuthenticateError::Mismatch),
        Rejection::Invalid(Invalid::NotJson),
        Rejection::Invalid(Invalid::NoEvent),
        Rejection::NotAppended(AppendError::Full),
        Rejection::NotAppended(AppendError::Poisoned),
        Rejection::NotAppended(AppendError::Overloaded),
        Rejection::NotAppended(AppendError::Closed),
        Rejection::CommitTimeout,
        Rejection::Panicked,
    ];

    #[test]
    fn every_refusal_has_its_own_label_from_the_closed_list() {
        let labels: Vec<_> = ALL.iter().map(|rejection| rejection.label()).collect();
        assert_eq!(labels[..], LABELS[..ALL.len()]);
        assert!(LABELS.contains(&CLIENT_GONE));
    }

    #[test]
    fn every_503_names_whole_seconds_to_wait_and_nothing_else_does() {
        for rejection in ALL {
            let response = rejection.into_response();
            let seconds = response
                .headers()
                .get(RETRY_AFTER)
                .map(|value| value.to_str().unwrap().parse::<u32>().unwrap());
            let unavailable = response.status() == StatusCode::SERVICE_UNAVAILABLE;
            assert_eq!(seconds.is_some(), unavailable, "{rejection:?}");
            assert!(seconds.is_none_or(|seconds| seconds >= 1));
        }
    }
}
