//! A real Prometheus, queried in PromQL.

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

impl Prometheus {
    /// Starts it; returns once a scrape of `target` has succeeded.
    pub fn scraping(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "scrape_configs:\n  - job_name: ringback\n    scrape_interval: 1s\n    static_configs: [{{ targets: ['{target}'] }}]\n"
        );
        std::fs::write(&config, text).expect("it can be written");
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

    /// `None` while it does not answer, or has no result.
    fn query(&self, expression: &str) -> Option<f64> {
        let encoded: String = expression
            .bytes()
            .map(|byte| format!("%{byte:02X}"))
            .collect();
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(
            stream,
            "GET /api/v1/query?query={encoded} HTTP/1.0\r\nHost: test\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let body: serde_json::Value = serde_json::from_str(body).ok()?;
        body["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
