//! Ports that other processes hold: each is named with what chooses another one, and nothing is left behind.

use std::net::TcpListener;

use crate::support::dev::{run, text};

#[test]
fn dev_reports_a_taken_port_and_nothing_else() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = taken.local_addr().expect("it has one").port().to_string();
    let options = ["--port", "--admin-port", "--inspector-port"];
    for option in options {
        let mut arguments = vec!["dev", option, port.as_str()];
        for other in options.iter().filter(|other| **other != option) {
            arguments.extend([*other, "0"]);
        }
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stdout), "");
        let expected =
            format!("error: cannot listen on 127.0.0.1:{port} ({option}): Address already in use");
        let stderr = text(&output.stderr);
        assert!(
            stderr.starts_with(&expected) && stderr.lines().count() == 1,
            "{stderr}"
        );
    }
}

#[test]
fn dev_names_the_options_that_give_one_port_twice() {
    for (arguments, expected) in [
        (
            &["--port", "1", "--inspector-port", "1"][..],
            "--port and --inspector-port both take port 1",
        ),
        // One of them is a default.
        (
            &["--port", "0", "--inspector-port", "9464"],
            "--admin-port and --inspector-port both take port 9464",
        ),
    ] {
        let output = run(&[&["dev"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let expected =
            format!("error: {expected}; give each option another port, or 0 for a free one\n");
        assert_eq!(text(&output.stderr), expected);
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn dev_and_serve_name_all_ports_that_are_taken_at_once() {
    let taken = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let ports = taken.each_ref().map(|listener| {
        let address = listener.local_addr().expect("it has one");
        address.port().to_string()
    });
    let [admin, webhooks, inspector] = ports.each_ref().map(String::as_str);
    let output = run(&[
        "dev",
        "--admin-port",
        admin,
        "--port",
        webhooks,
        "--inspector-port",
        inspector,
    ]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(
        stderr.starts_with("error: cannot listen on ") && stderr.lines().count() == 1,
        "{stderr}"
    );
    for (option, port) in [
        ("--admin-port", admin),
        ("--port", webhooks),
        ("--inspector-port", inspector),
    ] {
        let named = format!("127.0.0.1:{port} ({option}): Address already in use");
        assert!(stderr.contains(&named), "{stderr}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ringback.toml");
    let config = format!(
        "[listen]\naddress = \"127.0.0.1:{webhooks}\"\n[admin]\naddress = \"127.0.0.1:{admin}\"\n\
         [journal]\npath = {:?}\n[kafka]\ntopic = \"t\"\n[kafka.client]\n\"bootstrap.servers\" = \"127.0.0.1:1\"\n\
         [[source]]\nname = \"a\"\npath = \"/a\"\nverify = \"none\"\n",
        folder.path().join("journal")
    );
    std::fs::write(&file, config).expect("it can be written");
    let output = run(&["serve", "--config", file.to_str().expect("UTF-8")]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for (key, port) in [("admin.address", admin), ("listen.address", webhooks)] {
        let named = format!("127.0.0.1:{port} ({key}): Address already in use");
        assert!(stderr.contains(&named), "{stderr}");
    }
}
