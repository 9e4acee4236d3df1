//! `hmac.content`: what is signed, as a text with `{timestamp}`, `{id}` and `{body}` in it.

use super::claim::MAX_PIECES;

/// A part of the signed content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Timestamp,
    Id,
    Body,
}

impl Piece {
    /// As in the template; for a text, the text.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Timestamp => "timestamp",
            Self::Id => "id",
            Self::Body => "body",
        }
    }
}

/// The pieces in their order; the body is among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

impl Template {
    /// An error says what is wrong and what would be right.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const VALID: &str =
            "write text with {timestamp}, {id} and {body} in it, such as \"{timestamp}.{body}\"";
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (literal, more) = rest.split_once('{').unwrap_or((rest, ""));
            if literal.contains('}') {
                return Err(format!("has a \"}}\" without its \"{{\"; {VALID}"));
            }
            if !literal.is_empty() {
                pieces.push(Piece::Text(literal.to_owned()));
            }
            if literal.len() == rest.len() {
                break;
            }
            let (name, after) = more
                .split_once('}')
                .ok_or_else(|| format!("has a \"{{\" without its \"}}\"; {VALID}"))?;
            pieces.push(match name {
                "timestamp" => Piece::Timestamp,
                "id" => Piece::Id,
                "body" => Piece::Body,
                _ => return Err(format!("has {{{name}}}, which is unknown; {VALID}")),
            });
            rest = after;
        }
        if !pieces.contains(&Piece::Body) {
            return Err(format!(
                "lacks {{body}}, so anybody could change the body; {VALID}"
            ));
        }
        let is_open = |pair: &[Piece]| match pair[0] {
            Piece::Timestamp | Piece::Id => !matches!(pair[1], Piece::Text(_)),
            Piece::Body => pair[1] == Piece::Id,
            Piece::Text(_) => false,
        };
        if pieces.windows(2).any(is_open) {
            return Err(format!(
                "has nothing between a {{timestamp}} or {{id}} and its neighbour, so the end of one could be made the beginning of \
                 the other; {VALID}"
            ));
        }
        if pieces.len() > MAX_PIECES {
            return Err(format!("has more than {MAX_PIECES} parts; {VALID}"));
        }
        Ok(Self(pieces))
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The text between an id and the body where they are neighbours, which they are once in most templates or never. A
    /// timestamp between them keeps them apart: part of an id or of a body is none that is in the tolerance.
    pub(super) fn separator(&self) -> Option<&str> {
        self.0.windows(3).find_map(|neighbours| match neighbours {
            [Piece::Id, Piece::Text(text), Piece::Body]
            | [Piece::Body, Piece::Text(text), Piece::Id] => Some(text.as_str()),
            _ => None,
        })
    }

    /// False if the same bytes, with the same signature, could also be read as another id beside another body. The body may
    /// contain the separator, so the id must not.
    pub(super) fn keeps_apart(&self, id: &str) -> bool {
        let Some(separator) = self.separator() else {
            return true;
        };
        // Also no part of it, which what stands beside the id would complete.
        let [before, after] = [[separator, id].concat(), [id, separator].concat()];
        before.rfind(separator) == Some(0) && after.find(separator) == Some(id.len())
    }

    pub(super) fn has(&self, piece: &Piece) -> bool {
        self.0.contains(piece)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_template_is_text_with_placeholders_and_must_sign_the_body() {
        let pieces = |text| Template::parse(text).map(|template| template.0);
        let text = |text: &str| Piece::Text(text.to_owned());
        for open in ["{timestamp}{body}", "{id}{timestamp}.{body}", "{id}{body}"] {
            let refused = pieces(open).expect_err("a digit could change sides");
            assert!(refused.contains("nothing between"), "{refused}");
        }
        let refused = pieces("{timestamp}.{body}{id}").expect_err("a letter could change sides");
        assert!(refused.contains("nothing between"), "{refused}");
        assert!(pieces("{body}{timestamp}").is_ok(), "as Retell AI signs");
        assert_eq!(pieces("{body}"), Ok(vec![Piece::Body]));
        assert_eq!(
            pieces("v1:{timestamp}:{id}.{body}\n"),
            Ok(vec![
                text("v1:"),
                Piece::Timestamp,
                text(":"),
                Piece::Id,
                text("."),
                Piece::Body,
                text("\n")
            ])
        );
        for (wrong, why) in [
            ("", "lacks {body}"),
            ("{timestamp}", "lacks {body}"),
            ("{body", "without its \"}\""),
            ("{", "without its \"}\""),
            ("body}", "without its \"{\""),
            ("{Body}", "{Body}, which is unknown"),
            ("{{body}}", "{{body}, which is unknown"),
            ("a{id}b{id}c{id}d{id}e{body}", "more than 8 parts"),
        ] {
            let refused = pieces(wrong).unwrap_err();
            assert!(refused.contains(why), "{wrong}: {refused}");
        }
    }

    proptest! {
        /// Of all ways to read what is signed as an id and a body, at most one is taken.
        #[test]
        fn no_signed_content_has_two_ids(
            signed in "[a.-]{0,12}",
            separator in "[a.-]{1,3}",
            id_first in any::<bool>(),
        ) {
            let text = if id_first {
                format!("{{id}}{separator}{{body}}")
            } else {
                format!("{{body}}{separator}{{id}}")
            };
            let template = Template::parse(&text).unwrap();
            let starts = (0..signed.len()).filter(|start| signed[*start..].starts_with(&separator));
            let ids = starts.map(|start| {
                if id_first {
                    &signed[..start]
                } else {
                    &signed[start + separator.len()..]
                }
            });
            prop_assert!(ids.filter(|id| template.keeps_apart(id)).count() <= 1);
        }

        #[test]
        fn an_id_without_the_separator_is_taken(id in "[a-z0-9_]{1,20}") {
            for text in ["{timestamp}.{id}.{body}", "{body}.{id}", "{id}--{timestamp}.{body}"] {
                prop_assert!(Template::parse(text).unwrap().keeps_apart(&id));
            }
            let apart = Template::parse("{id}.{timestamp}.{body}").unwrap();
            prop_assert!(apart.keeps_apart(&[&id, ".", &id].concat()));
        }

        #[test]
        fn a_template_s_pieces_are_its_text(text in "[a{}.]{0,4}(\\{(body|id|timestamp)\\}[:.]?){0,4}") {
            if let Ok(template) = Template::parse(&text) {
                let shown = template.0.iter().map(|piece| match piece {
                    Piece::Text(text) => text.clone(),
                    other => format!("{{{}}}", other.name()),
                });
                prop_assert_eq!(shown.collect::<String>(), text);
            }
        }
    }
}
