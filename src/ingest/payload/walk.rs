//! The slow way: a pass over a document by serde_json that follows a tree of pointers and skips everything else.
//!
//! Of two ways through the places on a pointer's path one lets serde_json interpret them, and the exact one only splits
//! them off. They differ where a value on the path, or a name beside it, is valid JSON that serde_json refuses to
//! represent (a lone surrogate, a number beyond f64); then, and for bodies that are no JSON, the exact way decides.

use super::pointers::{Node, Pointers};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A string that a pointer led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hit<'a> {
    /// Unescaped; borrowed where there was nothing to unescape.
    Text(Cow<'a, str>),
    /// With lone surrogates (WTF-8).
    NotUnicode(Vec<u8>),
}

/// What each slot holds, or why `text` is no JSON document.
pub(crate) fn walk<'a>(
    text: &'a str,
    pointers: &Pointers,
) -> Result<Vec<Option<Hit<'a>>>, serde_json::Error> {
    pass(text, pointers, false).or_else(|_| pass(text, pointers, true))
}

pub(crate) fn pass<'a>(
    text: &'a str,
    pointers: &Pointers,
    exact: bool,
) -> Result<Vec<Option<Hit<'a>>>, serde_json::Error> {
    let mut hits = vec![None; pointers.slots];
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let place = Place {
        node: &pointers.root,
        hits: &mut hits,
        exact,
    };
    place.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(hits)
}

/// One value on a pointer's path.
struct Place<'n, 'h, 'a> {
    node: &'n Node,
    hits: &'h mut [Option<Hit<'a>>],
    exact: bool,
}

impl<'a> Place<'_, '_, 'a> {
    fn down<'s>(&'s mut self, node: &'s Node) -> Place<'s, 's, 'a> {
        // A duplicate of a member replaces all that its earlier one led to.
        for slot in &node.beneath {
            self.hits[*slot] = None;
        }
        Place {
            node,
            hits: self.hits,
            exact: self.exact,
        }
    }

    fn split_off(self, raw: &'a str) -> Result<(), serde_json::Error> {
        match raw.as_bytes().first() {
            Some(b'"') if !self.node.leaves.is_empty() => {
                let hit = unescape(raw)?;
                for slot in &self.node.leaves {
                    self.hits[*slot] = Some(hit.clone());
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

impl<'de> DeserializeSeed<'de> for Place<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.exact || !self.node.leaves.is_empty() {
            let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
            return self.split_off(raw.get()).map_err(D::Error::custom);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<(), M::Error> {
        let (node, exact) = (self.node, self.exact);
        while let Some(child) = map.next_key_seed(Name { node, exact })? {
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

/// A member's name. serde_json checks what it gives as text and what it splits off, but not what it gives as bytes; so
/// a name with a lone surrogate, which is no text, is split off, in the exact way.
struct Name<'n> {
    node: &'n Node,
    exact: bool,
}

impl<'de, 'n> DeserializeSeed<'de> for Name<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if !self.exact {
            return deserializer.deserialize_str(self);
        }
        let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
        Ok(match unescape(raw.get()).map_err(D::Error::custom)? {
            Hit::Text(name) => self.node.member(name.as_bytes()),
            Hit::NotUnicode(_) => None,
        })
    }
}

impl<'n> Visitor<'_> for Name<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.node.member(name.as_bytes()))
    }
}

pub(crate) fn unescape(raw: &str) -> Result<Hit<'_>, serde_json::Error> {
    let inner = &raw[1..raw.len() - 1];
    if !inner.contains('\\') {
        return Ok(Hit::Text(Cow::Borrowed(inner)));
    }
    let bytes = serde_json::Deserializer::from_str(raw).deserialize_bytes(Unescaped)?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Hit::Text(Cow::Owned(text)),
        Err(error) => Hit::NotUnicode(error.into_bytes()),
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
