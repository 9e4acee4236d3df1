//! What `dev` prints: on terminals of several widths, with and without colours, and into a pipe.

use std::io::Write as _;
use std::net::TcpStream;

use crate::support::dev::Dev;
use crate::support::server::{post, until_closed};

const CALL: &str = "Jabr9TXYYJHfvl6Syypi88rdAHYHmcq6";
const CLOSE: &str = "Connection: close\r\n";

fn event() -> String {
    format!(r#"{{"event":"call_ended","call":{{"call_id":"{CALL}","note":"\u001b[2J"}}}}"#)
}

fn send(address: &str, more: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("dev listens");
    let request = post("/webhook", &format!("{more}{CLOSE}"), body.as_bytes());
    stream.write_all(&request).expect("it is sent");
    until_closed(&mut stream)
}

/// The lines of the body that comes next.
fn body(dev: &Dev) -> Vec<String> {
    let mut lines = vec![dev.next_line()];
    while lines.last().is_some_and(|line| line.trim_end() != "    }") {
        lines.push(dev.next_line());
    }
    lines
}

fn columns(line: &str) -> usize {
    line.trim_end_matches('\r').chars().count()
}

#[test]
fn each_row_and_body_fits_the_terminal_and_the_key_keeps_its_beginning() {
    for (wide, heading, has_size) in [
        (60, "to Kafka", false),
        (80, "to Kafka", true),
        (100, "to Kafka", true),
        (140, "POST→Kafka", true),
    ] {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let dev = Dev::start_on_terminal(&["-v"], None, temporary.path(), wide);
        let address = dev.address();
        let mut lines = vec![dev.line_with(heading)];
        assert!(send(&address, "", &event()).starts_with("HTTP/1.1 204 "));
        let row = dev.line_with("  call_ended ");
        assert!(row.contains("  Jabr9TXY"), "{row}");
        assert_eq!(row.contains(" B "), has_size, "{row}");
        assert_eq!(row.contains(CALL), wide >= 100, "{row}");
        lines.push(row);
        let shown = body(&dev);
        assert_eq!(shown[0].trim_end(), "    {");
        let words: Vec<_> = shown.iter().map(|line| line.trim()).collect();
        let words = words.concat();
        assert!(
            words.contains(&format!("\"call_id\": \"{CALL}\"")),
            "{words}"
        );
        assert!(words.contains(r#""note": "\u001b[2J""#), "{words}");
        lines.extend(shown);
        let answer = send(&address, "Content-Encoding: gzip\r\n", &event());
        assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
        lines.extend(dev.lines_until("refused 415  POST /webhook"));
        assert_eq!(dev.interrupt(), Some(0));
        for line in lines {
            assert!(columns(&line) <= wide.into(), "{wide}: {line}");
        }
    }
}

#[test]
fn colours_say_what_became_of_each_request() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let dev = Dev::start_with_colours(temporary.path(), 140);
    let address = dev.address();
    dev.line_with("POST→Kafka");
    assert!(send(&address, "", &event()).starts_with("HTTP/1.1 204 "));
    let row = dev.line_with("call_ended");
    assert!(row.contains("\u{1b}[32mcall_ended"), "{row:?}");
    assert!(send(&address, "", &event()).starts_with("HTTP/1.1 204 "));
    let row = dev.line_with("call_ended");
    assert!(row.starts_with("\u{1b}[2m"), "{row:?}");
    let note = dev.line_with("a duplicate: its id came before");
    assert!(note.trim_end().ends_with("\u{1b}[0m"), "{note:?}");
    let answer = send(&address, "", "{");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let row = dev.line_with("POST /webhook");
    assert!(row.contains("\u{1b}[31mrefused 400\u{1b}[0m"), "{row:?}");
    assert_eq!(dev.interrupt(), Some(0));
}

#[test]
fn a_pipe_gets_whole_rows_with_dates_and_no_colours() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let dev = Dev::start(&["--verbose"], None, temporary.path());
    let address = dev.address();
    dev.line_with("partition@offset");
    let long = "k".repeat(200);
    let long_event = event().replace(CALL, &long);
    assert!(send(&address, "", &long_event).starts_with("HTTP/1.1 204 "));
    let row = dev.next_line();
    assert!(
        row.contains(&format!("+03:30  call_ended            {long}  ")),
        "{row}"
    );
    let lines = body(&dev).concat();
    assert!(
        !row.contains('\u{1b}') && !lines.contains('\u{1b}'),
        "{row} {lines}"
    );
    let answer = send(&address, "", "{");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let row = dev.next_line();
    assert!(
        row.contains("+03:30  refused 400  POST /webhook  not_json: "),
        "{row}"
    );
    assert_eq!(dev.interrupt(), Some(0));
}
