//! A relay whose configuration changes, and senders that go on meanwhile.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{EVENT, IN_USE};
use crate::support::server::{PATIENCE, Server, post, write_config};

/// A relay whose configuration the test rewrites.
pub struct Relay {
    pub folder: tempfile::TempDir,
    pub server: Server,
}

impl Relay {
    /// With these lines of `[listen]`, and these sources beside `open` and `retell`.
    pub fn start(listen: &str, sources: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        write(folder.path(), listen, "", sources);
        let server = Server::start_with(&folder.path().join("ringback.toml"));
        Self { folder, server }
    }

    pub fn write(&self, listen: &str, sources: &str) -> PathBuf {
        write(self.folder.path(), listen, "", sources)
    }

    /// Rewrites the configuration, asks for it, and waits until it is in use.
    pub fn reload(&self, listen: &str, sources: &str) {
        // Without what is read because the file has changed, which may be an earlier one.
        let asked = || {
            let log = self.server.log();
            let lines = log.iter().filter(|line| line.contains(IN_USE));
            lines.filter(|line| line.contains("SIGHUP")).count()
        };
        let before = asked();
        self.write(listen, sources);
        self.server.reload();
        let deadline = Instant::now() + PATIENCE;
        while asked() <= before {
            assert!(Instant::now() < deadline, "{:#?}", self.server.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn matches(&self, key: &str) -> f64 {
        let sample =
            format!("ringback_signature_matches_total{{key=\"{key}\",source=\"rotated\"}}");
        self.server.sample(&sample)
    }
}

/// Replaces the configuration in one step: half of a file may be valid, with half of its sources.
pub fn write(folder: &Path, listen: &str, journal: &str, sources: &str) -> PathBuf {
    let new = tempfile::tempdir_in(folder).expect("a temporary folder");
    fs::write(new.path().join("more.toml"), sources).expect("it can be written");
    let written = write_config(new.path(), "127.0.0.1:1", listen, journal);
    let text = fs::read_to_string(&written).expect("it was written");
    let [old, own] = [new.path(), folder].map(|path| path.join("journal").display().to_string());
    fs::write(&written, text.replace(&old, &own)).expect("it can be written");
    let config = folder.join("ringback.toml");
    fs::rename(&written, &config).expect("a rename");
    config
}

pub fn source(name: &str, more: &str) -> String {
    format!("[[source]]\nname = \"{name}\"\npath = \"/{name}\"\nverify = \"none\"\n{more}\n")
}

pub fn count(server: &Server, what: &str) -> usize {
    server
        .log()
        .iter()
        .filter(|line| line.contains(what))
        .count()
}

/// A sender that keeps its connection.
pub struct Sender(BufReader<TcpStream>);

impl Sender {
    pub fn new(server: &Server) -> Self {
        Self(BufReader::new(server.connect()))
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("it is open");
    }

    /// The status of the next answer, whose body is read too.
    pub fn answer(&mut self) -> u16 {
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            let read = self.0.read_line(&mut line).expect("an answer");
            assert!(read > 0, "closed without an answer");
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().expect("a status");
            }
            if let Some(rest) = line.to_lowercase().strip_prefix("content-length: ") {
                length = rest.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                let mut body = vec![0; length];
                self.0.read_exact(&mut body).expect("the body");
                return status;
            }
        }
    }

    pub fn post(&mut self, path: &str, more: &str) -> u16 {
        self.send(&post(path, more, EVENT));
        self.answer()
    }
}

/// Ends a load also if the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `act` while three senders post what `next` gives, on connections that they keep; every answer must be 204. `act`
/// gets a function that waits for twenty more answers. Gives the number of answers.
pub fn under_load(
    server: &Server,
    next: impl Fn() -> (String, String) + Sync,
    act: impl FnOnce(&dyn Fn()),
) -> usize {
    let (ended, posted) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let _end = End(&ended);
                let mut sender = Sender::new(server);
                while !ended.load(Ordering::Relaxed) {
                    let (path, headers) = next();
                    assert_eq!(sender.post(&path, &headers), 204);
                    posted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let end = End(&ended);
        let go_on = || {
            let before = posted.load(Ordering::Relaxed);
            while posted.load(Ordering::Relaxed) < before + 20 {
                assert!(!ended.load(Ordering::Relaxed), "a sender was refused");
                thread::yield_now();
            }
        };
        go_on();
        act(&go_on);
        go_on();
        drop(end);
    });
    posted.into_inner()
}
