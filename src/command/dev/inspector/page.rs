//! The files of the inspector's page, in the binary as they are in the folder: there is no build step.

use crate::web;

/// What the page may load and run: its own files, and nothing that a request's body could smuggle in.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

/// A path's content type and bytes.
type File = (&'static str, &'static str, &'static [u8]);

/// What the status page has too.
const LOOK: File = ("/look.css", CSS, web::LOOK.as_bytes());

macro_rules! files {
    ($($type:ident: $($name:literal)+;)+) => {
        &[LOOK, $($((concat!("/", $name), $type, include_bytes!(concat!("page/", $name))),)+)+]
    };
}

static FILES: &[File] = files! {
    HTML: "index.html";
    SVG: "icon.svg";
    // Whoever has the binary has the licences of what is in it.
    TEXT: "vendor/htm.LICENSE" "vendor/preact.LICENSE";
    CSS: "style.css";
    JS: "actions.js" "app.js" "bytes.js" "curl.js" "diff.js" "filter.js" "format.js" "html.js" "json.js" "keys.js" "list.js"
        "open.js" "route.js" "rows.js" "store.js" "stream.js" "vendor/htm.js" "vendor/preact.js" "view/body.js" "view/compare.js"
        "view/detail.js" "view/dialogs.js" "view/edit.js" "view/empty.js" "view/list.js" "view/parts.js" "view/timeline.js"
        "view/top.js" "visible.js";
};

/// The content type and the bytes of the file at `path`, such as `/style.css`. The page itself is at `/`.
pub fn file(path: &str) -> Option<(&'static str, &'static [u8])> {
    let path = if path == "/" { "/index.html" } else { path };
    let found = FILES.iter().find(|(name, _, _)| *name == path)?;
    Some((found.1, found.2))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// As for Rust's files; what is vendored is as it was published.
    const MAX_LINES: usize = 300;
    /// Each would run a body's text, or ask another host.
    const FORBIDDEN: [&str; 8] = [
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "Function(",
        "dangerously",
        "http:",
    ];

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/command/dev/inspector/page")
    }

    #[test]
    fn every_file_of_the_page_is_served_and_every_import_is_a_file() {
        let mut found = [LOOK].len();
        for part in ["", "view", "vendor"] {
            for entry in fs::read_dir(folder().join(part)).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(folder()).unwrap().to_str().unwrap();
                if path.is_dir() || path.file_name().is_some_and(|name| name == "README.md") {
                    continue;
                }
                let (_, bytes) = file(&format!("/{name}")).expect(name);
                assert_eq!(bytes, fs::read(&path).unwrap(), "{name}");
                found += 1;
            }
        }
        assert_eq!(found, FILES.len());
        for (name, _, bytes) in FILES.iter().filter(|file| file.1 == JS) {
            let parent = Path::new(name).parent().unwrap();
            let text = str::from_utf8(bytes).unwrap();
            let imports = text.lines().filter_map(|line| line.split_once(" from '"));
            for (_, import) in imports {
                let import = import.trim_end_matches("';");
                let path = folder()
                    .join(parent.strip_prefix("/").unwrap())
                    .join(import);
                assert!(path.is_file(), "{name} imports {import}");
            }
        }
        assert_eq!(file("/"), file("/index.html"));
        assert_eq!(file("/../page.rs"), None);
    }

    #[test]
    fn the_page_s_files_are_short_and_run_no_text() {
        let own = FILES.iter().filter(|file| !file.0.starts_with("/vendor/"));
        for (name, kind, bytes) in own {
            let text = str::from_utf8(bytes).unwrap();
            assert!(text.lines().count() <= MAX_LINES, "{name} is too long");
            if *kind != JS {
                continue;
            }
            assert!(
                text.starts_with("// "),
                "{name} does not begin with what it is for"
            );
            for word in FORBIDDEN {
                assert!(!text.contains(word), "{name} has {word}");
            }
        }
    }
}
