//! Reads the relay's own metrics page.

/// A histogram's growth between two pages, in its unit.
#[derive(Debug, Clone, Copy)]
pub struct Histogram {
    pub mean: f64,
    /// Interpolated within its bucket.
    pub p99: f64,
}

/// A counter's growth between two pages, over all its labels.
pub fn growth(before: &str, after: &str, name: &str) -> f64 {
    sum(after, name) - sum(before, name)
}

/// A histogram's growth between two pages; without labels but `le`.
pub fn histogram(before: &str, after: &str, name: &str) -> Histogram {
    let count = growth(before, after, &format!("{name}_count"));
    let mean = growth(before, after, &format!("{name}_sum")) / count;
    let (earlier, later) = (buckets(before, name), buckets(after, name));
    let (mut below, mut at) = (0.0, 0.0);
    for ((bound, later), (_, earlier)) in later.into_iter().zip(earlier) {
        let up_to = later - earlier;
        if up_to >= count * 0.99 {
            let share = (count * 0.99 - at) / (up_to - at);
            let p99 = if bound.is_finite() {
                below + (bound - below) * share
            } else {
                below
            };
            return Histogram { mean, p99 };
        }
        (below, at) = (bound, up_to);
    }
    Histogram {
        mean,
        p99: f64::NAN,
    }
}

fn sum(page: &str, name: &str) -> f64 {
    let lines = page.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with([' ', '{']))
    });
    lines.filter_map(value).sum()
}

fn buckets(page: &str, name: &str) -> Vec<(f64, f64)> {
    let prefix = format!("{name}_bucket{{le=\"");
    let lines = page
        .lines()
        .filter_map(|line| Some((line.strip_prefix(&prefix)?, line)));
    lines
        .filter_map(|(rest, line)| Some((rest.split('"').next()?.parse().ok()?, value(line)?)))
        .collect()
}

fn value(line: &str) -> Option<f64> {
    line.rsplit(' ').next()?.parse().ok()
}
