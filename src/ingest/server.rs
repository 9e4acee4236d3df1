//! Sockets and protocols: who is accepted, how a connection begins and how it ends.

pub(super) mod connection;
pub(super) mod listener;
pub(super) mod sniff;
