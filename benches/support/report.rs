//! Medians, tables and JSON.

use std::fs;

use serde_json::{Map, Value, json};

use super::options::Options;

/// The median; of an even number of values, the lower one of the two in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

/// The median of `figure` over the rounds.
pub fn median_of<T>(rounds: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    median(rounds.iter().map(figure))
}

/// All figures of a bench.
pub struct Report {
    name: &'static str,
    rows: Vec<Map<String, Value>>,
    load_average: String,
}

impl Report {
    /// Starts the report of the bench `name`.
    pub fn new(name: &'static str) -> Self {
        let load_average = load_average();
        println!("{name}; load average before: {load_average}");
        Self {
            name,
            rows: Vec::new(),
            load_average,
        }
    }

    /// Adds a row of named figures to the table and prints it.
    pub fn row(&mut self, name: &str, figures: &[(&str, f64)]) {
        let texts: Vec<_> = figures
            .iter()
            .map(|(name, value)| format!("{name} {}", short(*value)))
            .collect();
        println!("  {name:<34} {}", texts.join(" | "));
        let mut row = Map::new();
        row.insert(String::from("row"), json!(name));
        for (name, value) in figures {
            row.insert((*name).to_owned(), json!(value));
        }
        self.rows.push(row);
    }

    /// Writes the JSON if it was asked for.
    pub fn finish(self, options: &Options) {
        println!("load average after: {}", load_average());
        let Some(path) = &options.json else { return };
        let all = json!({
            "bench": self.name,
            "short": options.short,
            "rounds": options.rounds,
            "load_average_before": self.load_average,
            "load_average_after": load_average(),
            "rows": self.rows,
        });
        let text = serde_json::to_string_pretty(&all).expect("it is plain data");
        fs::write(path, text).expect("the JSON file can be written");
    }
}

/// At least three significant digits.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Shows whether other work on the machine has made the figures worthless.
fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
