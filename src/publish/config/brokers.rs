//! `bootstrap.servers`, checked as far as it can be without asking anybody.

use std::net::Ipv6Addr;

use crate::publish::property;

/// The property's names.
pub(super) const NAMES: [&str; 2] = ["bootstrap.servers", "metadata.broker.list"];
/// What to write.
pub(super) const REMEDY: &str = "name at least one broker, such as \"kafka-0:9092,kafka-1:9092\"";

const PROTOCOLS: [&str; 4] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];

/// True if a property of this name is the list of brokers, perhaps misspelt.
pub(super) fn is_meant(name: &str) -> bool {
    NAMES.contains(&name) || property::nearest(name).is_some_and(|near| NAMES.contains(&near))
}

/// The list without white space, which librdkafka would take for a part of a host's name.
pub(super) fn without_spaces(list: &str) -> String {
    let brokers: Vec<_> = list.split(',').map(str::trim).collect();
    brokers.join(",")
}

/// What is wrong with each broker. `security_protocol` is the property of that name.
pub(super) fn faults(list: &str, security_protocol: Option<&str>) -> Vec<String> {
    if list.split(',').all(str::is_empty) {
        return vec![format!("is empty; {REMEDY}")];
    }
    let list = list.strip_suffix(',').unwrap_or(list);
    let faults = list
        .split(',')
        .filter_map(|broker| fault(broker, security_protocol));
    faults.collect()
}

fn fault(broker: &str, security_protocol: Option<&str>) -> Option<String> {
    let address = match broker.split_once("://") {
        None => broker,
        Some((protocol, rest)) => {
            let security_protocol = security_protocol.unwrap_or(PROTOCOLS[0]);
            let is_known = |name: &str| {
                PROTOCOLS
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(name))
            };
            if !is_known(protocol) {
                return Some(format!(
                    "{protocol:?} is not a protocol of Kafka's; {REMEDY}"
                ));
            }
            if is_known(security_protocol) && !protocol.eq_ignore_ascii_case(security_protocol) {
                return Some(format!(
                    "{broker:?} has another protocol than security.protocol, which is {security_protocol}; make them equal"
                ));
            }
            // librdkafka ignores what looks like the path of a URL.
            rest.split('/').next().unwrap_or(rest)
        }
    };
    let (host, port) = split_port(address);
    if host.is_empty() {
        // librdkafka would take it for localhost.
        return Some(format!("{broker:?} has no host; {REMEDY}"));
    }
    if !is_host(host) {
        return Some(format!("{broker:?} has no valid host; {REMEDY}"));
    }
    // librdkafka would cut the number to 16 bits.
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    if port.is_some_and(|port| !is_port(port)) {
        return Some(format!(
            "{broker:?} has no valid port; write a number from 1 to 65535"
        ));
    }
    None
}

/// As librdkafka does it: if there are several colons, a port stands only behind a bracket.
fn split_port(address: &str) -> (&str, Option<&str>) {
    match address.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (address, None),
    }
}

fn is_host(host: &str) -> bool {
    let bracketed = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let bare = bracketed.unwrap_or(host);
    if bracketed.is_some() || bare.contains(':') {
        // Behind a percent sign is the network interface.
        let address = bare.split('%').next().unwrap_or(bare);
        return address.parse::<Ipv6Addr>().is_ok();
    }
    bare.chars()
        .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(list: &str) -> Vec<String> {
        faults(&without_spaces(list), None)
    }

    #[test]
    fn brokers_that_can_exist_are_accepted() {
        for good in [
            "localhost:9092",
            "localhost",
            "k1:1, k2:65535 ,",
            "PLAINTEXT://k1:9092/path",
            "b-1.mycluster.abc123.c2.kafka.us-east-1.amazonaws.com:9098",
            "10.0.0.1:9092,[::1]:9092,[fe80::1%eth0]:9092,::1",
            "broker_1:9092,bücher.example:9092",
        ] {
            assert!(faults_of(good).is_empty(), "{good}: {:?}", faults_of(good));
        }
        assert!(faults("SSL://k1:1", Some("ssl")).is_empty());
        assert_eq!(without_spaces(" k1:1 , k2:2 "), "k1:1,k2:2");
    }

    #[test]
    fn brokers_that_cannot_be_reached_are_named_each_with_its_fault() {
        for (bad, fault) in [
            ("", "is empty; name at least one broker"),
            (" , ", "is empty; name at least one broker"),
            (":9092", "\":9092\" has no host"),
            ("k1:1,,k2:2", "\"\" has no host"),
            (
                "localhost:99999",
                "\"localhost:99999\" has no valid port; write a number from 1 to 65535",
            ),
            ("k1:0", "\"k1:0\" has no valid port"),
            ("k1:", "\"k1:\" has no valid port"),
            ("k1:9092/", "\"k1:9092/\" has no valid port"),
            ("k1:9092:9093", "\"k1:9092:9093\" has no valid host"),
            ("k 1:9092", "\"k 1:9092\" has no valid host"),
            ("[::g]:9092", "\"[::g]:9092\" has no valid host"),
            ("user@k1:9092", "\"user@k1:9092\" has no valid host"),
            ("http://k1:9092", "\"http\" is not a protocol of Kafka's"),
            (
                "SASL_SSL://k1:1",
                "another protocol than security.protocol, which is plaintext",
            ),
        ] {
            let faults = faults_of(bad);
            assert!(
                faults.len() == 1 && faults[0].contains(fault),
                "{bad}: {faults:?}"
            );
        }
        assert_eq!(faults_of("k1:0,k2:1,:3").len(), 2);
        // If the protocol itself is unknown, its own error already says so.
        assert!(faults("SSL://k1:1", Some("sll")).is_empty());
    }
}
