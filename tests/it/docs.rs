//! The documentation is true: links lead somewhere, commands parse, configurations are valid, names exist, scripts work.

mod commands;
mod configurations;
mod links;
pub mod markdown;
mod names;
mod scripts;
