//! Which topic an event goes to: decided when it is published, from its source and its name, by the present configuration.

use std::collections::{BTreeMap, HashMap};

/// What one source says about its topics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceTopics {
    /// The source's name.
    pub source: String,
    /// The topic of its events; `None`: `kafka.topic`.
    pub topic: Option<String>,
    /// The topics of events with exactly these names.
    pub by_event: BTreeMap<String, String>,
}

/// All topics of events. Each has an index, by which the publisher's decisions know it.
#[derive(Debug, Clone)]
pub struct Topics {
    /// `kafka.topic` first.
    names: Vec<String>,
    /// Some source's events go to `kafka.topic`.
    is_main_used: bool,
    routes: HashMap<String, Route>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Route {
    usual: usize,
    by_event: HashMap<String, usize>,
}

impl Topics {
    /// `main` is `kafka.topic`, the topic of all that `sources` do not send elsewhere.
    pub fn new(main: &str, sources: &[SourceTopics]) -> Self {
        Self::behind(vec![main.to_owned()], sources)
    }

    /// As these sources say from now on. Each topic keeps its index, also one that is not used any more; new ones come last.
    #[must_use]
    pub fn rerouted(&self, sources: &[SourceTopics]) -> Self {
        Self::behind(self.names.clone(), sources)
    }

    fn behind(names: Vec<String>, sources: &[SourceTopics]) -> Self {
        let mut topics = Self {
            names,
            is_main_used: sources.is_empty(),
            routes: HashMap::new(),
        };
        for source in sources {
            let usual = source.topic.as_ref().map_or(0, |name| topics.index(name));
            topics.is_main_used |= usual == 0;
            let by_event = source.by_event.iter();
            let by_event = by_event.map(|(event, topic)| (event.clone(), topics.index(topic)));
            let by_event = by_event.collect::<HashMap<_, _>>();
            topics.is_main_used |= by_event.values().any(|index| *index == 0);
            if usual > 0 || !by_event.is_empty() {
                let route = Route { usual, by_event };
                topics.routes.insert(source.source.clone(), route);
            }
        }
        topics
    }

    /// The topic of an event with this name (as its envelope has it) of this source. A source that is not configured any more has
    /// `kafka.topic`.
    pub fn of(&self, source: &str, event: &str) -> usize {
        if self.routes.is_empty() {
            return 0;
        }
        self.routes.get(source).map_or(0, |route| {
            route.by_event.get(event).copied().unwrap_or(route.usual)
        })
    }

    /// True if some event may go to another topic than by `former`, of which these are [`Topics::rerouted`].
    pub fn differs_from(&self, former: &Self) -> bool {
        self.routes != former.routes
    }

    /// Their names, each once; `kafka.topic` is the first.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The names of those that events of a configured source may go to. Without `kafka.topic` among them, that has nothing but events of
    /// sources that were removed.
    pub fn used(&self) -> &[String] {
        &self.names[usize::from(!self.is_main_used)..]
    }

    /// True if events of a configured source may go to the topic at `index`; and for `kafka.topic`.
    pub fn is_used(&self, index: usize) -> bool {
        let mut routes = self.routes.values();
        index == 0
            || routes.any(|route| {
                let mut by_event = route.by_event.values();
                route.usual == index || by_event.any(|topic| *topic == index)
            })
    }

    /// The name of the topic at `index`.
    pub fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    fn index(&mut self, name: &str) -> usize {
        let found = self.names.iter().position(|known| known == name);
        found.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_s_topic_is_that_of_its_name_else_its_source_s_else_the_main_one() {
        let by_event = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(event, topic)| ((*event).to_owned(), (*topic).to_owned()))
                .collect()
        };
        let sources = [
            SourceTopics {
                source: String::from("stripe"),
                topic: Some(String::from("payments")),
                by_event: by_event(&[("invoice.paid", "invoices"), ("ping", "main")]),
            },
            SourceTopics {
                source: String::from("github"),
                topic: None,
                by_event: by_event(&[("push", "invoices")]),
            },
            SourceTopics {
                source: String::from("retell"),
                ..SourceTopics::default()
            },
        ];
        let topics = Topics::new("main", &sources);
        assert_eq!(topics.names(), ["main", "payments", "invoices"]);
        assert_eq!(topics.used(), topics.names());
        assert_eq!(Topics::new("main", &[]).used(), ["main"]);
        let elsewhere = SourceTopics {
            topic: Some(String::from("payments")),
            ..SourceTopics::default()
        };
        assert_eq!(Topics::new("main", &[elsewhere]).used(), ["payments"]);
        for (source, event, name) in [
            ("stripe", "invoice.paid", "invoices"),
            ("stripe", "invoice.paid2", "payments"),
            ("stripe", "ping", "main"),
            ("stripe", "none", "payments"),
            ("github", "push", "invoices"),
            ("github", "issues", "main"),
            ("retell", "invoice.paid", "main"),
            ("gone", "push", "main"),
        ] {
            assert_eq!(
                topics.name(topics.of(source, event)),
                name,
                "{source} {event}"
            );
        }
        assert_eq!(Topics::new("one", &sources[2..]).of("retell", "x"), 0);
        let moved = SourceTopics {
            topic: Some(String::from("moved")),
            ..sources[0].clone()
        };
        let rerouted = topics.rerouted(&[moved]);
        assert_eq!(rerouted.names(), ["main", "payments", "invoices", "moved"]);
        assert_eq!(
            [0, 1, 2, 3].map(|topic| rerouted.is_used(topic)),
            [true, false, true, true]
        );
        assert_eq!(rerouted.of("stripe", "x"), 3);
        assert_eq!(rerouted.of("github", "push"), 0);
    }
}
