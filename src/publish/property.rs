//! What ringback knows of librdkafka's properties by their names.

use crate::secret::SecretForm;
use crate::settings;

/// The properties that a producer may be given, with their aliases, as librdkafka 2.12 lists them. Only hints are made
/// from it: librdkafka itself decides what it knows.
const NAMES: &str = "\
    acks allow.auto.create.topics api.version.fallback.ms api.version.request api.version.request.timeout.ms \
    batch.num.messages batch.size bootstrap.servers broker.address.family broker.address.ttl broker.version.fallback \
    client.dns.lookup client.id client.rack compression.codec compression.level compression.type \
    connections.max.idle.ms debug delivery.report.only.error delivery.timeout.ms enable.gapless.guarantee \
    enable.idempotence enable.metrics.push enable.random.seed enable.sasl.oauthbearer.unsecure.jwt \
    enable.ssl.certificate.verification https.ca.location https.ca.pem internal.termination.signal linger.ms \
    log.connection.close log.queue log.thread.name log_level max.in.flight max.in.flight.requests.per.connection \
    message.copy.max.bytes message.max.bytes message.send.max.retries message.timeout.ms metadata.broker.list \
    metadata.max.age.ms metadata.recovery.rebootstrap.trigger.ms metadata.recovery.strategy partitioner \
    plugin.library.paths produce.offset.report queue.buffering.backpressure.threshold queue.buffering.max.kbytes \
    queue.buffering.max.messages queue.buffering.max.ms queuing.strategy receive.message.max.bytes \
    reconnect.backoff.jitter.ms reconnect.backoff.max.ms reconnect.backoff.ms request.required.acks \
    request.timeout.ms retries retry.backoff.max.ms retry.backoff.ms sasl.kerberos.keytab sasl.kerberos.kinit.cmd \
    sasl.kerberos.min.time.before.relogin sasl.kerberos.principal sasl.kerberos.service.name sasl.mechanism \
    sasl.mechanisms sasl.oauthbearer.assertion.algorithm sasl.oauthbearer.assertion.claim.aud \
    sasl.oauthbearer.assertion.claim.exp.seconds sasl.oauthbearer.assertion.claim.iss \
    sasl.oauthbearer.assertion.claim.jti.include sasl.oauthbearer.assertion.claim.nbf.seconds \
    sasl.oauthbearer.assertion.claim.sub sasl.oauthbearer.assertion.file \
    sasl.oauthbearer.assertion.jwt.template.file sasl.oauthbearer.assertion.private.key.file \
    sasl.oauthbearer.assertion.private.key.passphrase sasl.oauthbearer.assertion.private.key.pem \
    sasl.oauthbearer.client.credentials.client.id sasl.oauthbearer.client.credentials.client.secret \
    sasl.oauthbearer.client.id sasl.oauthbearer.client.secret sasl.oauthbearer.config sasl.oauthbearer.extensions \
    sasl.oauthbearer.grant.type sasl.oauthbearer.metadata.authentication.type sasl.oauthbearer.method \
    sasl.oauthbearer.scope sasl.oauthbearer.token.endpoint.url sasl.password sasl.username security.protocol \
    socket.blocking.max.ms socket.connection.setup.timeout.ms socket.keepalive.enable socket.max.fails \
    socket.nagle.disable socket.receive.buffer.bytes socket.send.buffer.bytes socket.timeout.ms \
    ssl.ca.certificate.stores ssl.ca.location ssl.ca.pem ssl.certificate.location ssl.certificate.pem \
    ssl.cipher.suites ssl.crl.location ssl.curves.list ssl.endpoint.identification.algorithm ssl.engine.id \
    ssl.engine.location ssl.key.location ssl.key.password ssl.key.pem ssl.keystore.location ssl.keystore.password \
    ssl.providers ssl.sigalgs.list statistics.interval.ms sticky.partitioning.linger.ms topic.blacklist \
    topic.metadata.propagation.max.ms topic.metadata.refresh.fast.cnt topic.metadata.refresh.fast.interval.ms \
    topic.metadata.refresh.interval.ms topic.metadata.refresh.sparse transaction.timeout.ms transactional.id";

/// Every name in the list.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.split(' ')
}

/// The property that `name` is probably meant to be.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    settings::nearest(name, names())
}

/// True if `name` is a property of which no other is a part: a table in its place is no group of properties.
pub(super) fn is_whole(name: &str) -> bool {
    let is_part = |other: &str| {
        let rest = other.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with('.'))
    };
    names().any(|known| known == name) && !names().any(is_part)
}

/// True if the value is a secret itself (a name that ends in `.location` holds a path).
pub(super) fn is_secret(name: &str) -> bool {
    let location = name.ends_with(".location");
    !location
        && (name.contains("password")
            || name.contains("secret")
            || name.ends_with("key.pem")
            || name == "sasl.jaas.config"
            || name == "sasl.oauthbearer.config"
            || name.ends_with("passphrase"))
}

/// What a secret looks like that is read for this property.
pub(super) fn secret_form(name: &str) -> SecretForm {
    match name.rsplit('.').next() {
        Some("pem") => SecretForm::Pem,
        _ => SecretForm::Line,
    }
}

/// True if librdkafka reads the file `value` itself. (`probe` finds the system's certificates; an engine is a library,
/// which the system may look for.)
pub(super) fn names_file(name: &str, value: &str) -> bool {
    let ends = [".location", ".keytab", ".file"];
    ends.iter().any(|end| name.ends_with(end))
        && name != "ssl.engine.location"
        && !(may_name_folder(name) && value == "probe")
}

/// True if the property may name a folder of certificates.
pub(super) fn may_name_folder(name: &str) -> bool {
    name.ends_with(".ca.location")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_near_the_right_one() {
        for (given, meant) in [
            ("bootstrap_servers", "bootstrap.servers"),
            ("bootstrap.server", "bootstrap.servers"),
            ("sasl.pasword", "sasl.password"),
            ("security-protocol", "security.protocol"),
            (
                "socket_connection_setup_timeout_ms",
                "socket.connection.setup.timeout.ms",
            ),
        ] {
            assert_eq!(nearest(given), Some(meant));
        }
        assert_eq!(nearest("colour"), None);
    }

    #[test]
    fn a_table_is_a_group_of_properties_only_if_there_are_some() {
        assert!(is_whole("sasl.password"));
        for group in ["sasl", "max.in.flight", "bootstrap"] {
            assert!(!is_whole(group), "{group}");
        }
    }

    #[test]
    fn a_path_is_no_secret_and_probe_is_no_path() {
        assert!(is_secret("ssl.key.pem") && !is_secret("ssl.key.location"));
        assert!(names_file("ssl.key.location", "probe") && names_file("sasl.kerberos.keytab", "x"));
        assert!(!names_file("ssl.ca.location", "probe") && !names_file("ssl.key.pem", "x"));
    }
}
