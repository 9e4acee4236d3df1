//! Lines of librdkafka 2.12.1 before a real Kafka 4.3.1.

use super::*;

const CONNECTED: Past = Past {
    was_any_connected: true,
    was_connected: true,
};
const CLOSED: &str = "Disconnected: connection closed by peer: receive 0 after POLLIN";

fn security(properties: &[(&str, &str)]) -> Security {
    let properties = properties.iter();
    let owned = properties.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut owned: BTreeMap<_, _> = owned.collect();
    owned
        .entry(String::from("bootstrap.servers"))
        .or_insert_with(|| String::from("PLAINTEXT://k:9092/path, k2"));
    Security::of(&owned)
}

fn explain(security: &Security, line: &str) -> Cause {
    let line = BrokerLine::parse(line).expect("it is about a broker");
    security.explain(&line, Past::default())
}

/// Each must be in the explanation, which is specific.
fn assert_says(security: &Security, line: &str, words: &[&str]) {
    let cause = explain(security, line);
    assert!(cause.detail() >= Detail::Specific, "{cause:?}");
    for word in words {
        assert!(
            cause.text().contains(word),
            "{:?} lacks {word:?}",
            cause.text()
        );
    }
}

#[test]
fn plaintext_against_tls_and_the_reverse_name_the_protocol_to_set() {
    let plaintext = security(&[]);
    let first = format!("k:9093/bootstrap: {CLOSED} (after 240ms in state APIVERSION_QUERY)");
    let wanted = [
        "k:9093",
        "TLS",
        "\"security.protocol\" to \"SSL\" (it is \"PLAINTEXT\")",
        "SASL_SSL",
    ];
    assert_says(&plaintext, &first, &wanted);
    let alert = "k:9093/bootstrap: Receive failed: Invalid response size 352518400 (0..100000000): increase \
                 receive.message.max.bytes (after 1ms in state APIVERSION_QUERY)";
    assert_says(&plaintext, alert, &wanted);
    let sasl = security(&[("security.protocol", "sasl_plaintext")]);
    let wanted = "\"security.protocol\" to \"SASL_SSL\" (it is \"SASL_PLAINTEXT\")";
    assert_says(&sasl, &first, &[wanted]);

    let refused = "ssl://k:9092/bootstrap: SSL handshake failed: Disconnected: SSL connection closed by peer: connecting to \
                   a PLAINTEXT broker listener? (after 75ms in state SSL_HANDSHAKE)";
    let closed = "ssl://k:9092/bootstrap: Disconnected: SSL connection closed by peer (after 7ms in state SSL_HANDSHAKE)";
    let tls = security(&[("security.protocol", "SSL")]);
    for line in [refused, closed] {
        let wanted = "\"security.protocol\" to \"PLAINTEXT\" (it is \"SSL\")";
        assert_says(&tls, line, &["does not speak TLS", wanted]);
    }
    // A proxy whose broker is away does the same, but then the connection has worked before.
    for (security, line) in [(&plaintext, first.as_str()), (&tls, refused)] {
        let line = BrokerLine::parse(line).expect("it is about a broker");
        assert_eq!(security.explain(&line, CONNECTED).detail(), Detail::Vague);
    }
    let both = security(&[("security.protocol", "SASL_SSL")]);
    assert_says(&both, refused, &["to \"SASL_PLAINTEXT\""]);
}

#[test]
fn sasl_forgotten_needless_refused_or_of_another_mechanism_is_told_apart() {
    let up = format!("k:9094/bootstrap: {CLOSED} (after 7ms in state UP)");
    let wanted = [
        "\"SASL_PLAINTEXT\" (it is \"PLAINTEXT\")",
        "\"sasl.username\"",
    ];
    assert_says(&security(&[]), &up, &wanted);
    let with_user = security(&[("sasl.username", "relay"), ("sasl.mechanisms", "PLAIN")]);
    let unused = "\"sasl.username\" is not used";
    assert_says(&with_user, &up, &[wanted[0], unused]);
    let tls = security(&[("security.protocol", "ssl")]);
    let broken = "ssl://k:9094/bootstrap: Send failed: SSL transport error: Broken pipe (after 1ms in state UP)";
    assert_says(&tls, broken, &["\"SASL_SSL\" (it is \"SSL\")"]);
    // An ordinary end of a connection is none of that.
    let later = format!("k:9094/bootstrap: {CLOSED} (after 600123ms in state UP)");
    assert_eq!(explain(&security(&[]), &later).detail(), Detail::Vague);
    let line = BrokerLine::parse(&up).expect("it is about a broker");
    assert_eq!(
        security(&[]).explain(&line, CONNECTED).detail(),
        Detail::Vague
    );

    let sasl = security(&[("security.protocol", "SASL_PLAINTEXT")]);
    let needless = "sasl_plaintext://k:9092/bootstrap: SASL PLAIN mechanism handshake failed: Broker: Request not valid in \
                    current SASL state: broker's supported mechanisms:  (after 53ms in state AUTH_HANDSHAKE)";
    let wanted = "\"PLAINTEXT\" (it is \"SASL_PLAINTEXT\")";
    assert_says(&sasl, needless, &["does not use SASL", wanted]);
    let other = "sasl_plaintext://k:9092/bootstrap: SASL OAUTHBEARER mechanism handshake failed: Broker: Unsupported SASL \
                 mechanism: broker's supported mechanisms: PLAIN,SCRAM-SHA-512 (after 221ms in state AUTH_HANDSHAKE)";
    assert_says(
        &sasl,
        other,
        &["\"sasl.mechanisms\" to one of PLAIN, SCRAM-SHA-512"],
    );
    let wrong = "sasl_plaintext://k:9092/bootstrap: SASL authentication error: Authentication failed: Invalid username or \
                 password (after 111ms in state AUTH_REQ)";
    assert_says(
        &sasl,
        wrong,
        &["\"sasl.password\"", "Invalid username or password"],
    );
}

#[test]
fn a_refused_token_is_not_taken_for_a_password() {
    let token = security(&[
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "OAUTHBEARER"),
    ]);
    let line = "sasl_ssl://k:9092/bootstrap: SASL authentication error: {\"status\":\"invalid_token\"} (after 9ms in state \
                AUTH_REQ)";
    let wanted = [
        "refuses the token",
        "\"sasl.oauthbearer.token.endpoint.url\"",
        "invalid_token",
    ];
    assert_says(&token, line, &wanted);
    assert!(!explain(&token, line).text().contains("password"));
}

#[test]
fn certificates_of_both_sides_are_told_apart() {
    let tls = security(&[("security.protocol", "SSL")]);
    for line in [
        "ssl://k:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker \
         certificate could not be verified, verify that ssl.ca.location is correctly configured (after 4ms in state SSL_HANDSHAKE)",
        "ssl://k:9093/bootstrap: error:0A000086:SSL routines::certificate verify failed (after 13ms in state SSL_HANDSHAKE)",
    ] {
        assert_eq!(explain(&tls, line).detail(), Detail::Untrusted);
        assert_says(&tls, line, &["k:9093", "\"ssl.ca.location\""]);
    }
    let alert = "ssl://k:9093/bootstrap: Receive failed: error:0A000412:SSL routines::sslv3 alert bad certificate: SSL alert \
                 number 42 (after 3ms in state APIVERSION_QUERY)";
    assert_says(
        &tls,
        alert,
        &["demands a client certificate", "\"ssl.key.location\""],
    );
    let with = security(&[
        ("security.protocol", "SSL"),
        ("ssl.certificate.location", "c.pem"),
    ]);
    assert_says(&with, alert, &["refuses this client's certificate"]);
}

#[test]
fn an_address_that_only_the_cluster_has_named_is_reported_as_advertised() {
    let plaintext = security(&[]);
    let unknown = "kafka-0:9092/1: Failed to resolve 'kafka-0:9092': Name or service not known (after 0ms in state CONNECT)";
    let refused = "10.0.0.7:9092/1: Connect to ipv4#10.0.0.7:9092 failed: Connection refused (after 0ms in state CONNECT)";
    let silent = "10.0.0.7:9092/1: Connection setup timed out in state CONNECT (after 30011ms in state CONNECT)";
    for (line, reason) in [
        (unknown, "Name or service not known"),
        (refused, "Connection refused"),
        (silent, "no answer"),
    ] {
        let address = line.split('/').next().expect("it begins with it");
        let advertised = format!("advertises broker 1 at {address}");
        assert_says(
            &plaintext,
            line,
            &[&advertised, reason, "advertised.listeners"],
        );
    }
    // It was connected before, or the user has named it.
    let line = BrokerLine::parse(refused).expect("it is about a broker");
    let cause = plaintext.explain(&line, CONNECTED);
    assert_eq!(
        cause.text(),
        "broker 1 at 10.0.0.7:9092 cannot be reached (Connection refused)"
    );
    for own in [
        "k2:9092/2: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)",
        "k:9092/bootstrap: Failed to resolve 'k:9092': Name or service not known (after 0ms in state CONNECT)",
    ] {
        assert!(
            !explain(&plaintext, own).text().contains("advertise"),
            "{own}"
        );
    }
}

#[test]
fn what_is_no_broker_is_named_and_anything_else_is_repeated() {
    let plaintext = security(&[]);
    let http = "k:80/bootstrap: Receive failed: Invalid response size 1213486160 (0..100000000): increase \
                receive.message.max.bytes (after 1ms in state APIVERSION_QUERY)";
    assert_says(&plaintext, http, &["k:80 speaks HTTP"]);
    let silent = "k:9/bootstrap: Connection setup timed out in state APIVERSION_QUERY (after 6022ms in state APIVERSION_QUERY)";
    assert_says(
        &plaintext,
        silent,
        &["accepts connections and answers nothing"],
    );
    let other = "k:9092/1: 2 request(s) timed out: disconnect (average rtt 0.1ms) (after 6022ms in state UP)";
    let cause = explain(&plaintext, other);
    assert_eq!(cause.detail(), Detail::Vague);
    assert_eq!(
        cause.text(),
        "k:9092: 2 request(s) timed out: disconnect (average rtt 0.1ms)"
    );
}
