//! The one reader of secrets, signing keys and Kafka's credentials alike.
//!
//! White space around a secret is trimmed. What would make a secret that nobody else has (a blank, quotes, a byte order
//! mark, line breaks or control characters inside) or that everybody has (a placeholder) is refused by name. No error
//! repeats a secret, nor a name or path in whose place the secret itself may have been pasted.

mod guess;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

pub use self::guess::{has_random_word, is_variable_name, looks_like_secret};

/// Longer than any key or list of certificates, in bytes. A file that never ends must not fill the memory.
const MAX_LENGTH: u64 = 1024 * 1024;
/// U+FEFF at the beginning of a file, as some editors write it.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// U+2026: documentation, ringback's too, writes `key_…` for a key, and web pages shorten keys by it.
const ELLIPSIS: char = '\u{2026}';
/// Pairs of quotes that people and shells put around a value.
const QUOTES: [(char, char); 5] = [
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('\u{201c}', '\u{201d}'),
    ('\u{2018}', '\u{2019}'),
];

/// Where a secret is read. Displayed, it names the variable or file: only if that is known to exist
/// (see [`SecretSource::masked`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable, by its name.
    Variable(String),
    /// A file.
    File(PathBuf),
}

/// What a secret looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretForm {
    /// One line.
    Line,
    /// A key or certificates in PEM: lines, the breaks between which are part of it.
    Pem,
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable, masked.
    #[error(
        "{0} is not set, or its value is not UTF-8 (export NAME=… in this shell, or set it for the service)"
    )]
    Unset(String),
    /// The file, masked, and the operating system's reason.
    #[error("{0} cannot be read")]
    Read(String, #[source] io::Error),
    /// It holds something else than a secret.
    #[error("{origin} {}", list(.faults))]
    Unusable {
        /// Where it was read.
        origin: SecretSource,
        /// Everything that is wrong with it.
        faults: Vec<SecretFault>,
    },
}

/// What is wrong with a secret, and the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretFault {
    /// Longer than 1 MiB.
    #[error("is longer than 1 MiB, which no secret is: name the file of the secret")]
    TooLong,
    /// Such as UTF-16, which Windows PowerShell writes.
    #[error("is not UTF-8: save it as UTF-8 without a byte order mark")]
    NotUtf8,
    /// Anywhere in it.
    #[error("has a byte order mark: save it as UTF-8 without one")]
    ByteOrderMark,
    /// Nothing is left after trimming.
    #[error("is blank")]
    Blank,
    /// They would be part of the secret.
    #[error("has quotes around it, which are not part of a secret: remove them")]
    Quoted,
    /// At its beginning or end: anybody may know a placeholder, and nobody has the shortened form of a key.
    #[error(
        "begins or ends with \"…\", as a placeholder or a shortened secret does: write the whole secret"
    )]
    Placeholder,
    /// Inside, if the form is [`SecretForm::Line`].
    #[error("has a line break inside: a secret is one line")]
    LineBreak,
    /// Inside.
    #[error("has the invisible character U+{:04X} inside: remove it", u32::from(*.0))]
    Invisible(char),
    /// No line is a PEM header, if the form is [`SecretForm::Pem`].
    #[error(
        "is not PEM: the line -----BEGIN …----- is missing, or line breaks were lost or written as \\n"
    )]
    NotPem,
}

fn list(faults: &[SecretFault]) -> String {
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    faults.join("; it ")
}

impl SecretSource {
    /// Reads the secret; blocks while it reads a file. `variable` gives the value of an environment variable.
    pub fn read(
        &self,
        form: SecretForm,
        variable: impl FnOnce(&str) -> Option<String>,
    ) -> Result<SecretString, SecretError> {
        let bytes = match self {
            Self::Variable(name) => variable(name)
                .map(String::into_bytes)
                .ok_or_else(|| SecretError::Unset(self.masked()))?,
            Self::File(file) => {
                read_file(file).map_err(|error| SecretError::Read(self.masked(), error))?
            }
        };
        let bytes = Zeroizing::new(bytes);
        parse(&bytes, form).map_err(|faults| SecretError::Unusable {
            origin: self.clone(),
            faults,
        })
    }

    /// As displayed, but without a name or path that may be the secret itself, pasted where its variable's name or its
    /// file's path belongs.
    pub fn masked(&self) -> String {
        match self {
            Self::Variable(name) if !guess::is_variable_name(name) => String::from(
                "the environment variable that is named here (not shown, because that may be the secret itself; \
                 write the name of a variable)",
            ),
            Self::File(file) if !guess::is_path(&file.to_string_lossy()) => String::from(
                "the file that is named here (not shown, because that may be the secret itself; write the path of a file)",
            ),
            shown => shown.to_string(),
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(formatter, "the environment variable {name}"),
            Self::File(file) => write!(formatter, "the file {}", file.display()),
        }
    }
}

/// Up to one byte more than a secret may have.
fn read_file(file: &Path) -> io::Result<Vec<u8>> {
    // Opening it could wait for ever, and a reload could not read it again.
    if fs::metadata(file)?.file_type().is_fifo() {
        return Err(io::Error::other(
            "it is a pipe; write the secret to a file, which can be read again",
        ));
    }
    let mut bytes = Vec::new();
    File::open(file)?
        .take(MAX_LENGTH + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The secret in `bytes`, or everything that is wrong with it.
fn parse(bytes: &[u8], form: SecretForm) -> Result<SecretString, Vec<SecretFault>> {
    if bytes.len() as u64 > MAX_LENGTH {
        return Err(vec![SecretFault::TooLong]);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| vec![SecretFault::NotUtf8])?;
    let secret = text.trim_matches(|c: char| c.is_whitespace() || c == BYTE_ORDER_MARK);
    let mut faults = Vec::new();
    if text.contains(BYTE_ORDER_MARK) {
        faults.push(SecretFault::ByteOrderMark);
    }
    if secret.is_empty() {
        faults.push(SecretFault::Blank);
    }
    let is_quoted = |(open, close): &(char, char)| {
        let rest = secret.strip_prefix(*open);
        rest.is_some_and(|rest| rest.ends_with(*close))
    };
    if QUOTES.iter().any(is_quoted) {
        faults.push(SecretFault::Quoted);
    }
    if secret.starts_with(ELLIPSIS) || secret.ends_with(ELLIPSIS) {
        faults.push(SecretFault::Placeholder);
    }
    if form == SecretForm::Line && secret.contains(is_line_break) {
        faults.push(SecretFault::LineBreak);
    }
    let may_stand = |c: char| form == SecretForm::Pem && c == '\t';
    let invisible = secret.chars().find(|c| is_invisible(*c) && !may_stand(*c));
    faults.extend(invisible.map(SecretFault::Invisible));
    if form == SecretForm::Pem && faults.is_empty() && !secret.lines().any(is_pem_header) {
        faults.push(SecretFault::NotPem);
    }
    if faults.is_empty() {
        return Ok(SecretString::from(secret));
    }
    Err(faults)
}

fn is_line_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Control characters, and what text copied from a web page may bring along: zero-width and direction marks.
fn is_invisible(c: char) -> bool {
    let is_mark = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}');
    (c.is_control() || is_mark) && !is_line_break(c)
}

/// As `-----BEGIN CERTIFICATE-----`, alone on its line; other lines may stand before it.
fn is_pem_header(line: &str) -> bool {
    let rest = line.strip_prefix("-----BEGIN ");
    let label = rest.and_then(|rest| rest.trim_end().strip_suffix("-----"));
    label.is_some_and(|label| !label.contains('-'))
}
