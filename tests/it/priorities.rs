//! The scheduling priorities of the threads, as the kernel reports them.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use crate::support::server::{PATIENCE, Server};

/// Names and nice values of a process's threads.
fn threads(process: u32) -> BTreeSet<(String, i32)> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
    let of_task = |task: fs::DirEntry| {
        // A thread may end between the listing and the reading.
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        let (before, after) = stat.rsplit_once(')')?;
        let name = before.split_once('(')?.1.to_owned();
        // proc_pid_stat(5): field 19 of the line, the 17th behind the name.
        Some((name, after.split_whitespace().nth(16)?.parse().ok()?))
    };
    tasks.filter_map(|task| of_task(task.ok()?)).collect()
}

#[test]
fn publishing_has_a_lower_priority_than_answers() {
    let own = threads(std::process::id());
    let base = own.first().expect("this thread exists").1;
    let server = Server::start("", "");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = threads(server.id());
        let all = |name: &str, nice: i32| {
            let mut named = now.iter().filter(|(named, _)| named.starts_with(name));
            named.clone().count() > 0 && named.all(|(_, found)| *found == nice)
        };
        let first = all("tokio-rt-worker", base) && all("journal-writer", base);
        let behind = (base + 5).min(19);
        if first && all("publisher", behind) && all("rdk:", behind) {
            return;
        }
        assert!(Instant::now() < deadline, "{now:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
