//! What requests are judged by: everything that the configuration says of them, exchanged as a whole.
//!
//! A request takes the present table when its head has arrived and ends with it. So a change of the configuration drops no
//! request, and none is judged half by the old one and half by the new one.

use std::collections::HashMap;
use std::time::Duration;

use ipnet::IpNet;

use super::body::BodyLimits;
use super::config::{ListenConfig, SourceConfig};
use super::content_log::ContentLog;
use super::dedup::Dedup;
use super::health::Health;
use super::memory::Budget;
use super::metrics::{Metrics, Refusals};
use super::rate_limit::RateLimits;
use super::refusal_log::RefusalLog;
use super::source::{IngestError, Source, build, bytes};

/// See the module.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) sources: Vec<Source>,
    /// From a path to an index of `sources`.
    pub(super) routes: HashMap<String, usize>,
    /// Of requests to no source.
    pub(super) limits: BodyLimits,
    pub(super) commit_timeout: Duration,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) health: Option<Health>,
    /// Shared with the tables before this one, as far as the limits are the same.
    pub(super) rate_limits: RateLimits,
    /// Shared in the same way.
    pub(super) dedup: Dedup,
    pub(super) refusal_log: RefusalLog,
    /// Of events that are accepted although an operator has to change something.
    pub(super) content_log: ContentLog,
}

impl Table {
    /// Reads the keys; a blank or unreadable one is an error. All bodies share `budget`. `before` is the table whose place this
    /// one takes, and whose windows of duplicates it has until [`Table::with_windows`].
    pub(super) fn new(
        listen: &ListenConfig,
        sources: &[SourceConfig],
        budget: &Budget,
        metrics: &Metrics,
        before: Option<&Self>,
    ) -> Result<Self, IngestError> {
        let limits = BodyLimits {
            max_body: bytes(listen.max_body),
            timeout: listen.body_timeout,
            budget: budget.clone(),
        };
        let rates = sources.iter().map(SourceConfig::rate_limits);
        let rate_limits = match before {
            Some(before) => before.rate_limits.reconfigured(rates),
            None => RateLimits::new(rates),
        };
        let (mut built, routes) = build(sources, &limits, metrics)?;
        assign_lanes(&mut built, before.map_or(&[], |before| &before.sources[..]));
        let names = built.iter().map(|source| source.name.as_str());
        let dedup = before.map_or_else(Dedup::new, |before| before.dedup.clone());
        Ok(Self {
            content_log: ContentLog::new(&built),
            dedup,
            rate_limits,
            refusal_log: RefusalLog::new(names),
            sources: built,
            routes,
            limits,
            commit_timeout: listen.commit_timeout,
            trusted_proxies: listen.trusted_proxies.clone(),
            health: listen.health_path.as_deref().map(Health::new),
        })
    }

    /// With the windows of these sources. Last, because windows that are shared change with it.
    pub(super) fn with_windows(mut self, sources: &[SourceConfig]) -> Self {
        let counters = self.sources.iter().map(|source| &source.metrics.dedup);
        self.dedup = self.dedup.reconfigured(sources.iter().zip(counters));
        self
    }

    /// What was counted so far of the requests to each source, by its name.
    pub(super) fn refusals(&self) -> Vec<(String, Refusals)> {
        let sources = self.sources.iter();
        let refusals = sources.map(|source| (source.name.clone(), source.metrics.refusals()));
        refusals.collect()
    }

    /// Logs what was refused since the last line of each source and reason, once that line's time has come.
    pub(super) fn log_overdue(&self) {
        self.refusal_log.log_overdue();
        self.content_log.log_overdue();
    }

    /// Logs the same, whenever its time would come: nothing is judged by this table any more.
    pub(super) fn log_rest(&self) {
        self.refusal_log.log_rest();
        self.content_log.log_rest();
    }
}

/// A source that was there before keeps its lane; the others have the first that are free.
fn assign_lanes(sources: &mut [Source], before: &[Source]) {
    let kept = |name: &str| before.iter().find(|known| known.name == name);
    let mut taken: Vec<_> = sources
        .iter()
        .filter_map(|source| kept(&source.name).map(|known| known.lane))
        .collect();
    for source in sources {
        source.lane = kept(&source.name).map_or_else(
            || {
                let free = (0..=taken.len()).find(|lane| !taken.contains(lane));
                let free = free.unwrap_or_default();
                taken.push(free);
                free
            },
            |known| known.lane,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::Verify;
    use crate::telemetry::Registry;

    #[test]
    fn a_source_keeps_its_lane_for_as_long_as_it_is_configured() {
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let budget = Budget::new(1 << 20, metrics.body_bytes.clone());
        let table = |names: &[&str], before: Option<&Table>| {
            let sources = names.iter().map(|name| SourceConfig {
                name: (*name).to_owned(),
                path: format!("/{name}").as_str().into(),
                verify: Verify::None,
                ..SourceConfig::default()
            });
            let sources: Vec<_> = sources.collect();
            Table::new(
                &ListenConfig::default(),
                &sources,
                &budget,
                &metrics,
                before,
            )
            .unwrap()
        };
        let lanes = |table: &Table| {
            let sources = table.sources.iter();
            sources.map(|source| source.lane).collect::<Vec<_>>()
        };
        let first = table(&["a", "b", "c"], None);
        assert_eq!(lanes(&first), [0, 1, 2]);
        let second = table(&["c", "new", "a"], Some(&first));
        assert_eq!(lanes(&second), [2, 1, 0]);
        assert_eq!(lanes(&table(&["x", "y", "c"], Some(&second))), [0, 1, 2]);
    }
}
