//! Each way of authenticating at a broker: a relay that delivers, and one whose error names the property to change.

use std::path::Path;

use libtest_mimic::Failed;

use crate::causes::{check, property};
use crate::support::cluster::Cluster;
use crate::support::cluster::mistakes::Mistake;
use crate::support::eventually;
use crate::support::load::Load;
use crate::support::relay::{KEY, Relay, Site};
use crate::support::sender::Sender;
use crate::support::token_server::{CLIENT, SCOPE, TokenServer};
use crate::support::topic;

const TOPIC: &str = "secured";
const DEAD: &str = "secured-dead";
const SECRETS: [(&str, &str); 3] = [
    ("RIGHT", "relay-secret"),
    ("WRONG", "another-secret"),
    ("RINGBACK_KAFKA__DEAD_LETTER_TOPIC", DEAD),
];

/// A broker that knows every way, and its token endpoint.
struct Lab {
    cluster: Cluster,
    tokens: TokenServer,
    /// Its URL, without a path.
    endpoint: String,
}

impl Lab {
    fn start() -> Self {
        let tokens = TokenServer::start("relay-secret");
        let cluster = Cluster::start_with_tokens(&tokens.jwks());
        for topic in [TOPIC, DEAD] {
            cluster.topic(topic, 1, &[]);
        }
        let certs = cluster.certs.as_deref().expect("it has certificates");
        let endpoint =
            tokens.serve_tokens(&certs.join("server.chain.pem"), &certs.join("server.key"));
        Self {
            cluster,
            tokens,
            endpoint,
        }
    }

    fn cert(&self, name: &str) -> String {
        let certs = self.cluster.certs.as_deref().expect("it has certificates");
        certs.join(name).display().to_string()
    }

    fn site(&self, bootstrap: &str, lines: &[String]) -> Site {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| ("kafka.client", line.as_str()))
            .collect();
        Site::of(bootstrap, TOPIC, None, &lines)
    }

    fn sasl_tls(&self) -> String {
        let addresses = self.cluster.bootstrap_sasl_tls.clone();
        addresses.expect("it has the listener")
    }

    /// With the client's secret as `secret` gives it.
    fn oauth(&self, path: &str, secret: &str) -> Vec<String> {
        let secret = format!("\"sasl.oauthbearer.client.secret\" = {secret}");
        vec![
            property("security.protocol", "SASL_SSL"),
            property("ssl.ca.location", self.cert("ca.pem")),
            property("sasl.mechanisms", "OAUTHBEARER"),
            property("sasl.oauthbearer.method", "oidc"),
            property("sasl.oauthbearer.client.id", CLIENT),
            secret,
            property("sasl.oauthbearer.scope", SCOPE),
            property(
                "sasl.oauthbearer.token.endpoint.url",
                format!("{}{path}", self.endpoint),
            ),
            property("https.ca.location", self.cert("ca.pem")),
        ]
    }
}

/// `lines` with the line of the same property replaced.
fn with(mut lines: Vec<String>, line: String) -> Vec<String> {
    let name = line.split(" = ").next().map(str::to_owned);
    lines.retain(|other| other.split(" = ").next() != name.as_deref());
    lines.push(line);
    lines
}

/// A way to be known: its name, the broker's address, the properties, and what may be wrong with them: the properties then,
/// and the words of the check.
struct Way {
    name: &'static str,
    bootstrap: String,
    good: Vec<String>,
    bad: Vec<(Vec<String>, Vec<&'static str>)>,
}

fn ways(lab: &Lab) -> Vec<Way> {
    let ca = || property("ssl.ca.location", lab.cert("ca.pem"));
    let tls = || vec![property("security.protocol", "SSL"), ca()];
    let stranger = property("ssl.ca.location", lab.cert("stranger.pem"));
    let client = [
        property("ssl.certificate.location", lab.cert("relay.pem")),
        property("ssl.key.location", lab.cert("relay.key")),
    ];
    let mut ways = vec![
        Way {
            name: "TLS",
            bootstrap: lab.cluster.mistaken(Mistake::Open),
            good: tls(),
            bad: vec![(
                with(tls(), stranger),
                vec!["the authority \"lab CA\"", "\"ssl.ca.location\""],
            )],
        },
        Way {
            name: "mTLS",
            bootstrap: lab.cluster.bootstrap_tls.clone().expect("it is there"),
            good: [tls(), client.to_vec()].concat(),
            bad: vec![(
                tls(),
                vec![
                    "demands a client certificate",
                    "\"ssl.certificate.location\" and \"ssl.key.location\"",
                ],
            )],
        },
    ];
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let with_password = |variable: &str| {
            vec![
                property("security.protocol", "SASL_SSL"),
                ca(),
                property("sasl.mechanisms", mechanism),
                property("sasl.username", CLIENT),
                format!("\"sasl.password\" = {{ env = \"{variable}\" }}"),
            ]
        };
        ways.push(Way {
            name: mechanism,
            bootstrap: lab.sasl_tls(),
            good: with_password("RIGHT"),
            bad: vec![(
                with_password("WRONG"),
                vec![
                    "refuses the user or the password",
                    "correct \"sasl.username\" and \"sasl.password\"",
                ],
            )],
        });
    }
    ways.push(by_token(lab));
    ways
}

fn by_token(lab: &Lab) -> Way {
    let right = |path: &str| lab.oauth(path, "{ env = \"RIGHT\" }");
    let changed = |name: &str, value: &str| with(right("/token"), property(name, value));
    let url = "sasl.oauthbearer.token.endpoint.url";
    Way {
        name: "OAUTHBEARER",
        bootstrap: lab.sasl_tls(),
        good: right("/token"),
        bad: vec![
            (
                lab.oauth("/token", "{ env = \"WRONG\" }"),
                vec![
                    "/token: it refuses the client (401 invalid_client)",
                    "correct \"sasl.oauthbearer.client.id\" and \"sasl.oauthbearer.client.secret\"",
                ],
            ),
            (
                changed("sasl.oauthbearer.scope", "everything"),
                vec![
                    "it refuses the scope (400 invalid_scope)",
                    "correct \"sasl.oauthbearer.scope\"",
                ],
            ),
            (
                changed("https.ca.location", &lab.cert("stranger.pem")),
                vec![
                    "the authority that signed its certificate is not known",
                    "in \"https.ca.location\" (it is ",
                ],
            ),
            (
                changed(url, "https://127.0.0.1:1/token"),
                vec![
                    "it cannot be reached (Connection refused",
                    "correct \"sasl.oauthbearer.token.endpoint.url\"",
                ],
            ),
            (
                right("/nowhere"),
                vec![
                    "it answers 404",
                    "correct \"sasl.oauthbearer.token.endpoint.url\"",
                ],
            ),
            (
                right("/nothing"),
                vec![
                    "has no \"access_token\"",
                    "is \"sasl.oauthbearer.token.endpoint.url\" the token endpoint?",
                ],
            ),
            (
                right("/token-without-end"),
                vec!["its token has no \"exp\"", "add this claim"],
            ),
            (
                right("/token-for-others"),
                vec![
                    "no broker is connected: ",
                    "refuses the token",
                    "\"sasl.oauthbearer.scope\"",
                ],
            ),
        ],
    }
}

pub fn each_way(_: &Cluster) -> Result<(), Failed> {
    let lab = Lab::start();
    for (before, way) in ways(&lab).into_iter().enumerate() {
        let site = lab.site(&way.bootstrap, &way.good);
        let relay = site.start_with(&SECRETS);
        let mut sender = Sender::connect(relay.address, KEY)?;
        let body = format!(
            r#"{{"event":"call_ended","call":{{"call_id":"by {}"}}}}"#,
            way.name
        );
        assert_eq!(sender.post(body.as_bytes())?.code, 204);
        let unparsed = format!("no JSON, by {}", way.name);
        assert_eq!(sender.post(unparsed.as_bytes())?.code, 204);
        for (topic, body) in [(TOPIC, body), (DEAD, unparsed)] {
            let plain = &lab.cluster.bootstrap;
            let records = topic::read_until(plain, topic, |records| records.len() == before + 1);
            let last = records.last().expect("there is one");
            assert_eq!(last.value, body.as_bytes(), "{}: byte for byte", way.name);
        }
        eventually("all is well", || is_well(&relay));
        if way.name == "OAUTHBEARER" {
            // The last way, because it adds records to the topic.
            let url = format!("http://{}/webhook", relay.address);
            let mut prove = site.tool(&["prove", "--duration", "2s", "--url", &url]);
            let output = prove.envs(SECRETS).output()?;
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "prove reads by tokens: {words}");
        }
        drop(relay);
        for (lines, words) in way.bad {
            let site = lab.site(&way.bootstrap, &lines);
            let relay = site.start_with(&SECRETS);
            eventually(&format!("{}: {words:?}", way.name), || {
                let line = check(&relay);
                line.starts_with("[!]kafka ") && words.iter().all(|words| line.contains(words))
            });
            eprintln!("{}: {}", way.name, check(&relay));
        }
    }
    Ok(())
}

/// Replaces the file as an operator does, in one step.
fn write(file: &Path, content: &str) -> std::io::Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, content)?;
    std::fs::rename(new, file)
}

/// Events a second.
const RATE: u32 = 200;
/// Of a token, in seconds: the broker ends a connection whose token has expired.
const LIFETIME: i64 = 15;

pub fn secret_renewed(_: &Cluster) -> Result<(), Failed> {
    let lab = Lab::start();
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("secret");
    write(&file, "relay-secret\n")?;
    lab.tokens.set_lifetime(LIFETIME);
    let lines = lab.oauth("/token", &format!("{{ file = {file:?} }}"));
    let site = lab.site(&lab.sasl_tls(), &lines);
    let relay = site.start();
    let load = Load::start(&relay, "renewed", RATE, 300);
    // Each token is renewed while the one before is still valid.
    let rebuilds = || relay.metric("ringback_publish_rebuilds_total");
    eventually("tokens are renewed", || lab.tokens.given() >= 4);
    assert_eq!(rebuilds(), 0.0, "the producer is the first one");
    eventually("all is well", || is_well(&relay));

    lab.tokens.set_secret("renewed-secret");
    eventually("the failure to renew is named", || {
        let line = check(&relay);
        line.contains("it refuses the client (401 invalid_client)")
            && line.contains("\"sasl.oauthbearer.client.secret\"")
    });
    eprintln!("a secret changed at the endpoint: {}", check(&relay));
    eventually("the last token has expired", || {
        let line = check(&relay);
        line.starts_with("[!]kafka ") && line.contains("no token from ")
    });
    eprintln!("and its last token expired: {}", check(&relay));
    load.await_acknowledged(u64::from(RATE));
    write(&file, "renewed-secret\n")?;
    eventually("all is well", || is_well(&relay));
    eventually("delivery goes on", || {
        relay.metric("ringback_journal_unpublished_events") < f64::from(RATE)
    });
    let tally = load.end();
    tally.assert_all_accepted();
    relay.await_drained();
    tally.assert_kept("an OAuth secret renewed", &lab.cluster.bootstrap, TOPIC);
    Ok(())
}

fn is_well(relay: &Relay) -> bool {
    check(relay).ends_with("]kafka ok")
}
