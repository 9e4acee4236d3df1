//! Where `dev` and other commands print to stops taking what they print.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::dev::{dev, ringback};
use crate::support::server::{PATIENCE, post};

/// More rows than a pipe and the queue behind it take.
const EVENTS: usize = 12_000;

fn start(stdout: Stdio) -> Child {
    let mut command = dev();
    let command = command.stdout(stdout).stderr(Stdio::piped());
    command.spawn().expect("the binary runs")
}

fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).expect("it still runs");
}

#[test]
fn a_reader_that_stops_delays_neither_answers_nor_the_end() {
    let mut child = start(Stdio::piped());
    let mut rows = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    while !line.contains("/webhook\n") {
        line.clear();
        assert!(rows.read_line(&mut line).expect("text") > 0, "it ended");
    }
    let (_, port) = line.rsplit_once(':').expect("a port");
    let port = port.split('/').next().expect("a path follows");
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    let request = post("/webhook", "", br#"{"event":"e","call":{"call_id":"a"}}"#);
    let mut answers = BufReader::new(stream.try_clone().expect("a second handle"));
    for _ in 0..EVENTS {
        stream.write_all(&request).expect("it is sent");
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(
                answers.read_line(&mut head).expect("an answer") > 0,
                "closed"
            );
        }
        assert!(head.starts_with("HTTP/1.1 204 "), "{head}");
    }
    interrupt(&child);
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("it is ours").is_none() {
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Only now is the rest read.
    drop(rows);
}

#[test]
fn a_full_disk_is_an_error_and_no_panic() {
    let full = || File::create("/dev/full").expect("Linux has it");
    let mut child = start(full().into());
    let mut log = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut said = String::new();
    while !said.contains("cannot write to standard output") {
        assert!(log.read_line(&mut said).expect("text") > 0, "{said}");
    }
    interrupt(&child);
    std::io::Read::read_to_string(&mut log, &mut said).expect("text");
    assert!(said.contains("error: cannot write the output"), "{said}");
    assert_eq!(child.wait().expect("it ends").code(), Some(1), "{said}");
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", socket.local_addr().expect("it has one"));
    // Hangs up, which is an answer that did not come: a row.
    let relay = std::thread::spawn(move || drop(socket.accept()));
    for arguments in [
        &["send", "--url", &url, "--event", "call_ended"][..],
        &[
            "verify",
            "--verify",
            "github",
            "--key-env",
            "SECRET",
            "--body",
            "/dev/null",
        ],
    ] {
        let mut command = ringback();
        let command = command.args(arguments).env("SECRET", "s").stdout(full());
        let output = command.output().expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("cannot write the output"), "{said}");
    }
    relay.join().expect("it has hung up");
}
