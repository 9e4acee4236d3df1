//! Files that hang while they are read again, as those of a network's disk may.

use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::relay::{Relay, Sender, count, source};
use super::{EVENT, IN_USE, await_page};
use crate::support::server::{PATIENCE, Server, now_ms, signature};
use crate::support::terminal;

const HANGS: &str = "is still being read after";

/// A file with a key whose readers wait until the test types it.
struct HangingKey {
    typed: OwnedFd,
    read: OwnedFd,
}

impl HangingKey {
    fn new() -> Self {
        let (typed, read) = terminal::open(80);
        Self { typed, read }
    }

    fn path(&self) -> PathBuf {
        let link = format!("/proc/self/fd/{}", self.read.as_raw_fd());
        fs::read_link(link).expect("the terminal's name")
    }

    /// The source `slow`, which has this key.
    fn source(&self) -> String {
        let file = self.path();
        format!(
            "[[source]]\nname = \"slow\"\npath = \"/slow\"\nverify = \"retell\"\nkeys = [{{ file = {file:?} }}]\n"
        )
    }

    /// Waits until the relay reads it.
    fn await_reader(&self, server: &Server) {
        let (path, folder) = (self.path(), format!("/proc/{}/fd", server.id()));
        eventually("the key is being read", || {
            let open = fs::read_dir(&folder).expect("the relay lives").flatten();
            let mut open = open.map(|entry| fs::read_link(entry.path()));
            open.any(|file| file.is_ok_and(|file| file == path))
        });
    }

    /// Lets the key be read to its end, which is ^D, by who checks the configuration and by who uses it.
    fn type_it(&self, key: &str) {
        let text = format!("{key}\n\u{4}").repeat(2);
        let typed = rustix::io::write(&self.typed, text.as_bytes());
        assert_eq!(typed.expect("the terminal takes it"), text.len());
    }
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_reload_that_hangs_is_reported_until_it_is_through_and_logged_once() {
    let key = HangingKey::new();
    let relay = Relay::start("", "");
    let server = &relay.server;
    relay.write("", &key.source());
    server.reload();
    await_page(server, |page| page.contains(HANGS));
    let page = server.admin("/readyz?verbose");
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(page.contains("[+]configuration ok"), "{page}");
    let hangs = page.lines().find(|line| line.contains(HANGS));
    assert!(hangs.is_some_and(|line| line.starts_with("[!]configuration ")));
    let page = server.admin("/");
    assert!(page.contains(HANGS), "{page}");
    let post = |path, more: &str| Sender::new(server).post(path, more);
    assert_eq!((post("/open", ""), post("/slow", "")), (204, 404));
    key.type_it("slow secret");
    await_page(server, |page| !page.contains(HANGS));
    server.logged(IN_USE);
    let signed = signature("slow secret", now_ms(), EVENT);
    assert_eq!(post("/slow", &signed), 204);
    assert_eq!(count(server, HANGS), 1);
}

#[test]
fn a_source_with_a_topic_of_its_own_is_taken_while_kafka_is_away() {
    let relay = Relay::start("", "");
    relay.reload("", &source("more", "topic = \"own\""));
    assert_eq!(Sender::new(&relay.server).post("/more", ""), 204);
    eventually("the publisher has the topic", || {
        let page = relay.server.admin("/metrics");
        page.contains("ringback_publish_topic_partitions{topic=\"own\"}")
    });
}

#[test]
fn a_reload_that_hangs_or_waits_is_dropped_once_the_end_has_begun() {
    let key = HangingKey::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = super::write(folder.path(), "", "", "");
    let text = fs::read_to_string(&config).expect("it was written");
    let text = text.replace("readiness_delay = \"0s\"", "readiness_delay = \"5m\"");
    fs::write(&config, &text).expect("it can be written");
    let server = Server::start_with(&config);
    fs::write(&config, text + "\n" + &key.source()).expect("it can be written");
    server.reload();
    key.await_reader(&server);
    eventually("another signal waits", || {
        server.reload();
        count(&server, "for an earlier signal is still being read") > 0
    });
    server.terminate();
    server.logged("shutting down: not ready any more");
    key.type_it("slow secret");
    let tasks = format!("/proc/{}/task", server.id());
    eventually("nothing is read any more", || {
        let tasks = fs::read_dir(&tasks).expect("the relay lives").flatten();
        let mut names = tasks.map(|task| fs::read_to_string(task.path().join("comm")));
        !names.any(|name| name.is_ok_and(|name| name == "reload\n"))
    });
    server.logged("a changed configuration is not taken any more");
    for taken in [IN_USE, "replacing the Kafka producer"] {
        assert_eq!(count(&server, taken), 0, "{:#?}", server.log());
    }
    // Ends the delay.
    server.terminate();
    assert!(server.wait().success());
}
