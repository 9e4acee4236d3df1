//! What the admin listener answers.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;

use super::status::Status;
use crate::readiness::Readiness;
use crate::web;

/// The content type of Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
pub(super) const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// What the status page loads: path, content type, content.
const FILES: [(&str, &str, &str); 3] = [
    ("/look.css", CSS, web::LOOK),
    ("/style.css", CSS, include_str!("status/style.css")),
    (
        "/refresh.js",
        "text/javascript; charset=utf-8",
        include_str!("status/refresh.js"),
    ),
];

pub(super) fn answer<B>(request: &Request<B>, status: &Status) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let file = FILES.iter().find(|(name, ..)| *name == path);
    if file.is_none() && !matches!(path, "/" | "/metrics" | "/livez" | "/readyz") {
        return text(
            StatusCode::NOT_FOUND,
            PLAIN,
            "try /, /metrics, /livez or /readyz?verbose\n",
        );
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "use GET\n");
        let allow = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allow);
        return response;
    }
    if let Some((_, content_type, content)) = file {
        return text(StatusCode::OK, content_type, *content);
    }
    match path {
        "/" => text(StatusCode::OK, HTML, status.page()),
        "/livez" => text(StatusCode::OK, PLAIN, "ok\n"),
        "/readyz" => ready(request.uri().query(), status.readiness()),
        _ => metrics(status),
    }
}

fn metrics(status: &Status) -> Response<Full<Bytes>> {
    match status.metrics().encode(status.readiness().is_ready()) {
        Ok(exposition) => text(StatusCode::OK, TEXT_FORMAT, exposition),
        Err(error) => {
            tracing::error!(%error, "cannot encode the metrics");
            let words = "cannot encode the metrics\n";
            text(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, words)
        }
    }
}

fn ready(query: Option<&str>, readiness: &Readiness) -> Response<Full<Bytes>> {
    let verbose = query
        .unwrap_or_default()
        .split('&')
        .any(|pair| pair == "verbose" || pair.starts_with("verbose="));
    let (status, word) = if readiness.is_ready() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    };
    let body = if verbose {
        readiness.verbose() + word
    } else {
        word.to_owned()
    };
    text(status, PLAIN, body)
}

pub(super) fn text(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::admin::Setup;
    use crate::readiness::CheckKind;
    use crate::telemetry;

    fn of(readiness: &Readiness) -> Result<Status, Box<dyn std::error::Error>> {
        let setup = Setup {
            keeps_on_disk: true,
            sources: Vec::new(),
            advice: |_| None,
        };
        Ok(Status::new(
            readiness.clone(),
            telemetry::Metrics::new()?,
            setup,
        ))
    }

    fn status(
        method: Method,
        target: &str,
        readiness: &Readiness,
    ) -> Result<u16, Box<dyn std::error::Error>> {
        let request = Request::builder().method(method).uri(target).body(())?;
        Ok(answer(&request, &of(readiness)?).status().as_u16())
    }

    #[tokio::test]
    async fn the_metrics_say_whether_the_relay_is_ready() -> Result<(), Box<dyn std::error::Error>>
    {
        let readiness = Readiness::new();
        let shown = of(&readiness)?;
        let check = readiness.check("journal", CheckKind::Gating, "starting");
        for (is_ready, sample) in [
            (false, "\nringback_ready 0\n"),
            (true, "\nringback_ready 1\n"),
        ] {
            if is_ready {
                check.pass("ok");
            }
            let request = Request::builder().uri("/metrics").body(())?;
            let page = answer(&request, &shown).into_body();
            let page = page.collect().await?.to_bytes();
            let page = std::str::from_utf8(&page)?;
            assert!(page.contains(sample), "{page}");
        }
        Ok(())
    }

    #[test]
    fn liveness_stays_while_readiness_goes() -> Result<(), Box<dyn std::error::Error>> {
        let readiness = Readiness::new();
        let check = readiness.check("journal", CheckKind::Gating, "starting");
        assert_eq!(status(Method::GET, "/readyz", &readiness)?, 503);
        assert_eq!(status(Method::GET, "/livez", &readiness)?, 200);
        check.pass("ok");
        assert_eq!(status(Method::GET, "/readyz?verbose", &readiness)?, 200);
        assert_eq!(status(Method::GET, "/metrics", &readiness)?, 200);
        Ok(())
    }

    #[test]
    fn other_paths_and_methods_are_refused() -> Result<(), Box<dyn std::error::Error>> {
        let readiness = Readiness::new();
        assert_eq!(status(Method::GET, "/status", &readiness)?, 404);
        assert_eq!(status(Method::POST, "/", &readiness)?, 405);
        assert_eq!(status(Method::POST, "/metrics", &readiness)?, 405);
        Ok(())
    }
}
