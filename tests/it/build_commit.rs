//! The commit that the build script finds, and the files whose change makes cargo look for it again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The commit that the tests' binary should name: git's for this tree, else the one that the build was given, else none.
pub fn of_this_tree() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let commit = if root.join(".git").exists() {
        git(root, &["rev-parse", "HEAD"])
    } else {
        std::env::var("GIT_COMMIT").unwrap_or_else(|_| String::from("unknown"))
    };
    commit.chars().take(12).collect()
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=test", "-c", "user.email=test@localhost"])
        .args(["-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(folder)
        .output();
    let output = output.expect("git runs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout)
        .expect("git prints text")
        .trim()
        .to_owned()
}

/// The build script, compiled.
struct Script {
    folder: tempfile::TempDir,
}

impl Script {
    fn compile() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/build.rs");
        let compiled = Command::new("rustc")
            .args(["--edition", "2024", "-o", "script", source])
            .current_dir(folder.path())
            .status();
        assert!(compiled.expect("rustc runs").success());
        Self { folder }
    }

    /// The commit that it finds in `package`, and the files that it has cargo watch for that.
    fn run(&self, package: &Path, given: Option<&str>) -> (String, Vec<PathBuf>) {
        let mut command = Command::new(self.folder.path().join("script"));
        command.current_dir(package).env_remove("GIT_COMMIT");
        if let Some(commit) = given {
            command.env("GIT_COMMIT", commit);
        }
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("it prints text");
        let values = |key: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(key));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let watched = values("cargo::rerun-if-changed=").into_iter().skip(1);
        let commits = values("cargo::rustc-env=BUILD_COMMIT=");
        assert_eq!(commits.len(), 1, "{text}");
        (
            commits[0].clone(),
            watched.map(|file| package.join(file)).collect(),
        )
    }
}

#[test]
fn a_build_names_its_commit_from_git_else_from_the_environment_else_unknown() {
    let script = Script::compile();
    let package = tempfile::tempdir().expect("a temporary folder");
    let package = package.path();
    assert_eq!(script.run(package, None), ("unknown".into(), vec![]));
    assert_eq!(script.run(package, Some(" ")), ("unknown".into(), vec![]));
    let given = Some("0123456789abcdef0123456789abcdef01234567");
    assert_eq!(script.run(package, given), ("0123456789ab".into(), vec![]));

    git(package, &["init", "--quiet"]);
    git(
        package,
        &["commit", "--quiet", "--allow-empty", "-m", "one"],
    );
    let head = git(package, &["rev-parse", "--short=12", "HEAD"]);
    let files = ["HEAD", "refs/heads/main"].map(|file| package.join(".git").join(file));
    assert_eq!(script.run(package, given), (head.clone(), files.to_vec()));

    // The folder of a packed branch changes with the next commit. A detached HEAD has its commit in its own file.
    git(package, &["pack-refs", "--all"]);
    let (commit, watched) = script.run(package, None);
    assert_eq!(commit, head);
    assert_eq!(watched[1], package.join(".git/refs/heads"));
    git(package, &["checkout", "--quiet", "--detach"]);
    let head_only = vec![files[0].clone()];
    assert_eq!(script.run(package, None), (head, head_only));

    // A copy inside another repository is not that repository's commit.
    let copy = package.join("copy");
    fs::create_dir(&copy).expect("it can be made");
    assert_eq!(script.run(&copy, None), ("unknown".into(), vec![]));
}
