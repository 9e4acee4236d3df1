//! Every configuration in the documentation is valid.

use std::fs;
use std::path::Path;

use ringback::config::{Config, Environment};
use toml::{Table, Value};

use super::markdown::pages;
use crate::support::certificates::{Authority, Files, Signed};

/// What a relay needs at least; a fragment of a page is laid over it.
const BASE: &str = r#"
[kafka.client]
"bootstrap.servers" = "localhost:9092"
[[source]]
name = "retell"
path = "/webhook"
verify = "retell"
keys = [{ env = "RETELL_API_KEY" }]
"#;

/// Lays `fragment` over `base`, table by table.
fn lay_over(base: &mut Table, fragment: Table) {
    for (key, value) in fragment {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// The fragment with its files in `folder`, where they are made, because reading a configuration opens them.
fn with_files(fragment: &str, folder: &Path, signed: &Signed) -> String {
    for name in fragment.split("\"/etc/ringback/").skip(1) {
        let name = name.split('"').next().expect("a split has a first part");
        let file = folder.join(name);
        fs::create_dir_all(file.parent().expect("it is below")).expect("a folder");
        let pair = Files {
            certificate: file.with_extension("pem"),
            key: file.with_extension("key"),
        };
        if file == pair.certificate || file == pair.key {
            signed.write_certificate(&pair);
            signed.write_key(&pair);
        } else {
            fs::write(file, "secret").expect("it can be written");
        }
    }
    let folder = folder.to_str().expect("UTF-8");
    fragment.replace("/etc/ringback", folder)
}

#[test]
fn every_configuration_in_the_documentation_is_valid() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let signed = Authority::new().server((-1, 30));
    let (mut seen, mut faults) = (0, Vec::new());
    for page in pages() {
        for block in page.blocks.iter().filter(|block| block.language == "toml") {
            seen += 1;
            let place = format!("{}:{}", page.name(), block.line);
            let mut whole: Table = toml::from_str(BASE).expect("it is TOML");
            match toml::from_str(&with_files(&block.text, folder.path(), &signed)) {
                Ok(fragment) => lay_over(&mut whole, fragment),
                Err(error) => faults.push(format!("{place}: {error}")),
            }
            let text = toml::to_string(&whole).expect("a table is TOML");
            if let Err(error) = Config::parse(&text, &place, &Environment::default()) {
                faults.push(error.to_string());
            }
        }
    }
    assert!(seen > 15, "only {seen} configurations were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
