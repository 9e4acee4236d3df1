//! The build script: the commit that `ringback --version` names, and an option for the linker.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=deploy/build.rs");
    println!("cargo::rerun-if-env-changed=GIT_COMMIT");
    println!("cargo::rustc-env=BUILD_COMMIT={}", commit());
    let target = |part: &str| env::var(format!("CARGO_CFG_TARGET_{part}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        // Packed, the relocations of OpenSSL's many pointers take 20 KB instead of 1 MB. The loader supports this since
        // glibc 2.36; linkers that do not support it only warn.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The commit's first 12 digits: from git, else from the variable `GIT_COMMIT`, which the Dockerfile sets because an image's
/// build has no repository; else `unknown`.
fn commit() -> String {
    let passed = || env::var("GIT_COMMIT").ok();
    let commit = commit_of_git().or_else(passed).unwrap_or_default();
    match commit.trim() {
        "" => String::from("unknown"),
        commit => commit.chars().take(12).collect(),
    }
}

/// The commit that is checked out, if the package is a repository of its own; a copy inside another repository has no commit.
///
/// Cargo runs this script again if HEAD or its branch changes, so that other builds stay as fast as before.
fn commit_of_git() -> Option<String> {
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    let commit = git(&["rev-parse", "HEAD"])?;
    watch(&git(&["rev-parse", "--git-path", "HEAD"])?);
    // A detached HEAD has no branch.
    if let Some(branch) = git(&["symbolic-ref", "--quiet", "HEAD"]) {
        let file = git(&["rev-parse", "--git-path", &branch])?;
        // The branch has no file while it is packed: its folder changes when it gets one.
        let file = Path::new(&file)
            .ancestors()
            .find(|path| path.exists())
            .and_then(Path::to_str);
        watch(file?);
    }
    Some(commit)
}

fn watch(file: &str) {
    println!("cargo::rerun-if-changed={file}");
}

/// What git prints for these arguments, if it succeeds.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
