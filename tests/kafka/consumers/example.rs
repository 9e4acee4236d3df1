//! A consumer of docs/consumers, built and run by the lines that its page has for it.

use std::error::Error;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use rustix::process::{Pid, Signal, kill_process};

/// The consumers, with their page.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/consumers");
/// The oldest Node that has SQLite and that the Kafka client takes, and the one that npm has if the installed one is older.
const OLDEST_NODE: (u32, u32) = (22, 22);
const NODE: &str = "24.22.3";
/// Where copies of them are built, which are kept for the next time.
const BUILT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/consumers");

/// A consumer that is built, its table in a folder of its own.
pub struct Example {
    folder: PathBuf,
    path: OsString,
    run: String,
    bootstrap: String,
    topic: String,
    data: tempfile::TempDir,
}

/// A row of its table.
pub struct Kept {
    /// The record's position in the relay's journal.
    pub position: i64,
    /// The record's key.
    pub key: Option<String>,
    /// The event's type.
    pub kind: String,
    /// The record's value.
    pub body: Vec<u8>,
    /// The call that the body names, if any.
    pub call: Option<String>,
    /// The event's number in its call's body.
    pub number: Option<u64>,
}

impl Example {
    /// Runs the lines of the language's section but the last one, in a copy of its folder.
    pub fn build(language: &str, bootstrap: &str, topic: &str) -> Result<Self, Box<dyn Error>> {
        let (build, run) = lines(language)?;
        let folder = match language {
            // It is an example of this crate, so cargo must find that above it.
            "Rust" => Path::new(FOLDER).join("rust"),
            _ => copy(&language.to_lowercase())?,
        };
        succeed(&mut shell(&build, &folder))?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = match language {
            "Node" => with_node(path)?,
            _ => path,
        };
        Ok(Self {
            folder,
            path,
            run: format!("exec {run}"),
            bootstrap: bootstrap.to_owned(),
            topic: topic.to_owned(),
            data: tempfile::tempdir()?,
        })
    }

    /// Runs the last line.
    pub fn start(&self) -> Consumer {
        let mut command = shell(&self.run, &self.folder);
        let command = command
            .env("PATH", &self.path)
            .env("BOOTSTRAP_SERVERS", &self.bootstrap)
            .env("TOPIC", &self.topic)
            .env("GROUP", &self.topic)
            .env("DATABASE", self.database());
        let child = command.stdout(Stdio::null()).spawn();
        Consumer(child.expect("a shell runs"))
    }

    fn database(&self) -> PathBuf {
        self.data.path().join("events.db")
    }

    /// What it has kept, in the order in which it did so.
    pub fn kept(&self) -> rusqlite::Result<Vec<Kept>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let database = Connection::open_with_flags(self.database(), flags)?;
        let mut rows =
            database.prepare("SELECT position, key, type, body FROM events ORDER BY rowid")?;
        let kept = rows.query_map([], |row| {
            let body: Vec<u8> = row.get(3)?;
            let event: serde_json::Value =
                serde_json::from_slice(&body).expect("every test event is JSON");
            let call = event["call"]["call_id"].as_str().map(str::to_owned);
            Ok(Kept {
                position: row.get(0)?,
                key: row.get(1)?,
                kind: row.get(2)?,
                body,
                call,
                number: event["call"]["n"].as_u64(),
            })
        })?;
        kept.collect()
    }
}

/// A running consumer; dropping it kills it.
pub struct Consumer(Child);

impl Consumer {
    /// SIGKILL.
    pub fn kill(mut self) {
        self.0.kill().expect("it still runs");
        let status = self.0.wait().expect("it ends");
        assert_eq!(status.signal(), Some(9), "it had ended before: {status}");
    }

    /// SIGTERM, and waits for its end.
    pub fn terminate(mut self, at_most: Duration) -> ExitStatus {
        kill_process(Pid::from_child(&self.0), Signal::TERM).expect("it still runs");
        let deadline = Instant::now() + at_most;
        loop {
            if let Some(status) = self.0.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "still running after {at_most:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // Fails if it has ended already, which is the usual case.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lines that build a language's consumer, and the one that runs it.
fn lines(language: &str) -> Result<(String, String), Box<dyn Error>> {
    let page = std::fs::read_to_string(Path::new(FOLDER).join("README.md"))?;
    let section = page.split_once(&format!("\n## {language}\n"));
    let block = section.and_then(|(_, text)| {
        let (_, block) = text.split_once("```sh\n")?;
        Some(block.split_once("\n```")?.0)
    });
    let block = block.ok_or_else(|| format!("the page has no lines for {language}"))?;
    let (build, run) = block.rsplit_once('\n').unwrap_or(("", block));
    Ok((build.to_owned(), run.to_owned()))
}

/// Brings the copy of a consumer's sources up to date.
fn copy(name: &str) -> Result<PathBuf, Box<dyn Error>> {
    std::fs::create_dir_all(BUILT)?;
    let from = Path::new(FOLDER).join(name);
    let status = Command::new("cp")
        .arg("-r")
        .arg(&from)
        .arg(BUILT)
        .status()?;
    if !status.success() {
        return Err(format!("{} cannot be copied", from.display()).into());
    }
    Ok(Path::new(BUILT).join(name))
}

/// This path, and before it that of a Node that is new enough, if the installed one is not.
fn with_node(path: OsString) -> Result<OsString, Box<dyn Error>> {
    let version = Command::new("node").arg("--version").output()?.stdout;
    let version = String::from_utf8(version)?;
    let mut numbers = version.trim().trim_start_matches('v').split('.');
    let mut number = || numbers.next().unwrap_or_default().parse::<u32>();
    if (number()?, number()?) >= OLDEST_NODE {
        return Ok(path);
    }
    let arch = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => return Err(format!("npm has no Node for {other}").into()),
    };
    let package = format!("node-linux-{arch}");
    let prefix = Path::new(BUILT).join("node-runtime");
    std::fs::create_dir_all(&prefix)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-fund", "--no-audit", "--prefix"]);
    succeed(npm.arg(&prefix).arg(format!("{package}@{NODE}")))?;
    let folder = prefix.join("node_modules").join(package).join("bin");
    let folders = [folder].into_iter().chain(std::env::split_paths(&path));
    Ok(std::env::join_paths(folders)?)
}

fn succeed(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let words = [output.stdout, output.stderr].concat();
        let words = String::from_utf8_lossy(&words);
        return Err(format!("{command:?}: {words}").into());
    }
    Ok(())
}

fn shell(line: &str, folder: &Path) -> Command {
    let mut command = Command::new("bash");
    command.args(["-euc", line]).current_dir(folder);
    // What cargo says about this crate would have another cargo build some of its dependencies once more.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    command
}
