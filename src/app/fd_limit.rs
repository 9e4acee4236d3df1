//! The process's limit of file descriptors, and what it leaves for connections.
//!
//! Every connection costs one. Without any left the journal could not make its next segment and the probes would go
//! unanswered, so some are kept out of the connections' reach.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the journal, the admin listener's connections, librdkafka's brokers and what a runtime holds itself.
const RESERVED: u64 = 512;

/// Raises the soft limit to the hard one; how many of `wanted` connections there is room for.
pub(super) fn room_for(wanted: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "cannot raise the limit of file descriptors");
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
            "listen.max_connections exceeds the limit of file descriptors: serving as many as there is room for; raise \
             the limit (ulimit -n, LimitNOFILE=) or lower the key"
        );
    }
    wanted.min(room)
}

fn connections_within(limit: u64) -> usize {
    // Where there are few, half is for connections.
    let room = limit - RESERVED.min(limit / 2);
    usize::try_from(room).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_never_a_connection_s() {
        assert_eq!(connections_within(20_000), 20_000 - 512);
        assert_eq!(connections_within(256), 128);
        assert_eq!(connections_within(0), 1);
        assert!(room_for(usize::MAX) > 0);
        assert_eq!(room_for(1), 1);
    }
}
