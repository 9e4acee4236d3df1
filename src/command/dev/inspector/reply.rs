//! The inspector's answers.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};

/// An answer, whole or streamed.
pub type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

pub fn new(
    status: StatusCode,
    content_type: &'static str,
    body: impl Body<Data = Bytes, Error = Infallible> + Send + 'static,
) -> Reply {
    let mut reply = Response::new(body.boxed_unsync());
    *reply.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply
}

/// Bytes that are in memory already.
pub fn bytes(content_type: &'static str, bytes: impl Into<Bytes>) -> Reply {
    new(StatusCode::OK, content_type, Full::new(bytes.into()))
}

pub fn json(status: StatusCode, value: &Value) -> Reply {
    new(
        status,
        "application/json",
        Full::new(value.to_string().into()),
    )
}

/// What went wrong, in a sentence.
pub fn error(status: StatusCode, sentence: &str) -> Reply {
    json(status, &json!({ "error": sentence }))
}

pub fn not_allowed(methods: &'static str) -> Reply {
    let mut reply = error(
        StatusCode::METHOD_NOT_ALLOWED,
        "This path has other methods.",
    );
    let methods = HeaderValue::from_static(methods);
    reply.headers_mut().insert(ALLOW, methods);
    reply
}
