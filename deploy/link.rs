//! The build script: how the binary is linked. Nothing is generated.

fn main() {
    println!("cargo::rerun-if-changed=deploy/link.rs");
    let target = |part: &str| std::env::var(format!("CARGO_CFG_TARGET_{part}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        // OpenSSL's tables are full of pointers; packed, their relocations take 20 KB rather than 1 MB. Loaders know it
        // since glibc 2.36; linkers that do not know it only warn.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
