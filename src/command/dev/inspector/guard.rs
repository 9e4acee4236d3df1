//! Keeps every web page that the developer visits away from the inspector, which has no password.
//!
//! A page of another site could let the browser ask here (`Origin` and `Sec-Fetch-Site` show that), also under a name of its own
//! that resolves to this machine (`Host` shows that), and could post a form (which is no `application/json`).

use http::header::{CONNECTION, CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};

use super::reply::{self, Reply};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names under which this machine is asked for the inspector.
#[derive(Debug)]
pub struct Guard([String; 3]);

impl Guard {
    pub fn new(port: u16) -> Self {
        let hosts = ["localhost", "127.0.0.1", "[::1]"];
        Self(hosts.map(|host| match port {
            80 => host.to_owned(),
            _ => format!("{host}:{port}"),
        }))
    }

    /// The answer to a request that is not the inspector's own page's, nor a tool's of this machine.
    pub fn refuse<B>(&self, request: &Request<B>) -> Option<Reply> {
        let headers = request.headers();
        let forbidden = |sentence: &str| {
            let mut answer = reply::error(StatusCode::FORBIDDEN, sentence);
            // Another site's page must not hold connections that the inspector's own needs.
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
            Some(answer)
        };
        let authority = request.uri().authority();
        let is_named = |host: &str| self.0.iter().any(|own| own.eq_ignore_ascii_case(host));
        if !only(headers, &HOST).is_some_and(is_named)
            || authority.is_some_and(|authority| !is_named(authority.as_str()))
        {
            return forbidden(
                "The inspector answers on this machine only: ask for it as localhost or 127.0.0.1, with its port.",
            );
        }
        let is_own = |origin: &str| origin.strip_prefix("http://").is_some_and(is_named);
        if headers.contains_key(ORIGIN) && !only(headers, &ORIGIN).is_some_and(is_own) {
            return forbidden(
                "The inspector answers its own page only, and this request comes from another site's.",
            );
        }
        let is_same = |site: &str| matches!(site, "same-origin" | "none");
        if headers.contains_key(SEC_FETCH_SITE)
            && !only(headers, &SEC_FETCH_SITE).is_some_and(is_same)
        {
            return forbidden(
                "The inspector answers its own page only: enter its address yourself instead of following a link.",
            );
        }
        let is_json = |kind: &str| {
            let media = kind.split(';').next().unwrap_or_default();
            media.trim().eq_ignore_ascii_case("application/json")
        };
        if request.method() == Method::POST && !only(headers, &CONTENT_TYPE).is_some_and(is_json) {
            let sentence = "Send the request with Content-Type: application/json.";
            return Some(reply::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence));
        }
        None
    }
}

/// The header's value, if it is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: Method, target: &str, headers: &[(&str, &str)]) -> Option<u16> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let refused = Guard::new(4041).refuse(&request.body(()).unwrap());
        refused.map(|answer| answer.status().as_u16())
    }

    #[test]
    fn what_comes_from_another_site_is_refused() {
        let own = ("host", "localhost:4041");
        for (headers, expected) in [
            (&[own][..], None),
            (&[("host", "127.0.0.1:4041")], None),
            (&[("host", "[::1]:4041")], None),
            (&[("host", "LOCALHOST:4041")], None),
            (&[], Some(403)),
            (&[own, own], Some(403)),
            (&[("host", "localhost")], Some(403)),
            (&[("host", "localhost:4040")], Some(403)),
            (&[("host", "evil.example:4041")], Some(403)),
            (&[("host", "localhost.evil.example:4041")], Some(403)),
            (&[own, ("origin", "http://localhost:4041")], None),
            (&[own, ("origin", "http://evil.example")], Some(403)),
            (&[own, ("origin", "https://localhost:4041")], Some(403)),
            (&[own, ("origin", "http://localhost:8080")], Some(403)),
            (&[own, ("origin", "null")], Some(403)),
            (&[own, ("sec-fetch-site", "same-origin")], None),
            (&[own, ("sec-fetch-site", "none")], None),
            (&[own, ("sec-fetch-site", "same-site")], Some(403)),
            (&[own, ("sec-fetch-site", "cross-site")], Some(403)),
        ] {
            assert_eq!(status(Method::GET, "/", headers), expected, "{headers:?}");
        }
        let target = "http://evil.example/api/info";
        assert_eq!(status(Method::GET, target, &[own]), Some(403));
    }

    #[test]
    fn what_a_form_can_post_is_refused() {
        for (kind, expected) in [
            ("application/json", None),
            ("application/json; charset=utf-8", None),
            ("text/plain", Some(415)),
            ("application/x-www-form-urlencoded", Some(415)),
        ] {
            let headers = [("host", "localhost:4041"), ("content-type", kind)];
            let status = status(Method::POST, "/api/send", &headers);
            assert_eq!(status, expected, "{kind}");
        }
        let bare = [("host", "localhost:4041")];
        assert_eq!(status(Method::POST, "/api/send", &bare), Some(415));
    }
}
