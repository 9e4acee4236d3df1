//! `ringback dev` as a process, and its output.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::terminal;

/// Keeps a hung process from hanging the tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time zone of each `dev`, 3:30 ahead of UTC, in the notation of POSIX.
pub const TIME_ZONE: &str = "<+0330>-3:30";

/// The real binary, without this process's key.
pub fn ringback() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringback"));
    command
        .env_remove("RETELL_API_KEY")
        .env_remove("RINGBACK_LOG");
    command
}

/// Runs the real binary to its end.
pub fn run(arguments: &[&str]) -> Output {
    let output = ringback().args(arguments).output();
    output.expect("the binary runs")
}

/// What a process has printed.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `ringback dev` on free ports.
pub fn dev() -> Command {
    let mut command = ringback();
    command.args([
        "dev",
        "--port",
        "0",
        "--admin-port",
        "0",
        "--inspector-port",
        "0",
    ]);
    command
}

fn spawn(
    arguments: &[&str],
    key: Option<&str>,
    temporary: &std::path::Path,
    stdout: Stdio,
    with_colours: bool,
) -> Child {
    let mut command = dev();
    command
        .args(arguments)
        .env("TMPDIR", temporary)
        .env("TZ", TIME_ZONE)
        // A terminal gets colours.
        .env("NO_COLOR", "1");
    if with_colours {
        command.env_remove("NO_COLOR").env("TERM", "xterm");
    }
    if let Some(key) = key {
        command.env("RETELL_API_KEY", key);
    }
    command
        .stdout(stdout)
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the binary runs")
}

/// A `dev` that is killed when it is dropped.
pub struct Dev {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Dev {
    /// Starts with these further arguments and `RETELL_API_KEY`; its journal goes below `temporary`.
    pub fn start(arguments: &[&str], key: Option<&str>, temporary: &std::path::Path) -> Self {
        let mut child = spawn(arguments, key, temporary, Stdio::piped(), false);
        let output = child.stdout.take().expect("it is piped");
        Self::reading(child, output)
    }

    /// As [`Dev::start`], on a terminal of this width. Lines end with a carriage return there.
    pub fn start_on_terminal(
        arguments: &[&str],
        key: Option<&str>,
        temporary: &std::path::Path,
        columns: u16,
    ) -> Self {
        Self::start_on(arguments, key, temporary, columns, false)
    }

    /// As [`Dev::start_on_terminal`], with colours.
    pub fn start_with_colours(temporary: &std::path::Path, columns: u16) -> Self {
        Self::start_on(&[], None, temporary, columns, true)
    }

    fn start_on(
        arguments: &[&str],
        key: Option<&str>,
        temporary: &std::path::Path,
        columns: u16,
        with_colours: bool,
    ) -> Self {
        let (terminal, user) = terminal::open(columns);
        let child = spawn(arguments, key, temporary, user.into(), with_colours);
        Self::reading(child, File::from(terminal))
    }

    fn reading(child: Child, output: impl Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // A terminal ends with an error when its last user has gone.
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    /// Waits for a line that contains `what`.
    pub fn line_with(&self, what: &str) -> String {
        self.lines_until(what).pop().expect("the last one has it")
    }

    /// All lines up to the first one that contains `what`, for which it waits.
    pub fn lines_until(&self, what: &str) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while let Ok(line) = self
            .lines
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            seen.push(line);
            if seen.last().is_some_and(|line| line.contains(what)) {
                return seen;
            }
        }
        panic!("no line with {what:?} in {seen:#?}");
    }

    /// Waits for the next line.
    pub fn next_line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line comes")
    }

    /// The inspector's port. Call it once, before [`Dev::address`].
    pub fn inspector(&self) -> u16 {
        let line = self.line_with("Inspector");
        port_in(&line).parse().expect("a port")
    }

    /// The webhooks' address. Call it once, before waiting for later lines.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", port_in(&self.line_with("Webhooks")))
    }

    /// The embedded Kafka's address. Call it once, after [`Dev::address`].
    pub fn bootstrap(&self) -> String {
        let line = self.line_with("127.0.0.1:");
        let (_, rest) = line.split_once("127.0.0.1:").expect("it was looked for");
        let port = rest.split(',').next().expect("a split has a first part");
        format!("127.0.0.1:{port}")
    }

    /// Sends SIGINT and waits for the exit code.
    pub fn interrupt(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it still runs");
        self.child.wait().expect("it ends").code()
    }
}

/// The port of the URL in a line.
pub fn port_in(line: &str) -> &str {
    let (_, rest) = line.split_once("http://localhost:").expect("it has a URL");
    rest.split('/').next().expect("a split has a first part")
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Fails if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
