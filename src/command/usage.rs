//! What clap says of a wrong command line, as it is shown.

use std::ffi::OsString;
use std::path::Path;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::CommandLine;
use super::render::{printable, shell_path};

/// `error` with everything that was typed written out, so that it cannot act on the terminal, and with the option for a path that
/// stands without one. `arguments` are all that were typed, the program's name first.
pub fn shown(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let tip = option_for_path(&error, arguments);
    let context = error.context();
    let context = context.map(|(kind, value)| (kind, written_out(value)));
    for (kind, value) in context.collect::<Vec<_>>() {
        error.insert(kind, value);
    }
    if let Some(tip) = tip {
        let tip = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}

/// A usage, the only styled text of its own, repeats nothing that was typed. A suggestion may: it loses its colours.
fn written_out(value: &ContextValue) -> ContextValue {
    match value {
        ContextValue::String(text) => ContextValue::String(printable(text)),
        ContextValue::Strings(texts) => {
            ContextValue::Strings(texts.iter().map(|text| printable(text)).collect())
        }
        ContextValue::StyledStrs(texts) => {
            let texts = texts.iter().map(|text| printable(&text.to_string()).into());
            ContextValue::StyledStrs(texts.collect())
        }
        other => other.clone(),
    }
}

/// What to write instead of an argument without an option, if that is a journal's folder or may be a configuration.
fn option_for_path(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let (ErrorKind::UnknownArgument, ContextValue::String(typed)) =
        (error.kind(), error.get(ContextKind::InvalidArg)?)
    else {
        return None;
    };
    let path = Path::new(typed);
    let is_folder = path.is_dir();
    let (option, value) = if is_folder {
        ("path", "DIR")
    } else {
        ("config", "FILE")
    };
    let command = CommandLine::command();
    let mut command = &command;
    for argument in arguments.iter().skip(1) {
        match command.find_subcommand(argument) {
            Some(subcommand) => command = subcommand,
            None => break,
        }
    }
    let argument = command.get_arguments().find(|argument| {
        let names = argument.get_value_names().unwrap_or_default();
        argument.get_long() == Some(option) && names.iter().any(|name| name == value)
    })?;
    let is_meant = is_folder
        || argument.is_required_set()
        || path.extension().is_some_and(|end| end == "toml");
    let is_meant = is_meant && !typed.starts_with('-');
    is_meant.then(|| format!("did you mean --{option} {}?", shell_path(path)))
}
