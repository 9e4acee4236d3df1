//! A producer that would wait for ever: for a leader that a topic no longer has, or with credentials that are no longer valid.

use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::load::{Load, Tally};
use crate::support::relay::{Relay, Site};

/// Events a second.
const RATE: u32 = 100;
/// `kafka.stall_timeout`.
const STALL: Duration = Duration::from_secs(5);

fn start(site: &Site) -> Relay {
    site.start_with(&[("RINGBACK_KAFKA__STALL_TIMEOUT", "5s")])
}

/// Posts until `more` are acknowledged, waits until all is published, and checks that all of it arrived.
fn deliver(relay: &Relay, name: &str, fault: &str, bootstrap: &str, topic: &str) {
    let load = Load::start(relay, name, RATE, 300);
    load.await_acknowledged(u64::from(RATE));
    let tally = load.end();
    tally.assert_all_accepted();
    relay.await_drained();
    tally.assert_kept(fault, bootstrap, topic);
}

pub fn remade_elsewhere(cluster: &Cluster) -> Result<(), Failed> {
    cluster.topic_on("elsewhere", &[1, 2, 3]);
    // Its leaders change, so that those of the next topic of this name look older than what the client knows.
    cluster.node("stop", 1);
    eventually("another leader", || cluster.leaders("elsewhere") != [1]);
    cluster.node("start", 1);
    eventually("the first leader again", || {
        cluster.elect_preferred();
        cluster.leaders("elsewhere") == [1]
    });
    let site = Site::new(cluster, "elsewhere", "");
    let relay = start(&site);
    // What Kafka has acknowledged goes with the topic.
    deliver(&relay, "before", "before", &cluster.bootstrap, "elsewhere");
    assert_eq!(relay.metric("ringback_publish_rebuilds_total"), 0.0);
    cluster.delete_topic("elsewhere");
    cluster.topic_on("elsewhere", &[2, 3, 1]);

    let begun = Instant::now();
    let load = Load::start(&relay, "after", RATE, 300);
    eventually("the producer is replaced", || {
        relay.metric("ringback_publish_rebuilds_total") > 0.0
    });
    let replaced = begun.elapsed();
    let words = relay.admin("/readyz?verbose").1;
    assert!(replaced >= STALL, "replaced after {replaced:?}: {words}");
    load.await_acknowledged(u64::from(RATE));
    let tally = load.end();
    tally.assert_all_accepted();
    relay.await_drained();
    let fault = format!(
        "a topic remade on another leader while nothing came: replaced after {replaced:.1?}, drained after {:.1?}",
        begun.elapsed()
    );
    tally.assert_kept(&fault, &cluster.bootstrap, "elsewhere");
    assert_eq!(relay.metric("ringback_publish_rebuilds_total"), 1.0);
    Ok(())
}

/// A folder with a relay's own copies of its credentials.
struct Secrets(tempfile::TempDir);

impl Secrets {
    fn path(&self, name: &str) -> String {
        let path = self.0.path().join(name);
        path.to_str().expect("UTF-8").to_owned()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        // Atomically, as an operator replaces a secret.
        let new = self.path("new");
        std::fs::write(&new, content).expect("it can be written");
        std::fs::rename(new, self.path(name)).expect("it can be moved");
    }
}

/// Waits until the relay reports `words`, calls `renew`, and waits until the relay has caught up without a restart.
fn renewed(relay: &Relay, load: Load, words: &str, renew: impl FnOnce()) -> (Tally, Duration) {
    eventually(words, || {
        let text = relay.admin("/readyz?verbose").1;
        text.lines()
            .any(|line| line.contains("[!]kafka") && line.contains(words))
    });
    load.await_acknowledged(u64::from(RATE));
    let begun = Instant::now();
    renew();
    eventually("delivery goes on", || {
        relay.metric("ringback_journal_unpublished_events") < f64::from(RATE)
    });
    let resumed = begun.elapsed();
    let tally = load.end();
    tally.assert_all_accepted();
    relay.await_drained();
    (tally, resumed)
}

pub fn credentials(_: &Cluster) -> Result<(), Failed> {
    let cluster = Cluster::start_secured();
    let secrets = Secrets(tempfile::tempdir()?);
    let certs = cluster.certs.as_deref().ok_or("no certificates")?;
    secrets.write("password", "relay-secret\n");
    for name in ["ca.pem", "relay.pem", "relay.key"] {
        secrets.write(name, std::fs::read(certs.join(name))?);
    }
    let (password, ca) = (secrets.path("password"), secrets.path("ca.pem"));
    let (certificate, key) = (secrets.path("relay.pem"), secrets.path("relay.key"));
    let line = |name: &str, value: &str| format!("\"{name}\" = {value}");
    let scram = [
        line("security.protocol", "\"SASL_PLAINTEXT\""),
        line("sasl.mechanisms", "\"SCRAM-SHA-512\""),
        line("sasl.username", "\"relay\""),
        line("sasl.password", &format!("{{ file = {password:?} }}")),
    ];
    let tls = [
        line("security.protocol", "\"SSL\""),
        line("ssl.ca.location", &format!("{ca:?}")),
        line("ssl.certificate.location", &format!("{certificate:?}")),
        line("ssl.key.location", &format!("{key:?}")),
    ];
    let site = |bootstrap: &Option<String>, topic: &str, lines: &[String]| {
        cluster.topic(topic, 3, &[]);
        let bootstrap = bootstrap.as_deref().expect("it has the listener");
        let lines: Vec<_> = lines
            .iter()
            .map(|line| ("kafka.client", line.as_str()))
            .collect();
        Site::of(bootstrap, topic, None, &lines)
    };
    let sites = [
        site(&cluster.bootstrap_sasl, "password", &scram),
        site(&cluster.bootstrap_tls, "certificate", &tls),
    ];
    let [by_password, by_certificate] = [sites[0].start(), sites[1].start()];
    for (relay, topic) in [(&by_password, "password"), (&by_certificate, "certificate")] {
        let before = format!("before-{topic}");
        deliver(relay, &before, &before, &cluster.bootstrap, topic);
    }

    // From now on the broker accepts only the new credentials, and its restart has ended the old connections.
    cluster.node("stop", 1);
    cluster.renew_client_authority();
    cluster.node("start", 1);
    cluster.set_password("relay", "renewed-secret");
    cluster.node("stop", 1);
    cluster.node("start", 1);
    let password_load = Load::start(&by_password, "password", RATE, 300);
    let (tally, resumed) = renewed(&by_password, password_load, "uthentication", || {
        secrets.write("password", "renewed-secret\n");
    });
    let fault = format!("a password renewed, delivery resumed {resumed:.1?} after it was on disk");
    tally.assert_kept(&fault, &cluster.bootstrap, "password");
    let certificate_load = Load::start(&by_certificate, "certificate", RATE, 300);
    let (tally, resumed) = renewed(&by_certificate, certificate_load, "SSL", || {
        for name in ["relay.pem", "relay.key"] {
            let renewed = std::fs::read(certs.join("renewed").join(name));
            secrets.write(name, renewed.expect("it was made"));
        }
    });
    let fault =
        format!("a certificate renewed, delivery resumed {resumed:.1?} after it was on disk");
    tally.assert_kept(&fault, &cluster.bootstrap, "certificate");
    Ok(())
}
