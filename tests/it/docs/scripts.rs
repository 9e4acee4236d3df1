//! What a page offers for copying works: the signers of docs/getting-started.md and the lines of docs/senders.md post to
//! the real binary.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::markdown::{Page, pages};
use crate::support::server::{KEY, Server};

/// Whether the program is here. With `CI` set it must be.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "there is no {program}");
        eprintln!("not checked: there is no {program}");
    }
    found
}

fn page(name: &str) -> Page {
    let mut pages = pages().into_iter();
    let page = pages.find(|page| page.path == Path::new(name));
    page.expect("a page of the project")
}

/// The blocks of the page in this language.
fn blocks<'a>(page: &'a Page, language: &'a str) -> impl Iterator<Item = &'a str> {
    let blocks = page.blocks.iter();
    let blocks = blocks.filter(move |block| block.language == language);
    blocks.map(|block| block.text.as_str())
}

/// Runs the script in `folder` as the page says, on a body with line ends and other bytes than ASCII.
fn sign(server: &Server, interpreter: &str, script: &Path, key: &str) -> Output {
    let body = script.with_extension("json");
    let text = "{\n  \"event\": \"call_ended\",\n  \"call\": { \"call_id\": \"Zo\u{eb}\" }\n}\n";
    fs::write(&body, text).expect("it can be written");
    let mut command = Command::new(interpreter);
    command.arg(script).arg(body).env("RETELL_API_KEY", key);
    let command = command.env("URL", format!("http://{}/webhook", server.address));
    command.output().expect("it runs")
}

#[test]
fn the_signers_of_the_first_page_are_answered_204_and_with_another_key_401() {
    let page = page("docs/getting-started.md");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start("", "");
    let signers = [
        ("python", "python3", &["python3"][..]),
        ("bash", "bash", &["bash", "curl", "openssl"]),
    ];
    for (language, interpreter, needs) in signers {
        if !needs.iter().all(|program| has(program)) {
            continue;
        }
        let script = folder.path().join(language);
        let text = blocks(&page, language).next().expect("a block of the page");
        fs::write(&script, text).expect("it can be written");
        let good = sign(&server, interpreter, &script, KEY);
        let text = String::from_utf8_lossy(&good.stdout);
        let is_id = |word: &str| word.len() == 32 && word.chars().all(|c| c.is_ascii_hexdigit());
        let has_id = text.split_whitespace().any(is_id);
        assert!(text.contains("204") && has_id, "{good:?}");
        let forged = sign(&server, interpreter, &script, "another key");
        let text = [forged.stdout, forged.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("401"), "{text}");
    }
}

/// A key for the variable in which a page expects it.
fn key(variable: &str) -> &'static str {
    match variable {
        "SVIX_SECRET" => "whsec_c2VjcmV0",
        "BASIC_CREDENTIALS" => "name:password",
        _ => "It's_a_secret",
    }
}

/// The names of the variables that a configuration takes keys from.
fn variables(configuration: &str) -> impl Iterator<Item = &str> {
    let behind = configuration.split("env = \"").skip(1);
    behind.filter_map(|text| text.split('"').next())
}

#[test]
fn each_line_that_tests_a_sender_s_source_is_answered_204() {
    if !["bash", "curl", "openssl"]
        .iter()
        .all(|program| has(program))
    {
        return;
    }
    let page = page("docs/senders.md");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = format!(
        "[listen]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[journal]\npath = {:?}\n\
         [kafka.client]\n\"bootstrap.servers\" = \"127.0.0.1:1\"\n",
        folder.path().join("journal")
    );
    config.extend(blocks(&page, "toml"));
    // The relay's variables are the tests' own, so it reads files.
    let mut with_files = config.clone();
    for name in variables(&config) {
        let file = folder.path().join(name);
        fs::write(&file, key(name)).expect("it can be written");
        with_files = with_files.replace(&format!("env = {name:?}"), &format!("file = {file:?}"));
    }
    let path = folder.path().join("ringback.toml");
    fs::write(&path, with_files).expect("it can be written");
    let server = Server::start_with(&path);
    for line in blocks(&page, "sh") {
        let line = line.replace("localhost:8080", &server.address.to_string());
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", &line]);
        let bash = bash.envs(variables(&config).map(|name| (name, key(name))));
        let output = bash.output().expect("bash runs");
        let answer = String::from_utf8_lossy(&output.stdout);
        assert!(answer.starts_with("HTTP/1.1 204 "), "{line}{output:?}");
    }
}
