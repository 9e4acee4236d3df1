//! A recording of requests, for `dev --record` and `send --file`: lines of JSON, of which the first says what they are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

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

impl Recorded {
    /// Its line, without the line break.
    pub fn line(&self) -> String {
        let (name, body) = match std::str::from_utf8(&self.body) {
            Ok(text) => ("body", text.to_owned()),
            Err(_) => ("body_base64", STANDARD.encode(&self.body)),
        };
        let mut line = json!({
            "at_ms": self.at_ms,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
        });
        line[name] = Value::String(body);
        line.to_string()
    }
}
