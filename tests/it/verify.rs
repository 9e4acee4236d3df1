//! `ringback verify` names the cause of each broken capture, and `ringback send` signs what the relay accepts.

use std::path::Path;
use std::process::Output;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use crate::support::dev::ringback;
use crate::support::server::{KEY, digest};

const BODY: &str = "{\"event\":\"call_ended\",\"call\":{\"call_id\":\"c1\",\"cost\":1.5,\"name\":\"Zo\u{eb}\",\"tags\":[]}}";
/// When everything here is signed, in milliseconds since the Unix epoch.
const SIGNED: u128 = 1_767_225_600_000;
const OTHER_KEY: &str = "whsec_c2VjcmV0";

fn hex_mac(key: &[u8], pieces: &[&str]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes any length");
    for piece in pieces {
        mac.update(piece.as_bytes());
    }
    hex::encode(mac.finalize().into_bytes())
}

fn retell(body: &str) -> String {
    format!(
        "X-Retell-Signature: {}",
        digest(KEY, SIGNED, body.as_bytes())
    )
}

fn stripe(key: &[u8]) -> String {
    let time = (SIGNED / 1000).to_string();
    let digest = hex_mac(key, &[&time, ".", BODY]);
    format!("Stripe-Signature: t={time},v1={digest}")
}

/// A request as it was captured: its header lines and its body.
struct Capture {
    source: &'static str,
    headers: Vec<String>,
    body: String,
}

impl Capture {
    fn new(source: &'static str, headers: &[String], body: impl Into<String>) -> Self {
        Self {
            source,
            headers: headers.to_vec(),
            body: body.into(),
        }
    }

    fn genuine() -> Self {
        Self::new("retell", &[retell(BODY)], BODY)
    }

    fn verify(&self, folder: &Path, more: &[&str]) -> Output {
        let file = folder.join("request");
        let head = self.headers.join("\r\n");
        let request = format!("POST /webhook HTTP/1.1\r\n{head}\r\n\r\n{}", self.body);
        std::fs::write(&file, request).expect("it can be written");
        let (config, at) = (folder.join("ringback.toml"), SIGNED.to_string());
        let mut command = ringback();
        command.args(["verify", "--source", self.source, "--at", &at, "-c"]);
        command.arg(config).arg("--request").arg(file).args(more);
        let command = command
            .env("RETELL_API_KEY", KEY)
            .env("OTHER_KEY", OTHER_KEY);
        command.output().expect("the binary runs")
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = String::from("[kafka.client]\n\"bootstrap.servers\" = \"k:1\"\n");
    for (name, verify, key) in [
        ("retell", "retell", "RETELL_API_KEY"),
        ("retell-test", "retell", "OTHER_KEY"),
        ("stripe", "stripe", "OTHER_KEY"),
        ("github", "github", "OTHER_KEY"),
    ] {
        config.push_str(&format!(
            "[[source]]\nname = \"{name}\"\npath = \"/{name}\"\nverify = \"{verify}\"\nkeys = [{{ env = \"{key}\" }}]\n"
        ));
    }
    std::fs::write(folder.path().join("ringback.toml"), config).expect("it can be written");
    folder
}

fn report(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn a_genuine_request_is_authentic_also_with_the_lines_that_curl_prints() {
    let folder = folder();
    let output = Capture::genuine().verify(folder.path(), &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = report(&output);
    assert_eq!(report["authentic"], true);
    assert_eq!(report["key"], "the environment variable RETELL_API_KEY");
    assert_eq!(report["signed"], "2026-01-01T00:00:00.000Z");
    let verbose = folder.path().join("verbose");
    let body = folder.path().join("body");
    let lines = format!(
        "* Trying\n> POST /webhook HTTP/1.1\n> {}\n>\n< HTTP/1.1 401\n",
        retell(BODY)
    );
    std::fs::write(&verbose, lines).expect("it can be written");
    std::fs::write(&body, BODY).expect("it can be written");
    let output = ringback()
        .args(["verify", "--at", "2026-01-01T00:04:00Z", "--request"])
        .arg(verbose)
        .arg("--body")
        .arg(body)
        .env("RETELL_API_KEY", KEY)
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.starts_with("authentic: verify = \"retell\", by the environment"),
        "{text}"
    );
}

#[test]
fn the_variable_of_other_commands_names_the_configuration_unless_the_sender_is_described() {
    let folder = folder();
    let body = folder.path().join("body");
    std::fs::write(&body, BODY).expect("it can be written");
    let verify = |more: &[&str]| {
        let mut command = ringback();
        command.args(["verify", "--at", "2026-01-01T00:00:00Z", "--body"]);
        command.arg(&body).args(more);
        command.env("RINGBACK_CONFIG", folder.path().join("ringback.toml"));
        let command = command
            .env("RETELL_API_KEY", KEY)
            .env("OTHER_KEY", OTHER_KEY);
        command.output().expect("the binary runs")
    };
    let signed = stripe(OTHER_KEY.as_bytes());
    for sender in [
        &["--source", "stripe"][..],
        &["--verify", "stripe", "--key-env", "OTHER_KEY"],
    ] {
        let output = verify(&[sender, &["--header", &signed]].concat());
        assert_eq!(output.status.code(), Some(0), "{sender:?}: {output:?}");
    }
}

#[test]
fn each_broken_capture_is_refused_for_its_cause() {
    let folder = folder();
    let genuine = retell(BODY);
    let length = format!("Content-Length: {}", BODY.len());
    let json = String::from("Content-Type: application/json");
    let python = BODY
        .replace(':', ": ")
        .replace(',', ", ")
        .replace('\u{eb}', "\\u00eb");
    let upper = hex_mac(OTHER_KEY.as_bytes(), &[BODY]).to_uppercase();
    let other_key = digest(OTHER_KEY, SIGNED, BODY.as_bytes());
    let foreign_key = digest("nobody's", SIGNED, BODY.as_bytes());
    let seconds = digest(KEY, SIGNED / 1000, BODY.as_bytes());
    let old = digest(KEY, SIGNED - 7_260_000, BODY.as_bytes());
    let header = |value: &str| format!("X-Retell-Signature: {value}");
    let case = |source, headers: &[String], body: &str| Capture::new(source, headers, body);
    let newline = format!("{BODY}\n");
    for (capture, cause, said) in [
        (
            case("retell", &[header(&other_key)], BODY),
            "wrong-key",
            "a key of source \"retell-test\"",
        ),
        (
            case("stripe", &[stripe(KEY.as_bytes())], BODY),
            "wrong-key",
            "a key of source \"retell\"",
        ),
        (
            case("retell", &[header(&foreign_key)], BODY),
            "wrong-key",
            "another key has made",
        ),
        (
            case("retell", &[genuine.clone(), length], &BODY[..40]),
            "changed-body",
            "Content-Length says",
        ),
        (
            case(
                "retell",
                &[genuine.clone(), json],
                &BODY.replace('\u{eb}', "\u{fffd}"),
            ),
            "changed-body",
            "U+FFFD",
        ),
        (
            case("retell", std::slice::from_ref(&genuine), &python),
            "reserialised-json",
            "written without spaces",
        ),
        (
            case("retell", &[retell(&python)], BODY),
            "reserialised-json",
            "a space after each colon",
        ),
        (
            case("retell", std::slice::from_ref(&genuine), &newline),
            "trailing-newline",
            "without the newline",
        ),
        (
            case("retell", &[retell(&newline)], BODY),
            "trailing-newline",
            "has lost",
        ),
        (
            case(
                "retell",
                std::slice::from_ref(&genuine),
                &format!("\u{feff}{BODY}"),
            ),
            "byte-order-mark",
            "without the byte",
        ),
        (
            case("retell", &[header(&old)], BODY),
            "stale-clock",
            "2h 1m before",
        ),
        (
            case("retell", &[stripe(KEY.as_bytes())], BODY),
            "another-scheme",
            "verify = \"stripe\", and matches this key",
        ),
        (
            case("retell", &[stripe(OTHER_KEY.as_bytes())], BODY),
            "another-scheme",
            "source \"stripe\"",
        ),
        (
            case("retell", &[String::from("Host: h")], BODY),
            "header-missing",
            "X-Retell-Signature is missing",
        ),
        (
            case("retell", &[genuine.clone(), genuine.clone()], BODY),
            "header-doubled",
            "is there 2 times",
        ),
        (
            case("retell", &[genuine.replace(",d=", ";d=")], BODY),
            "header-malformed",
            "v=<unix ms>,d=<hex>",
        ),
        (
            case("retell", &[header(&seconds)], BODY),
            "timestamp-unit",
            "seconds where milliseconds",
        ),
        (
            case("stripe", &[stripe(b"secret")], BODY),
            "key-encoding",
            "decoded from base64",
        ),
        (
            case("stripe", &[stripe(b"c2VjcmV0")], BODY),
            "key-encoding",
            "without its prefix whsec_",
        ),
        (
            case(
                "github",
                &[format!("X-Hub-Signature-256: sha256={upper}")],
                BODY,
            ),
            "digest-case",
            "wrong case",
        ),
    ] {
        let output = capture.verify(folder.path(), &["--json"]);
        assert_eq!(output.status.code(), Some(1), "{cause}: {output:?}");
        let report = report(&output);
        let first = &report["causes"][0];
        assert_eq!(first["cause"], cause, "{report:#}");
        let detail = first["detail"].as_str().expect("it has one");
        assert!(detail.contains(said), "{cause}: {detail}");
        assert!(
            first["remedy"]
                .as_str()
                .is_some_and(|remedy| remedy.len() > 20)
        );
        let all = format!("{output:?}");
        assert!(
            !all.contains(KEY) && !all.contains("c2VjcmV0"),
            "no key is shown: {all}"
        );
    }
}

#[test]
fn the_text_says_cause_and_remedy_and_wrong_usage_exits_2() {
    let folder = folder();
    let newline = Capture::new("retell", &[retell(BODY)], format!("{BODY}\n"));
    let output = newline.verify(folder.path(), &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("refused: verify = \"retell\"\n\ncause   trailing-newline: "),
        "{text}"
    );
    assert!(
        text.contains("\nremedy  sign and send the same bytes"),
        "{text}"
    );
    let body = folder.path().join("body.json");
    std::fs::write(&body, format!("\n {BODY}")).expect("it can be written");
    let body = body.to_str().expect("UTF-8");
    let has_no_head = "give that with --body, and each header with --header";
    for (wrong, expected) in [
        (&["verify", "--request", body][..], has_no_head),
        (&["verify", "--preset", "retel", "--body", body], "'retell'"),
        (&["send", "--preset", "retel"], "'retell'"),
        (
            &["send", "--url", "localhost:8080/webhook"],
            "give http://host:port/path",
        ),
    ] {
        let mut command = ringback();
        let command = command.args(wrong).env("RETELL_API_KEY", KEY);
        let output = command.output().expect("the binary runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {stderr}");
        assert!(stderr.contains(expected), "{wrong:?}: {stderr}");
    }
    for wrong in [
        &["verify"][..],
        &["verify", "--body", "/never/there"],
        &["verify", "--verify", "none", "--body", "/dev/null"],
        &["verify", "--verify", "github", "--body", "/dev/null"],
        &["verify", "--body", "/dev/null", "--at", "yesterday"],
        &["verify", "--body", "/dev/null", "--header", "nonsense"],
        &["send", "--preset", "stripe"],
        &["send", "--source", "stripe"],
        &["send", "--event", "nonsense"],
        &["send", "--call-id", "a\"b"],
        &["send", "--tamper", "--verify", "none"],
    ] {
        let mut command = ringback();
        let command = command.args(wrong).env("RETELL_API_KEY", KEY);
        let output = command.output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {output:?}");
    }
}
