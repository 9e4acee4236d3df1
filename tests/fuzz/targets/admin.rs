//! Any bytes on a connection to the admin port: it ends once its client has sent all, and nothing but probes is answered
//! without the token.

#![no_main]

use std::net::{SocketAddr, TcpListener};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ringback::admin::{self, Admin, Setup};
use ringback::config::{Config, Environment};
use ringback::readiness::Readiness;
use ringback::telemetry::Metrics;
use ringback_fuzz::exchange;
use tokio::runtime::{Builder, Runtime};

static SERVER: LazyLock<(Runtime, Admin)> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build();
    let text = concat!(
        "admin.token = { file = \"",
        env!("CARGO_MANIFEST_DIR"),
        "/keys/token\" }\n[kafka]\ntopic = \"t\"\nclient.\"bootstrap.servers\" = \"k:9092\"\n",
        "[[source]]\nname = \"s\"\npath = \"/\"\nverify = \"none\""
    );
    let config = Config::parse(text, "target", &Environment::default());
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let metrics = Metrics::new().expect("fresh metrics");
    let token = config.admin.token.as_ref();
    let setup = Setup {
        keeps_on_disk: true,
        sources: Vec::new(),
        advice: |_| None,
    };
    let admin = admin::serve(listener, token, setup, Readiness::new(), metrics).expect("it serves");
    (runtime.expect("a runtime"), admin)
});

fuzz_target!(|bytes: &[u8]| {
    let (runtime, admin) = &*SERVER;
    let address: SocketAddr = admin.address();
    let answer = runtime.block_on(exchange(address, bytes));
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.contains("# HELP"), "metrics without the token");
    assert!(!answer.contains("admin-token"), "details without the token");
    assert!(
        !answer.contains("<main"),
        "the status page without the token"
    );
});
