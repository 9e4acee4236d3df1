//! Completions and manual pages: made by the binary, used by the programs that they are for.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::dev::ringback;

fn output(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What bash offers for the last of these words.
fn offered(words: &[&str]) -> Vec<String> {
    let script = output(ringback().args(["completions", "bash"]));
    let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let last = words.len() - 1;
    let asked = format!(
        "{script}\nCOMP_WORDS=({}); COMP_CWORD={last}\n\
         _ringback ringback '{}' '{}' 2>/dev/null\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        quoted.join(" "),
        words[last],
        words[last - 1],
    );
    let mut bash = Command::new("bash");
    let bash = bash.args(["--norc", "-s"]).stdin(Stdio::piped());
    let mut child = bash.stdout(Stdio::piped()).spawn().expect("bash runs");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(asked.as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let offered = String::from_utf8(output.stdout).expect("UTF-8");
    offered.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_their_values() {
    let commands = offered(&["ringback", ""]);
    for command in ["serve", "dev", "init", "check", "journal", "completions"] {
        assert!(commands.iter().any(|it| it == command), "{commands:?}");
    }
    assert_eq!(offered(&["ringback", "ser"]), ["serve"]);
    assert_eq!(offered(&["ringback", "journal", "dr"]), ["drain"]);
    assert_eq!(
        offered(&["ringback", "init", "--kafka-s"]),
        ["--kafka-security"]
    );
    assert_eq!(
        offered(&["ringback", "init", "--preset", "str"]),
        ["stripe"]
    );
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = output(ringback().args(["completions", shell]));
        assert!(script.contains("dead-letter"), "{shell}");
    }
}

#[test]
fn every_command_has_a_page_that_renders_without_a_warning_and_keeps_its_examples() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pages = folder.path().join("man1");
    output(ringback().arg("man").arg(&pages));
    let mut names: Vec<_> = fs::read_dir(&pages)
        .expect("it was made")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    for name in [
        "ringback.1",
        "ringback-serve.1",
        "ringback-journal-drain.1",
        "ringback-init.1",
    ] {
        assert!(names.iter().any(|it| it == name), "{names:?}");
    }
    for name in names {
        let page = pages.join(&name);
        let source = fs::read_to_string(&page).expect("it can be read");
        // roff takes such a line for a request of its own.
        let requests = [
            "TH", "SH", "SS", "TP", "RS", "RE", "PP", "nf", "fi", "ie", "el", "IP", "br",
        ];
        for line in source.lines().filter(|line| line.starts_with('.')) {
            let request = line[1..].split(' ').next().unwrap_or_default();
            assert!(requests.contains(&request), "{name}: {line}");
        }
        // Of groff-base and man-db, which every Debian has that shows manual pages.
        let rendered = Command::new("man")
            .args(["--warnings", "-l"])
            .arg(&page)
            .env("MANWIDTH", "100")
            .env("LC_ALL", "C.UTF-8")
            .output();
        let Ok(rendered) = rendered else {
            eprintln!("{name}: not rendered, because there is no man here");
            continue;
        };
        let warnings = String::from_utf8_lossy(&rendered.stderr);
        assert!(
            rendered.status.success() && warnings.is_empty(),
            "{name}: {warnings}"
        );
        let shown = String::from_utf8_lossy(&rendered.stdout);
        let command = name
            .trim_end_matches(".1")
            .replace("dead-letter", "dead_letter");
        let words = command
            .split('-')
            .skip(1)
            .map(|word| word.replace('_', "-"));
        let help = output(ringback().args(words).arg("--help"));
        let examples = help.lines().skip_while(|line| *line != "Examples:");
        for example in examples.skip(1).take_while(|line| line.starts_with("  ")) {
            assert!(shown.contains(example.trim()), "{name}: {example}\n{shown}");
        }
    }
}
