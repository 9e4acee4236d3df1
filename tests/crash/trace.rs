//! System calls of the relay, failed or delayed by `strace`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::eventually;
use crate::support::relay::Relay;

/// Writes and syncs segments.
pub const WRITER: &str = "journal-writer";
/// Writes checkpoints, makes and removes segments.
pub const UPKEEP: &str = "journal-upkeep";

/// An attached `strace`; dropping it detaches.
pub struct Trace {
    child: Child,
    folder: tempfile::TempDir,
    /// What makes strace detach.
    end: Signal,
}

impl Trace {
    /// Attaches to the thread of this name; `inject` is strace's own expression, such as
    /// `fdatasync:error=EIO:when=3`.
    pub fn attach(relay: &Relay, thread: &str, inject: &str) -> Self {
        let calls = "trace=fdatasync,fsync,pwrite64";
        let inject = format!("inject={inject}");
        let arguments = ["-e", calls, "-e", &inject];
        Self::start(relay, number_of(relay, thread), &arguments, Signal::INT)
    }

    /// Attaches to all threads, for each call that opens this file; `inject` is the rest of strace's expression.
    pub fn attach_to_opens(relay: &Relay, file: &Path, inject: &str) -> Self {
        let file = file.to_str().expect("UTF-8");
        let inject = format!("inject=openat:{inject}");
        let arguments = ["-f", "-P", file, "-e", "trace=openat", "-e", &inject];
        // Asked to, it would wait for the end of a delay, also of a thread that has ended meanwhile.
        Self::start(relay, relay.id(), &arguments, Signal::KILL)
    }

    fn start(relay: &Relay, thread: u32, arguments: &[&str], end: Signal) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let child = Command::new("strace")
            .args(["-p", &thread.to_string()])
            .args(arguments)
            .arg("-o")
            .arg(folder.path().join("log"))
            .stderr(Stdio::null())
            .spawn()
            .expect("strace runs");
        let trace = Self { child, folder, end };
        let tasks = format!("/proc/{}/task", relay.id());
        let is_traced = |thread: &str| {
            // If the thread is gone, the fault has ended it.
            let status = fs::read_to_string(format!("{tasks}/{thread}/status"));
            !status.unwrap_or_default().contains("TracerPid:\t0\n")
        };
        eventually("the threads are traced", || {
            if !arguments.contains(&"-f") {
                return is_traced(&thread.to_string());
            }
            let mut threads = fs::read_dir(&tasks).expect("the relay lives").flatten();
            threads.all(|task| is_traced(&task.file_name().to_string_lossy()))
        });
        trace
    }

    /// The lines of strace so far, one per call.
    pub fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until strace has made a call fail or delayed it.
    pub fn await_injected(&self) {
        eventually("the fault is injected", || {
            self.calls()
                .iter()
                .any(|line| line.contains("(INJECTED)") || line.contains("(DELAYED)"))
        });
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // It may have ended with the relay.
        let _ = kill_process(Pid::from_child(&self.child), self.end);
        let _ = self.child.wait();
    }
}

fn number_of(relay: &Relay, thread: &str) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{}/task", relay.id())).expect("the relay lives");
    let found = tasks.flatten().find(|task| {
        let name = fs::read_to_string(task.path().join("comm"));
        name.is_ok_and(|name| name.trim_end() == thread)
    });
    let name = found.expect("the thread runs").file_name();
    name.to_str()
        .and_then(|name| name.parse().ok())
        .expect("a number")
}
