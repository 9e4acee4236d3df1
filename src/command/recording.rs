//! A recording of requests, for `dev --record` and `send --file`: lines of JSON, of which the first says what they are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The first line: the format and its version.
pub const HEADER: &str = r#"{"ringback_recording":1}"#;

/// One request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// When it came, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    pub method: String,
    pub path: String,
    pub query: Option<String>,
    /// Values as Latin-1 text.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

#[derive(Deserialize)]
struct Header {
    ringback_recording: u64,
}

/// [`Recorded`] as its line has it.
#[derive(Serialize, Deserialize)]
struct Line {
    at_ms: u64,
    method: String,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// If it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

/// A request that can be sent.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// When it came, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    pub method: Method,
    /// The path with the query.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Recorded {
    /// Its line, without the line break.
    pub fn line(self) -> String {
        let (body, body_base64) = match std::str::from_utf8(&self.body) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(STANDARD.encode(&self.body))),
        };
        let line = Line {
            at_ms: self.at_ms,
            method: self.method,
            path: self.path,
            query: self.query,
            headers: self.headers,
            body,
            body_base64,
        };
        // Numbers and texts under fixed names can always be written.
        serde_json::to_string(&line).unwrap_or_default()
    }
}

/// The requests of a recording, in their order; `None` if the file is none. An error names the line.
pub fn read(file: &[u8]) -> Option<Result<Vec<Replayed>, String>> {
    let mut lines = file.split(|byte| *byte == b'\n').zip(1..);
    let (first, _) = lines.next()?;
    let header: Header = serde_json::from_slice(first).ok()?;
    if header.ringback_recording != 1 {
        let version = header.ringback_recording;
        return Some(Err(format!(
            "line 1: this is version {version} of the format, and this ringback knows version 1"
        )));
    }
    let mut requests = Vec::new();
    for (line, number) in lines.filter(|(line, _)| !line.trim_ascii().is_empty()) {
        match replayed(line) {
            Ok(request) => requests.push(request),
            // What was recorded before the disk was full, or the machine went down, is whole.
            Err(_) if !file.ends_with(b"\n") && is_cut_off(line) => {
                tracing::warn!(
                    line = number,
                    "the recording's last line is cut off, and left out"
                );
            }
            Err(reason) => return Some(Err(format!("line {number}: {reason}"))),
        }
    }
    Some(Ok(requests))
}

fn is_cut_off(line: &[u8]) -> bool {
    let read = serde_json::from_slice::<IgnoredAny>(line);
    read.is_err_and(|error| error.is_eof())
}

fn replayed(line: &[u8]) -> Result<Replayed, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let method = line.method.parse::<Method>();
    let method = method.map_err(|_| format!("{:?} is not a method", line.method))?;
    if !line.path.starts_with('/') {
        return Err(format!(
            "the path {:?} does not begin with \"/\"",
            line.path
        ));
    }
    let body = match (line.body, line.body_base64) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(encoded)) => {
            let decoded = STANDARD.decode(encoded);
            decoded.map_err(|_| String::from("body_base64 is not base64"))?
        }
        _ => return Err(String::from("give exactly one of body and body_base64")),
    };
    let query = line.query.map(|query| format!("?{query}"));
    Ok(Replayed {
        at_ms: line.at_ms,
        method,
        target: format!("{}{}", line.path, query.unwrap_or_default()),
        headers: headers(&line.headers)?,
        body: body.into(),
    })
}

/// Headers of names and values; the reason if one is none. A value is Latin-1 text; one with other characters is sent as UTF-8.
pub fn headers(pairs: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let latin: Option<Vec<u8>> = value.chars().map(|c| u8::try_from(c).ok()).collect();
        let bytes = latin.unwrap_or_else(|| value.clone().into_bytes());
        let header = HeaderName::from_bytes(name.as_bytes()).ok();
        let header = header.zip(HeaderValue::from_bytes(&bytes).ok());
        let (header, value) = header.ok_or_else(|| {
            format!("{name:?} is not a header: a name has no spaces, a value no line breaks")
        })?;
        let kept = headers.try_append(header, value);
        kept.map_err(|_| String::from("there are more headers than a request can have"))?;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_comes_back_byte_for_byte() {
        let recorded = |body: &'static [u8]| Recorded {
            at_ms: 1,
            method: String::from("POST"),
            path: String::from("/a"),
            query: Some(String::from("b=c")),
            headers: vec![("x-a".into(), "\u{fc}".into()), ("x-a".into(), "2".into())],
            body: Bytes::from_static(body),
        };
        for body in [&b"{\"a\":\n\"\xc3\xbc\"}"[..], b"\xff\0", b""] {
            let file = format!("{HEADER}\n{}\n\n", recorded(body).line());
            let requests = read(file.as_bytes()).unwrap().unwrap();
            let [request] = requests.as_slice() else {
                panic!("one request: {requests:?}");
            };
            assert_eq!(
                (&request.body[..], request.target.as_str()),
                (body, "/a?b=c")
            );
            assert_eq!(request.headers.get_all("x-a").iter().count(), 2);
            assert_eq!(request.headers["x-a"].as_bytes(), b"\xfc");
        }
    }

    #[test]
    fn a_last_line_that_is_cut_off_is_left_out_and_too_many_headers_are_an_error() {
        let request =
            r#"{"at_ms":1,"method":"POST","path":"/","query":null,"headers":[],"body":""}"#;
        for end in [request.len(), 20, 1] {
            let file = format!("{HEADER}\n{request}\n{}", &request[..end]);
            let expected = if end == request.len() { 2 } else { 1 };
            assert_eq!(read(file.as_bytes()).unwrap().unwrap().len(), expected);
        }
        let middle = format!("{HEADER}\n{}\n{request}\n", &request[..20]);
        assert!(read(middle.as_bytes()).unwrap().is_err());
        let many: Vec<_> = (0..40_000)
            .map(|n| (format!("x-{n}"), String::new()))
            .collect();
        assert!(headers(&many).unwrap_err().contains("more headers"));
    }

    #[test]
    fn what_is_no_recording_is_told_from_a_broken_one() {
        assert!(read(b"").is_none());
        assert!(read(b"{\"event\":\"call_ended\"}\n").is_none());
        let fault = |rest: &str| {
            read(format!("{HEADER}\n{rest}").as_bytes())
                .unwrap()
                .unwrap_err()
        };
        assert!(
            read(b"{\"ringback_recording\":2}")
                .unwrap()
                .unwrap_err()
                .contains("version 2")
        );
        assert!(fault("\nx").starts_with("line 3: "), "{}", fault("\nx"));
        let line = |more: &str| {
            fault(&format!(
                "{{\"at_ms\":1,\"method\":\"POST\",\"path\":\"/\",\"query\":null,{more}}}"
            ))
        };
        assert!(line("\"headers\":[]").contains("exactly one of body"));
        assert!(line("\"headers\":[[\"a b\",\"\"]],\"body\":\"\"").contains("not a header"));
        assert!(line("\"headers\":[],\"body_base64\":\"?\"").contains("not base64"));
    }
}
