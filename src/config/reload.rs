//! What a running relay takes of a changed configuration, and what it cannot take without a restart.

use std::collections::BTreeMap;

use prometheus::{IntCounterVec, IntGauge};

use super::Config;
use crate::settings::{SettingValue, Shown};
use crate::telemetry::Registry;

/// A changed configuration as a running relay can use it.
#[derive(Debug)]
pub struct Reloaded {
    /// The present configuration with what it takes of the changed one.
    pub config: Config,
    /// The keys that have changed and stay as they were, such as `kafka.topic`.
    pub needs_restart: Vec<String>,
}

/// What was made of changed configurations.
#[derive(Debug, Clone)]
pub struct ReloadMetrics {
    reloads: IntCounterVec,
    is_last_successful: IntGauge,
}

impl ReloadMetrics {
    /// Registers them.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let reloads = registry.counters(
            "config_reloads_total",
            "Changed configurations that were read while ringback ran: taken (success), or refused as a whole (failure).",
            &["result"],
        )?;
        for result in ["success", "failure"] {
            reloads.with_label_values(&[result]);
        }
        let is_last_successful = registry.gauge(
            "config_last_reload_successful",
            "1 if the configuration is in use as it was last read, 0 if that was refused and an earlier one goes on.",
        )?;
        is_last_successful.set(1);
        Ok(Self {
            reloads,
            is_last_successful,
        })
    }

    /// A changed configuration is in use.
    pub(crate) fn taken(&self) {
        self.reloads.with_label_values(&["success"]).inc();
        self.is_last_successful.set(1);
    }

    /// A changed configuration is refused.
    pub(crate) fn refused(&self) {
        self.reloads.with_label_values(&["failure"]).inc();
        self.is_last_successful.set(0);
    }
}

impl Config {
    /// Takes what can change while the relay runs: the sources, and the keys of `[listen]` that are about one request. The rest
    /// stays. Errors say why the two do not fit together. `largest_body` is the largest body of the configuration at the start,
    /// in bytes: the Kafka producer was built for it.
    pub fn reloaded(&self, fresh: &Self, largest_body: u64) -> Result<Reloaded, Vec<String>> {
        let mut config = self.clone();
        config.source.clone_from(&fresh.source);
        let (listen, new) = (&mut config.listen, &fresh.listen);
        // The Kafka producer was built for the largest body at the start.
        if new.max_body.as_u64() <= largest_body {
            listen.max_body = new.max_body;
        }
        listen.body_timeout = new.body_timeout;
        listen.trusted_proxies.clone_from(&new.trusted_proxies);
        listen.health_path.clone_from(&new.health_path);
        // TLS itself cannot be switched on or off under connections.
        if listen.tls.is_some() && new.tls.is_some() {
            listen.tls.clone_from(&new.tls);
        }
        let mut errors = Vec::new();
        if config.publish().max_body > largest_body {
            errors.push(format!(
                "a source's max_body is larger than the largest body at the start, {}, for which the Kafka producer was built: restart \
                 ringback",
                bytesize::ByteSize::b(largest_body)
            ));
        }
        super::relations::check(
            &config,
            |_| true,
            |key, message| errors.push(format!("{key}: {message}, and restart ringback")),
        );
        if !errors.is_empty() {
            return Err(errors);
        }
        let (kept, wanted) = (leaves(&config), leaves(fresh));
        let keys = kept.keys().chain(wanted.keys());
        let changed = keys.filter(|key| kept.get(*key) != wanted.get(*key));
        let mut needs_restart: Vec<_> = changed.cloned().collect();
        needs_restart.sort_unstable();
        needs_restart.dedup();
        Ok(Reloaded {
            config,
            needs_restart,
        })
    }
}

/// Each key with its value, as the file would have it.
fn leaves(config: &Config) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    if let Some(shown) = SettingValue::show(config) {
        collect("", &shown, &mut leaves);
    }
    leaves
}

fn collect(path: &str, value: &Shown, leaves: &mut BTreeMap<String, String>) {
    let Shown::Table(keys) = value else {
        leaves.insert(path.to_owned(), value.to_string());
        return;
    };
    for (key, value) in keys {
        let dot = if path.is_empty() { "" } else { "." };
        collect(&format!("{path}{dot}{key}"), value, leaves);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use crate::settings::Reload;

    const SOURCE: &str = "[[source]]\nname = \"s\"\npath = \"/\"\nverify = \"none\"\n";
    const KAFKA: &str = "[kafka.client]\n\"bootstrap.servers\" = \"a:1\"";
    const LARGEST: u64 = 8 << 20;

    fn config(sections: &str, source: &str) -> Config {
        let kafka = if sections.contains("[kafka.client]") {
            ""
        } else {
            KAFKA
        };
        let text = format!("{sections}\n{kafka}\n{SOURCE}{source}");
        Config::parse(&text, "test.toml", &Environment::from([])).unwrap()
    }

    fn reloaded(sections: &str) -> Result<Reloaded, Vec<String>> {
        config("", "").reloaded(&config(sections, ""), LARGEST)
    }

    #[test]
    fn each_key_of_listen_is_taken_or_needs_a_restart_as_its_reference_says() {
        let samples = [
            ("address", "\"127.0.0.1:1\""),
            ("max_connections", "7"),
            ("header_timeout", "\"7s\""),
            ("idle_timeout", "\"7s\""),
            ("body_timeout", "\"7s\""),
            ("max_body", "\"7KiB\""),
            ("commit_timeout", "\"7s\""),
            ("max_in_flight", "\"77MiB\""),
            ("trusted_proxies", "[\"10.0.0.0/8\"]"),
            ("tls", "{ certificate = \"/c\", key = \"/k\" }"),
            ("health_path", "\"/healthz\""),
        ];
        let sections = crate::config::sections();
        let listen = sections.iter().find(|section| section.name == "listen");
        let rows = listen.unwrap().kind.keys();
        assert!(
            rows.iter()
                .map(|row| row.name)
                .eq(samples.map(|(key, _)| key))
        );
        for (row, (key, value)) in rows.iter().zip(samples) {
            let reloaded = reloaded(&format!("[listen]\n{key} = {value}")).unwrap();
            let kept = reloaded.needs_restart;
            let is_taken = !kept
                .iter()
                .any(|kept| kept.starts_with(&format!("listen.{key}")));
            assert_eq!(kept.is_empty(), is_taken, "{kept:?}");
            assert_eq!(row.reload == Reload::Value, is_taken, "{key}");
        }
    }

    #[test]
    fn sources_are_taken_and_other_sections_are_named() {
        let kafka = "[kafka]\ntopic = \"x\"\n[kafka.client]\n\"bootstrap.servers\" = \"b:1\"\n\"client.id\" = \"c\"";
        let present = config("", "");
        let fresh = config(
            &format!("{kafka}\n[journal]\nbudget = \"9GiB\""),
            "max_body = \"1MiB\"\ntopic = \"t\"",
        );
        let Reloaded {
            config,
            needs_restart,
        } = present.reloaded(&fresh, LARGEST).unwrap();
        assert_eq!(config.source[0].topic.as_deref(), Some("t"));
        assert_eq!(config.kafka.topic, present.kafka.topic);
        assert_eq!(
            needs_restart,
            [
                "journal.budget",
                "kafka.client.\"bootstrap.servers\"",
                "kafka.client.\"client.id\"",
                "kafka.topic"
            ]
        );
    }

    #[test]
    fn a_body_larger_than_any_at_the_start_waits_for_a_restart() {
        let larger = reloaded("[listen]\nmax_body = \"9MiB\"").unwrap();
        assert_eq!(larger.needs_restart, ["listen.max_body"]);
        let present = config("", "");
        let larger = present.reloaded(&config("", "max_body = \"9MiB\""), LARGEST);
        let errors = larger.unwrap_err();
        assert!(
            errors[0].contains("body at the start, 8.0 MiB"),
            "{errors:?}"
        );
    }

    #[test]
    fn what_does_not_fit_what_stays_is_refused() {
        let small = config(
            "[listen]\nmax_body = \"1MiB\"\nmax_in_flight = \"4MiB\"",
            "",
        );
        let errors = small
            .reloaded(&config("", "max_body = \"5MiB\""), LARGEST)
            .unwrap_err();
        assert!(errors[0].contains("listen.max_in_flight"), "{errors:?}");
    }
}
