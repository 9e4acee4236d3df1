//! serde_json's opinion of a body.

use std::borrow::Cow;

use ringback::ingest::NotJson;
use serde_json::Value;
use serde_json::value::RawValue;

/// The source whose fields are compared.
pub const SOURCE: &str = "verify = \"none\"\nevent_pointer = \"/event\"\nid_pointer = \"/id\"\n\
     key_pointers = [\"/call/call_id\", \"/a/0\", \"/a\", \"/call/a/1/id\"]";
const KEYS: [&str; 4] = ["/call/call_id", "/a/0", "/a", "/call/a/1/id"];

/// Bounds of ringback's own, as ARCHITECTURE.md and the reference of the record headers give them.
const LONGEST_KEY: usize = 8 * 1024;
const LONGEST_NAME: usize = 1024;
const LONGEST_ID: usize = 256;

/// The event's name, key and id.
pub type Fields<'a> = [Option<Cow<'a, str>>; 3];

/// Panics if `found` is not what serde_json finds in `body`.
pub fn compare(body: &[u8], found: Result<Fields<'_>, NotJson>) {
    let json = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    // Raw, because that needs neither depth nor a number's range.
    let is_json = serde_json::from_slice::<&RawValue>(json).is_ok();
    assert_eq!(found.is_ok(), is_json, "{found:?}");
    let Ok([kind, key, id]) = found else { return };
    // A tree has no lone surrogates, no number beyond f64, and not any depth.
    let Ok(tree) = serde_json::from_slice::<Value>(json) else {
        return;
    };
    let text = |pointer: &str| tree.pointer(pointer).and_then(Value::as_str);
    let name = text("/event").map(|name| &name[..name.floor_char_boundary(LONGEST_NAME)]);
    assert_eq!(kind.as_deref(), name, "the event's name");
    let mut keys = KEYS.iter().filter_map(|pointer| text(pointer));
    let expected = keys.find(|key| key.len() <= LONGEST_KEY);
    assert_eq!(key.as_deref(), expected, "the key");
    let is_usable = |id: &&str| {
        (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    assert_eq!(id.as_deref(), text("/id").filter(is_usable), "the id");
}
