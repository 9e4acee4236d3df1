//! Another certificate takes the present one's place while senders post.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::symm::Cipher;

use crate::support::certificates::{Authority, Files, Signed, patient};
use crate::support::server::{PATIENCE, Server, post, write_config};

const EVENT: &[u8] = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;
const IN_USE: &str = "the certificate of listen.tls was read again";
const NOT_IN_USE: &str = "the certificate of listen.tls cannot be used";

/// The certificate that a new connection is given, in DER, once an event was accepted on it.
fn post_once(server: &Server, authority: &Authority) -> Vec<u8> {
    let mut stream = authority.connect(patient(server.connect()));
    let request = post("/open", "Connection: close\r\n", EVENT);
    stream.write_all(&request).expect("it connects");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an orderly end");
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    let chain = stream.conn.peer_certificates().expect("a certificate");
    chain[0].to_vec()
}

fn der(signed: &Signed) -> Vec<u8> {
    signed.certificate.to_der().expect("OpenSSL writes it")
}

fn expiry(server: &Server) -> f64 {
    server.sample("ringback_tls_certificate_expiry_timestamp_seconds")
}

/// Waits until `count` lines of the log contain `what`.
fn await_lines(server: &Server, what: &str, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    while server
        .log()
        .iter()
        .filter(|line| line.contains(what))
        .count()
        < count
    {
        assert!(Instant::now() < deadline, "{what}: {:#?}", server.log());
        thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn certificate_and_key_are_exchanged_in_two_steps_under_load_and_no_request_fails() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files = Files::in_folder(folder.path());
    let authority = Authority::new();
    let old = authority.write(&files);
    let server = Server::start(&files.setting(), "");
    assert_eq!(post_once(&server, &authority), der(&old));
    assert_eq!(expiry(&server), old.expiry() as f64);

    let new = authority.server((-1, 9));
    let (ended, posted) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let given = post_once(&server, &authority);
                    assert!(given == der(&old) || given == der(&new));
                    posted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Ends the load also if something below fails.
        let end = End(&ended);
        new.write_certificate(&files);
        let line = server.logged(NOT_IN_USE);
        assert!(line.contains("belongs to another certificate"), "{line}");
        let page = server.admin("/readyz?verbose");
        assert!(page.contains("[!]tls the changed files"), "{page}");
        assert_eq!(expiry(&server), old.expiry() as f64);
        // Senders go on as if nothing had happened.
        let before = posted.load(Ordering::Relaxed);
        while posted.load(Ordering::Relaxed) < before + 20 {
            thread::yield_now();
        }
        new.write_key(&files);
        server.logged(IN_USE);
        assert_eq!(post_once(&server, &authority), der(&new));
        drop(end);
    });
    assert!(posted.load(Ordering::Relaxed) > 20);
    assert_eq!(expiry(&server), new.expiry() as f64);
    let page = server.admin("/readyz?verbose");
    assert!(
        page.contains("tls ok, the certificate is valid until"),
        "{page}"
    );
    for reason in ["tls_failed", "tls_distrusted", "tls_timeout"] {
        assert_eq!(server.refused("", reason), 0.0, "{reason}");
    }
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes a Secret as a kubelet does: in a folder of its own, to which `..data` is then turned in one step.
fn mount(volume: &Path, version: &str, authority: &Authority) -> Signed {
    let folder = volume.join(version);
    fs::create_dir(&folder).expect("a folder");
    let signed = authority.write(&Files::in_folder(&folder));
    symlink(version, volume.join("..data_tmp")).expect("a link");
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).expect("a link");
    signed
}

#[test]
fn a_secret_that_kubernetes_has_swapped_is_read_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = Authority::new();
    let first = mount(folder.path(), "..2026_01", &authority);
    for file in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{file}"), folder.path().join(file)).expect("a link");
    }
    let server = Server::start(&Files::in_folder(folder.path()).setting(), "");
    assert_eq!(post_once(&server, &authority), der(&first));
    let second = mount(folder.path(), "..2026_02", &authority);
    server.logged(IN_USE);
    assert_eq!(post_once(&server, &authority), der(&second));
}

#[test]
fn sighup_reads_the_certificate_and_one_that_has_expired_is_served_with_a_warning() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files = Files::in_folder(folder.path());
    let authority = Authority::new();
    let old = authority.write(&files);
    let server = Server::start(&files.setting(), "");
    server.reload();
    await_lines(&server, IN_USE, 1);
    assert_eq!(post_once(&server, &authority), der(&old));
    fs::remove_file(&files.key).expect("it was there");
    server.reload();
    server.logged(NOT_IN_USE);
    assert_eq!(post_once(&server, &authority), der(&old));

    let expired = authority.server((-9, -1));
    expired.write_key(&files);
    expired.write_certificate(&files);
    await_lines(&server, IN_USE, 2);
    let line = server.logged("has expired");
    assert!(line.contains("\"level\":\"ERROR\""), "{line}");
    assert_eq!(expiry(&server), expired.expiry() as f64);
}

/// What `check` prints about this configuration, and its exit code.
fn check(files: &Files) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = write_config(folder.path(), "127.0.0.1:1", &files.setting(), "");
    let output = Command::new(env!("CARGO_BIN_EXE_ringback"))
        .args(["check", "--config"])
        .arg(config)
        .env("RETELL_API_KEY", "key")
        .output()
        .expect("the binary runs");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).expect("text");
    (text, output.status.code())
}

#[test]
fn what_cannot_be_served_is_a_configuration_error_with_its_remedy() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files = Files::in_folder(folder.path());
    let refused = |key: &str, words: &str| {
        let (text, code) = check(&files);
        assert_eq!(code, Some(78), "{text}");
        assert!(text.contains(&format!("listen.tls.{key}: ")), "{text}");
        assert!(text.contains(words), "{text}");
    };
    // Both at once.
    refused("certificate", "cannot be read: No such file");
    refused("key", "cannot be read: No such file");
    let authority = Authority::new();
    let good = authority.write(&files);
    let (text, code) = check(&files);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("TLS: the certificate is valid until 20"),
        "{text}"
    );

    authority.server((-1, 7)).write_key(&files);
    refused("key", "belongs to another certificate");
    let write_key = |pem: &[u8]| fs::write(&files.key, pem).expect("it can be written");
    let cipher = Cipher::aes_256_cbc();
    let pem = good
        .key
        .private_key_to_pem_pkcs8_passphrase(cipher, b"hunter2");
    write_key(&pem.expect("OpenSSL writes it"));
    refused(
        "key",
        "is encrypted: decrypt it (openssl pkey -in OLD -out NEW)",
    );
    let key = good.key.ec_key().expect("an EC key");
    let pem = key.private_key_to_pem_passphrase(cipher, b"hunter2");
    write_key(&pem.expect("OpenSSL writes it"));
    refused("key", "is encrypted: decrypt it");
    let short = Rsa::generate(1024).expect("a key");
    let pem = PKey::from_rsa(short).and_then(|key| key.private_key_to_pem_pkcs8());
    write_key(&pem.expect("OpenSSL writes it"));
    refused("key", "RSA with 2048 to 4096 bits");
    write_key(&authority.pem());
    refused("key", "holds no private key");
    write_key(b"-----BEGIN PRIVATE KEY-----");
    refused("key", "holds no private key");
    good.write_key(&files);

    let certificate = fs::read(&files.certificate).expect("it is there");
    let write_certificate = |pem: &[u8]| {
        fs::write(&files.certificate, pem).expect("it can be written");
    };
    write_certificate(&fs::read(&files.key).expect("it is there"));
    refused("certificate", "holds no certificate");
    write_certificate(&certificate[..certificate.len() / 2]);
    refused("certificate", "write it again, complete and unchanged");
    write_certificate(&[authority.pem(), certificate].concat());
    refused("key", "than the first one in");
    write_certificate(b"");
    refused("certificate", "is blank");

    // These can be served, and what is wrong with them may be the clock.
    for (days, words) in [
        ((-9, -1), "has expired"),
        ((-9, 6), "expires soon"),
        ((1, 9), "is not valid before"),
    ] {
        let signed = authority.server(days);
        signed.write_certificate(&files);
        signed.write_key(&files);
        let (text, code) = check(&files);
        assert_eq!(code, Some(0), "{text}");
        let warning = format!("# Warning: the certificate of listen.tls {words}");
        assert!(text.contains(&warning), "{text}");
    }
}
