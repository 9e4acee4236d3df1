//! A real Prometheus, which evaluates rules and is queried in PromQL.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::{PATIENCE, eventually};

/// A running Prometheus that scrapes one relay every second.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

/// False, after a line about it, if Debian's package `prometheus` is not here. With `CI` set it must be.
pub fn is_installed() -> bool {
    let version = Command::new("prometheus").arg("--version").output();
    let found = version.is_ok_and(|output| output.status.success());
    assert!(
        found || std::env::var_os("CI").is_none(),
        "prometheus must be there if CI is set"
    );
    if !found {
        eprintln!("prometheus is not on the path: its check is left out");
    }
    found
}

impl Prometheus {
    /// Starts it; returns once a scrape of `target` has succeeded.
    pub fn scraping(target: SocketAddr) -> Self {
        Self::alerting(target, "groups: []")
    }

    /// As [`Prometheus::scraping`]; it evaluates these rules every second.
    pub fn alerting(target: SocketAddr, rules: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: [rules.yaml]
scrape_configs:
  - job_name: ringback
    static_configs: [{{ targets: ['{target}'] }}]
"
        );
        std::fs::write(&config, text).expect("it can be written");
        let written = std::fs::write(folder.path().join("rules.yaml"), rules);
        written.expect("they can be written");
        // Prometheus cannot choose a free port and report it. It is unlikely that another process takes this one in between.
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("it has an address");
        drop(free);
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus runs");
        let prometheus = Self {
            child,
            address,
            _folder: folder,
        };
        eventually("prometheus has scraped the relay", || {
            prometheus.query("up") == Some(1.0)
        });
        prometheus
    }

    /// The value of an expression with one result.
    pub fn value(&self, expression: &str) -> f64 {
        let value = self.query(expression);
        value.unwrap_or_else(|| panic!("no value of {expression}"))
    }

    fn query(&self, expression: &str) -> Option<f64> {
        self.values(expression).first().copied()
    }

    /// The values of an expression's series; none while Prometheus does not answer.
    pub fn values(&self, expression: &str) -> Vec<f64> {
        let encoded: String = expression
            .bytes()
            .map(|byte| format!("%{byte:02X}"))
            .collect();
        let data = self.get(&format!("query?query={encoded}"));
        let series = data.and_then(|data| data["result"].as_array().cloned());
        let values = series.unwrap_or_default().into_iter().map(|series| {
            let value = series["value"][1].as_str().expect("a vector's sample");
            value.parse().expect("a number")
        });
        values.collect()
    }

    /// The `data` of this path of its API; `None` while it does not answer. Panics at an error, such as of syntax.
    pub fn get(&self, path: &str) -> Option<serde_json::Value> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET /api/v1/{path} HTTP/1.0\r\nHost: test\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        // It answers in words until it is ready.
        let mut body: serde_json::Value = serde_json::from_str(body).ok()?;
        assert_eq!(body["status"], "success", "{path}: {body}");
        Some(body["data"].take())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
