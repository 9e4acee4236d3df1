//! Readiness on the webhook port, for load balancers that reach no other.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;

use super::config::toggled;
use crate::readiness::Readiness;

/// The path of health checks.
#[derive(Debug)]
pub(super) struct Health {
    path: String,
    toggled: Option<String>,
}

impl Health {
    pub(super) fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            toggled: toggled(path),
        }
    }

    /// The answer, if `request` is a health check; without `readiness` ingest is ready. A request with a body is none: the
    /// body would have to be read.
    pub(super) fn answer<B: Body>(
        &self,
        request: &Request<B>,
        readiness: Option<&Readiness>,
    ) -> Option<Response<Full<Bytes>>> {
        let is_head = match *request.method() {
            Method::GET => false,
            Method::HEAD => true,
            _ => return None,
        };
        let path = request.uri().path();
        let is_asked = path == self.path || self.toggled.as_deref() == Some(path);
        if !is_asked || !request.body().is_end_stream() {
            return None;
        }
        let (status, word) = if readiness.is_none_or(Readiness::is_ready) {
            (StatusCode::OK, "ok\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        };
        let body = if is_head { "" } else { word };
        let mut answer = Response::new(Full::from(body));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(word.len()));
        Some(answer)
    }
}
