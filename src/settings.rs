//! Configuration keys, each declared once.
//!
//! `settings!` declares a section: one row a key, with its documentation, type, default and bounds. A row becomes a
//! field of the section's struct, and the rest follows from it: how the key is read and checked, what `ringback check`
//! prints, its environment variable, `config/ringback.toml`, the JSON schema and the reference page. A module declares
//! the section that it uses; `config` composes them.
//!
//! ```text
//! /// What the section is about.
//! pub struct Config {
//!     /// What the key means.
//!     key: Type = default, option, option(argument);
//! }
//! ```
//!
//! The options are the methods of [`Row`].

mod decoder;
mod value;

use std::fmt;
use std::ops::RangeInclusive;

pub(crate) use self::decoder::nearest;
pub use self::decoder::{Decoder, SettingError, SettingFault, decode};

/// A configuration key, as the reference documents describe it.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The key's name within its section.
    pub name: &'static str,
    /// What it means, in paragraphs.
    pub doc: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// As TOML; `None` if the key is unset unless the user sets it.
    pub default: Option<String>,
    /// True if the user must set it.
    pub is_required: bool,
    /// Another key that sets a required one if the user does not.
    pub set_by: Option<&'static str>,
    /// The smallest and the largest value, as TOML.
    pub bounds: Option<[String; 2]>,
    /// True if the value is a secret or may be one by mistake, so that no error repeats it.
    pub is_secret: bool,
    /// What a running relay takes without a restart.
    pub reload: Reload,
    /// The lines of `config/ringback.toml` that replace `key = default`.
    pub example: Option<&'static str>,
}

/// What a value looks like.
#[derive(Debug, Clone)]
pub struct Kind {
    /// In one word, as `duration`.
    pub name: &'static str,
    /// How to write one, as `write a duration such as "10s"`.
    pub remedy: &'static str,
    /// The JSON schema, for kinds that are not [`Shape::Section`] or [`Shape::List`].
    pub schema: &'static str,
    /// What it is made of.
    pub shape: Shape,
}

/// What a value is made of.
#[derive(Debug, Clone)]
pub enum Shape {
    /// One value.
    Scalar,
    /// Values of one kind.
    List(Box<Kind>),
    /// Keys that `settings!` declares.
    Section {
        /// What the section is about.
        doc: &'static str,
        /// The keys, in their order.
        keys: Vec<Setting>,
    },
    /// Keys that ringback passes on.
    Open,
}

impl Kind {
    /// A kind without parts.
    pub fn scalar(name: &'static str, remedy: &'static str, schema: &'static str) -> Self {
        Self {
            name,
            remedy,
            schema,
            shape: Shape::Scalar,
        }
    }

    pub(crate) fn section(doc: &'static str, keys: Vec<Setting>) -> Self {
        Self {
            name: "table",
            remedy: "write a table",
            schema: "",
            shape: Shape::Section { doc, keys },
        }
    }

    /// The keys of a section; none for other kinds.
    pub fn keys(&self) -> &[Setting] {
        match &self.shape {
            Shape::Section { keys, .. } => keys,
            _ => &[],
        }
    }

    /// A section that is left out is an empty one, so that its keys' defaults and checks apply.
    pub fn is_table(&self) -> bool {
        matches!(self.shape, Shape::Section { .. } | Shape::Open)
    }
}

/// What a running relay takes of a key that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// A change takes a restart.
    Nothing,
    /// The files that the value names are read again when they change. Another value takes a restart.
    Files,
    /// Another value, and the files that it names.
    Value,
}

/// A type that a key may have.
pub trait SettingValue: Sized {
    /// What values look like.
    fn kind() -> Kind;
    /// The typed value; `None` if it cannot be read, with the error in `decoder`. A section whose keys cannot be read has
    /// their defaults.
    fn decode(value: toml::Value, decoder: &mut Decoder<'_>) -> Option<Self>;
    /// The value as the file would have it, without secrets; `None` if it is unset.
    fn show(&self) -> Option<Shown>;
}

/// A value as TOML.
#[derive(Debug, Clone)]
pub enum Shown {
    /// A text, number or boolean.
    Scalar(String),
    /// `[…, …]`
    List(Vec<Shown>),
    /// Keys as TOML has them, and their values.
    Table(Vec<(String, Shown)>),
}

impl Shown {
    /// A text in quotes.
    pub fn quoted(value: &(impl ToString + ?Sized)) -> Self {
        Self::Scalar(toml::Value::String(value.to_string()).to_string())
    }
}

/// Writes everything on one line.
impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(text) => formatter.write_str(text),
            Self::List(values) => {
                let values: Vec<_> = values.iter().map(ToString::to_string).collect();
                write!(formatter, "[{}]", values.join(", "))
            }
            Self::Table(keys) => {
                let keys: Vec<_> = keys
                    .iter()
                    .map(|(key, value)| format!("{key} = {value}"))
                    .collect();
                write!(formatter, "{{ {} }}", keys.join(", "))
            }
        }
    }
}

type Rule<T> = Box<dyn Fn(&T) -> Result<(), String>>;

/// A row of `settings!`: a key with its typed default and rules.
pub struct Row<T> {
    setting: Setting,
    default: T,
    remedy: Option<&'static str>,
    rules: Vec<Rule<T>>,
}

impl<T: SettingValue> Row<T> {
    pub(crate) fn new(name: &'static str, doc: &'static str, default: T) -> Self {
        let kind = T::kind();
        let shown = default.show().filter(|_| !kind.is_table());
        Self {
            setting: Setting {
                name,
                doc,
                kind,
                default: shown.map(|shown| shown.to_string()),
                is_required: false,
                set_by: None,
                bounds: None,
                is_secret: false,
                reload: Reload::Nothing,
                example: None,
            },
            default,
            remedy: None,
            rules: Vec::new(),
        }
    }

    /// The user must set the key; the row's default only serves the struct's `Default`.
    pub(crate) fn required(mut self) -> Self {
        self.setting.is_required = true;
        self.setting.default = None;
        self
    }

    /// The other key sets this required one if the user does not.
    pub(crate) fn set_by(mut self, key: &'static str) -> Self {
        self.setting.set_by = Some(key);
        self
    }

    /// The smallest and the largest value. Others are refused, never clamped.
    pub(crate) fn bounds(mut self, range: RangeInclusive<T>) -> Self
    where
        T: PartialOrd + 'static,
    {
        let shown = |value: &T| {
            value
                .show()
                .map_or_else(String::new, |shown| shown.to_string())
        };
        let [start, end] = [shown(range.start()), shown(range.end())];
        self.setting.bounds = Some([start.clone(), end.clone()]);
        let kind = self.setting.kind.name;
        self.rules.push(Box::new(move |value| {
            if range.contains(value) {
                return Ok(());
            }
            let value = shown(value);
            Err(format!(
                "{value} is out of range; write a {kind} from {start} to {end}"
            ))
        }));
        self
    }

    /// Any other rule for the value alone; its error names what is wrong and how to fix it.
    pub(crate) fn check(mut self, rule: fn(&T) -> Result<(), String>) -> Self
    where
        T: 'static,
    {
        self.rules.push(Box::new(rule));
        self
    }

    /// How to write the value, if its kind alone cannot say so.
    pub(crate) fn remedy(mut self, remedy: &'static str) -> Self {
        self.remedy = Some(remedy);
        self
    }

    /// No error may repeat the value.
    pub(crate) fn secret(mut self) -> Self {
        self.setting.is_secret = true;
        self
    }

    /// A running relay takes a changed value, and reads the files that it names again when they change.
    pub(crate) fn reloaded(mut self) -> Self {
        self.setting.reload = Reload::Value;
        self
    }

    /// A running relay reads the files that the value names again when they change.
    pub(crate) fn files_reloaded(mut self) -> Self {
        self.setting.reload = Reload::Files;
        self
    }

    /// The lines of `config/ringback.toml` that replace `key = default`.
    pub(crate) fn example(mut self, lines: &'static str) -> Self {
        self.setting.example = Some(lines);
        self
    }

    pub(crate) fn setting(self) -> Setting {
        self.setting
    }
}

/// Declares a section: see the module.
macro_rules! settings {
    (
        $(#[doc = $section:literal])*
        $visibility:vis struct $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $key:ident: $type:ty = $default:expr $(, $option:ident $(($argument:expr))?)*;
            )*
        }
    ) => {
        $(#[doc = $section])*
        #[derive(Debug, Clone)]
        $visibility struct $name {
            $(
                $(#[doc = $doc])*
                ///
                #[doc = concat!("`", stringify!($default $(, $option $(($argument))?)*), "`")]
                pub $key: $type,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default),* }
            }
        }

        impl $crate::settings::SettingValue for $name {
            fn kind() -> $crate::settings::Kind {
                $crate::settings::Kind::section(concat!($($section, "\n"),*), vec![$(
                    $crate::settings::row!([$($doc)*] $key: $type = $default $(, $option $(($argument))?)*).setting()
                ),*])
            }

            fn decode(value: toml::Value, decoder: &mut $crate::settings::Decoder<'_>) -> Option<Self> {
                let mut table = decoder.table::<Self>(value)?;
                $(
                    let row = $crate::settings::row!([$($doc)*] $key: $type = $default $(, $option $(($argument))?)*);
                    let $key = decoder.key(&mut table, row);
                )*
                decoder.refuse_unknown(&table, &[$(stringify!($key)),*]);
                Some(Self { $($key),* })
            }

            fn show(&self) -> Option<$crate::settings::Shown> {
                let keys = [$((stringify!($key), $crate::settings::SettingValue::show(&self.$key))),*];
                let set = keys.into_iter().filter_map(|(key, value)| Some((String::from(key), value?)));
                Some($crate::settings::Shown::Table(set.collect()))
            }
        }
    };
}

macro_rules! row {
    ([$($doc:literal)*] $key:ident: $type:ty = $default:expr $(, $option:ident $(($argument:expr))?)*) => {
        $crate::settings::Row::<$type>::new(stringify!($key), concat!($($doc, "\n"),*), $default)
            $(.$option($($argument)?))*
    };
}

pub(crate) use {row, settings};
