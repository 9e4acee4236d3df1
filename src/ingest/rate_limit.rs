//! Limits on how many events a source takes and how many requests one client sends: token buckets, off unless configured.
//!
//! A source's bucket is charged only for requests that are authenticated: whoever else knows the path could use it up
//! otherwise. Before a body is read, the bucket is only looked at, so that an excess costs no more than its head. A client's
//! bucket is charged for each request, whatever becomes of it.

mod bucket;
mod clients;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::bucket::{Bucket, Quota};
use self::clients::Clients;
use crate::settings::settings;

/// The most tokens a second, and the most at once: more than a relay accepts.
const MOST: u32 = 1_000_000;

settings! {
    /// A token bucket.
    pub struct RateLimit {
        /// How many are accepted each second in the long run.
        per_second: u32 = 1, required, bounds(1..=MOST);
        /// How many are accepted at once after a pause, from 1 to 1000000; without one it is `per_second`.
        burst: Option<u32> = None, check(|burst| burst.map_or(Ok(()), check_burst));
    }
}

fn check_burst(burst: u32) -> Result<(), String> {
    if (1..=MOST).contains(&burst) {
        return Ok(());
    }
    Err(format!(
        "{burst} is out of range; write a number from 1 to {MOST}"
    ))
}

/// The limits of one source, as configured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Configured<'a> {
    /// The source's name.
    pub(super) name: &'a str,
    /// Of the source's events.
    pub(super) events: Option<&'a RateLimit>,
    /// Of the requests of each client address to the source.
    pub(super) client: Option<&'a RateLimit>,
}

/// A limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limited {
    /// Until there is a token again.
    pub(super) wait: Duration,
    /// True if it is the client's limit, false if it is the source's.
    pub(super) of_client: bool,
    /// True if the request's body was not read.
    pub(super) body_unread: bool,
}

/// The buckets of all sources. They outlive a change of the configuration.
#[derive(Debug)]
pub(super) struct RateLimits {
    /// The origin of the buckets' times.
    epoch: Instant,
    /// In the order of the configuration.
    sources: Vec<SourceLimits>,
}

#[derive(Debug)]
struct SourceLimits {
    name: String,
    events: Option<Arc<Bucket>>,
    clients: Option<Arc<Clients>>,
}

impl RateLimits {
    /// Full buckets.
    pub(super) fn new<'a>(sources: impl Iterator<Item = Configured<'a>>) -> Self {
        let none = Self {
            epoch: Instant::now(),
            sources: Vec::new(),
        };
        none.reconfigured(sources)
    }

    /// The same limits for another configuration: a bucket whose source still exists and whose limit is the same stays as it
    /// is, whatever the source's place; the others are full.
    pub(super) fn reconfigured<'a>(&self, sources: impl Iterator<Item = Configured<'a>>) -> Self {
        let sources = sources.map(|configured| {
            let known = self.sources.iter().find(|old| old.name == configured.name);
            let events = configured.events.map(|limit| {
                let quota = Quota::new(limit);
                let bucket = known.and_then(|old| old.events.clone());
                let bucket = bucket.filter(|bucket| bucket.quota == quota);
                bucket.unwrap_or_else(|| Arc::new(Bucket::new(quota)))
            });
            let clients = configured.client.map(|limit| {
                let quota = Quota::new(limit);
                let clients = known.and_then(|old| old.clients.clone());
                let clients = clients.filter(|clients| clients.quota == quota);
                clients.unwrap_or_else(|| Arc::new(Clients::new(quota)))
            });
            SourceLimits {
                name: configured.name.to_owned(),
                events,
                clients,
            }
        });
        Self {
            epoch: self.epoch,
            sources: sources.collect(),
        }
    }

    /// Charges a request to its client's bucket, and looks whether the source would take an event. `index` is the source's;
    /// `client` is asked for its address only if that has a limit.
    pub(super) fn on_head(
        &self,
        index: usize,
        client: impl FnOnce() -> IpAddr,
    ) -> Result<(), Limited> {
        let limits = &self.sources[index];
        let limited = |of_client| {
            move |wait| Limited {
                wait,
                of_client,
                body_unread: true,
            }
        };
        if let Some(clients) = &limits.clients {
            let taken = clients.take(client(), self.now());
            taken.map_err(limited(true))?;
        }
        if let Some(events) = &limits.events {
            events.look(self.now()).map_err(limited(false))?;
        }
        Ok(())
    }

    /// Charges an authenticated request to its source's bucket.
    pub(super) fn on_event(&self, index: usize) -> Result<(), Limited> {
        let Some(events) = &self.sources[index].events else {
            return Ok(());
        };
        events.take(self.now()).map_err(|wait| Limited {
            wait,
            of_client: false,
            body_unread: false,
        })
    }

    /// Nanoseconds since the origin.
    fn now(&self) -> u64 {
        // Enough for 584 years.
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured<'a>(name: &'a str, limit: &'a RateLimit) -> Configured<'a> {
        Configured {
            name,
            events: Some(limit),
            client: Some(limit),
        }
    }

    /// How many heads, and then events, are taken at once.
    fn taken(limits: &RateLimits, index: usize) -> (usize, usize) {
        let client = || IpAddr::from([192, 0, 2, 1]);
        let events = (0..100).take_while(|_| limits.on_event(index).is_ok());
        let events = events.count();
        let refused = (0..100).map(|_| limits.on_head(index, client));
        let of_client =
            |refused: &Result<(), Limited>| refused.is_err_and(|limited| limited.of_client);
        (
            refused.take_while(|refused| !of_client(refused)).count(),
            events,
        )
    }

    #[test]
    fn a_bucket_outlives_a_change_of_the_configuration_unless_its_limit_changes() {
        let slow = RateLimit {
            per_second: 1,
            burst: Some(5),
        };
        let other = RateLimit {
            burst: Some(6),
            ..slow
        };
        let first = RateLimits::new([configured("a", &slow), configured("b", &slow)].into_iter());
        assert_eq!(taken(&first, 0), (5, 5));
        // "a" moves to another place and "b" gets another limit.
        let sources = [configured("b", &other), configured("a", &slow)];
        let second = first.reconfigured(sources.into_iter());
        assert_eq!(taken(&second, 1), (0, 0));
        assert_eq!(taken(&second, 0), (6, 6));
    }

    #[test]
    fn a_source_without_limits_takes_everything() {
        let none = Configured {
            name: "a",
            events: None,
            client: None,
        };
        let limits = RateLimits::new([none].into_iter());
        assert_eq!(taken(&limits, 0), (100, 100));
    }
}
