//! The columns of `journal dump`, on a terminal and in a pipe.

use std::path::Path;
use std::process::Command;

use crate::support::dev::{ringback, text};
use crate::support::server::Server;
use crate::support::terminal;

fn dump(path: &Path, more: &[&str]) -> Command {
    let mut command = ringback();
    command.args(["journal", "dump", "--path"]).arg(path);
    command.args(more);
    command
}

#[test]
fn a_terminal_shows_the_columns_headings_and_a_pipe_gets_events_only() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start_in(folder.path(), "127.0.0.1:1", "", "");
    let body = r#"{"event":"call_ended","call":{"call_id":"a"}}"#;
    for _ in 0..2 {
        assert_eq!(server.post(body.as_bytes()), 204);
    }
    server.kill();
    let path = folder.path().join("journal");
    let on_terminal = |more: &[&str]| terminal::shown(80, &mut dump(&path, more)).0;
    let in_pipe = |more: &[&str]| {
        let output = dump(&path, more).output().expect("the binary runs");
        text(&output.stdout)
    };

    let rows = in_pipe(&[]);
    let first = rows.lines().next().expect("an event");
    assert_eq!(rows.lines().count(), 2, "{rows}");
    let shown = on_terminal(&[]);
    let (headings, below) = shown.split_once("\r\n").expect("a first line");
    assert_eq!(below.replace('\r', ""), rows, "{shown}");
    for (heading, value) in [
        ("received (UTC)", "20"),
        ("source", "open"),
        ("kind", "call_ended"),
        ("key", "a "),
    ] {
        let place = headings.find(heading).expect(heading);
        assert!(first[place..].starts_with(value), "{shown}");
    }
    for heading in ["position", "bytes"] {
        let end = headings.find(heading).expect(heading) + heading.len();
        let (column, rest) = first.split_at(end);
        assert!(column.ends_with(|c: char| c.is_ascii_digit()), "{shown}");
        assert!(rest.is_empty() || rest.starts_with("  "), "{shown}");
    }
    for more in ["--json", "--body"] {
        assert_eq!(on_terminal(&[more]).replace('\r', ""), in_pipe(&[more]));
    }
    // Nothing is below them.
    let none = on_terminal(&["--key", "b"]);
    assert_eq!(none, "The journal holds no such event.\r\n");
}
