//! System calls of one of the relay's threads, failed or delayed by `strace`.

use std::fs;
use std::path::PathBuf;
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
}

impl Trace {
    /// Attaches to the thread of this name; `inject` is strace's own expression, such as
    /// `fdatasync:error=EIO:when=3`.
    pub fn attach(relay: &Relay, thread: &str, inject: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let thread = number_of(relay, thread).to_string();
        let calls = "trace=fdatasync,fsync,pwrite64";
        let child = Command::new("strace")
            .args([
                "-p",
                &thread,
                "-e",
                calls,
                "-e",
                &format!("inject={inject}"),
                "-o",
            ])
            .arg(folder.path().join("log"))
            .stderr(Stdio::null())
            .spawn()
            .expect("strace runs");
        let trace = Self { child, folder };
        let status = format!("/proc/{}/task/{thread}/status", relay.id());
        eventually("the thread is traced", || {
            // If the thread is gone, the fault has ended it.
            let text = fs::read_to_string(&status).unwrap_or_default();
            !text.contains("TracerPid:\t0\n")
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
        // On SIGINT strace detaches from the thread. It may have ended with the relay.
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
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
