//! Builds the sources that are served from the configured ones, or reports what is wrong with those.

mod reading;

use std::collections::{HashMap, HashSet};

use bytesize::ByteSize;
use ipnet::{IpNet, Ipv4Net};

use self::reading::Reading;
use super::body::BodyLimits;
use super::config::{CarriedName, SourceConfig, is_url_path, toggled};
use super::metrics::{Metrics, SourceMetrics};
use super::payload::pointers::{PointerError, Pointers, Role};
use super::scheme::{Authenticator, KeyError, SchemeError, SettingsError};
use super::tls::TlsError;

/// The longest name of a source, in bytes.
const MAX_NAME: usize = 64;

/// Why webhooks cannot be served. Each error names the source and what would be valid.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Nothing would ever be accepted.
    #[error("no [[source]] is configured: give at least one, with name, path and verify")]
    NoSource,
    /// The name does not fit into headers, logs and metrics.
    #[error(
        "source \"{name}\": a name has 1 to {MAX_NAME} characters of a-z, 0-9, \"-\" and \"_\""
    )]
    Name {
        /// As configured.
        name: String,
    },
    /// Two sources have one name.
    #[error("source \"{name}\": another source has this name; names must be unique")]
    DuplicateName {
        /// As configured.
        name: String,
    },
    /// The path is not the path of a URL.
    #[error(
        "source \"{name}\": path \"{path}\" must start with \"/\" and be visible ASCII without \"?\" and \"#\""
    )]
    Path {
        /// The source.
        name: String,
        /// As configured.
        path: String,
    },
    /// Two sources have one path.
    #[error("source \"{name}\": another source has path \"{path}\"; paths must be unique")]
    DuplicatePath {
        /// The source.
        name: String,
        /// As configured.
        path: String,
    },
    /// A pointer is not a JSON pointer.
    #[error(
        "source \"{name}\": {} pointer \"{pointer}\" is not a usable JSON pointer (RFC 6901)",
        words(*role)
    )]
    Pointer {
        /// The source.
        name: String,
        /// What it is to lead to.
        role: Role,
        /// As configured.
        pointer: String,
        /// What is wrong with it.
        #[source]
        source: PointerError,
    },
    /// The listener's certificate cannot be used.
    #[error("the webhook listener cannot use TLS")]
    Tls(#[from] TlsError),
    /// A setting of the scheme is missing, left over, or does not fit.
    #[error("source \"{name}\": {} {source}", source.key)]
    Settings {
        /// The source.
        name: String,
        /// Which setting, and why.
        source: SettingsError,
    },
    /// Keys are missing, unreadable or empty.
    #[error("source \"{name}\": its keys cannot be used")]
    Key {
        /// The source.
        name: String,
        /// Which key, and why.
        #[source]
        source: KeyError,
    },
}

impl IngestError {
    fn of_scheme(name: String, error: SchemeError) -> Self {
        match error {
            SchemeError::Settings(source) => Self::Settings { name, source },
            SchemeError::Key(source) => Self::Key { name, source },
        }
    }

    /// The configuration key at fault in the source at `index`, as `source.0.path` or `source.0.keys.1`.
    pub fn key(&self, index: usize) -> String {
        let key = match self {
            Self::NoSource => return String::from("source"),
            Self::Tls(error) => return error.key().to_owned(),
            Self::Name { .. } | Self::DuplicateName { .. } => "name",
            Self::Path { .. } | Self::DuplicatePath { .. } => "path",
            Self::Pointer { role, .. } => match role {
                Role::Event => "event_pointer",
                Role::Key => "key_pointers",
                Role::Id => "id_pointer",
            },
            Self::Settings { source, .. } => source.key,
            Self::Key { source, .. } => match source.index() {
                Some(key) => return format!("source.{index}.keys.{key}"),
                None => "keys",
            },
        };
        format!("source.{index}.{key}")
    }
}

fn words(role: Role) -> &'static str {
    match role {
        Role::Event => "event",
        Role::Key => "key",
        Role::Id => "id",
    }
}

/// One `[[source]]`, ready to serve.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) authenticator: Authenticator,
    pub(super) reading: Reading,
    pub(super) limits: BodyLimits,
    /// The networks of its senders; empty: all.
    pub(super) allow: Vec<IpNet>,
    pub(super) carry: Vec<CarriedName>,
    pub(super) metrics: SourceMetrics,
    /// Of the journal's queue; the same for as long as the source is configured, because order holds within a lane.
    pub(super) lane: usize,
    key_labels: Vec<String>,
}

impl Source {
    /// Compiles the pointers and reads the keys. `limits` are those of sources without a limit of their own.
    fn new(
        config: &SourceConfig,
        limits: &BodyLimits,
        metrics: &Metrics,
    ) -> Result<Self, IngestError> {
        let name = config.name.clone();
        let authenticator = Authenticator::new(&config.scheme())
            .map_err(|error| IngestError::of_scheme(name.clone(), error))?;
        let max_body = config.max_body.map_or(limits.max_body, bytes);
        Ok(Self {
            name,
            authenticator,
            reading: Reading::new(config)?,
            limits: BodyLimits {
                max_body,
                budget: limits.budget.shared_with(&config.name),
                ..limits.clone()
            },
            allow: config.allow.iter().copied().map(canonical).collect(),
            carry: config.carry.clone(),
            metrics: metrics.source(config),
            lane: 0,
            key_labels: config.key_labels().collect(),
        })
    }

    pub(super) fn key_label(&self, key: Option<usize>) -> Option<&str> {
        key.and_then(|key| self.key_labels.get(key))
            .map(String::as_str)
    }
}

/// Everything that is wrong with one source for itself, its keys included.
pub(super) fn faults(config: &SourceConfig) -> Vec<IngestError> {
    let name = || config.name.clone();
    let mut faults = Vec::new();
    if !is_name(&config.name) {
        faults.push(IngestError::Name { name: name() });
    }
    let paths = config.path.iter().filter(|path| !is_url_path(path));
    faults.extend(paths.map(|path| IngestError::Path {
        name: name(),
        path: path.to_owned(),
    }));
    let pointers = self::reading::pointers(config).into_iter();
    faults.extend(pointers.filter_map(|(role, pointer)| {
        let (_, source) = Pointers::compile(&[(role, pointer)]).err()?;
        Some(IngestError::Pointer {
            name: name(),
            role,
            pointer: pointer.to_owned(),
            source,
        })
    }));
    faults.extend(config.credentials_kept().into_iter().map(|(key, header)| {
        let message = format!(
            "{header} holds a credential, which must not get into the journal and the topic: take it from another header"
        );
        let source = SettingsError { key, message };
        IngestError::Settings { name: name(), source }
    }));
    let scheme = Authenticator::faults(&config.scheme()).into_iter();
    faults.extend(scheme.map(|error| IngestError::of_scheme(name(), error)));
    faults
}

/// As clients' addresses are compared: IPv4 as such, even if it is written as IPv6.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else {
        return network;
    };
    let prefix = mapped.prefix_len().checked_sub(96);
    let address = mapped.addr().to_ipv4_mapped();
    let plain = address
        .zip(prefix)
        .and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok());
    plain.map_or(network, IpNet::V4)
}

/// The sources ready to serve, and from each path, with and without a slash at its end, the index of its source.
pub(super) fn build(
    configs: &[SourceConfig],
    limits: &BodyLimits,
    metrics: &Metrics,
) -> Result<(Vec<Source>, HashMap<String, usize>), IngestError> {
    if configs.is_empty() {
        return Err(IngestError::NoSource);
    }
    let mut names = HashSet::new();
    let mut routes = HashMap::new();
    let mut sources = Vec::with_capacity(configs.len());
    for (index, config) in configs.iter().enumerate() {
        let name = || config.name.clone();
        if !is_name(&config.name) {
            return Err(IngestError::Name { name: name() });
        }
        if !names.insert(&config.name) {
            return Err(IngestError::DuplicateName { name: name() });
        }
        for path in config.path.iter() {
            let (name, path) = (name(), path.to_owned());
            if !is_url_path(&path) {
                return Err(IngestError::Path { name, path });
            }
            if *routes.entry(path.clone()).or_insert(index) != index {
                return Err(IngestError::DuplicatePath { name, path });
            }
        }
        sources.push(Source::new(config, limits, metrics)?);
    }
    // Only now, so that a path as it is configured comes before another's variant.
    for (index, config) in configs.iter().enumerate() {
        for variant in config.path.iter().filter_map(toggled) {
            routes.entry(variant).or_insert(index);
        }
    }
    Ok((sources, routes))
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

/// A limit that does not fit into `usize` is larger than the machine's memory, so none.
pub(super) fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}
