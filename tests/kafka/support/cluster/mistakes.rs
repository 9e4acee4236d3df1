//! A broker with a listener for each mistake that an operator may make.

use super::{Cluster, free_ports};

/// Where nobody listens: this far above the base.
const NOBODY: u16 = 99;

/// The broker's own user, and the relay's.
const USERS: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"admin\" \
                     password=\"admin-secret\" user_admin=\"admin-secret\" user_relay=\"relay-secret\";";

/// What an operator may get wrong at a broker.
#[derive(Debug, Clone, Copy)]
pub enum Mistake {
    /// None: TLS without client certificates.
    Open,
    /// Its certificate has expired.
    Expired,
    /// Its certificate is for another host.
    Elsewhere,
    /// It advertises an address where nobody listens.
    Away,
    /// It advertises a name that there is not.
    Nameless,
    /// It takes passwords by the mechanism PLAIN alone.
    PlainOnly,
}

impl Mistake {
    const ALL: [Self; 6] = [
        Self::Open,
        Self::Expired,
        Self::Elsewhere,
        Self::Away,
        Self::Nameless,
        Self::PlainOnly,
    ];

    fn listener(self) -> (&'static str, &'static str) {
        match self {
            Self::Open => ("OPENTLS", "SSL"),
            Self::Expired => ("EXPIRED", "SSL"),
            Self::Elsewhere => ("ELSEWHERE", "SSL"),
            Self::Away => ("AWAY", "PLAINTEXT"),
            Self::Nameless => ("NAMELESS", "PLAINTEXT"),
            Self::PlainOnly => ("PLAINONLY", "SASL_PLAINTEXT"),
        }
    }

    fn offset(self) -> u16 {
        61 + self as u16
    }
}

impl Cluster {
    /// Starts one broker with passwords and certificates, and with a listener for each mistake of [`Mistake`]. A user with a
    /// password may do nothing without [`Cluster::allow`], anybody without one everything.
    pub fn start_mistaken() -> Self {
        Self::start_mistaken_as("mistaken", &["--acl"])
    }

    /// As [`Cluster::start_mistaken`], with OAUTHBEARER among its mechanisms: tokens must be signed by a key of this JWKS.
    pub fn start_with_tokens(jwks: &str) -> Self {
        Self::start_mistaken_as("tokens", &["--oauth", jwks])
    }

    fn start_mistaken_as(kind: &str, more: &[&str]) -> Self {
        let (held, base) = free_ports();
        let name = format!("ringback-kafka-{}-{kind}", std::process::id());
        let certs = std::env::temp_dir().join(&name).join("tls");
        let at = |offset: u16| format!("127.0.0.1:{}", base + offset);
        let own = [
            ("PLAIN", "PLAINTEXT", 1),
            ("CONTROLLER", "SASL_PLAINTEXT", 11),
            ("INTERNAL", "SASL_PLAINTEXT", 21),
            ("SASL", "SASL_PLAINTEXT", 31),
            ("TLS", "SSL", 41),
            ("SASLTLS", "SASL_SSL", 51),
        ];
        let mistaken = Mistake::ALL.map(|mistake| {
            let (name, protocol) = mistake.listener();
            (name, protocol, mistake.offset())
        });
        let all: Vec<_> = own.into_iter().chain(mistaken).collect();
        let list = |entries: Vec<String>| entries.join(",");
        let listeners = all
            .iter()
            .map(|(name, _, offset)| format!("{name}://{}", at(*offset)));
        let listeners = list(listeners.collect());
        let protocols = all
            .iter()
            .map(|(name, protocol, _)| format!("{name}:{protocol}"));
        let protocols = list(protocols.collect());
        let advertised = all.iter().filter(|(name, ..)| *name != "CONTROLLER");
        let advertised = advertised.map(|(name, _, offset)| match *name {
            "AWAY" => format!("{name}://127.0.0.1:{}", base + NOBODY),
            "NAMELESS" => format!("{name}://kafka-0.nowhere.invalid:9092"),
            _ => format!("{name}://{}", at(*offset)),
        });
        let advertised = list(advertised.collect());
        let store = |listener: &str, file: &str| {
            let place = certs.join(file);
            let place = place.display();
            let listener = listener.to_lowercase();
            [
                format!("listener.name.{listener}.ssl.keystore.location={place}"),
                format!("listener.name.{listener}.ssl.keystore.type=PEM"),
            ]
        };
        let settings = [
            [
                format!("listeners={listeners}"),
                format!("advertised.listeners={advertised}"),
            ],
            [
                format!("listener.security.protocol.map={protocols}"),
                String::from("auto.create.topics.enable=false"),
            ],
            [
                String::from("listener.name.plainonly.sasl.enabled.mechanisms=PLAIN"),
                format!("listener.name.plainonly.plain.sasl.jaas.config={USERS}"),
            ],
            [
                String::from("super.users=User:admin;User:ANONYMOUS"),
                String::from("allow.everyone.if.no.acl.found=false"),
            ],
            store("EXPIRED", "expired.chain.pem"),
            store("ELSEWHERE", "elsewhere.chain.pem"),
        ];
        let settings = settings
            .iter()
            .flatten()
            .flat_map(|setting| ["--set", setting]);
        let more = more.iter().copied().chain(["--sasl", "--tls"]);
        let more: Vec<_> = more.chain(settings).collect();
        Self::up_at(held, base, &std::env::temp_dir().join(&name), 1, &more)
    }

    /// An address where nobody listens.
    pub fn nobody(&self) -> String {
        format!("127.0.0.1:{}", self.base + NOBODY)
    }

    /// The address of a listener with this mistake.
    pub fn mistaken(&self, mistake: Mistake) -> String {
        format!("127.0.0.1:{}", self.base + mistake.offset())
    }
}
