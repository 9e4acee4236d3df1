//! The table of sizes in docs/kubernetes.md is what its formulas give, with the figures of docs/benchmarks.md.

use std::fs;
use std::path::Path;

/// Bytes of an event on disk: 7 KB and its envelope, in whole pages.
const EVENT: f64 = 8192.0;
const GIB: f64 = (1_u64 << 30) as f64;
/// Three segments.
const SPARE: f64 = 192.0 / 1024.0;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    fs::read_to_string(path).expect("the page is there")
}

/// A row's numbers; `None` for a row of other content.
fn numbers(row: &str) -> Option<Vec<f64>> {
    let cells = row.trim_matches('|').split('|');
    let numbers = cells.map(|cell| cell.trim().replace(',', "").parse().ok());
    numbers.collect()
}

/// The volume in GiB for this rate and so many hours: the budget, three segments, and what the file system takes.
fn volume(rate: f64, hours: f64) -> f64 {
    (rate * EVENT * 3600.0 * hours / GIB + SPARE) * 1.05
}

#[test]
fn the_sizes_are_what_the_formulas_give() {
    let sizes = page("kubernetes.md");
    let measured = page("benchmarks.md");
    let rows: Vec<_> = sizes.lines().filter_map(numbers).collect();
    assert_eq!(rows.len(), 4, "{rows:?}");
    for row in rows {
        let [rate, cost, cores, syncs, written, hour, shift, day] = row[..] else {
            panic!("{row:?}");
        };
        let heading = if rate < 1_000.0 {
            format!("| 7 KB, {rate}/s, 32 connections | ")
        } else {
            format!("| 7 KB, {},000/s, 32 connections | ", rate / 1_000.0)
        };
        let line = measured
            .lines()
            .find_map(|line| line.strip_prefix(&heading));
        let micros = line.and_then(|line| line.split(" | ").next()?.parse::<f64>().ok());
        let micros = micros.expect("the rate was measured");
        let close = |shown: f64, exact: f64, unit: f64| {
            assert!(
                (shown - exact).abs() <= unit / 2.0 + 1e-9,
                "{row:?}: {exact}"
            );
        };
        close(cost, micros / 1_000.0, 0.01);
        close(cores, rate * micros / 1e6, 0.01);
        close(syncs, rate, 0.0);
        close(written, rate * EVENT / 1e6, 0.1);
        close(hour, volume(rate, 1.0), 0.1);
        close(shift, volume(rate, 8.0), 0.1);
        close(day, volume(rate, 24.0), 0.1);
    }
}
