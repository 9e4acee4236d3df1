//! A request that was captured: its headers, its URL and its body, exact to the byte.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::command::error::found_configuration;
use crate::command::recording::{self, Replayed};
use crate::ingest::Verify;

/// Timestamps from here on are milliseconds: as seconds it would be the year 5138.
const FIRST_MS: u64 = 100_000_000_000;

/// Where the request is.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The request")]
pub struct CaptureArgs {
    /// A file with the whole request: head, blank line, body; a recording of one request; or what curl -v printed, then with --body. "-" is standard input
    #[arg(long, value_name = "FILE", required_unless_present = "body")]
    request: Option<PathBuf>,
    /// A file with the body alone. "-" is standard input
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// A header, as 'Name: value'; can be repeated
    #[arg(long = "header", short = 'H', value_name = "HEADER")]
    headers: Vec<String>,
    /// The path and the query, which Twilio signs [default: the request's]
    #[arg(long, value_name = "PATH")]
    uri: Option<Uri>,
    /// When the request arrived, as 2026-01-31T10:00:00Z or in seconds or milliseconds since 1970 [default: as the recording says, else now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// Why there is nothing to verify. All are errors of usage.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error(
        "no request is given: give a whole one with --request FILE, or its body with --body FILE and each header with \
         --header 'Name: value'"
    )]
    NoRequest,
    #[error("cannot read {0}")]
    Read(String, #[source] io::Error),
    #[error(
        "the recording has {0} requests: keep its first line, which is its head, and the line of the one to look at"
    )]
    Several(usize),
    #[error("the recording cannot be read: {0}")]
    Recording(String),
    #[error(
        "the request begins with a body: give that with --body, and each header with --header 'Name: value'"
    )]
    Headless,
    #[error("{0:?} is not a header; write it as 'Name: value'")]
    Header(String),
    #[error("--at {0:?} is not a time; write it as 2026-01-31T10:00:00Z, or in seconds since 1970")]
    Time(String),
    #[error(
        "verify = \"{0}\" has no signature to look at: choose the sender with --source, --verify or --preset"
    )]
    Nothing(Verify),
    #[error(
        "there is no key to verify with: set {0}, or give --key-env NAME or --key-file FILE{here}",
        here = here()
    )]
    NoKey(&'static str),
    #[error(
        "the request has the signature of {0}: give --preset {0}, and its key with --key-env NAME or --key-file FILE{here}",
        here = here()
    )]
    Unnamed(Verify),
}

/// What to give instead of a sender, if it is there.
fn here() -> String {
    let found = found_configuration();
    found.map_or_else(String::new, |file| {
        format!("; to use the configuration that is here, add --config {file}")
    })
}

/// The request.
#[derive(Debug, Default)]
pub struct Capture {
    pub headers: HeaderMap,
    pub uri: Uri,
    pub body: Vec<u8>,
    /// When it came, in milliseconds since the Unix epoch, if the capture says so.
    pub at_ms: Option<u64>,
}

impl CaptureArgs {
    pub fn read(&self) -> Result<Capture, CaptureError> {
        let mut capture = match &self.request {
            Some(file) => Capture::parse(&read(file)?)?,
            None => Capture::default(),
        };
        for line in &self.headers {
            capture.header(line)?;
        }
        if let Some(file) = &self.body {
            capture.body = read(file)?;
        }
        if let Some(uri) = &self.uri {
            capture.uri = uri.clone();
        }
        Ok(capture)
    }

    /// In milliseconds since the Unix epoch.
    pub fn at(&self) -> Result<Option<u64>, CaptureError> {
        let Some(text) = &self.at else {
            return Ok(None);
        };
        if let Ok(number) = text.parse::<u64>() {
            let unit = if number < FIRST_MS { 1000 } else { 1 };
            return Ok(Some(number.saturating_mul(unit)));
        }
        let time = humantime::parse_rfc3339_weak(text).ok();
        let since = time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let ms = since.and_then(|since| u64::try_from(since.as_millis()).ok());
        ms.map(Some).ok_or_else(|| CaptureError::Time(text.clone()))
    }
}

fn read(file: &Path) -> Result<Vec<u8>, CaptureError> {
    let read = if file == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    read.map_err(|error| CaptureError::Read(file.display().to_string(), error))
}

impl Capture {
    /// Reads a recording of one request; or a head, a blank line and the body; or the lines of `curl -v` that begin with `>`.
    fn parse(bytes: &[u8]) -> Result<Self, CaptureError> {
        if let Some(recorded) = recording::read(bytes) {
            return Self::of_recording(recorded.map_err(CaptureError::Recording)?);
        }
        if bytes.trim_ascii_start().starts_with(b"{") {
            return Err(CaptureError::Headless);
        }
        let mut capture = Self::default();
        let is_verbose = bytes.starts_with(b"> ") || find(bytes, b"\n> ").is_some();
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (line, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            rest = after;
            let line = String::from_utf8_lossy(line);
            let line = line.trim_end_matches(['\r', '\n']);
            let line = match (is_verbose, line.strip_prefix('>')) {
                (true, None) => continue,
                (_, Some(line)) => line.trim_start_matches(' '),
                (false, None) => line,
            };
            if line.is_empty() {
                break;
            }
            match request_line(line) {
                Some(uri) => capture.uri = uri,
                None => capture.header(line)?,
            }
        }
        if !is_verbose {
            capture.body = rest.to_vec();
        }
        Ok(capture)
    }

    fn of_recording(mut requests: Vec<Replayed>) -> Result<Self, CaptureError> {
        let request = match (requests.len(), requests.pop()) {
            (1, Some(request)) => request,
            (several, _) => return Err(CaptureError::Several(several)),
        };
        Ok(Self {
            headers: request.headers,
            uri: request.target.parse().unwrap_or_default(),
            body: request.body.into(),
            at_ms: Some(request.at_ms),
        })
    }

    fn header(&mut self, line: &str) -> Result<(), CaptureError> {
        let parsed = line.split_once(':').and_then(|(name, value)| {
            let name: HeaderName = name.trim().parse().ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        // The value may be a token.
        let name = line.split(':').next().unwrap_or_default();
        let (name, value) = parsed.ok_or_else(|| CaptureError::Header(name.to_owned()))?;
        self.headers.append(name, value);
        Ok(())
    }
}

/// The target of `POST /path HTTP/1.1`.
fn request_line(line: &str) -> Option<Uri> {
    let (rest, version) = line.rsplit_once(' ')?;
    let (_, target) = rest.split_once(' ')?;
    version.starts_with("HTTP/").then(|| target.parse().ok())?
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_request_is_read_to_the_byte_and_curl_s_lines_without_its_body() {
        let raw = b"POST /a?b=c HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-A: 2\r\n\r\n{\r\n\r\n}\n";
        let capture = Capture::parse(raw).unwrap();
        assert_eq!(capture.uri, "/a?b=c");
        assert_eq!(capture.headers.get_all("x-a").iter().count(), 2);
        assert_eq!(capture.body, b"{\r\n\r\n}\n");
        let verbose = b"* Connected\n> POST /w HTTP/1.1\n> Host: h\n> X-A: 1\n> \n* sent\n< HTTP/1.1 401 Unauthorized\n";
        let capture = Capture::parse(verbose).unwrap();
        assert_eq!((capture.uri.path(), capture.headers.len()), ("/w", 2));
        assert!(capture.body.is_empty());
        let secret = Capture::parse(b"Authorization hunter2: b c\x01\n\n").unwrap_err();
        assert!(!secret.to_string().contains("b c"), "{secret}");
    }

    #[test]
    fn a_recording_of_one_request_is_read_with_the_time_at_which_it_came() {
        let line = r#"{"at_ms":7,"method":"POST","path":"/a","query":"b=c","headers":[["x-a","1"]],"body":"{}\n"}"#;
        let file = format!("{}\n{line}\n", recording::HEADER);
        let capture = Capture::parse(file.as_bytes()).unwrap();
        assert_eq!((capture.at_ms, &capture.body[..]), (Some(7), &b"{}\n"[..]));
        assert_eq!(capture.uri, "/a?b=c");
        assert_eq!(capture.headers["x-a"], "1");
        let parse = |text: String| Capture::parse(text.as_bytes()).unwrap_err().to_string();
        let two = parse(format!("{file}{line}\n"));
        assert!(two.starts_with("the recording has 2 requests"), "{two}");
        let none = parse(recording::HEADER.to_owned());
        assert!(none.starts_with("the recording has 0 requests"), "{none}");
    }
}
