//! Reads a document with serde_json, follows a tree of pointers and skips everything else.
//!
//! A pass handles the values and names on a pointer's path in one of two modes. The interpreting mode lets serde_json
//! decode them. The exact mode takes them as raw text, which also works for valid JSON that serde_json cannot represent
//! (a lone surrogate, a number beyond f64). The interpreting mode is faster and runs first; if it fails, the exact mode
//! decides whether the document is JSON.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::pointers::{Node, Pointers};

/// A string that a pointer leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Text<'a> {
    /// Unescaped; borrowed if it has no escapes.
    Unicode(Cow<'a, str>),
    /// WTF-8: the string has lone surrogates.
    NotUnicode(Vec<u8>),
}

/// The string of each slot, or why `text` is not a JSON document.
pub(crate) fn find<'a>(
    text: &'a str,
    pointers: &Pointers,
) -> Result<Vec<Option<Text<'a>>>, serde_json::Error> {
    pass(text, pointers, false).or_else(|_| pass(text, pointers, true))
}

pub(crate) fn pass<'a>(
    text: &'a str,
    pointers: &Pointers,
    exact: bool,
) -> Result<Vec<Option<Text<'a>>>, serde_json::Error> {
    let mut slots = vec![None; pointers.slots];
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let root = ValueSeed {
        node: &pointers.root,
        slots: &mut slots,
        exact,
    };
    root.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(slots)
}

/// Reads one value on a pointer's path.
struct ValueSeed<'n, 'h, 'a> {
    node: &'n Node,
    slots: &'h mut [Option<Text<'a>>],
    exact: bool,
}

impl<'a> ValueSeed<'_, '_, 'a> {
    fn down<'s>(&'s mut self, node: &'s Node) -> ValueSeed<'s, 's, 'a> {
        // A duplicate member replaces everything that the earlier one led to.
        for slot in &node.beneath {
            self.slots[*slot] = None;
        }
        ValueSeed {
            node,
            slots: self.slots,
            exact: self.exact,
        }
    }

    fn read_raw(self, raw: &'a str) -> Result<(), serde_json::Error> {
        match raw.as_bytes().first() {
            Some(b'"') if !self.node.leaves.is_empty() => {
                let text = unescape(raw)?;
                for slot in &self.node.leaves {
                    self.slots[*slot] = Some(text.clone());
                }
                Ok(())
            }
            Some(b'{' | b'[') if !self.node.children.is_empty() => {
                serde_json::Deserializer::from_str(raw).deserialize_any(self)
            }
            _ => Ok(()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.exact || !self.node.leaves.is_empty() {
            let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
            return self.read_raw(raw.get()).map_err(D::Error::custom);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<(), M::Error> {
        let (node, exact) = (self.node, self.exact);
        while let Some(child) = map.next_key_seed(NameSeed { node, exact })? {
            match child {
                Some(child) => map.next_value_seed(self.down(child))?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(mut self, mut seq: S) -> Result<(), S::Error> {
        let node = self.node;
        for index in 0.. {
            let more = match node.element(index) {
                Some(child) => seq.next_element_seed(self.down(child))?.is_some(),
                None => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Reads a member's name and gives its child. serde_json validates names that it gives as text and as raw text, but not
/// those that it gives as bytes, so the exact mode reads a name as raw text.
struct NameSeed<'n> {
    node: &'n Node,
    exact: bool,
}

impl<'de, 'n> DeserializeSeed<'de> for NameSeed<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if !self.exact {
            return deserializer.deserialize_str(self);
        }
        let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
        Ok(match unescape(raw.get()).map_err(D::Error::custom)? {
            Text::Unicode(name) => self.node.member(name.as_bytes()),
            Text::NotUnicode(_) => None,
        })
    }
}

impl<'n> Visitor<'_> for NameSeed<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.node.member(name.as_bytes()))
    }
}

pub(crate) fn unescape(raw: &str) -> Result<Text<'_>, serde_json::Error> {
    let inner = &raw[1..raw.len() - 1];
    if !inner.contains('\\') {
        return Ok(Text::Unicode(Cow::Borrowed(inner)));
    }
    let bytes = serde_json::Deserializer::from_str(raw).deserialize_bytes(Unescaped)?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Text::Unicode(Cow::Owned(text)),
        Err(error) => Text::NotUnicode(error.into_bytes()),
    })
}

struct Unescaped;

impl Visitor<'_> for Unescaped {
    type Value = Vec<u8>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }
}
