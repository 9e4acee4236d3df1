//! The real binary, on a journal and a configuration of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;
use super::cluster::Cluster;

/// The key that the relay knows.
pub const KEY: &str = "key_0f5e2a9c41d84b7e9a6b";

/// A relay's files, which outlive the process.
pub struct Site {
    _folder: tempfile::TempDir,
    config: PathBuf,
    journal: PathBuf,
}

impl Site {
    /// A site for this cluster and topic; `journal` has further lines for `[journal]`.
    pub fn new(cluster: &Cluster, topic: &str, journal: &str) -> Self {
        Self::of(&cluster.bootstrap, topic, None, &[("journal", journal)])
    }

    /// A site whose journal may be in another folder, with further lines for any section.
    pub fn of(
        bootstrap: &str,
        topic: &str,
        journal: Option<PathBuf>,
        more: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("ringback.toml");
        let journal = journal.unwrap_or_else(|| folder.path().join("journal"));
        let of = |section: &str| {
            let lines = more.iter().filter(|(name, _)| *name == section);
            lines
                .map(|(_, line)| format!("{line}\n"))
                .collect::<String>()
        };
        let shutdown = Some(of("shutdown")).filter(|lines| !lines.is_empty());
        let text = format!(
            r#"[listen]
address = "127.0.0.1:0"
{}[admin]
address = "127.0.0.1:0"
[journal]
path = "{}"
{}[kafka]
topic = "{topic}"
[kafka.client]
"bootstrap.servers" = "{bootstrap}"
{}[shutdown]
{}[[source]]
name = "retell"
path = "/webhook"
verify = "retell"
keys = [{{ env = "RETELL_API_KEY" }}]
"#,
            of("listen"),
            journal.display(),
            of("journal"),
            of("kafka.client"),
            shutdown.unwrap_or_else(|| String::from(
                "readiness_delay = \"1s\"\ndrain_deadline = \"20s\"\n"
            )),
        );
        std::fs::write(&config, text).expect("the configuration can be written");
        Self {
            _folder: folder,
            config,
            journal,
        }
    }

    /// Appends lines to the configuration.
    pub fn add(&self, lines: &str) {
        let text = std::fs::read_to_string(&self.config).expect("it was written");
        let text = format!("{text}{lines}");
        std::fs::write(&self.config, text).expect("the configuration can be written");
    }

    /// As [`Site::of`], with `ack = "kafka"` and without a journal.
    pub fn in_memory(bootstrap: &str, topic: &str, more: &[(&str, &str)]) -> Self {
        let site = Self::of(bootstrap, topic, None, more);
        let text = std::fs::read_to_string(&site.config).expect("it was written");
        let cut = text.split_once("[journal]").and_then(|(before, rest)| {
            let (_, after) = rest.split_once("[kafka]")?;
            Some(format!("ack = \"kafka\"\n{before}[kafka]{after}"))
        });
        let text = cut.expect("both sections are there");
        std::fs::write(&site.config, text).expect("the configuration can be written");
        site
    }

    /// The configuration's file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The journal's folder.
    pub fn journal(&self) -> &Path {
        &self.journal
    }

    /// Starts the relay; returns when it has logged that it is ready.
    pub fn start(&self) -> Relay {
        Relay::start(&mut self.command())
    }

    /// As [`Site::start`], with further environment.
    pub fn start_with(&self, environment: &[(&str, &str)]) -> Relay {
        Relay::start(self.command().envs(environment.iter().copied()))
    }

    /// The relay's command line, its log on a pipe.
    pub fn command(&self) -> Command {
        let mut command = self.tool(&["serve"]);
        command.stderr(Stdio::piped());
        command
    }

    /// One of the binary's commands, with the site's configuration.
    pub fn tool(&self, words: &[&str]) -> Command {
        // A bench may measure another build than the one beside it.
        let binary = std::env::var_os("RINGBACK_BINARY");
        let mut command =
            Command::new(binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_ringback").into()));
        command
            .args(words)
            .arg("--config")
            .arg(&self.config)
            .env("RETELL_API_KEY", KEY)
            .env_remove("RINGBACK_LOG");
        command
    }
}

/// A running relay; dropping it kills it.
pub struct Relay {
    child: Child,
    /// The address of the webhooks.
    pub address: SocketAddr,
    /// The address of the probes and metrics.
    pub admin: SocketAddr,
    /// What it logged until it was ready.
    pub start_log: String,
}

impl Relay {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the binary runs");
        let mut log = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut seen = String::new();
        let (address, admin) = loop {
            let from = seen.len();
            let read = log.read_line(&mut seen).expect("the log is text");
            assert!(read > 0, "it ended before it was ready: {seen}");
            let line: serde_json::Value =
                serde_json::from_str(&seen[from..]).expect("the log is JSON lines");
            if line["message"] == "ready" {
                let address = |name: &str| {
                    let text = line[name].as_str().expect("the line names the address");
                    text.parse().expect("it is one")
                };
                break (address("address"), address("admin"));
            }
        };
        // Reads the log to its end, so that the pipe never fills, and prints its errors.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let fault = line.contains("\"ERROR\"") && !line.contains("librdkafka");
                if fault || line.contains("panicked") {
                    eprintln!("relay: {line}");
                }
            }
        });
        Self {
            child,
            address,
            admin,
            start_log: seen,
        }
    }

    /// A page of the admin listener: status code and text.
    pub fn admin(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).expect("the admin port is open");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a bound on the wait");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        )
        .expect("the request is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer comes");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let code = head[9..12].parse().expect("a status code");
        (code, body.to_owned())
    }

    /// The metrics page.
    pub fn metrics(&self) -> String {
        let (code, text) = self.admin("/metrics");
        assert_eq!(code, 200);
        text
    }

    /// The sum of a metric's values over all label sets.
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.metrics();
        let values: Vec<f64> = page
            .lines()
            .filter(|line| {
                let rest = line.strip_prefix(name);
                rest.is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
            })
            .map(|line| {
                let value = line.rsplit(' ').next().expect("a sample has a value");
                value.parse().expect("it is a number")
            })
            .collect();
        assert!(!values.is_empty(), "no metric {name}");
        values.iter().sum()
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until everything that was accepted is in Kafka.
    pub fn await_drained(&self) {
        super::eventually("everything is published", || {
            self.metric("ringback_journal_unpublished_events") == 0.0
        });
    }

    /// Resident memory, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let line = line.expect("Linux reports it").trim();
        let number = line.strip_suffix(" kB").expect("in kB").trim();
        number.parse().expect("it is a number")
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("it still runs");
        self.child.wait().expect("it ends");
    }

    /// SIGHUP, without waiting.
    pub fn reload(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).expect("it still runs");
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it still runs");
    }

    /// Waits for the process to end.
    pub fn wait(mut self, at_most: Duration) -> ExitStatus {
        let deadline = Instant::now() + at_most;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "still running after {at_most:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Fails if it has ended already, which is the usual case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
