//! Translates every refusal into its answer (RFC 9457 problem details) and its metric label; nothing else does.
//!
//! The `detail` of an answer states what is to be fixed. It never holds a secret, a local path or Kafka's error text.

mod reason;

pub use self::reason::advice;

pub(super) use self::reason::Reason;

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use http_body_util::Full;

use super::payload::NotJson;
use super::rate_limit::Limited;
use super::scheme::{AuthenticateError, HeaderForm};
use crate::journal::AppendError;
use crate::words::about;

/// Why a request is refused with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    UnknownPath,
    /// The client's address is not on the source's list.
    AddressNotAllowed,
    MethodNotAllowed,
    ContentEncoding,
    TransferEncoding,
    TooManyHeaders,
    /// The limit in bytes goes into the answer.
    BodyTooLarge {
        max_body: usize,
    },
    BodyTimeout,
    /// Memory is short, and no other body was slower.
    BodyStalled,
    /// The body ended early, or had a malformed chunk.
    BodyBroken,
    MemoryExhausted,
    RateLimited(Limited),
    Unauthenticated(AuthenticateError),
    NotJson(NotJson),
    /// There is no string where the event's name is expected.
    NoEvent,
    NotAppended(AppendError),
    /// Not synced, or not acknowledged by Kafka, within `commit_timeout`. The event may still be stored.
    CommitTimeout,
    Panicked,
}

/// Seconds after which room in memory or in the queue is likely: both empty with the next syncs.
const SOON: u32 = 1;
/// Seconds for what needs a drained journal or a new process.
const LATER: u32 = 5;

/// The answer to a refusal.
pub(super) struct Problem {
    pub(super) reason: Reason,
    pub(super) status: StatusCode,
    title: &'static str,
    /// What the sender has to fix.
    pub(super) detail: Cow<'static, str>,
    /// True if the request's body was not read to its end.
    pub(super) body_unread: bool,
    /// Whole seconds, at least one, if a retry can succeed.
    retry_after: Option<u32>,
    /// How to authenticate, if that is a scheme of HTTP's own.
    challenge: Option<&'static str>,
}

/// Extension of an answer: part of the request's body is still on the connection, where the next request would begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyUnread;

/// How much of an unread body is read on and dropped, in bytes: a client that sends all of its body before it reads
/// would otherwise get an error of its connection in place of the answer. Enough for any mistake about
/// `max_body`, which is 8 MiB by default; a client that sends more is not going to read the answer anyway.
pub(super) const READ_ON_BYTES: usize = 64 * 1024 * 1024;

impl Refusal {
    pub(super) fn problem(&self) -> Problem {
        match self {
            Self::UnknownPath => Problem::before_body(
                Reason::UnknownPath,
                StatusCode::NOT_FOUND,
                "No such path",
                "No webhook source is configured at this path.",
            ),
            Self::AddressNotAllowed => Problem::before_body(
                Reason::AddressNotAllowed,
                StatusCode::FORBIDDEN,
                "Address not allowed",
                "Webhooks to this path are accepted from listed addresses only, and this client's is not among them.",
            ),
            Self::MethodNotAllowed => Problem::before_body(
                Reason::MethodNotAllowed,
                StatusCode::METHOD_NOT_ALLOWED,
                "Method not allowed",
                "Send events with POST.",
            ),
            Self::ContentEncoding => Problem::before_body(
                Reason::ContentEncoding,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content encoding not supported",
                "Send the body as it was signed, without Content-Encoding.",
            ),
            Self::TransferEncoding => Problem::before_body(
                Reason::TransferEncoding,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Transfer encoding not supported",
                "Send the body with Content-Length, or with chunked as its only Transfer-Encoding.",
            ),
            Self::TooManyHeaders => Problem::before_body(
                Reason::TooManyHeaders,
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "Too many headers",
                "Send fewer headers.",
            ),
            Self::BodyTooLarge { max_body } => Problem::before_body(
                Reason::BodyTooLarge,
                StatusCode::PAYLOAD_TOO_LARGE,
                "Body too large",
                format!("A body may have at most {max_body} bytes."),
            ),
            Self::BodyTimeout => Problem::before_body(
                Reason::BodyTimeout,
                StatusCode::REQUEST_TIMEOUT,
                "Body not received in time",
                "The body did not arrive completely in time. Send it again, faster.",
            ),
            Self::BodyStalled => Problem::before_body(
                Reason::BodyStalled,
                StatusCode::REQUEST_TIMEOUT,
                "Body stalled",
                "This server is short of memory, and this body arrived more slowly than others. Send it again, faster.",
            ),
            Self::BodyBroken => Problem::before_body(
                Reason::BodyBroken,
                StatusCode::BAD_REQUEST,
                "Body incomplete",
                "The body ended before its declared length or its last chunk.",
            ),
            Self::MemoryExhausted => Problem::before_body(
                Reason::MemoryExhausted,
                StatusCode::SERVICE_UNAVAILABLE,
                "Too much in flight",
                "This server is receiving too many bodies at once. Try again shortly.",
            ),
            Self::RateLimited(limited) => rate_limited(*limited),
            Self::Unauthenticated(error) => unauthenticated(error),
            Self::NotJson(error) => Problem::after_body(
                Reason::NotJson,
                StatusCode::BAD_REQUEST,
                "Not JSON",
                format!("The body is not one JSON document: {error}."),
            ),
            Self::NoEvent => Problem::after_body(
                Reason::NoEvent,
                StatusCode::BAD_REQUEST,
                "Not an event",
                "The body must be a JSON object with a string member \"event\".",
            ),
            Self::NotAppended(error) => not_appended(*error),
            Self::CommitTimeout => Problem::after_body(
                Reason::CommitTimeout,
                StatusCode::SERVICE_UNAVAILABLE,
                "Storage slow",
                "The event was not confirmed as stored in time. Send it again, unchanged.",
            ),
            Self::Panicked => Problem::before_body(
                Reason::Panic,
                StatusCode::SERVICE_UNAVAILABLE,
                "Internal error",
                "This server failed while handling the request. Send it again.",
            ),
        }
    }
}

fn rate_limited(limited: Limited) -> Problem {
    let detail = if limited.of_client {
        "This address sends more requests than it may. Send them more slowly."
    } else {
        "More events come to this path than it may take. Send them more slowly."
    };
    let status = StatusCode::TOO_MANY_REQUESTS;
    let seconds = limited.wait.as_secs() + u64::from(limited.wait.subsec_nanos() > 0);
    Problem {
        body_unread: limited.body_unread,
        retry_after: Some(u32::try_from(seconds).unwrap_or(u32::MAX).max(SOON)),
        ..Problem::before_body(Reason::RateLimited, status, "Too many requests", detail)
    }
}

fn unauthenticated(error: &AuthenticateError) -> Problem {
    let (reason, title, detail) = match error {
        AuthenticateError::Missing(HeaderForm { header, .. }) => (
            Reason::SignatureMissing,
            "Signature missing",
            format!("The header {header} is missing, which has to show who sends the request.")
                .into(),
        ),
        AuthenticateError::Malformed(HeaderForm { header, form, .. }) => (
            Reason::SignatureMalformed,
            "Signature malformed",
            format!("The header {header} is repeated, or does not have the form {form}.").into(),
        ),
        AuthenticateError::Uncovered { wanted } => (
            Reason::SignatureMalformed,
            "Body not signed",
            format!("The signature does not cover the body. It must be {wanted}.").into(),
        ),
        &AuthenticateError::Stale {
            difference,
            is_ahead,
            tolerance,
        } => {
            let difference = about(difference);
            let tolerance = about(tolerance);
            let side = if is_ahead { "ahead of" } else { "behind" };
            (
                Reason::SignatureStale,
                "Signature stale",
                format!("The signature's timestamp is {difference} {side} this server's clock, more than {tolerance}.").into(),
            )
        }
        AuthenticateError::Mismatch => (
            Reason::SignatureMismatch,
            "Signature mismatch",
            Cow::Borrowed("The signature does not match the body under any configured key."),
        ),
        AuthenticateError::WrongCredentials(HeaderForm { header, .. }) => (
            Reason::SignatureMismatch,
            "Wrong credentials",
            format!("The credentials in the header {header} are none of the configured ones.")
                .into(),
        ),
    };
    Problem {
        challenge: error.challenge(),
        ..Problem::after_body(reason, StatusCode::UNAUTHORIZED, title, detail)
    }
}

fn not_appended(error: AppendError) -> Problem {
    const REFUSED: &str =
        "This event could not be stored; others are not affected. Try again later.";
    const RESTART: &str = "This server cannot store events until it restarts. Try again later.";
    let (reason, seconds, title, detail) = match error {
        AppendError::Full => (
            Reason::JournalFull,
            LATER,
            "Storage full",
            "This server cannot store events at the moment. Try again later.",
        ),
        AppendError::Overloaded => (
            Reason::JournalOverloaded,
            SOON,
            "Overloaded",
            "Events arrive faster than this server can store them. Try again shortly.",
        ),
        AppendError::Poisoned => (
            Reason::JournalPoisoned,
            LATER,
            "Storage unavailable",
            RESTART,
        ),
        AppendError::Closed => (Reason::JournalClosed, LATER, "Storage unavailable", RESTART),
        AppendError::Refused => (Reason::Unpublishable, LATER, "Event not stored", REFUSED),
    };
    Problem {
        retry_after: Some(seconds),
        ..Problem::after_body(reason, StatusCode::SERVICE_UNAVAILABLE, title, detail)
    }
}

impl Problem {
    /// A refusal before the request's body was read to its end.
    fn before_body(
        reason: Reason,
        status: StatusCode,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            reason,
            status,
            title,
            detail: detail.into(),
            body_unread: true,
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(SOON),
            challenge: None,
        }
    }

    /// A refusal after the whole body was read.
    fn after_body(
        reason: Reason,
        status: StatusCode,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            body_unread: false,
            ..Self::before_body(reason, status, title, detail)
        }
    }

    /// The problem document and the headers that its status requires.
    pub(super) fn to_response(&self) -> Response<Full<Bytes>> {
        let document = serde_json::json!({
            "type": format!("urn:ringback:problem:{}", self.reason.label()),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut response = Response::new(Full::new(Bytes::from(document.to_string())));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

#[cfg(test)]
mod tests;
