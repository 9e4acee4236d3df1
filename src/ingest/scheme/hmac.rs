//! Any sender that signs with HMAC and one header: `verify = "hmac"` and the settings of [`HmacConfig`].

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;

use super::claim::{
    Algorithm, Claim, Header, MAX_PIECES, Scheme, Signature, Signatures, SignedTime,
    UnverifiedRequest, number, only,
};
use super::config::{Digest, Encoding, HmacConfig, KeyEncoding, SettingsError};
use super::error::{AuthenticateError, HeaderForm};
use super::key::Key;
use super::sign::{Draft, Proof};
use super::template::{Piece, Template};

/// Timestamps from here on are milliseconds: as seconds it would be the year 5138.
const FIRST_MS: u64 = 100_000_000_000;

#[derive(Debug)]
pub(super) struct ConfiguredHmac {
    config: HmacConfig,
    template: Template,
    signature: Header,
    timestamp: Option<Header>,
    id: Option<Header>,
}

impl ConfiguredHmac {
    /// An error names the key at fault.
    pub(super) fn new(config: &HmacConfig) -> Result<Self, SettingsError> {
        let fault = |key, message: String| SettingsError { key, message };
        let template = Template::parse(&config.content);
        let template = template.map_err(|message| fault("hmac.content", message))?;
        let id_form = match template.separator() {
            Some(separator) => format!("<visible ASCII without {separator:?}>"),
            None => String::from("<visible ASCII>"),
        };
        let header = |key, name: &str, form: String| {
            let header = header(name, form);
            header.ok_or_else(|| fault(key, format!("{name:?} is not a header's name")))
        };
        let optional = |key, name: &Option<String>, piece, form: &str| {
            if name.is_some() != template.has(&piece) {
                return Err(fault(
                    key,
                    format!(
                        "set it if, and only if, hmac.content has {{{}}}: what is not signed proves nothing",
                        piece.name()
                    ),
                ));
            }
            let name = name.as_ref();
            name.map(|name| header(key, name, form.to_owned()))
                .transpose()
        };
        Ok(Self {
            signature: header("hmac.header", &config.header, config.form())?,
            timestamp: optional(
                "hmac.timestamp_header",
                &config.timestamp_header,
                Piece::Timestamp,
                "<unix s or ms>",
            )?,
            id: optional("hmac.id_header", &config.id_header, Piece::Id, &id_form)?,
            config: config.clone(),
            template,
        })
    }

    fn signature(&self, text: &str) -> Option<Signature> {
        self.signature_as(text, &self.config.prefix, self.config.encoding)
    }

    fn signature_as(&self, text: &str, prefix: &str, encoding: Encoding) -> Option<Signature> {
        let text = text.strip_prefix(prefix)?;
        let length = self.config.digest.length();
        match encoding {
            Encoding::Hex => Signature::from_hex(text, length),
            Encoding::HexUpper => {
                let is_upper = !text.bytes().any(|byte| byte.is_ascii_lowercase());
                Signature::from_any_hex(text, length).filter(|_| is_upper)
            }
            Encoding::Base64 => Signature::from_base64(text, length, Algorithm::Hmac),
        }
    }
}

fn header(name: &str, form: String) -> Option<Header> {
    Some(Header {
        name: name.parse().ok()?,
        form: HeaderForm {
            header: Cow::Owned(name.to_owned()),
            form: Cow::Owned(form),
            challenge: None,
        },
    })
}

impl Scheme for ConfiguredHmac {
    fn claim<'a>(
        &'a self,
        request: &UnverifiedRequest<'a>,
    ) -> Result<Claim<'a>, AuthenticateError> {
        let text = self.signature.read(request.headers)?;
        let signature = self.signature(text);
        let signature = signature.ok_or_else(|| self.signature.malformed())?;
        let read = |header: &Option<Header>| match header {
            Some(header) => header.read(request.headers),
            None => Ok(""),
        };
        let (digits, id) = (read(&self.timestamp)?, read(&self.id)?);
        if let Some(header) = &self.id
            && !self.template.keeps_apart(id)
        {
            return Err(header.malformed());
        }
        let mut pieces = [&[][..]; MAX_PIECES];
        for (slot, piece) in pieces.iter_mut().zip(self.template.pieces()) {
            *slot = match piece {
                Piece::Text(text) => text.as_bytes(),
                Piece::Timestamp => digits.as_bytes(),
                Piece::Id => id.as_bytes(),
                Piece::Body => request.body,
            };
        }
        let claim = Claim::of(&pieces, Signatures::from(signature));
        let Some(timestamp) = &self.timestamp else {
            return Ok(claim);
        };
        let time = number(digits).ok_or_else(|| timestamp.malformed())?;
        let unit = if time < FIRST_MS { 1000 } else { 1 };
        Ok(claim.at(SignedTime {
            ms: time * unit,
            behind: self.config.tolerance,
            ahead: Some(self.config.tolerance),
        }))
    }

    fn write(&self, draft: &Draft<'_>) -> Proof {
        let digest = match self.config.encoding {
            Encoding::Hex => hex::encode(draft.tag),
            Encoding::HexUpper => hex::encode_upper(draft.tag),
            Encoding::Base64 => STANDARD.encode(draft.tag),
        };
        let mut headers = vec![(
            self.signature.name.clone(),
            format!("{}{digest}", self.config.prefix),
        )];
        let beside = [
            (&self.timestamp, draft.seconds().to_string()),
            (&self.id, draft.id.to_owned()),
        ];
        for (header, value) in beside {
            headers.extend(header.as_ref().map(|header| (header.name.clone(), value)));
        }
        headers
    }

    fn key(&self, secret: &str) -> Result<Key, &'static str> {
        let (bytes, form) = match self.config.key_encoding {
            KeyEncoding::Text => (Some(secret.as_bytes().to_vec()), "a text"),
            KeyEncoding::Hex => (
                hex::decode(secret).ok(),
                "hexadecimal digits, as hmac.key_encoding says",
            ),
            KeyEncoding::Base64 => (
                STANDARD.decode(secret).ok(),
                "base64, as hmac.key_encoding says",
            ),
        };
        let bytes = bytes.ok_or(form)?;
        let key = match self.config.digest {
            Digest::Sha1 => Key::sha1(&bytes),
            Digest::Sha256 => Key::sha256(&bytes),
            Digest::Sha512 => Key::sha512(&bytes),
        };
        key.ok_or(form)
    }

    fn other_settings(&self, headers: &HeaderMap) -> Option<String> {
        let HmacConfig {
            prefix, encoding, ..
        } = &self.config;
        let text = self.signature.read(headers).ok()?;
        let marked = text.split_once('=').map_or(0, |(mark, _)| mark.len() + 1);
        let encodings = [
            *encoding,
            Encoding::Hex,
            Encoding::HexUpper,
            Encoding::Base64,
        ];
        let prefixes = [prefix, "", &text[..marked]].into_iter();
        let mut forms = prefixes.flat_map(|prefix| encodings.map(|encoding| (prefix, encoding)));
        let (seen, written) = forms
            .find(|(prefix, encoding)| self.signature_as(text, prefix, *encoding).is_some())?;
        let begins = match seen {
            seen if seen == prefix => None,
            "" => Some(format!(
                "it does not begin with {prefix:?}: leave out hmac.prefix"
            )),
            seen => Some(format!(
                "it begins with {seen:?}: set hmac.prefix = {seen:?}"
            )),
        };
        let is = (written != *encoding).then(|| {
            let form = match written {
                Encoding::Hex => "hexadecimal digits in lower case",
                Encoding::HexUpper => "hexadecimal digits in upper case",
                Encoding::Base64 => "base64",
            };
            format!("it is {form}: set hmac.encoding = \"{written}\"")
        });
        let clauses: Vec<_> = begins.into_iter().chain(is).collect();
        (!clauses.is_empty()).then(|| clauses.join(", and "))
    }

    fn message_id<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        only(headers, &self.id.as_ref()?.name)
    }
}
