//! JSON pointers (RFC 6901), compiled into one tree that a single pass over a body follows.

/// Deeper pointers are refused: following one costs a stack frame a token, and no sender nests its id that far.
const MAX_TOKENS: usize = 32;
/// The slot of the `event` member, which every source needs; the pointers' slots follow in their order.
pub(crate) const EVENT: usize = 0;

/// A source's pointers and the `event` member, as a tree.
#[derive(Debug)]
pub(crate) struct Pointers {
    pub(crate) root: Node,
    /// How many slots there are: one for `event`, one a pointer.
    pub(crate) slots: usize,
}

/// A place in a document that lies on the way to, or at, something wanted.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) children: Vec<Child>,
    /// The slots of what is wanted here: a pointer may be given twice, or lead to `event`.
    pub(crate) leaves: Vec<usize>,
    /// All slots at and below this place: a later duplicate of this member undoes their hits.
    pub(crate) beneath: Vec<usize>,
}

/// A way down, by a member's name or an element's index.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) name: String,
    pub(crate) index: Option<usize>,
    pub(crate) node: Node,
}

/// Why a text is not a usable JSON pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// The empty pointer names the whole document, which is no string in any event.
    #[error("must start with \"/\"")]
    Start,
    /// RFC 6901, section 3.
    #[error("has a \"~\" that is not followed by 0 or 1")]
    Escape,
    /// More than 32 tokens.
    #[error("has more than {MAX_TOKENS} tokens")]
    Depth,
}

impl Pointers {
    /// Compiles `pointers`; the first one that hits a string wins.
    pub(crate) fn compile<S: AsRef<str>>(pointers: &[S]) -> Result<Self, (usize, PointerError)> {
        let mut root = Node::default();
        root.insert(&["event".to_owned()], EVENT);
        for (index, pointer) in pointers.iter().enumerate() {
            let tokens = tokens(pointer.as_ref()).map_err(|error| (index, error))?;
            root.insert(&tokens, index + 1);
        }
        Ok(Self {
            root,
            slots: pointers.len() + 1,
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
        let place = self.children.iter().position(|child| child.name == *name);
        let place = place.unwrap_or_else(|| {
            self.children.push(Child {
                index: array_index(name),
                name: name.clone(),
                node: Node::default(),
            });
            self.children.len() - 1
        });
        self.children[place].node.insert(rest, slot);
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

/// RFC 6901, section 4: digits without a leading zero.
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
    fn a_bad_pointer_is_named_by_its_place() {
        assert!(matches!(
            Pointers::compile(&["/a", "b"]),
            Err((1, PointerError::Start))
        ));
    }
}
