//! Another configuration takes the present one's place while senders post.

mod hanging;
mod moved;
mod relay;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use self::relay::{Relay, Sender, count, source, under_load, write};
use crate::support::server::{PATIENCE, Server, now_ms, post, signature};

const EVENT: &[u8] = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;
const IN_USE: &str = "the configuration was read again and is in use";
const REFUSED: &str = "the changed configuration is refused; the present one goes on";

/// The source of the rotation, with these keys, each a file of the same name.
fn rotated(folder: &Path, keys: &[&str]) -> String {
    let mut list = String::new();
    for key in keys {
        let file = folder.join(key);
        fs::write(&file, format!("secret of {key}")).expect("it can be written");
        let _ = write!(list, "{{ file = {file:?}, name = \"{key}\" }},");
    }
    format!(
        "[[source]]\nname = \"rotated\"\npath = \"/rotated\"\nverify = \"retell\"\nkeys = [{list}]\n"
    )
}

#[test]
fn a_key_is_rotated_under_load_and_no_event_is_refused() {
    let keys = tempfile::tempdir().expect("a temporary folder");
    let relay = Relay::start("", &rotated(keys.path(), &["old"]));
    let switched = AtomicBool::new(false);
    let next = || {
        let key = if switched.load(Ordering::Relaxed) {
            "new"
        } else {
            "old"
        };
        let signed = signature(&format!("secret of {key}"), now_ms(), EVENT);
        (String::from("/rotated"), signed)
    };
    let mut old_matches = 0.0;
    let posted = under_load(&relay.server, next, |go_on| {
        relay.reload("", &rotated(keys.path(), &["old", "new"]));
        go_on();
        assert_eq!(relay.matches("new"), 0.0);
        switched.store(true, Ordering::Relaxed);
        // What was signed with the old key is answered by then.
        go_on();
        old_matches = relay.matches("old");
        go_on();
        assert_eq!(relay.matches("old"), old_matches);
        relay.reload("", &rotated(keys.path(), &["new"]));
    });
    assert_eq!(
        relay.matches("old"),
        old_matches,
        "the counter of a removed key stays"
    );
    assert_eq!(relay.matches("old") + relay.matches("new"), posted as f64);
    assert!(old_matches >= 40.0, "{old_matches}");
    for reason in ["signature_mismatch", "signature_missing"] {
        assert_eq!(relay.server.refused("rotated", reason), 0.0, "{reason}");
    }
    let old = signature("secret of old", now_ms(), EVENT);
    assert_eq!(Sender::new(&relay.server).post("/rotated", &old), 401);
}

#[test]
fn a_request_ends_with_the_configuration_of_its_beginning() {
    let keys = tempfile::tempdir().expect("a temporary folder");
    let relay = Relay::start("", &rotated(keys.path(), &["old"]));
    let signed = signature("secret of old", now_ms(), EVENT);
    let request = post(
        "/rotated",
        &format!("Expect: 100-continue\r\n{signed}"),
        EVENT,
    );
    let (head, body) = request.split_at(request.len() - EVENT.len());
    let mut sender = Sender::new(&relay.server);
    sender.send(head);
    // Comes once the request is being served.
    assert_eq!(sender.answer(), 100);
    relay.reload("", &rotated(keys.path(), &["new"]));
    sender.send(body);
    assert_eq!(sender.answer(), 204);
    // The next one on the same connection has the new keys.
    assert_eq!(sender.post("/rotated", &signed), 401);
    relay.reload("", "");
    assert_eq!(sender.post("/rotated", &signed), 404);
}

#[test]
fn sources_come_and_go_under_load_and_their_counters_stay() {
    let relay = Relay::start("", "");
    let server = &relay.server;
    let accepted =
        || server.sample("ringback_events_accepted_total{kind=\"call_ended\",source=\"more\"}");
    let next = || (String::from("/open"), String::new());
    under_load(server, next, |go_on| {
        // A request without a source ends its connection.
        let post = || Sender::new(server).post("/more", "");
        assert_eq!(post(), 404);
        for round in 1..=3_u8 {
            relay.reload("", &source("more", ""));
            assert_eq!(post(), 204);
            assert_eq!(accepted(), f64::from(round));
            await_page(server, |page| page.contains("source more: "));
            go_on();
            relay.reload("", "");
            server.logged("\"sources\":\"more\",\"topic\":\"retell-events\"");
            assert_eq!(post(), 404);
            assert_eq!(accepted(), f64::from(round));
            await_page(server, |page| !page.contains("source more: "));
        }
    });
    assert_eq!(server.refused("open", "signature_mismatch"), 0.0);
}

#[test]
fn a_source_s_limits_and_its_networks_change_under_load() {
    let relay = Relay::start("", &source("more", ""));
    let server = &relay.server;
    let next = || (String::from("/open"), String::new());
    // A refused request may end its connection.
    let post = || Sender::new(server).post("/more", "X-Forwarded-For: 192.0.2.7\r\n");
    let limited = || {
        let deadline = Instant::now() + PATIENCE;
        while post() != 429 {
            assert!(Instant::now() < deadline, "it is never limited");
        }
    };
    under_load(server, next, |go_on| {
        assert_eq!(post(), 204);
        let allow = source("more", "allow = [\"192.0.2.0/24\"]");
        relay.reload("", &allow);
        assert_eq!(post(), 403);
        relay.reload("trusted_proxies = [\"127.0.0.1/32\"]", &allow);
        assert_eq!(post(), 204);
        go_on();
        for limit in ["rate_limit", "client_rate_limit"] {
            relay.reload(
                "",
                &source("more", &format!("{limit} = {{ per_second = 1 }}")),
            );
            limited();
            go_on();
        }
        relay.reload("", &source("more", "max_body = \"1KiB\""));
        let large = [EVENT, &[b' '; 2048]].concat();
        let mut sender = Sender::new(server);
        sender.send(&self::post("/more", "", &large));
        assert_eq!(sender.answer(), 413);
        relay.reload("", &source("more", ""));
        assert_eq!(post(), 204);
    });
}

fn await_page(server: &Server, is_so: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = server.admin("/readyz?verbose");
        if is_so(&page) {
            return;
        }
        assert!(Instant::now() < deadline, "{page}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_bad_configuration_is_refused_with_its_reason_and_the_former_goes_on() {
    let relay = Relay::start("", &source("more", ""));
    let server = &relay.server;
    let nowhere = relay.folder.path().join("nowhere");
    let unreadable = format!(
        "[[source]]\nname = \"k\"\npath = \"/k\"\nverify = \"retell\"\nkeys = [{{ file = {nowhere:?} }}]\n"
    );
    let twice = source("other", "").replace("/other", "/more") + &source("more", "");
    let mut refused = 0.0;
    for (listen, sources, reason) in [
        ("", String::from("[[source"), "ringback.toml:"),
        ("max_bodi = \"1MiB\"", source("more", ""), "listen.max_bodi"),
        ("max_body = \"1B\"", source("more", ""), "out of range"),
        ("", unreadable, "cannot be read"),
        ("", twice, "another source has the path"),
    ] {
        relay.write(listen, &sources);
        server.reload();
        let line = server.logged(reason);
        assert!(
            line.contains(REFUSED) && line.contains("\"level\":\"ERROR\""),
            "{line}"
        );
        // A second SIGHUP repeats the reason.
        server.reload();
        let again = || count(server, reason) == 2;
        await_page(server, |_| again());
        refused += 2.0;
        let page = server.admin("/readyz?verbose");
        assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
        let check = page
            .lines()
            .find(|line| line.starts_with("[!]configuration "));
        assert!(check.is_some_and(|check| check.contains(reason)), "{page}");
        assert_eq!(server.sample("ringback_config_last_reload_successful"), 0.0);
        let counted = server.sample("ringback_config_reloads_total{result=\"failure\"}");
        assert_eq!(counted, refused, "{reason}");
        assert_eq!(Sender::new(server).post("/more", ""), 204);
    }
    relay.reload("", "");
    assert_eq!(server.sample("ringback_config_last_reload_successful"), 1.0);
    let page = server.admin("/readyz?verbose");
    assert!(page.contains("[+]configuration ok"), "{page}");
    assert_eq!(Sender::new(server).post("/more", ""), 404);
}

#[test]
fn a_configuration_that_is_replaced_by_a_pipe_is_refused_and_hangs_nothing() {
    let relay = Relay::start("", "");
    let config = relay.folder.path().join("ringback.toml");
    fs::remove_file(&config).expect("it is there");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &config, mode).expect("a pipe can be made");
    relay.server.reload();
    let line = relay.server.logged(REFUSED);
    assert!(line.contains("is not a regular file"), "{line}");
    assert_eq!(Sender::new(&relay.server).post("/open", ""), 204);
    relay.server.terminate();
    let Relay { server, .. } = relay;
    assert!(server.wait().success());
}

#[test]
fn a_storm_of_signals_drops_no_request_and_ends_with_the_last_configuration() {
    let relay = Relay::start("", "");
    let next = || (String::from("/open"), String::new());
    under_load(&relay.server, next, |_| {
        for round in 0..200_u8 {
            let limit = format!("max_body = \"{}KiB\"", 1 + u16::from(round));
            relay.write("", &source("more", &limit));
            relay.server.reload();
        }
        relay.write("", &source("last", ""));
        relay.server.reload();
        // Signals of the storm may still be on their way.
        let post = |path| Sender::new(&relay.server).post(path, "");
        let deadline = Instant::now() + PATIENCE;
        while post("/last") != 204 {
            assert!(Instant::now() < deadline, "the last one is not in use");
        }
        assert_eq!(post("/more"), 404);
    });
    assert_eq!(count(&relay.server, REFUSED), 0);
}

/// Writes a ConfigMap as a kubelet does: in a folder of its own, to which `..data` is then turned in one step.
fn mount(volume: &Path, journal: &Path, version: &str, listen: &str, budget: &str) {
    let folder = volume.join(version);
    fs::create_dir(&folder).expect("a folder");
    let config = write(&folder, listen, budget, "");
    let text = fs::read_to_string(&config).expect("it was written");
    let other = folder.join("journal").display().to_string();
    let text = text.replace(&other, &journal.display().to_string());
    fs::write(&config, text).expect("it can be written");
    symlink(version, volume.join("..data_tmp")).expect("a link");
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).expect("a link");
}

#[test]
fn a_config_map_that_kubernetes_has_swapped_is_read_and_what_needs_a_restart_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (volume, journal) = (folder.path(), folder.path().join("journal"));
    let budget = "segment_size = \"1MiB\"\nbudget = \"64MiB\"";
    mount(
        volume,
        &journal,
        "..2026_01",
        "max_body = \"64KiB\"",
        budget,
    );
    symlink("..data/ringback.toml", volume.join("ringback.toml")).expect("a link");
    let server = Server::start_with(&volume.join("ringback.toml"));
    let mut sender = Sender::new(&server);
    let large = vec![b' '; 2048];
    let send = |sender: &mut Sender| {
        sender.send(&post("/open", "", &[EVENT, &large].concat()));
        sender.answer()
    };
    assert_eq!(send(&mut sender), 204);
    let listen = "max_body = \"1KiB\"\nhealth_path = \"/healthz\"\nmax_connections = 9";
    mount(
        volume,
        &journal,
        "..2026_02",
        listen,
        &budget.replace("64MiB", "65MiB"),
    );
    // Without a signal.
    let line = server.logged(IN_USE);
    assert!(
        line.contains("the configuration's file has changed"),
        "{line}"
    );
    assert!(
        line.contains("\"needs_restart\":\"journal.budget, listen.max_connections\""),
        "{line}"
    );
    assert_eq!(send(&mut sender), 413);
    let health = server.exchange(b"GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    // Larger again, but no larger than at the start.
    mount(volume, &journal, "..2026_03", "max_body = \"1MiB\"", budget);
    let line = server.logged("\"needs_restart\":\"listen.max_body\"");
    assert!(line.contains("\"level\":\"WARN\""), "{line}");
    assert_eq!(server.sample("ringback_config_last_reload_successful"), 1.0);
}

#[test]
fn the_certificate_s_files_may_be_others() {
    use crate::support::certificates::{Authority, Files, patient};
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [first, second] = ["first", "second"].map(|name| {
        let path = folder.path().join(name);
        fs::create_dir(&path).expect("a folder");
        Files::in_folder(&path)
    });
    let authority = Authority::new();
    authority.write(&first);
    let new = authority.write(&second);
    let relay = Relay::start(&first.setting(), "");
    relay.reload(&second.setting(), "");
    // After the rest of the configuration, with a line of its own.
    relay
        .server
        .logged("the certificate of listen.tls was read again");
    let mut stream = authority.connect(patient(relay.server.connect()));
    stream
        .write_all(&post("/open", "Connection: close\r\n", EVENT))
        .expect("it connects");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an orderly end");
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    let given = stream.conn.peer_certificates().expect("a certificate")[0].to_vec();
    assert_eq!(given, new.certificate.to_der().expect("OpenSSL writes it"));
}
