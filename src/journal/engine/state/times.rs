//! How long the oldest unpublished record has been waiting, and how long the budget lasts.

use super::State;

/// The least time between two marks, in milliseconds. It bounds their number by the length of an outage.
const TIME_STEP_MS: u64 = 1_000;
/// The rate is that of this many last milliseconds.
const RATE_WINDOW_MS: u64 = 60_000;

impl<F> State<F> {
    /// Notes the time of a commit whose first position is `first`.
    pub(in crate::journal::engine) fn note(&mut self, first: u64, now_ms: u64) {
        if self
            .times
            .back()
            .is_none_or(|(_, last)| now_ms.saturating_sub(*last) >= TIME_STEP_MS)
        {
            self.times.push_back((first, now_ms));
        }
        self.sample(now_ms);
    }

    /// Notes what counts against the budget now, for the rate.
    pub(in crate::journal) fn sample(&mut self, now_ms: u64) {
        if self
            .usage
            .back()
            .is_none_or(|(last, _)| now_ms.saturating_sub(*last) >= TIME_STEP_MS)
        {
            self.usage.push_back((now_ms, self.budget_used()));
        }
        while self.usage.len() > 1
            && self
                .usage
                .front()
                .is_some_and(|(at, _)| now_ms.saturating_sub(*at) > RATE_WINDOW_MS)
        {
            self.usage.pop_front();
        }
    }

    /// How long the oldest unpublished record has been waiting, in milliseconds, to within a second; 0 if there is none.
    pub fn oldest_age_ms(&self, now_ms: u64) -> u64 {
        if self.unpublished() == 0 {
            return 0;
        }
        let before = self
            .times
            .iter()
            .rfind(|(position, _)| *position <= self.watermark);
        before
            .or(self.times.front())
            .map_or(0, |(_, at)| now_ms.saturating_sub(*at))
    }

    /// Seconds until the budget is used up at the present rate; infinite if usage is not growing.
    #[allow(clippy::cast_precision_loss, reason = "a forecast")]
    pub fn exhaustion_seconds(&self, budget: u64, now_ms: u64) -> f64 {
        let used = self.budget_used();
        let Some((since, then)) = self.usage.front() else {
            return f64::INFINITY;
        };
        let (elapsed, grown) = (now_ms.saturating_sub(*since), used.saturating_sub(*then));
        if used >= budget {
            0.0
        } else if elapsed == 0 || grown == 0 {
            f64::INFINITY
        } else {
            (budget - used) as f64 / grown as f64 * elapsed as f64 / 1_000.0
        }
    }
}
