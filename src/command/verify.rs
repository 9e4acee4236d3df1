//! `ringback verify`: why does the signature of a captured request match, or not?

mod capture;
mod causes;
mod diagnosis;
mod json_forms;
mod report;

use secrecy::ExposeSecret as _;

use super::sender::{SenderArgs, SenderKey};
use super::{CommandError, ERROR, print_line};
use crate::command::output::warn;
use crate::ingest::{KeyConfig, Signer, SourceConfig, Verify};
use crate::secret::SecretForm;
use crate::time::now_ms;

use capture::CaptureArgs;
pub(super) use capture::{Capture, CaptureError};
pub(super) use diagnosis::{Case, diagnose};
use diagnosis::{Stranger, present};
pub(super) use report::Diagnosis;

/// A key of every scheme, with which only the headers are looked at, for keys at hand that do not fit.
const ANY: &str = "c2VjcmV0";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback verify -c ringback.toml --request request.txt
  ringback verify -c ringback.toml --source stripe --request request.txt --json
  ringback verify --body body.json --header 'X-Retell-Signature: v=…,d=…'
  ringback verify --verify github --key-env SECRET --request - < request.txt
  ringback verify --request request.txt --at 2026-01-31T10:00:00Z

It looks at a request that was captured and says whether ringback would accept it, and if not, for which reason and what to do \
about it: it tries the body without a final newline, as other serialisers write JSON, with the key in other encodings, with the \
keys of other sources, and so on.
A capture must be exact to the byte: save what a listener gets (nc -l 8099 > request.txt), not an editor, which may add a newline.

Exit codes: 0 the request is authentic; 1 it is not; 2 wrong usage; 78 bad configuration.")]
pub struct VerifyArgs {
    #[command(flatten)]
    sender: SenderArgs,
    #[command(flatten)]
    capture: CaptureArgs,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Reads the capture, and prints what is wrong with it.
pub(super) fn run(arguments: &VerifyArgs) -> Result<(), CommandError> {
    let sender = arguments.sender.sender()?;
    let verify = sender.source.verify;
    let keys = sender.keys()?;
    let missing = sender.missing_variable();
    if keys.is_empty() && missing.is_none() {
        return Err(CaptureError::Nothing(verify).into());
    }
    let relay = sender.relay.as_ref();
    let all = relay.map_or(&[][..], |relay| &relay.source);
    let strangers = strangers(all, &sender.source, &keys);
    let capture = arguments.capture.read();
    let unnamed = |capture| present(&strangers, capture).map(CaptureError::Unnamed);
    if let Some(variable) = missing {
        let unnamed = capture.as_ref().ok().and_then(unnamed);
        return Err(unnamed.unwrap_or(CaptureError::NoKey(variable)).into());
    }
    let capture = capture?;
    let at = arguments.capture.at()?.or(capture.at_ms);
    let diagnosis = diagnose(&Case {
        verify,
        keys: &keys,
        strangers: &strangers,
        capture: &capture,
        now_ms: at.unwrap_or_else(now_ms),
    });
    if arguments.json {
        let json = serde_json::to_string_pretty(&diagnosis.json());
        print_line(&json.map_err(std::io::Error::other)?)?;
    } else {
        print_line(&diagnosis.text(ERROR))?;
    }
    if diagnosis.causes.is_empty() {
        return Ok(());
    }
    if !arguments.sender.names_sender()
        && let Some(unnamed) = unnamed(&capture)
    {
        warn(format_args!(
            "No sender was named, so Retell is assumed; {unnamed}."
        ));
    }
    Err(CommandError::NotAuthentic)
}

/// Other senders that a request to `own` may come from: the other sources among `all` with their keys, and every scheme that
/// needs no settings with the keys at hand.
pub(super) fn strangers(
    all: &[SourceConfig],
    own: &SourceConfig,
    keys: &[SenderKey],
) -> Vec<Stranger> {
    let others = all.iter().filter(|source| source.name != own.name);
    let mut strangers = Vec::new();
    for source in others {
        let origins = source.keys.iter().filter_map(KeyConfig::source);
        for origin in origins {
            let variable = |name: &str| std::env::var(name).ok();
            let Ok(secret) = origin.read(SecretForm::Line, variable) else {
                continue;
            };
            // Also by the scheme that was asked for: the sender may have been given the other source's key.
            for scheme in [source.scheme(), own.scheme()] {
                let signer = Signer::new(&scheme, secret.expose_secret());
                strangers.extend(signer.ok().flatten().map(|signer| Stranger {
                    verify: scheme.verify,
                    source: Some(source.name.clone()),
                    signer,
                }));
            }
        }
    }
    let twilio = own.twilio.clone().unwrap_or_default();
    for verify in Verify::BY_SIGNATURE {
        let mut scheme = own.scheme();
        (scheme.verify, scheme.hmac, scheme.bearer) = (verify, None, None);
        scheme.twilio = (verify == Verify::Twilio).then_some(&twilio);
        let secrets = keys.iter().map(|key| key.secret.expose_secret());
        let signers = secrets
            .chain([ANY])
            .filter_map(|secret| Signer::new(&scheme, secret).ok()?);
        if verify != own.verify {
            strangers.extend(signers.map(|signer| Stranger {
                verify,
                source: None,
                signer,
            }));
        }
    }
    strangers
}
