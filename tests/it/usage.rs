//! Mistakes on the command line: each is named with its remedy, and what was typed cannot act on the terminal.

use crate::support::dev::{ringback, run, text};
use crate::support::server::Server;
use crate::support::terminal;

/// A line of its own, an order to the terminal, and what turns the text around, also beyond ASCII's control characters.
const HOSTILE: &str = "a\u{1b}]0;b\u{7}\u{9b}2J\u{202e}c\u{2066}";

#[test]
fn what_is_typed_is_written_out_in_every_error() {
    let no_folder = format!("/dev/null/{HOSTILE}");
    let option = format!("--{HOSTILE}");
    let setting = format!("{HOSTILE} = 1");
    let repeated = [&*setting; 2].map(|line| ["--set", line]).concat();
    let init = ["init", "--yes", "--output", "-"];
    let source = ["send", "--url", "http://localhost:1/", "--source", HOSTILE];
    for arguments in [
        &[HOSTILE][..],
        &["check", HOSTILE],
        &["serve", &option],
        // A positional argument could have this value: clap says how.
        &["man", &option],
        &["dev", "--port", HOSTILE],
        &["dev", "--forward", HOSTILE],
        &["prove", "--duration", HOSTILE],
        &["prove", "-X", HOSTILE],
        &["completions", HOSTILE],
        &["journal", HOSTILE],
        &["journal", "status", "--path", HOSTILE],
        &["check", "--config", HOSTILE],
        &["send", "--preset", HOSTILE],
        &source,
        &["verify", "--request", HOSTILE],
        &["verify", "--body", HOSTILE, "--at", HOSTILE],
        &["dead-letter", "list", "--path", HOSTILE],
        &["man", &no_folder],
        &[
            "dev",
            "--port",
            "0",
            "--admin-port",
            "0",
            "--inspector-port",
            "0",
            "--record",
            &no_folder,
        ],
        &[&init[..], &["--preset", HOSTILE]].concat(),
        &[&init[..], &["--verify", HOSTILE]].concat(),
        &[&init[..], &["--set", HOSTILE]].concat(),
        &[&init[..], &repeated].concat(),
        &[&init[..], &["--topic", HOSTILE]].concat(),
        &[&init[..], &["--path", HOSTILE]].concat(),
        &[&init[..], &["--brokers", HOSTILE]].concat(),
        &[&init[..], &["--sasl-mechanism", HOSTILE]].concat(),
        &["init", "--yes", "--output", &no_folder],
    ] {
        // A pipe would get no order to a terminal, because colours are taken out there.
        let mut command = ringback();
        let command = command.args(arguments).env("NO_COLOR", "1");
        let (shown, code) = terminal::shown(80, command);
        assert_ne!(code, Some(0), "{arguments:?}: {shown:?}");
        let is_raw =
            |c: char| c.is_control() && !"\r\n".contains(c) || "\u{202e}\u{2066}".contains(c);
        assert!(!shown.contains(is_raw), "{arguments:?}: {shown:?}");
    }
}

#[test]
fn what_a_journal_s_folder_is_called_is_written_out_by_status() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    Server::start_in(folder.path(), "127.0.0.1:1", "", "").kill();
    let named = folder.path().join("\u{202e}kept");
    std::fs::rename(folder.path().join("journal"), &named).expect("it can be renamed");
    let mut command = ringback();
    let command = command.args(["journal", "status", "--path"]).arg(named);
    let shown = text(&command.output().expect("the binary runs").stdout);
    assert!(shown.contains(r"/\u202ekept"), "{shown:?}");
}

#[test]
fn a_bare_path_is_answered_with_the_option_that_takes_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("kept")).expect("a folder can be made");
    let tip = |arguments: &[&str]| {
        let mut command = ringback();
        let command = command.args(arguments).current_dir(folder.path());
        let output = command.output().expect("the binary runs");
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        let last = *arguments.last().expect("one");
        let unexpected = format!("error: unexpected argument '{last}' found\n");
        assert!(stderr.starts_with(&unexpected), "{arguments:?}: {stderr}");
        let mut lines = stderr.lines().map(str::trim);
        let tip = lines.find_map(|line| line.strip_prefix("tip: ").map(str::to_owned));
        tip.unwrap_or_default()
    };
    for command in [
        &["serve"][..],
        &["check"],
        &["doctor"],
        &["prove"],
        &["send"],
        &["verify"],
        &["dev"],
        &["journal", "status"],
        &["journal", "drain"],
        &["dead-letter", "list"],
    ] {
        let line = [command, &["a b.toml"]].concat();
        assert_eq!(tip(&line), "did you mean --config 'a b.toml'?", "{line:?}");
    }
    assert_eq!(
        tip(&["check", "kept.conf"]),
        "did you mean --config kept.conf?"
    );
    assert_eq!(
        tip(&["journal", "dump", "kept"]),
        "did you mean --path kept?"
    );
    // Not all that is given without an option is a configuration.
    for line in [
        &["send", "event.json"][..],
        &["init", "kept"],
        &["init", "a.toml"],
    ] {
        assert_eq!(tip(line), "", "{line:?}");
    }
}

#[test]
fn verify_without_a_request_names_every_way_to_give_one() {
    let output = run(&["verify"]);
    let expected = "error: no request is given: give a whole one with --request FILE, or its body with --body FILE and each \
                    header with --header 'Name: value'\n";
    assert_eq!(text(&output.stderr), expected);
    assert_eq!(output.status.code(), Some(2));
}
