//! The build script. It only adds an option for the linker.

fn main() {
    println!("cargo::rerun-if-changed=deploy/link.rs");
    let target = |part: &str| std::env::var(format!("CARGO_CFG_TARGET_{part}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        // Packed, the relocations of OpenSSL's many pointers take 20 KB instead of 1 MB. The loader supports this since
        // glibc 2.36; linkers that do not support it only warn.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
