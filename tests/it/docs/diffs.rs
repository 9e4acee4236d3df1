//! Every diff that the documentation shows as an example still applies to the sources.

use std::fs;

use super::markdown::{pages, root};

/// Why a unified diff of several files does not apply.
fn fault(diff: &str) -> Option<String> {
    let Some(files) = diff.strip_prefix("--- ") else {
        return Some(String::from("it names no file"));
    };
    for file in files.split("\n--- ") {
        let text = format!("--- {}\n", file.trim_end_matches('\n'));
        let patch = match diffy::Patch::from_str(&text) {
            Ok(patch) => patch,
            Err(error) => return Some(error.to_string()),
        };
        let name = patch.original().unwrap_or_default();
        let name = name.trim_start_matches("a/");
        let Ok(source) = fs::read_to_string(root().join(name)) else {
            return Some(format!("there is no {name}"));
        };
        if let Err(error) = diffy::apply(&source, &patch) {
            return Some(format!("{name}: {error}"));
        }
    }
    None
}

#[test]
fn every_diff_applies_to_the_sources() {
    let (mut seen, mut faults) = (0, Vec::new());
    for page in pages() {
        let blocks = page.blocks.iter();
        for block in blocks.filter(|block| block.language == "diff") {
            seen += 1;
            let fault = fault(&block.text).map(|fault| (page.name(), block.line, fault));
            faults.extend(fault);
        }
    }
    assert!(seen > 1, "only {seen} diffs were found");
    assert!(
        faults.is_empty(),
        "these diffs do not apply to the files that they change: {faults:?}"
    );
}
