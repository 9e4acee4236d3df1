//! Child processes of a bench, and what a process costs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// This bench's binary in another role; killed when it is dropped.
pub struct Role {
    child: Child,
    orders: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
}

impl Role {
    /// Starts it; it inherits standard error.
    pub fn start(role: &str, parameters: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("it has a path"))
            .args(["--role", role, parameters])
            .env("RETELL_API_KEY", super::KEY)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this very binary runs");
        Self {
            orders: child.stdin.take(),
            lines: BufReader::new(child.stdout.take().expect("it is piped")),
            child,
        }
    }

    /// Its next line on standard output.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).expect("it speaks text");
        assert!(read > 0, "a role ended before it printed its result");
        line.trim_end().to_owned()
    }

    /// The address that a server prints first.
    pub fn address(&mut self) -> SocketAddr {
        self.line().parse().expect("it is an address")
    }

    /// Sends a line and returns the reply.
    pub fn ask(&mut self, order: &str) -> String {
        let orders = self.orders.as_mut().expect("it is piped");
        writeln!(orders, "{order}").expect("it runs");
        self.line()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // Fails if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// For a role: prints where it listens.
pub fn print_address(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{address}")?;
    out.flush()
}

/// For a role: ends this process when its parent has ended, however that happened.
pub fn end_with_the_parent() {
    std::thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

/// What a process has used since its start, without threads that have ended; no thread of ringback ends under load.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// User and system time from `schedstat`, in nanoseconds rather than ticks.
    pub cpu: Duration,
    /// Context switches, voluntary or not.
    pub switches: u64,
    /// CPU by the threads' name.
    pub threads: BTreeMap<String, Duration>,
}

/// What the process with this id has used.
pub fn usage(process: u32) -> Usage {
    let mut usage = Usage::default();
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
    for task in tasks.filter_map(Result::ok) {
        // A thread may end between the listing and the reading.
        let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let nanos = read("schedstat");
        let nanos = nanos.split(' ').next().and_then(|text| text.parse().ok());
        let cpu = Duration::from_nanos(nanos.unwrap_or(0));
        usage.cpu += cpu;
        *usage
            .threads
            .entry(read("comm").trim().to_owned())
            .or_default() += cpu;
        usage.switches += numbers(&read("status"), "voluntary_ctxt_switches:");
        usage.switches += numbers(&read("status"), "nonvoluntary_ctxt_switches:");
    }
    usage
}

/// Resident memory now and its maximum so far, in MiB.
pub fn resident(process: u32) -> (f64, f64) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let mib = |name| numbers(&status, name) as f64 / 1024.0;
    (mib("VmRSS:"), mib("VmHWM:"))
}

/// Bytes that it has caused to be written to disks so far: dirtied pages of reserved and new files.
pub fn written(process: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{process}/io")).unwrap_or_default();
    numbers(&io, "write_bytes:")
}

fn numbers(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
