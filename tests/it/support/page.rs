//! The inspector as its page sees it: requests, and the stream of rows.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use super::dev::Dev;
use super::server::{PATIENCE, exchange_with, post};

/// A `dev` with its inspector, and the address of its webhooks.
pub struct Inspected {
    pub page: Page,
    pub webhooks: String,
    pub dev: Dev,
    _folder: tempfile::TempDir,
}

impl Inspected {
    pub fn start(arguments: &[&str], key: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dev = Dev::start(arguments, key, folder.path());
        let page = Page {
            port: dev.inspector(),
        };
        Self {
            page,
            webhooks: dev.address(),
            dev,
            _folder: folder,
        }
    }

    /// Posts a webhook; gives the answer.
    pub fn post(&self, path: &str, headers: &str, body: &[u8]) -> String {
        let headers = format!("{headers}Connection: close\r\n");
        exchange_with(&self.webhooks, &post(path, &headers, body))
    }
}

pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The inspector at this port.
pub struct Page {
    pub port: u16,
}

/// An answer.
pub struct Reply {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

impl Page {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
        stream
    }

    /// Sends a request with exactly these further headers, lines that end with a line break.
    pub fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let mut stream = self.connect();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("it is sent");
        let mut reader = BufReader::new(stream);
        let (status, head) = read_head(&mut reader);
        let mut body = Vec::new();
        if head.contains("transfer-encoding: chunked") {
            while let Some(chunk) = read_chunk(&mut reader) {
                body.extend(chunk);
            }
        } else {
            reader.read_to_end(&mut body).expect("a body comes");
        }
        Reply { status, head, body }
    }

    fn host(&self) -> String {
        format!("Host: localhost:{}\r\n", self.port)
    }

    pub fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &self.host(), "")
    }

    pub fn post(&self, path: &str, body: &Value) -> Reply {
        let headers = format!("{}Content-Type: application/json\r\n", self.host());
        self.request("POST", path, &headers, &body.to_string())
    }

    /// The request with this number.
    pub fn details(&self, n: u64) -> Value {
        let reply = self.get(&format!("/api/requests/{n}"));
        assert_eq!(
            reply.status,
            200,
            "{:?}",
            String::from_utf8_lossy(&reply.body)
        );
        reply.json()
    }

    /// Opens the stream; `last` is the id of the last message that was seen.
    pub fn stream(&self, last: Option<&str>) -> Stream {
        let mut stream = self.connect();
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n"));
        let request = format!(
            // As browsers do; a compressed stream would come late and in no whole messages.
            "GET /api/stream HTTP/1.1\r\nAccept-Encoding: gzip\r\n{}{}\r\n",
            self.host(),
            last.unwrap_or_default()
        );
        stream.write_all(request.as_bytes()).expect("it is sent");
        let mut reader = BufReader::new(stream);
        let (status, head) = read_head(&mut reader);
        assert_eq!(status, 200, "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        Stream {
            reader,
            last: None,
            first: 0,
            rows: BTreeMap::new(),
        }
    }
}

/// Messages, and the rows that they have built up.
pub struct Stream {
    reader: BufReader<TcpStream>,
    /// The id of the last message.
    pub last: Option<String>,
    /// Rows with a smaller number are not kept any more.
    pub first: u64,
    pub rows: BTreeMap<u64, Value>,
}

impl Stream {
    /// Waits for the next message and gives its event's name and its data.
    pub fn message(&mut self) -> (String, Value) {
        loop {
            let chunk = read_chunk(&mut self.reader).expect("the stream goes on");
            let text = String::from_utf8(chunk).expect("UTF-8");
            assert!(text.ends_with("\n\n"), "a message in one piece: {text}");
            let field = |name: &str| {
                let mut lines = text.lines();
                lines
                    .find_map(|line| line.strip_prefix(name))
                    .map(str::to_owned)
            };
            let Some(event) = field("event: ") else {
                continue;
            };
            let data = field("data: ").expect("it has data");
            let data: Value = serde_json::from_str(&data).expect("JSON");
            self.last = field("id: ").or(self.last.take());
            if event == "rows" {
                self.first = data["first"].as_u64().expect("a number");
                for row in data["rows"].as_array().expect("an array") {
                    let n = row["n"].as_u64().expect("a number");
                    self.rows.insert(n, row.clone());
                }
            }
            return (event, data);
        }
    }

    /// Reads until the rows fulfil the condition; gives the row that it chooses.
    pub fn until(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        loop {
            if let Some(row) = self.rows.values().find(|row| wanted(row)) {
                return row.clone();
            }
            self.message();
        }
    }
}

fn read_head(reader: &mut BufReader<TcpStream>) -> (u16, String) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let read = reader.read_line(&mut head).expect("a head comes");
        assert!(read > 0, "the connection ended: {head}");
    }
    let status = head.get(9..12).expect("a status line");
    (status.parse().expect("a status"), head.to_lowercase())
}

/// `None` at the end.
fn read_chunk(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a chunk comes");
    let length = usize::from_str_radix(line.trim(), 16).expect("a length");
    let mut chunk = vec![0; length + 2];
    reader.read_exact(&mut chunk).expect("a whole chunk comes");
    chunk.truncate(length);
    (length > 0).then_some(chunk)
}
