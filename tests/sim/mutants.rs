//! Faults in ringback's own logic, one patch each: `.ci/mutants` builds the simulator with one after the other. The
//! tests here check that each still applies and that the README's table has its row.

use std::fs;
use std::path::Path;

use libtest_mimic::{Failed, Trial};

use crate::README;

/// One test per patch.
pub fn trials() -> Result<Vec<Trial>, std::io::Error> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut trials = Vec::new();
    for entry in fs::read_dir(root.join("tests/sim/mutants"))? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let text = fs::read_to_string(&path)?;
        trials.push(Trial::test(
            format!("the_mutant_applies_{name}"),
            move || applies(root, &name, &text).map_err(Failed::from),
        ));
    }
    Ok(trials)
}

fn applies(root: &Path, name: &str, text: &str) -> Result<(), String> {
    let (breaks, patches) = text
        .split_once("\n\n--- ")
        .ok_or("what it breaks, an empty line, then a unified diff")?;
    let row = format!("| `{name}` | {breaks} | ");
    if !README.contains(&row) {
        return Err(format!("tests/sim/README.md has no row {row}…"));
    }
    for patch in patches.split("\n--- ") {
        let patch = format!("--- {patch}\n");
        let patch = diffy::Patch::from_str(&patch).map_err(|error| error.to_string())?;
        let file = patch.original().and_then(|file| file.strip_prefix("a/"));
        let file = root.join(file.ok_or("no file is named")?);
        let source = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        diffy::apply(&source, &patch).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}
