//! `ringback verify` names the very setting, key or option that would have to be another.

use std::path::Path;
use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::support::dev::{ringback, text};

const BODY: &str = "{\"event\":\"a\"}";
const KEY: &str = "c2VjcmV0";

fn mac(key: &str, content: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes any length");
    mac.update(content.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Verifies the body with one header, in `folder`, with the key in a variable.
fn verify(folder: &Path, arguments: &[&str], header: &str) -> Output {
    std::fs::write(folder.join("body"), BODY).expect("it can be written");
    let mut command = ringback();
    command.args(["verify", "--body", "body", "--header", header]);
    let command = command.args(arguments).current_dir(folder).env("KEY", KEY);
    command.output().expect("the binary runs")
}

#[test]
fn settings_that_do_not_describe_the_header_are_named_and_the_request_stays_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mac = mac(KEY, BODY);
    let (hex, base64) = (hex::encode(&mac), STANDARD.encode(&mac));
    let upper = hex.to_uppercase();
    let begins = "it begins with \"sha256=\": set hmac.prefix = \"sha256=\"";
    let is_base64 = "it is base64: set hmac.encoding = \"base64\"";
    for (more, value, said) in [
        ("", format!("sha256={hex}"), begins.to_owned()),
        ("", base64.clone(), is_base64.to_owned()),
        (
            "",
            format!("sha256={base64}"),
            format!("{begins}, and {is_base64}"),
        ),
        (
            "",
            upper,
            String::from("in upper case: set hmac.encoding = \"hex-upper\""),
        ),
        (
            ", prefix = \"sha256=\"",
            hex.clone(),
            String::from("it does not begin with \"sha256=\": leave out hmac.prefix"),
        ),
        (
            ", encoding = \"base64\"",
            hex.clone(),
            String::from("in lower case: set hmac.encoding = \"hex\""),
        ),
    ] {
        let set = format!("hmac = {{ header = \"X-Signature\"{more} }}");
        let arguments = ["--verify", "hmac", "--key-env", "KEY", "--set", &set];
        let header = format!("X-Signature: {value}");
        let output = verify(folder.path(), &arguments, &header);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let shown = text(&output.stdout);
        assert!(shown.contains("cause   header-settings: "), "{shown}");
        assert!(shown.contains(&said), "{said}: {shown}");
    }
    // What no setting explains is the header's own fault.
    let arguments = ["--verify", "hmac", "--key-env", "KEY", "--set"];
    let arguments = [&arguments[..], &["hmac = { header = \"X-Signature\" }"]].concat();
    let output = verify(
        folder.path(),
        &arguments,
        &format!("X-Signature: {}", &hex[1..]),
    );
    let shown = text(&output.stdout);
    assert!(shown.contains("cause   header-malformed: "), "{shown}");
}

#[test]
fn a_sender_that_nobody_named_is_named_by_its_header() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let github = format!(
        "X-Hub-Signature-256: sha256={}",
        hex::encode(mac(KEY, BODY))
    );
    let words = "the request has the signature of github: give --preset github, and its key with --key-env NAME";
    let here = "to use the configuration that is here, add --config ringback.toml";
    let unsigned = verify(folder.path(), &[], &github);
    let other_key = ["--key-env", "KEY"];
    for (output, code) in [
        (unsigned, Some(2)),
        (verify(folder.path(), &other_key, &github), Some(1)),
    ] {
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), code, "{said}");
        assert!(said.contains(words) && !said.contains(here), "{said}");
    }
    let named = ["--preset", "github", "--key-env", "KEY"];
    let output = verify(folder.path(), &named, &github);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    std::fs::write(folder.path().join("ringback.toml"), "").expect("it can be written");
    for (header, words) in [
        (&*github, words),
        (
            "X-Retell-Signature: v=1",
            "there is no key to verify with: set RETELL_API_KEY",
        ),
    ] {
        let said = text(&verify(folder.path(), &[], header).stderr);
        assert!(said.contains(words) && said.contains(here), "{said}");
    }
}

#[test]
fn a_key_that_lacks_its_prefix_is_to_get_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let digest = hex::encode(mac(&format!("whsec_{KEY}"), &format!("1767225600.{BODY}")));
    let header = format!("Stripe-Signature: t=1767225600,v1={digest}");
    let arguments = [
        "--preset",
        "stripe",
        "--key-env",
        "KEY",
        "--at",
        "1767225600",
    ];
    let output = verify(folder.path(), &arguments, &header);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("cause   key-encoding: "), "{shown}");
    assert!(shown.contains("remedy  put whsec_ before it"), "{shown}");
}
