//! How long the oldest unpublished record has been waiting, and how long the budget will last.

use super::State;

/// Time marks are at least this far apart, so their number is bounded by the length of an outage.
const TIME_STEP_MS: u64 = 1_000;
/// How far back the rate looks from which the time until exhaustion follows.
const RATE_WINDOW_MS: u64 = 60_000;

impl<F> State<F> {
    /// Notes the time of a commit and what is unpublished after it.
    pub fn note(&mut self, first: u64, now_ms: u64) {
        if self
            .times
            .back()
            .is_none_or(|(_, last)| now_ms.saturating_sub(*last) >= TIME_STEP_MS)
        {
            self.times.push_back((first, now_ms));
        }
        self.sample(now_ms);
    }

    /// Notes what is unpublished now, for the rate.
    pub fn sample(&mut self, now_ms: u64) {
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

    /// How long the oldest unpublished record has been waiting, in milliseconds, within a second; 0 where there is none.
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

    /// Seconds until the budget is used up at the present rate; infinite where it is not growing.
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
