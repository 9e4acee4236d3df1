//! The types that keys have.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use http::HeaderName;
use ipnet::IpNet;
use toml::Value as Toml;

use super::{Decoder, Kind, SettingValue, Shape, Shown};

/// A type that is written as a text.
macro_rules! text {
    ($type:ty, $kind:expr, $parse:expr, $show:expr) => {
        impl SettingValue for $type {
            fn kind() -> Kind {
                $kind
            }

            fn decode(value: Toml, decoder: &mut Decoder<'_>) -> Option<Self> {
                decoder.parse(&value, $parse)
            }

            fn show(&self) -> Option<Shown> {
                Some(Shown::quoted(&$show(self)))
            }
        }
    };
}

text!(
    String,
    Kind::scalar("text", "write a text in quotes", r#"{"type": "string"}"#),
    |text| Some(text.to_owned()),
    String::clone
);

text!(
    PathBuf,
    Kind::scalar("path", "write a path in quotes", r#"{"type": "string"}"#),
    |text| Some(Self::from(text)),
    |path: &Self| path.display().to_string()
);

text!(
    SocketAddr,
    Kind::scalar(
        "address",
        "write an address and port such as \"0.0.0.0:8080\"",
        r#"{"type": "string", "pattern": "^(\\d+(\\.\\d+){3}|\\[[0-9a-fA-F:.]+\\]):\\d+$"}"#
    ),
    |text| text.parse().ok(),
    Self::to_string
);

text!(
    IpNet,
    Kind::scalar(
        "network",
        "write networks in CIDR notation, such as [\"10.0.0.0/8\"]",
        r#"{"type": "string", "pattern": "^[0-9a-fA-F:.]+/\\d+$"}"#
    ),
    |text| text.parse().ok(),
    Self::to_string
);

text!(
    HeaderName,
    Kind::scalar(
        "header",
        "write the name of a request header such as \"X-GitHub-Event\"",
        r#"{"type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"}"#
    ),
    |text| text.parse().ok(),
    Self::to_string
);

text!(
    Duration,
    Kind::scalar(
        "duration",
        "write a duration such as \"10s\" or \"500ms\"",
        r#"{"type": "string", "pattern": "^\\s*\\d+\\s*[a-zA-Zµ]+(\\s*\\d+\\s*[a-zA-Zµ]+)*\\s*$"}"#
    ),
    |text| humantime::parse_duration(text).ok(),
    |duration: &Self| humantime::format_duration(*duration).to_string()
);

impl SettingValue for ByteSize {
    fn kind() -> Kind {
        Kind::scalar(
            "size",
            "write a size such as \"8MiB\" or \"64MiB\"",
            r#"{"type": ["string", "integer"], "minimum": 0, "pattern": "^\\s*\\d+(\\.\\d+)?\\s*([kKmMgGtTpPeE]([iI]?[bB])?|[bB])?\\s*$"}"#,
        )
    }

    fn decode(value: Toml, decoder: &mut Decoder<'_>) -> Option<Self> {
        match value.as_integer().map(u64::try_from) {
            Some(Ok(bytes)) => Some(Self::b(bytes)),
            _ => decoder.parse(&value, |text| text.parse().ok()),
        }
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::quoted(&size(*self)))
    }
}

/// A whole number, not negative.
macro_rules! number {
    ($type:ty) => {
        impl SettingValue for $type {
            fn kind() -> Kind {
                Kind::scalar(
                    "number",
                    "write a whole number such as 10000",
                    r#"{"type": "integer"}"#,
                )
            }

            fn decode(value: Toml, decoder: &mut Decoder<'_>) -> Option<Self> {
                let number = value.as_integer();
                let number = number.and_then(|number| number.try_into().ok());
                number.or_else(|| decoder.mismatch(&value))
            }

            fn show(&self) -> Option<Shown> {
                Some(Shown::Scalar(self.to_string()))
            }
        }
    };
}

number!(usize);
number!(u32);

impl<T: SettingValue> SettingValue for Option<T> {
    fn kind() -> Kind {
        T::kind()
    }

    fn decode(value: Toml, decoder: &mut Decoder<'_>) -> Option<Self> {
        T::decode(value, decoder).map(Some)
    }

    fn show(&self) -> Option<Shown> {
        self.as_ref()?.show()
    }
}

impl<T: SettingValue> SettingValue for Vec<T> {
    fn kind() -> Kind {
        let element = T::kind();
        Kind {
            name: "list",
            remedy: element.remedy,
            schema: "",
            shape: Shape::List(Box::new(element)),
        }
    }

    fn decode(value: Toml, decoder: &mut Decoder<'_>) -> Option<Self> {
        let Toml::Array(values) = value else {
            return decoder.mismatch(&value);
        };
        let values = values.into_iter().enumerate();
        // Each is read before any failure counts, so that every mistake is reported.
        let values: Vec<_> = values
            .map(|(index, value)| {
                decoder.at(&index.to_string(), |decoder| T::decode(value, decoder))
            })
            .collect();
        values.into_iter().collect()
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::List(self.iter().filter_map(T::show).collect()))
    }
}

/// A size as a user would write it, exactly: in the largest unit that divides it.
fn size(value: ByteSize) -> String {
    const UNITS: [(&str, u64); 8] = [
        ("TiB", bytesize::TIB),
        ("TB", bytesize::TB),
        ("GiB", bytesize::GIB),
        ("GB", bytesize::GB),
        ("MiB", bytesize::MIB),
        ("MB", bytesize::MB),
        ("KiB", bytesize::KIB),
        ("kB", bytesize::KB),
    ];
    let bytes = value.as_u64();
    let mut units = UNITS.into_iter();
    match units.find(|(_, unit)| bytes != 0 && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}
