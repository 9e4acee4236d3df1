//! Real brokers, by the script beside this folder.

pub mod mistakes;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaErrorCode;

use super::eventually;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/cluster/kafka");
/// How long a broker that is up may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// The listeners lie less than this far above their base.
const PORTS: u16 = 100;

/// A running cluster; dropping it kills the brokers and removes their data.
pub struct Cluster {
    _ports: TcpListener,
    folder: PathBuf,
    nodes: u32,
    /// All brokers' addresses.
    pub bootstrap: String,
    /// Their listener with passwords, if there is one.
    pub bootstrap_sasl: Option<String>,
    /// Their listener that asks for client certificates, if there is one.
    pub bootstrap_tls: Option<String>,
    /// Their listener with passwords over TLS, if there is one.
    pub bootstrap_sasl_tls: Option<String>,
    /// The folder of its certificates.
    pub certs: Option<PathBuf>,
    base: u16,
}

/// A range of ports that nothing on this machine listens on, below the ephemeral ones. Its first port is held, so that no other
/// process that looks for a range takes this one while the brokers are down.
fn free_ports() -> (TcpListener, u16) {
    let start = std::process::id() % 200;
    let mut bases = (0..200).map(|step| 12_000 + ((start + step) % 200) as u16 * 100);
    let bind = |port: u16| TcpListener::bind(("127.0.0.1", port));
    bases
        .find_map(|base| {
            let held = bind(base).ok()?;
            let free = (1..PORTS).all(|offset| bind(base + offset).is_ok());
            free.then_some((held, base))
        })
        .expect("some of 200 ranges of ports are free")
}

impl Cluster {
    /// Starts three brokers, which takes some seconds, and downloads the jars the first time.
    pub fn start() -> Self {
        // Retention is checked every few seconds, also after a restart, so that a test can wait for it.
        let retention = [
            "--set",
            "log.retention.check.interval.ms=3000",
            "--set",
            "log.initial.task.delay.ms=1000",
        ];
        Self::up(&std::env::temp_dir(), "", 3, &retention)
    }

    /// Starts one broker, its data in this folder: for benches, which share the machine with it.
    pub fn start_alone(folder: &Path) -> Self {
        Self::up(folder, "-alone", 1, &[])
    }

    /// Starts one broker that allows its users nothing without [`Cluster::allow`].
    pub fn start_guarded() -> Self {
        let more = ["--sasl", "--acl"];
        Self::up(&std::env::temp_dir(), "-guarded", 1, &more)
    }

    /// Starts one broker that asks for passwords on one listener and for client certificates on another.
    pub fn start_secured() -> Self {
        let more = ["--sasl", "--tls"];
        Self::up(&std::env::temp_dir(), "-secured", 1, &more)
    }

    fn up(place: &Path, suffix: &str, nodes: u32, more: &[&str]) -> Self {
        let name = format!("ringback-kafka-{}{suffix}", std::process::id());
        let (held, base) = free_ports();
        Self::up_at(held, base, &place.join(name), nodes, more)
    }

    fn up_at(held: TcpListener, base: u16, folder: &Path, nodes: u32, more: &[&str]) -> Self {
        let mut cluster = Self {
            _ports: held,
            folder: folder.to_owned(),
            nodes,
            bootstrap: String::new(),
            bootstrap_sasl: None,
            bootstrap_tls: None,
            bootstrap_sasl_tls: None,
            certs: None,
            base,
        };
        let (base, count) = (base.to_string(), nodes.to_string());
        let arguments = [&["up", &count, "--port-base", &base], more].concat();
        let output = cluster.script(&arguments);
        let value = |name: &str| {
            let line = output.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::to_owned)
        };
        cluster.bootstrap = value("BOOTSTRAP=").expect("the script names the brokers");
        cluster.bootstrap_sasl = value("BOOTSTRAP_SASL=");
        cluster.bootstrap_sasl_tls = value("BOOTSTRAP_SASL_TLS=");
        if let Some(tls) = value("BOOTSTRAP_TLS=") {
            let (addresses, certs) = tls.split_once(" CERTS=").expect("both on a line");
            cluster.bootstrap_tls = Some(addresses.to_owned());
            cluster.certs = Some(PathBuf::from(certs));
        }
        cluster
    }

    /// Kills the brokers and removes their data.
    pub fn stop(&self) {
        self.script(&["down"]);
    }

    /// Creates a topic that is replicated to all brokers.
    pub fn topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let replication = TopicReplication::Fixed(i32::try_from(self.nodes).expect("a few"));
        let topic = settings.iter().fold(
            NewTopic::new(name, partitions, replication),
            |topic, (key, value)| topic.set(key, value),
        );
        self.make(&topic);
    }

    /// Creates a topic of one partition on these brokers; the first one leads.
    pub fn topic_on(&self, name: &str, brokers: &[i32]) {
        let partitions = [brokers];
        let replication = TopicReplication::Variable(&partitions);
        self.make(&NewTopic::new(name, 1, replication));
    }

    fn make(&self, topic: &NewTopic<'_>) {
        let (name, partitions) = (topic.name, topic.num_partitions);
        let admin = self.admin();
        // The controllers may still be electing one of themselves after a fault.
        eventually("the topic is made", || {
            let made = wait(admin.create_topics([topic], &options()));
            let code = made.expect("the request is sound").remove(0);
            matches!(code, Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)))
        });
        eventually("the topic has leaders", || {
            let leaders = self.leaders(name);
            leaders.len() == usize::try_from(partitions).expect("a few") && !leaders.contains(&-1)
        });
    }

    /// Gives a topic more partitions, `count` in all; returns when they have leaders.
    pub fn grow(&self, name: &str, count: usize) {
        let more = NewPartitions::new(name, count);
        let made = wait(self.admin().create_partitions([&more], &options()));
        let result = made.expect("the request is sound").remove(0);
        result.expect("the topic is there");
        eventually("the new partitions have leaders", || {
            let leaders = self.leaders(name);
            leaders.len() == count && !leaders.contains(&-1)
        });
    }

    /// Gives a topic this setting, and to all others their defaults.
    pub fn configure_topic(&self, name: &str, key: &str, value: &str) {
        let change = AlterConfig::new(ResourceSpecifier::Topic(name)).set(key, value);
        let made = wait(self.admin().alter_configs([&change], &options()));
        let result = made.expect("the request is sound").remove(0);
        result.expect("the topic is there and takes it");
    }

    /// Limits the bytes per second that each broker takes from each client; `None` removes the limit.
    pub fn throttle_producers(&self, bytes: Option<u64>) {
        let change = bytes.map_or_else(
            || {
                [
                    String::from("--delete-config"),
                    String::from("producer_byte_rate"),
                ]
            },
            |bytes| {
                [
                    String::from("--add-config"),
                    format!("producer_byte_rate={bytes}"),
                ]
            },
        );
        let clients = ["--entity-type", "clients", "--entity-default"];
        let change = [change[0].as_str(), &change[1]];
        self.script(&[&["tool", "configs", "--alter"], &change[..], &clients].concat());
    }

    /// Deletes a topic; returns when no broker knows it any more.
    pub fn delete_topic(&self, name: &str) {
        wait(self.admin().delete_topics(&[name], &options())).expect("it is there");
        for broker in self.bootstrap.split(',') {
            eventually("the topic is gone", || {
                leaders(broker, name).is_ok_and(|leaders| leaders.is_empty())
            });
        }
    }

    /// Each partition's leader, -1 if there is none; empty if the topic is unknown.
    pub fn leaders(&self, topic: &str) -> Vec<i32> {
        leaders(&self.bootstrap, topic).unwrap_or_default()
    }

    /// Gives each partition's leadership back to its preferred broker; to be repeated if that is not in sync yet.
    pub fn elect_preferred(&self) {
        let what = ["--election-type", "preferred", "--all-topic-partitions"];
        // It fails if a broker is not in sync yet, which callers see in the leaders.
        let _ = self.run(&[&["tool", "leaders"], &what[..]].concat());
    }

    /// `kill`, `pause` (SIGSTOP), `cont`, `stop` (SIGTERM) or `start`, of broker 1, 2 or 3.
    pub fn node(&self, action: &str, node: u32) {
        self.script(&[action, &node.to_string()]);
    }

    /// Kills all brokers.
    pub fn kill_all(&self) {
        for node in 1..=self.nodes {
            self.node("kill", node);
        }
    }

    /// Starts all brokers, in parallel, because one alone has no quorum.
    pub fn start_all(&self) {
        std::thread::scope(|scope| {
            for node in 1..=self.nodes {
                scope.spawn(move || self.node("start", node));
            }
        });
    }

    /// Gives a SCRAM user another password.
    pub fn set_password(&self, user: &str, password: &str) {
        let new = format!("SCRAM-SHA-512=[password={password}]");
        let what = ["--entity-type", "users", "--entity-name", user];
        self.script(
            &[
                &["tool", "configs", "--alter", "--add-config", &new],
                &what[..],
            ]
            .concat(),
        );
    }

    /// From the brokers' next start on, client certificates must be signed by another authority; the client's new certificate
    /// and key are in `renewed` beside the old ones.
    pub fn renew_client_authority(&self) {
        let certs = self.certs.as_deref().expect("a listener with certificates");
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        let script = format!(
            "set -e; mkdir renewed; cd renewed
             openssl req -x509 {key} -days 30 -subj '/CN=renewed CA' -keyout ca.key -out ca.pem
             openssl req {key} -subj /CN=relay -keyout relay.key -out relay.csr
             openssl x509 -req -in relay.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out relay.pem
             cp ca.pem ../ca.pem"
        );
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", &script]).current_dir(certs).output();
        let output = output.expect("a shell runs");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}");
    }

    /// Lets `user` do `operation` on `topic`.
    pub fn allow(&self, user: &str, operation: &str, topic: &str) {
        self.script(&["allow", user, operation, topic]);
    }

    /// Takes an [`Cluster::allow`] back.
    pub fn forbid(&self, user: &str, operation: &str, topic: &str) {
        let principal = format!("User:{user}");
        let what = [
            "--allow-principal",
            &principal,
            "--operation",
            operation,
            "--topic",
            topic,
        ];
        self.script(&[&["tool", "acls", "--remove", "--force"], &what[..]].concat());
    }

    /// Lets frozen and dead brokers run again, which a failed test may have left behind.
    pub fn heal(&self) {
        let status = self.script(&["status"]);
        let dead: Vec<_> = (1..=self.nodes)
            .filter(|node| status.contains(&format!("node {node} down")))
            .collect();
        for node in (1..=self.nodes).filter(|node| !dead.contains(node)) {
            self.node("cont", node);
        }
        std::thread::scope(|scope| {
            for node in dead {
                scope.spawn(move || self.node("start", node));
            }
        });
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.bootstrap);
        client.create().expect("an admin client")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(SCRIPT);
        let command = command.arg("--dir").arg(&self.folder).args(arguments);
        command.output().expect("the script runs")
    }

    fn script(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

fn leaders(bootstrap: &str, topic: &str) -> KafkaResult<Vec<i32>> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", bootstrap);
    let admin: AdminClient<DefaultClientContext> = client.create()?;
    let metadata = admin.inner().fetch_metadata(Some(topic), ANSWER)?;
    let partitions = metadata.topics()[0].partitions().iter();
    Ok(partitions.map(|partition| partition.leader()).collect())
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(ANSWER))
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(future)
}
