//! The real binary, serving with small limits and without a Kafka, and raw sockets to it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sha2::Sha256;

/// The relay's key.
pub const KEY: &str = "key_of_the_contract";
/// Bounds every wait, so that a hang fails the test. Nothing here takes that long, even on busy cores.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running relay.
pub struct Server {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    /// The address of the webhooks.
    pub address: SocketAddr,
    /// The address of the metrics and probes.
    pub admin: SocketAddr,
    /// Holds the configuration and the journal, unless the caller does.
    _folder: Option<tempfile::TempDir>,
}

impl Server {
    /// Starts with these additional lines in `[listen]` and `[journal]`.
    pub fn start(listen: &str, journal: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut server = Self::start_in(folder.path(), "127.0.0.1:1", listen, journal);
        server._folder = Some(folder);
        server
    }

    /// As [`Server::start`], with `ringback.toml` and `journal/` in `folder`, which the caller keeps. `more.toml`
    /// there, if it exists, is appended to the configuration.
    pub fn start_in(folder: &Path, bootstrap: &str, listen: &str, journal: &str) -> Self {
        Self::start_with(&write_config(folder, bootstrap, listen, journal))
    }

    /// Starts with this configuration.
    pub fn start_with(config: &Path) -> Self {
        Self::start_program(Path::new(env!("CARGO_BIN_EXE_ringback")), config)
    }

    /// As [`Server::start_with`], for a ringback that may be another version.
    pub fn start_program(program: &Path, config: &Path) -> Self {
        let mut child = Command::new(program)
            .args(["serve", "--config"])
            .arg(config)
            .env("RETELL_API_KEY", KEY)
            .env_remove("RINGBACK_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut log = BufReader::new(child.stderr.take().expect("it is piped"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (address, admin) = loop {
            let mut line = String::new();
            let read = log.read_line(&mut line).expect("the log is text");
            assert!(read > 0, "it ended before it was ready");
            lines
                .lock()
                .expect("no thread panics with it")
                .push(line.clone());
            let line: serde_json::Value = serde_json::from_str(&line).expect("JSON lines");
            if line["message"] == "ready" {
                let address = |name: &str| {
                    let text = line[name].as_str().expect("the line names it");
                    text.parse().expect("an address")
                };
                break (address("address"), address("admin"));
            }
        };
        // Reads the log to its end, so that the pipe never fills.
        let more = lines.clone();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                more.lock().expect("no thread panics with it").push(line);
            }
        });
        Self {
            child,
            log: lines,
            address,
            admin,
            _folder: None,
        }
    }

    /// Posts to the source without verification; gives the answer's status.
    pub fn post(&self, body: &[u8]) -> u16 {
        let answer = self.exchange(&post("/open", "Connection: close\r\n", body));
        let status = answer.get(9..12).expect("a status line");
        status.parse().expect("a status")
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("it still runs");
        self.child.wait().expect("it ends");
    }

    /// A connection of raw bytes.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
        stream
    }

    /// Sends `bytes` on a new connection and reads until it is closed.
    pub fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // A refusal may close the connection before everything is sent.
        let _ = stream.write_all(bytes);
        until_closed(&mut stream)
    }

    /// The address of metrics and probes.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// The answer of the admin port to a GET of `path`, with its head.
    pub fn admin(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).expect("the admin port is open");
        let request = format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it is sent");
        until_closed(&mut stream)
    }

    /// The value of one sample of the metrics page.
    pub fn sample(&self, sample: &str) -> f64 {
        let page = self.admin("/metrics");
        let line = page.lines().find_map(|line| line.strip_prefix(sample));
        let value = line.unwrap_or_else(|| panic!("no sample {sample}")).trim();
        value.parse().expect("a number")
    }

    /// The relay's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    }

    /// SIGHUP, without waiting.
    pub fn reload(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("it runs");
    }

    /// Everything logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("no thread panics with it").clone()
    }

    /// Waits for a log line that contains `what`.
    pub fn logged(&self, what: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if let Some(line) = log.iter().find(|line| line.contains(what)) {
                return line.clone();
            }
            assert!(Instant::now() < deadline, "no line with {what:?}: {log:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for the process to exit after a signal.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("it can be waited for")
    }

    /// Waits until `count` were refused for this reason: a connection's end is counted just after the client sees it.
    pub fn await_refused(&self, source: &str, reason: &str, count: f64) {
        let deadline = Instant::now() + PATIENCE;
        while self.refused(source, reason) < count {
            assert!(Instant::now() < deadline, "never counted: {reason}");
        }
        assert_eq!(self.refused(source, reason), count, "{reason}");
    }

    /// The number of requests or connections refused for this reason.
    pub fn refused(&self, source: &str, reason: &str) -> f64 {
        self.sample(&format!(
            "ringback_http_rejections_total{{reason=\"{reason}\",source=\"{source}\"}}"
        ))
    }
}

/// Writes the `ringback.toml` of a relay whose journal is in `folder`; gives its path. Unless `journal` sets a budget, it is one
/// that fits on a disk with little room: with the default of 8 GiB a relay would warn there, and show less as its budget.
pub fn write_config(folder: &Path, bootstrap: &str, listen: &str, journal: &str) -> PathBuf {
    let config = folder.join("ringback.toml");
    let budget = if journal.contains("budget") {
        ""
    } else {
        "budget = \"512MiB\"\nsegment_size = \"16MiB\""
    };
    let text = format!(
        r#"[listen]
address = "127.0.0.1:0"
{listen}
[admin]
address = "127.0.0.1:0"
[journal]
path = "{}"
{journal}
{budget}
[kafka.client]
"bootstrap.servers" = "{bootstrap}"
[shutdown]
readiness_delay = "0s"
drain_deadline = "2s"
[[source]]
name = "open"
path = "/open"
verify = "none"
[[source]]
name = "retell"
path = "/webhook"
verify = "retell"
keys = [{{ env = "RETELL_API_KEY" }}]
{}"#,
        folder.join("journal").display(),
        std::fs::read_to_string(folder.join("more.toml")).unwrap_or_default()
    );
    std::fs::write(&config, text).expect("it can be written");
    config
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until the other side closes or resets the connection.
pub fn until_closed(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            // A signal to this process, such as that of a child's end.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => panic!("the connection stayed open: {error}"),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A POST with a declared length. `more` are additional header lines, each with its line end.
pub fn post(path: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n{more}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Sends `bytes` to `address` on a new connection and reads until it is closed.
pub fn exchange_with(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    // A refusal may close the connection before everything is sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// A relay with bodies of at most 64 KiB, memory for two of them, and timeouts that a busy machine never reaches.
pub fn small_limits() -> Server {
    limits("60s", "60s")
}

/// As [`small_limits`], with these timeouts for a head and for a body. Only tests that wait for one make it short.
pub fn limits(header_timeout: &str, body_timeout: &str) -> Server {
    Server::start(
        &format!(
            "header_timeout = \"{header_timeout}\"\nbody_timeout = \"{body_timeout}\"\nmax_body = \"64KiB\"\nmax_in_flight = \"64KiB\""
        ),
        "segment_size = \"1MiB\"\nbudget = \"4MiB\"",
    )
}

/// Lets this process open as many connections as it may.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("a soft limit can be raised");
}

/// The wall clock, in milliseconds since the Unix epoch.
pub fn now_ms() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("the clock is past 1970").as_millis()
}

/// `X-Retell-Signature` as a header line.
pub fn signature(key: &str, unix_ms: u128, body: &[u8]) -> String {
    format!("X-Retell-Signature: {}\r\n", digest(key, unix_ms, body))
}

/// The signature header's value.
pub fn digest(key: &str, unix_ms: u128, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes any length");
    mac.update(body);
    mac.update(unix_ms.to_string().as_bytes());
    let digest = hex::encode(mac.finalize().into_bytes());
    format!("v={unix_ms},d={digest}")
}
