//! JSON pointers (RFC 6901), compiled into one tree that a single pass over a body follows.

/// The most tokens of one pointer: following it costs a stack frame per token, and no sender nests its ids deeper.
const MAX_TOKENS: usize = 32;

/// What a pointer leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The event's name.
    Event,
    /// The event's key; of several pointers the first that leads to a string wins.
    Key,
    /// The sender's id of the message.
    Id,
}

/// A source's pointers as a tree.
#[derive(Debug)]
pub(crate) struct Pointers {
    pub(crate) root: Node,
    /// How many slots there are: one per pointer.
    pub(crate) slots: usize,
    /// What the string of each slot is.
    pub(crate) roles: Vec<Role>,
}

/// A place in a document that a pointer passes through or ends at.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) children: Vec<Child>,
    /// The slots of the pointers that end here: the same pointer may be given more than once.
    pub(crate) leaves: Vec<usize>,
    /// The slots of all pointers that end at or below this place: a duplicate of this member clears them.
    pub(crate) beneath: Vec<usize>,
}

/// One token of a pointer: a member's name, or an element's index.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) name: String,
    pub(crate) index: Option<usize>,
    pub(crate) node: Node,
}

/// Why a text is not a usable JSON pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// The pointer does not start with a slash. The empty pointer means the whole document, which is never a string.
    #[error("must start with \"/\"")]
    Start,
    /// An escape is not `~0` or `~1` (RFC 6901, section 3).
    #[error("has a \"~\" that is not followed by 0 or 1")]
    Escape,
    /// The pointer has too many tokens.
    #[error("has more than {MAX_TOKENS} tokens")]
    Depth,
}

impl Pointers {
    /// Compiles `pointers`. An error has the index of the pointer that is malformed.
    pub(crate) fn compile<S: AsRef<str>>(
        pointers: &[(Role, S)],
    ) -> Result<Self, (usize, PointerError)> {
        let mut root = Node::default();
        for (slot, (_, pointer)) in pointers.iter().enumerate() {
            let tokens = tokens(pointer.as_ref()).map_err(|error| (slot, error))?;
            root.insert(&tokens, slot);
        }
        Ok(Self {
            root,
            slots: pointers.len(),
            roles: pointers.iter().map(|(role, _)| *role).collect(),
        })
    }
}

impl Node {
    /// The child of an object's member.
    pub(crate) fn member(&self, name: &[u8]) -> Option<&Node> {
        self.children
            .iter()
            .find(|child| child.name.as_bytes() == name)
            .map(|child| &child.node)
    }

    /// The child of an array's element.
    pub(crate) fn element(&self, index: usize) -> Option<&Node> {
        self.children
            .iter()
            .find(|child| child.index == Some(index))
            .map(|child| &child.node)
    }

    fn insert(&mut self, tokens: &[String], slot: usize) {
        self.beneath.push(slot);
        let Some((name, rest)) = tokens.split_first() else {
            self.leaves.push(slot);
            return;
        };
        let child = self.children.iter().position(|child| child.name == *name);
        let child = child.unwrap_or_else(|| {
            self.children.push(Child {
                index: array_index(name),
                name: name.clone(),
                node: Node::default(),
            });
            self.children.len() - 1
        });
        self.children[child].node.insert(rest, slot);
    }
}

fn tokens(pointer: &str) -> Result<Vec<String>, PointerError> {
    let rest = pointer.strip_prefix('/').ok_or(PointerError::Start)?;
    let tokens = rest
        .split('/')
        .map(unescape)
        .collect::<Result<Vec<_>, _>>()?;
    if tokens.len() > MAX_TOKENS {
        return Err(PointerError::Depth);
    }
    Ok(tokens)
}

fn unescape(token: &str) -> Result<String, PointerError> {
    let mut text = String::with_capacity(token.len());
    let mut characters = token.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '~' => match characters.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err(PointerError::Escape),
            },
            other => other,
        });
    }
    Ok(text)
}

/// An array's index is digits without a leading zero (RFC 6901, section 4).
fn array_index(token: &str) -> Option<usize> {
    let plain = token.bytes().all(|byte| byte.is_ascii_digit());
    (plain && (token == "0" || !token.starts_with('0')))
        .then(|| token.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_those_of_rfc_6901() {
        assert_eq!(
            tokens("/a~1b/~01/"),
            Ok(vec!["a/b".into(), "~1".into(), String::new()])
        );
        assert_eq!(tokens(""), Err(PointerError::Start));
        assert_eq!(tokens("call"), Err(PointerError::Start));
        assert_eq!(tokens("/a~2"), Err(PointerError::Escape));
        assert_eq!(tokens("/a~"), Err(PointerError::Escape));
        assert_eq!(tokens(&"/a".repeat(33)), Err(PointerError::Depth));
        assert_eq!(array_index("0"), Some(0));
        assert_eq!(array_index("10"), Some(10));
        for not in ["", "00", "01", "-", "+1", "1e0", "99999999999999999999999"] {
            assert_eq!(array_index(not), None, "{not}");
        }
    }

    #[test]
    fn a_malformed_pointer_is_reported_by_its_index() {
        assert!(matches!(
            Pointers::compile(&[(Role::Event, "/a"), (Role::Key, "b")]),
            Err((1, PointerError::Start))
        ));
    }
}
