//! How many connections the process's limit of file descriptors allows.
//!
//! Each connection takes one. If connections took them all, the journal could not create its next segment and probes
//! would go unanswered, so some are reserved.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the journal, the admin listener, librdkafka's connections to brokers and the runtime.
const RESERVED: u64 = 512;

/// The limit to which a process may raise its own; `None` if there is none.
pub fn hard_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// Raises the soft limit to the hard one and returns how many of `wanted` connections fit.
pub(super) fn connections(wanted: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "cannot raise the limit of open files");
        }
    }
    // `None` is no limit.
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return wanted;
    };
    let room = connections_within(limit);
    if room < wanted {
        tracing::warn!(
            wanted,
            room,
            limit,
            "listen.max_connections exceeds the limit of open files: serving as many connections as fit; raise the \
             limit (ulimit -n, LimitNOFILE=) or lower the key"
        );
    }
    wanted.min(room)
}

/// How many connections fit if this many descriptors may be open.
pub fn connections_within(limit: u64) -> usize {
    // Under a small limit, half is for connections.
    let room = limit - RESERVED.min(limit / 2);
    usize::try_from(room).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_reserved() {
        assert_eq!(connections_within(20_000), 20_000 - 512);
        assert_eq!(connections_within(256), 128);
        assert_eq!(connections_within(0), 1);
        assert!(connections(usize::MAX) > 0);
        assert_eq!(connections(1), 1);
    }
}
