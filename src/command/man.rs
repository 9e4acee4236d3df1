//! `ringback man`: the manual pages, one for each command, from the same declarations as `--help`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::CommandError;

/// Where to.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ringback man ~/.local/share/man/man1
  ringback man . && man -l ringback-serve.1

The Debian package has them already: man ringback-serve.")]
pub struct ManArgs {
    /// The folder to write to; created if missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes the pages of `command`, which is ringback's whole command line.
pub fn run(arguments: &ManArgs, command: clap::Command) -> Result<(), CommandError> {
    let folder = arguments.folder.as_path();
    let fail = |source| CommandError::Man {
        folder: folder.display().to_string(),
        source,
    };
    fs::create_dir_all(folder).map_err(fail)?;
    // `ringback help` is no command of its own.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    write(&command, folder).map_err(fail)
}

fn write(command: &clap::Command, folder: &Path) -> io::Result<()> {
    for below in command.get_subcommands() {
        write(below, folder)?;
    }
    let man = Man::new(command.clone()).manual("ringback");
    fs::write(folder.join(man.get_filename()), page(command, &man)?)
}

fn page(command: &clap::Command, man: &Man) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").split_whitespace();
    let usage: Vec<_> = usage.collect();
    // clap_mangen's own synopsis leaves the options' values out.
    let mut synopsis = Roff::new();
    synopsis.control("SH", ["SYNOPSIS"]);
    synopsis.text([roman(usage.join(" "))]);
    synopsis.to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(ending) = command.get_after_help() {
        ending_of(&ending.to_string()).to_writer(&mut page)?;
    }
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// What ends a help text: examples, which keep their lines, and paragraphs.
fn ending_of(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut is_example = false;
    for line in text.lines() {
        if line.starts_with("  ") != is_example {
            is_example = !is_example;
            roff.control(if is_example { "nf" } else { "fi" }, []);
        }
        match line {
            "Examples:" => drop(roff.control("SH", ["EXAMPLES"])),
            "" => {}
            example if is_example => drop(roff.text([roman(example)])),
            paragraph => drop(roff.control("PP", []).text([roman(paragraph)])),
        }
    }
    if is_example {
        roff.control("fi", []);
    }
    roff
}
