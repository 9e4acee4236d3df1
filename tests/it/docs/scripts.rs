//! What a page offers for copying works: the signers of docs/getting-started.md post to the real binary.

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

/// The only block of the page in this language.
fn block<'a>(page: &'a Page, language: &str) -> &'a str {
    let mut blocks = page.blocks.iter();
    let block = blocks.find(|block| block.language == language);
    &block.expect("a block of the page").text
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
    let pages = pages();
    let mut pages = pages.iter();
    let page = pages.find(|page| page.path == Path::new("docs/getting-started.md"));
    let page = page.expect("the page");
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
        fs::write(&script, block(page, language)).expect("it can be written");
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
