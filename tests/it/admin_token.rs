//! `admin.token`: all but the probes ask for it.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;

use crate::support::certificates::replace;
use crate::support::server::{Server, until_closed, write_config};

/// The status of an answer of the admin port, with its head.
fn get(server: &Server, path: &str, token: Option<&str>) -> String {
    let mut stream = TcpStream::connect(server.admin_address()).expect("the admin port is open");
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let token = token.unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nHost: t\r\n{token}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it is sent");
    until_closed(&mut stream)
}

#[test]
fn the_token_opens_everything_the_probes_need_none_and_it_is_read_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let token = folder.path().join("token");
    fs::write(&token, "hunter2\n").expect("it can be written");
    let config = write_config(folder.path(), "127.0.0.1:1", "", "");
    let text = fs::read_to_string(&config).expect("it was written");
    let setting = format!("[admin]\ntoken = {{ file = {token:?} }}\n");
    fs::write(&config, text.replace("[admin]\n", &setting)).expect("it can be written");
    let server = Server::start_with(&config);
    for probe in ["/livez", "/readyz"] {
        let answer = get(&server, probe, None);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    for path in ["/metrics", "/readyz?verbose", "/nothing"] {
        for wrong in [None, Some("hunter3")] {
            let answer = get(&server, path, wrong);
            assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
            assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
            assert!(!answer.contains("ringback_"), "{answer}");
        }
    }
    let page = get(&server, "/metrics", Some("hunter2"));
    assert!(page.contains("\nringback_build_info"), "{page}");
    let page = get(&server, "/readyz?verbose", Some("hunter2"));
    assert!(page.contains("[+]process ok"), "{page}");

    replace(&token, b"hunter4");
    server.logged("the token of [admin] was read again");
    let answer = get(&server, "/metrics", Some("hunter2"));
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let answer = get(&server, "/metrics", Some("hunter4"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    replace(&token, b"\"hunter5\"");
    server.reload();
    let line = server.logged("the token of [admin] could not be read");
    let checks = get(&server, "/readyz?verbose", Some("hunter4"));
    let failing = "[!]admin-token the changed token of admin.token is not in use";
    assert!(
        checks.contains(failing) && !checks.contains("hunter5"),
        "{checks}"
    );
    assert!(line.contains("has quotes around it"), "{line}");
    let answer = get(&server, "/metrics", Some("hunter4"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let log = server.log().join("\n");
    assert!(!log.contains("hunter"), "{log}");
}

#[test]
fn what_is_no_token_is_a_configuration_error_that_does_not_repeat_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = write_config(folder.path(), "127.0.0.1:1", "", "");
    let text = fs::read_to_string(&config).expect("it was written");
    let blank = folder.path().join("blank");
    fs::write(&blank, "\n").expect("it can be written");
    for (value, words) in [
        (String::from("\"hunter2hunter2\""), "token = { file = "),
        (String::from("{}"), "give exactly one of env and file"),
        (
            String::from("{ env = \"RINGBACK_TEST_THIS_IS_NEVER_SET\" }"),
            "RINGBACK_TEST_THIS_IS_NEVER_SET is not set",
        ),
        (format!("{{ file = {blank:?} }}"), "is blank"),
    ] {
        let setting = format!("[admin]\ntoken = {value}\n");
        fs::write(&config, text.replace("[admin]\n", &setting)).expect("it can be written");
        for command in ["check", "serve"] {
            let output = Command::new(env!("CARGO_BIN_EXE_ringback"))
                .args([command, "--config"])
                .arg(&config)
                .env("RETELL_API_KEY", "key")
                .output()
                .expect("the binary runs");
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(78), "{text}");
            assert!(text.contains("admin.token: "), "{text}");
            assert!(text.contains(words), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
