//! Which texts are secrets, what is wrong with the others, and what an error shows.

use secrecy::ExposeSecret as _;

use super::*;
use SecretFault::{
    Blank, ByteOrderMark, Invisible, LineBreak, NotPem, NotUtf8, Placeholder, Quoted,
};

fn secret(bytes: &[u8], form: SecretForm) -> Result<String, Vec<SecretFault>> {
    parse(bytes, form).map(|secret| secret.expose_secret().to_owned())
}

fn line(text: &str) -> Result<String, Vec<SecretFault>> {
    secret(text.as_bytes(), SecretForm::Line)
}

#[test]
fn white_space_around_a_secret_is_no_part_of_it_and_everything_else_is() {
    for text in [
        "key_1",
        "key_1\n",
        "key_1\r\n",
        "\n key_1\t\r\n\n",
        "\u{a0}key_1\u{2028}",
    ] {
        assert_eq!(line(text).as_deref(), Ok("key_1"), "{text:?}");
    }
    for text in [
        "two words",
        "\"",
        "a\"b\"",
        "\"a",
        "a'",
        "=+/é€",
        "-----BEGIN",
        "a…b",
        "...",
    ] {
        assert_eq!(line(text).as_deref(), Ok(text), "{text:?}");
    }
}

#[test]
fn each_fault_is_named_and_all_of_them_at_once() {
    for (text, faults) in [
        ("", vec![Blank]),
        (" \t\r\n", vec![Blank]),
        ("\n\n", vec![Blank]),
        ("\u{feff}", vec![ByteOrderMark, Blank]),
        ("\u{feff}key", vec![ByteOrderMark]),
        ("key\u{feff}\n", vec![ByteOrderMark]),
        ("\"key\"", vec![Quoted]),
        ("'key'\n", vec![Quoted]),
        ("`key`", vec![Quoted]),
        ("\u{201c}key\u{201d}", vec![Quoted]),
        ("\"\"", vec![Quoted]),
        ("key_…", vec![Placeholder]),
        ("…a1b2\n", vec![Placeholder]),
        ("key\nkey", vec![LineBreak]),
        ("key\r\nkey", vec![LineBreak]),
        ("key\u{2028}key", vec![LineBreak]),
        ("ke\ty", vec![Invisible('\t')]),
        ("ke\0y", vec![Invisible('\0')]),
        ("key\u{200b}", vec![Invisible('\u{200b}')]),
        (
            "\u{feff}\"a\nb\u{7}\"",
            vec![ByteOrderMark, Quoted, LineBreak, Invisible('\u{7}')],
        ),
    ] {
        assert_eq!(line(text), Err(faults), "{text:?}");
    }
    // "key" as Windows PowerShell writes it.
    for bytes in [&b"\xff\xfek\0e\0y\0"[..], b"k\xffy"] {
        assert_eq!(secret(bytes, SecretForm::Line), Err(vec![NotUtf8]));
    }
}

#[test]
fn a_pem_keeps_its_line_breaks_and_must_have_a_header() {
    let body = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
    let pem = |text: &str| secret(text.as_bytes(), SecretForm::Pem);
    assert_eq!(pem(&format!("\n{body}\n\n")).as_deref(), Ok(body));
    let windows = body.replace('\n', "\r\n");
    assert_eq!(pem(&windows), Ok(windows.clone()));
    let chain = format!("Bag Attributes\n\tfriendlyName: a\n{body}\n{body}");
    assert_eq!(pem(&chain), Ok(chain.clone()));
    assert_eq!(pem("AAAA"), Err(vec![NotPem]));
    for lost in [" ", "\\n"] {
        assert_eq!(
            pem(&body.replace('\n', lost)),
            Err(vec![NotPem]),
            "{lost:?}"
        );
    }
    assert_eq!(pem(&format!("\"{body}\"")), Err(vec![Quoted]));
    assert_eq!(pem(&format!("\u{feff}{body}")), Err(vec![ByteOrderMark]));
    assert_eq!(
        pem(&body.replace("AAAA", "A\0A")),
        Err(vec![Invisible('\0')])
    );
    assert_eq!(pem("\n"), Err(vec![Blank]));
}

#[test]
fn an_error_names_the_source_and_every_fault_and_no_secret() {
    let source = SecretSource::Variable(String::from("RETELL_API_KEY"));
    let value = || Some(String::from("\u{feff}\"hunter2\"\n"));
    let error = source.read(SecretForm::Line, |_| value()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the environment variable RETELL_API_KEY has a byte order mark: save it as UTF-8 without one; it has quotes \
         around it, which are not part of a secret: remove them"
    );
    assert!(!format!("{error:?}").contains("hunter2"));
    let unset = source.read(SecretForm::Line, |_| None).unwrap_err();
    assert_eq!(
        unset.to_string(),
        "the environment variable RETELL_API_KEY is not set, or its value is not UTF-8 (export NAME=… in this \
         shell, or set it for the service)"
    );
}

#[test]
fn a_secret_in_the_place_of_its_variable_or_file_is_not_shown_and_names_are() {
    for name in [
        "RETELL_API_KEY",
        "KAFKA_PASSWORD_2",
        "K8S_SECRET",
        "RINGBACK_TEST_NEVER_SET",
    ] {
        assert!(SecretSource::Variable(name.into()).masked().contains(name));
    }
    for path in [
        "/etc/ringback/secrets/retell-2026",
        "./key",
        "secrets/retell",
        "/run/..2026_11_29_15_06_34/key",
    ] {
        assert!(SecretSource::File(path.into()).masked().contains(path));
    }
    for pasted in [
        "key_0f5e",
        "key_0f5e9b1c2d3a4f5e6b7c8d9e0f1a",
        "hunter2",
        "AKIAIOSFODNN7EXAMPLE",
        "JBSWY3DPEHPK3PXP",
        "correct horse battery staple",
        "mUZXV6m+3nF/Kq1x9p0W/w==",
        "550e8400-e29b-41d4-a716-446655440000",
    ] {
        for source in [
            SecretSource::Variable(pasted.into()),
            SecretSource::File(pasted.into()),
        ] {
            assert!(!source.masked().contains(pasted), "{pasted}");
            let error = source.read(SecretForm::Line, |_| None).unwrap_err();
            assert!(!error.to_string().contains(pasted), "{error}");
        }
    }
}

#[test]
fn ordinary_values_do_not_look_like_secrets() {
    for value in [
        "retell-events",
        "events-2026-11-29",
        "0.0.0.0:8080",
        "b-1.mycluster.abc123.c2.kafka.us-east-1.amazonaws.com:9098",
        "SCRAM-SHA-512",
        "8 elephants",
        "/call/call_id",
        "TLS_AES_128_GCM_SHA256",
        "1000000000000",
    ] {
        assert!(!looks_like_secret(value), "{value}");
    }
}

#[test]
fn a_file_that_never_ends_is_no_secret() {
    let endless = SecretSource::File("/dev/zero".into());
    let error = endless.read(SecretForm::Pem, |_| None).err();
    let error = error.expect("it is refused").to_string();
    assert!(
        error.ends_with("is longer than 1 MiB, which no secret is: name the file of the secret"),
        "{error}"
    );
    let longest = "x".repeat(1024 * 1024);
    assert!(line(&longest).is_ok());
    assert_eq!(line(&(longest + "x")), Err(vec![SecretFault::TooLong]));
}

#[test]
fn a_pipe_is_refused_rather_than_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("key");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let error = SecretSource::File(pipe).read(SecretForm::Line, |_| None);
    let SecretError::Read(_, error) = error.unwrap_err() else {
        panic!("it was read");
    };
    let error = error.to_string();
    assert!(
        error.contains("it is a pipe; write the secret to a file"),
        "{error}"
    );
}
