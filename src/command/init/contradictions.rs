//! Flags that cannot both be meant: whoever gave them expects of the file what it would not do.

use super::answers::Answers;

/// The first contradiction among the flags, with its remedy; `set` are the keys of `--set`. clap knows of the pairs of which one
/// flag alone excludes or needs the other.
pub fn first(answers: &Answers, set: &[String]) -> Option<String> {
    of_sender(answers)
        .or_else(|| of_settings(set))
        .or_else(|| of_kafka(answers))
}

fn of_sender(answers: &Answers) -> Option<String> {
    let is_open = answers.verify.as_deref() == Some("none");
    let flags = [
        ("--key-env", &answers.key_env),
        ("--key-file", &answers.key_file),
    ];
    let flag = given(&flags).filter(|_| is_open)?;
    Some(format!(
        "{flag} contradicts --verify none, which checks no signature: leave out {flag}, or name the sender's scheme"
    ))
}

fn of_settings(set: &[String]) -> Option<String> {
    const FLAGS: [(&str, &str); 5] = [
        ("preset", "--preset"),
        ("verify", "--verify"),
        ("path", "--path"),
        ("topic", "--topic"),
        ("keys", "--key-env or --key-file"),
    ];
    set.iter().enumerate().find_map(|(index, key)| {
        if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| name == key) {
            return Some(format!("--set cannot give {key}: use {flag}"));
        }
        set[..index]
            .contains(key)
            .then(|| format!("--set gives {key} twice: leave one out"))
    })
}

fn of_kafka(answers: &Answers) -> Option<String> {
    let security = answers.kafka_security.as_deref()?;
    let sasl = [
        ("--sasl-mechanism", &answers.sasl_mechanism),
        ("--sasl-user", &answers.sasl_user),
        ("--sasl-password-env", &answers.sasl_password_env),
        ("--sasl-password-file", &answers.sasl_password_file),
    ];
    let tls = [
        ("--kafka-ca", &answers.kafka_ca),
        ("--kafka-certificate", &answers.kafka_certificate),
    ];
    let contradicts = |flag: &str, lacks: &str, instead: &str| {
        format!(
            "{flag} contradicts --kafka-security {security}, which has no {lacks}: leave out {flag}, or give --kafka-security {instead}"
        )
    };
    if !answers.has_sasl()
        && let Some(flag) = given(&sasl)
    {
        return Some(contradicts(flag, "SASL", "SASL_SSL"));
    }
    if !answers.has_kafka_tls()
        && let Some(flag) = given(&tls)
    {
        let instead = if answers.has_sasl() {
            "SASL_SSL"
        } else {
            "SSL"
        };
        return Some(contradicts(flag, "TLS", instead));
    }
    None
}

fn given(flags: &[(&'static str, &Option<String>)]) -> Option<&'static str> {
    flags
        .iter()
        .find(|(_, value)| value.is_some())
        .map(|(flag, _)| *flag)
}
