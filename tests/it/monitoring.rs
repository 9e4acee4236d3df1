//! The rules and the dashboard, in a real Prometheus that scrapes a real relay. promtool tests when each alert fires
//! (deploy/prometheus/*.test.yaml), but on series that it makes up; here, the relay has to serve them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use serde_json::Value;

use crate::support::certificates::{Authority, Files, patient};
use crate::support::eventually;
use crate::support::mock_kafka::MockKafka;
use crate::support::prometheus::{Prometheus, is_installed};
use crate::support::server::{KEY, Server, now_ms, post, signature};

const EVENT: &[u8] = br#"{"event":"call_ended","call":{"call_id":"a"}}"#;
const OLD_KEY: &str = "key_that_was_replaced";

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).expect("a file of the project can be read")
}

/// Posts over the connection that `exchange` makes; gives the answer's status.
fn send(exchange: impl Fn(&[u8]) -> String, path: &str, key: &str, body: &[u8]) -> String {
    let header = signature(key, now_ms(), body) + "Connection: close\r\n";
    let answer = exchange(&post(path, &header, body));
    answer.get(9..12).expect("a status line").to_owned()
}

/// One request of each kind that the dashboard has a panel for.
fn send_each(exchange: impl Fn(&[u8]) -> String) {
    let send = |path, key, body| send(&exchange, path, key, body);
    assert_eq!(send("/webhook", KEY, EVENT), "204");
    assert_eq!(send("/rotated", OLD_KEY, EVENT), "204");
    assert_eq!(send("/webhook", KEY, b"{}"), "204");
    assert_eq!(send("/webhook", "another key", EVENT), "401");
    assert_eq!(send("/unknown", KEY, EVENT), "404");
}

/// The queries of the dashboard's panels and variables, as Grafana sends them for all jobs and replicas.
fn queries(dashboard: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let panels = list(&dashboard["panels"]);
    let targets = panels
        .iter()
        .filter(|panel| panel["type"] != "row")
        .flat_map(|panel| list(&panel["targets"]));
    let queries = targets.map(|target| target["expr"].as_str().expect("a query").to_owned());
    let mut queries: Vec<_> = queries.collect();
    for variable in list(&dashboard["templating"]["list"]) {
        let definition = variable["definition"].as_str().unwrap_or_default();
        queries.extend(selectors(definition));
    }
    let filled = queries.iter().map(|query| {
        let query = query.replace("$__rate_interval", "1m");
        let query = query.replace("$__range", "1m");
        query.replace("$job", ".*").replace("$instance", ".*")
    });
    filled.collect()
}

/// Each series that `expression` takes of the relay, recorded ones included, without its range and offset.
fn selectors(expression: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_:".contains(c);
    let names = expression.match_indices("ringback").filter_map(|(at, _)| {
        let inside = expression[..at].chars().next_back().is_some_and(is_name);
        let rest = &expression[at..];
        let name = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
        // The word alone is a label's value.
        if inside || name == "ringback" {
            return None;
        }
        let labels = &rest[name.len()..];
        let end = labels.starts_with('{').then(|| labels.find('}')).flatten();
        Some(rest[..name.len() + end.map_or(0, |end| end + 1)].to_owned())
    });
    names.collect()
}

#[test]
fn every_query_of_the_dashboard_and_every_series_of_the_rules_has_data() {
    if !is_installed() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write =
        |name, text: &str| fs::write(folder.path().join(name), text).expect("it is written");
    write("old", OLD_KEY);
    let source = "[[source]]\nname = \"rotated\"\npath = \"/rotated\"\nverify = \"retell\"\n";
    let keys = format!(
        "keys = [{{ env = \"RETELL_API_KEY\" }}, {{ file = \"{}\", name = \"old-2025\" }}]\n",
        folder.path().join("old").display()
    );
    write("more.toml", &format!("{source}{keys}"));
    let kafka = MockKafka::start();
    let authority = Authority::new();
    let files = Files::in_folder(folder.path());
    authority.write(&files);
    let server = Server::start_in(folder.path(), &kafka.bootstrap, &files.setting(), "");
    let prometheus = Prometheus::alerting(server.admin, &read("deploy/prometheus/rules.yaml"));
    let exchange = |request: &[u8]| {
        let mut stream = authority.connect(patient(server.connect()));
        stream.write_all(request).expect("the connection is open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it is answered");
        answer
    };

    let has_data = |query: &str| {
        eventually(query, || {
            send_each(exchange);
            let values = prometheus.values(query);
            values.iter().any(|value| !value.is_nan())
        });
    };
    let dashboard = serde_json::from_str(&read("deploy/grafana/ringback.json"));
    let queries = queries(&dashboard.expect("JSON"));
    assert!(queries.len() > 60, "only {} queries", queries.len());
    queries.iter().for_each(|query| has_data(query));

    let rules = || {
        let groups = prometheus.get("rules").expect("it answers")["groups"].take();
        let groups = groups.as_array().expect("a list").clone();
        let rules = groups
            .iter()
            .flat_map(|group| group["rules"].as_array().cloned());
        rules.flatten().collect::<Vec<_>>()
    };
    eventually("every rule was evaluated", || {
        rules().iter().all(|rule| rule["health"] != "unknown")
    });
    let mut series = BTreeSet::new();
    for rule in rules() {
        assert_eq!(rule["health"], "ok", "{rule}");
        series.extend(selectors(rule["query"].as_str().expect("an expression")));
    }
    assert!(series.len() > 30, "only {series:?}");
    series.iter().for_each(|series| has_data(series));
}

#[test]
fn refused_senders_raise_their_alert_and_no_other_until_one_is_accepted() {
    if !is_installed() {
        return;
    }
    let rules = read("deploy/prometheus/rules.yaml");
    // A minute is for people; what is tested is the way from the relay's counters to the alert.
    let rules: Vec<_> = rules
        .lines()
        .map(|line| match line.trim_start().strip_prefix("for: ") {
            Some(_) => "        for: 1s",
            None => line,
        })
        .collect();
    let kafka = MockKafka::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start_in(folder.path(), &kafka.bootstrap, "", "");
    let prometheus = Prometheus::alerting(server.admin, &rules.join("\n"));
    let alerts = || {
        let alerts = prometheus.get("alerts").expect("it answers")["alerts"].take();
        alerts.as_array().expect("a list").clone()
    };

    eventually("it has seen the counters at zero", || {
        prometheus.values("count_over_time(up[1m]) > 2").len() == 1
    });
    assert_eq!(alerts(), [] as [Value; 0]);
    for _ in 0..4 {
        assert_eq!(
            send(
                |request: &[u8]| server.exchange(request),
                "/webhook",
                "another key",
                EVENT
            ),
            "401"
        );
    }
    eventually("the alert fires", || {
        alerts().iter().any(|alert| alert["state"] == "firing")
    });
    let firing = alerts();
    assert_eq!(firing.len(), 1, "{firing:?}");
    assert_eq!(
        firing[0]["labels"]["alertname"],
        "RingbackRefusedAndNothingAccepted"
    );
    assert_eq!(firing[0]["labels"]["source"], "retell");
    assert_eq!(
        send(
            |request: &[u8]| server.exchange(request),
            "/webhook",
            KEY,
            EVENT
        ),
        "204"
    );
    eventually("the alert is over", || alerts().is_empty());
}

#[test]
fn the_series_of_an_expression_are_found() {
    let expression = "sum(rate(ringback_a_total{code=\"503\"}[5m])) / ringback:b:rate1h > kube_x{container=\"ringback\"} or ringback_c";
    let found = [
        "ringback:b:rate1h",
        "ringback_a_total{code=\"503\"}",
        "ringback_c",
    ];
    assert_eq!(selectors(expression), found.map(String::from).into());
}
