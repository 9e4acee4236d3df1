//! The documentation is true: links lead somewhere, commands parse, configurations are valid, diffs apply, names exist,
//! scripts work.

mod commands;
mod configurations;
mod diffs;
mod links;
pub mod markdown;
mod names;
mod scripts;
