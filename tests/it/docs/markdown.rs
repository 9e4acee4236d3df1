//! Markdown files as the checks of the documentation see them: fenced blocks, code spans, links and headings.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders without pages of this project's own: what tools have built, what others have written, and texts that tests feed
/// to parsers.
const LEFT_OUT: [&str; 9] = [
    ".git",
    ".tools",
    "corpus",
    "covered",
    "fixtures",
    "mutants",
    "node_modules",
    "target",
    "vendor",
];

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    /// What stands behind the opening fence, such as `sh`.
    pub language: String,
    /// The number of its first line in the file.
    pub line: usize,
    /// Without the fences' indentation.
    pub text: String,
}

/// A Markdown file.
#[derive(Debug)]
pub struct Page {
    /// Below the project's folder.
    pub path: PathBuf,
    pub blocks: Vec<Block>,
    /// All lines, those of fenced blocks emptied, so that line numbers stay.
    prose: String,
}

/// A piece of a page and its line.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    pub line: usize,
    pub text: &'a str,
}

impl Page {
    pub fn parse(path: PathBuf, text: &str) -> Self {
        let mut page = Self {
            path,
            blocks: Vec::new(),
            prose: String::new(),
        };
        let mut open: Option<(usize, Block)> = None;
        for (index, line) in text.lines().enumerate() {
            let content = line.trim_start();
            let indent = line.len() - content.len();
            if let Some((indent, mut block)) = open.take() {
                if content.starts_with("```") {
                    page.blocks.push(block);
                } else {
                    let content = line.get(indent..).unwrap_or(content);
                    block.text.push_str(content);
                    block.text.push('\n');
                    open = Some((indent, block));
                }
            } else if let Some(language) = content.strip_prefix("```") {
                let block = Block {
                    language: language.trim().to_owned(),
                    line: index + 2,
                    text: String::new(),
                };
                open = Some((indent, block));
            } else {
                page.prose.push_str(line);
            }
            page.prose.push('\n');
        }
        assert!(open.is_none(), "{}: a block stays open", page.name());
        page
    }

    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// The prose in alternation: text, code span, text, … A span ends within its paragraph.
    fn pieces(&self) -> Vec<Piece<'_>> {
        let (mut pieces, mut line) = (Vec::new(), 1);
        let mut rest = self.prose.as_str();
        while !rest.is_empty() {
            let start = rest.find('`').unwrap_or(rest.len());
            let (text, code) = rest.split_at(start);
            pieces.push(Piece { line, text });
            line += text.matches('\n').count();
            let ticks = code.len() - code.trim_start_matches('`').len();
            let (fence, inside) = code.split_at(ticks);
            let paragraph = inside.split("\n\n").next().unwrap_or(inside);
            let end = paragraph.find(fence).unwrap_or(0);
            let (text, after) = inside.split_at(end);
            pieces.push(Piece { line, text });
            line += text.matches('\n').count();
            rest = after.strip_prefix(fence).unwrap_or(after);
        }
        pieces
    }

    /// The code spans of the prose.
    pub fn spans(&self) -> impl Iterator<Item = Piece<'_>> {
        let pieces = self.pieces().into_iter();
        pieces.skip(1).step_by(2)
    }

    /// The code spans, and the lines of blocks other than programs, patches and configurations.
    pub fn code(&self) -> impl Iterator<Item = Piece<'_>> {
        let is_told = |block: &&Block| {
            let language = block.language.as_str();
            matches!(language, "" | "sh" | "bash" | "console" | "text" | "yaml")
        };
        let blocks = self.blocks.iter().filter(is_told);
        let lines = blocks.flat_map(|block| {
            let lines = block.text.lines().enumerate();
            lines.map(|(index, text)| Piece {
                line: block.line + index,
                text,
            })
        });
        self.spans().chain(lines)
    }

    /// The targets of links and pictures, as written.
    pub fn links(&self) -> Vec<Piece<'_>> {
        let mut links = Vec::new();
        let mut line = 1;
        // A span may be a link's text, so the page is searched as a whole; code never has the form of a link here.
        for (index, part) in self.prose.split("](").enumerate() {
            if index > 0 {
                let target = part.split(')').next().unwrap_or(part);
                links.push(Piece { line, text: target });
            }
            line += part.matches('\n').count();
        }
        links
    }

    /// The anchors that a renderer gives to the headings.
    pub fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for line in self.prose.lines() {
            let text = line.trim_start_matches('#');
            if text.len() < line.len() && text.starts_with(' ') {
                let name = anchor(text);
                let again = anchors.iter().filter(|other| **other == name).count();
                anchors.push(if again == 0 {
                    name
                } else {
                    format!("{name}-{again}")
                });
            }
        }
        anchors
    }
}

/// The anchor that a renderer of Markdown gives to a heading.
pub fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Every Markdown file of the project.
pub fn pages() -> Vec<Page> {
    let mut pages = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project can be read") {
            let path = entry.expect("an entry of the folder can be read").path();
            if path.is_dir() {
                if !LEFT_OUT.iter().any(|name| path.ends_with(name)) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).expect("a page can be read");
                let path = path.strip_prefix(root()).expect("it is below the root");
                pages.push(Page::parse(path.to_owned(), &text));
            }
        }
    }
    pages.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(pages.len() > 20, "only {} pages were found", pages.len());
    pages
}

#[test]
fn blocks_spans_links_and_anchors_are_found() {
    let text = "# A `b` title\n\nsee [`x`](README.md#z) and `ringback\ndev`\n\n1. text\n   ```sh\n   ls \\\n     -l\n   ```\n# A b title\n";
    let page = Page::parse(PathBuf::from("a page"), text);
    let spans: Vec<_> = page.spans().map(|span| (span.line, span.text)).collect();
    assert_eq!(spans[..3], [(1, "b"), (3, "x"), (3, "ringback\ndev")]);
    let link = Piece {
        line: 3,
        text: "README.md#z",
    };
    assert_eq!(page.links(), [link]);
    assert_eq!(page.anchors(), ["a-b-title", "a-b-title-1"]);
    let block = &page.blocks[0];
    assert_eq!((block.language.as_str(), block.line), ("sh", 8));
    assert_eq!(block.text, "ls \\\n  -l\n");
}
