//! What `serve` shows on a terminal at its start and at its end: a title, and rows of a name and a value.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

use crate::command::output::warn;
use crate::command::terminal::{self, wrapped};

/// The columns of a name, with the blanks around it.
const MARGIN: usize = 12;

/// Texts that fit the terminal's width.
pub struct Screen {
    text: String,
    columns: usize,
}

impl Screen {
    /// Begins one for standard error; `None` if that is no terminal. Standard output is not used by `serve`, so what reads its
    /// log is not disturbed.
    pub fn on_terminal(title: &str) -> Option<Self> {
        let stderr = io::stderr();
        let columns = stderr.is_terminal().then(|| terminal::columns(&stderr))?;
        Some(Self::new(title, columns.unwrap_or(usize::MAX)))
    }

    fn new(title: &str, columns: usize) -> Self {
        Self {
            text: format!("\n{title}\n\n"),
            columns,
        }
    }

    /// Adds a row. A value that is too long goes on in the next line.
    pub fn row(&mut self, name: &str, value: &str) {
        let bold = anstyle::Style::new().bold();
        let (on, off) = (bold.render(), bold.render_reset());
        let value = wrapped(value, self.columns.saturating_sub(MARGIN), 0);
        let value = value.replace('\n', &format!("\n{:MARGIN$}", ""));
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "  {on}{name:<9}{off} {value}");
    }

    /// Prints it.
    pub fn show(&self) {
        warn(&self.text);
    }
}
