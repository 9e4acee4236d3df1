//! Any text as a configuration file: it is read or refused, each refusal says something, and both are repeatable.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringback::config::{Config, Environment};

fuzz_target!(|text: &str| {
    let read = || Config::parse(text, "ringback.toml", &Environment::default());
    let refusal = |error: ringback::config::ConfigError| error.to_string();
    let first = read().map(drop).map_err(refusal);
    if let Err(first) = &first {
        assert!(!first.trim().is_empty(), "a refusal without a reason");
    }
    assert_eq!(first, read().map(drop).map_err(refusal));
});
