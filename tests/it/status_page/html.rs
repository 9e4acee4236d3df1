//! Reads HTML as strictly as XML: a page of ringback's own has nothing that a browser would have to guess.

/// Elements without content.
const VOID: [&str; 3] = ["link", "meta", "br"];
/// What maud escapes.
const ENTITIES: [(&str, &str); 4] = [
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "\""),
    ("&amp;", "&"),
];

/// The text of a page, with one space between two elements' texts. Panics if the page is not well-formed.
pub fn text(page: &str) -> String {
    let mut rest = page.strip_prefix("<!DOCTYPE html>").expect("a doctype");
    let mut open: Vec<&str> = Vec::new();
    let mut text = String::new();
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(&unescaped(before));
        text.push(' ');
        let (tag, after) = after.split_once('>').expect("a tag ends");
        assert!(!tag.contains('<'), "unescaped: {tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{page}");
        } else {
            let name = tag.split(' ').next().expect("a split has a first part");
            if !VOID.contains(&name) {
                open.push(name);
            }
        }
        rest = after;
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn unescaped(text: &str) -> String {
    assert!(!text.contains('>'), "unescaped: {text}");
    let bare = ENTITIES.iter().fold(text.to_owned(), |text, (entity, _)| {
        text.replace(entity, "")
    });
    assert!(!bare.contains('&'), "unescaped: {text}");
    let entities = ENTITIES.iter();
    entities.fold(text.to_owned(), |text, (entity, character)| {
        text.replace(entity, character)
    })
}
