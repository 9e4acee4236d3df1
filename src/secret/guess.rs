//! Whether a text may be a secret, guessed from its looks.
//!
//! The guess only decides what an error shows. Where a name or path belongs, only what certainly looks like one is shown;
//! elsewhere, a text is hidden only if it looks like a secret.

/// Beginnings of the secrets that senders of webhooks give out.
const PREFIXES: [&str; 2] = ["key_", "whsec_"];
/// No secret is shorter, and hiding short texts would spoil the errors that contain them by chance. Bytes.
const MIN_LENGTH: usize = 8;

/// True if `text` begins as a sender's secret does, or holds a word of mixed letters and digits that nobody would make up.
pub fn looks_like_secret(text: &str) -> bool {
    let begins = |prefix: &&str| text.starts_with(*prefix) && text.len() >= MIN_LENGTH;
    PREFIXES.iter().any(begins) || has_random_word(text)
}

/// As [`looks_like_secret`], for names, which may well begin as a secret does: `key_pointers`.
pub fn has_random_word(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(is_random)
}

fn is_random(word: &str) -> bool {
    let is_digit: Vec<_> = word.bytes().map(|byte| byte.is_ascii_digit()).collect();
    let changes = is_digit.windows(2).filter(|pair| pair[0] != pair[1]);
    // A name changes from letters to a number once or twice.
    let changes = changes.count();
    match word.len() {
        16.. => changes >= 1,
        12.. => changes >= 3,
        MIN_LENGTH.. => changes >= 1 && word.bytes().all(|byte| byte.is_ascii_hexdigit()),
        _ => false,
    }
}

/// True if `text` is in capitals, as variables are by convention, does not begin with a digit, which no shell could set, and
/// does not look like a secret.
pub fn is_variable_name(text: &str) -> bool {
    let is_capital = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = text.starts_with(|c: char| !c.is_ascii_digit());
    begins && text.bytes().all(is_capital) && !looks_like_secret(text)
}

/// True if `text` is a path with a folder and does not look like a secret.
pub(super) fn is_path(text: &str) -> bool {
    text.contains('/') && !text.contains(['=', '+']) && !looks_like_secret(text)
}
