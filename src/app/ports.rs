//! The two ports, bound before anything else starts: if one is taken, the start fails at once with nothing to undo.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use super::AppError;

/// Length of the kernel's queue of connections not yet accepted: a burst of senders must not be refused.
const BACKLOG: u32 = 4096;

/// Both ports. The admin port listens; the webhook port is only bound, so that senders are refused until the relay is ready.
pub struct Ports {
    pub(super) admin: std::net::TcpListener,
    pub(super) webhooks: BoundPort,
}

/// A port on which nothing listens yet.
pub(super) struct BoundPort {
    socket: TcpSocket,
    address: NamedAddress,
}

/// An address, and the configuration key or the option that names it.
pub type NamedAddress = (SocketAddr, &'static str);

/// The addresses that are taken, or that this process may not bind; each with the operating system's reason.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {}", .0.join(", "))]
pub struct BindError(Vec<String>);

impl Ports {
    /// Binds both; port 0 takes a free one. The error has each that cannot be bound.
    pub fn bind(admin: NamedAddress, webhooks: NamedAddress) -> Result<Self, BindError> {
        let listener = std::net::TcpListener::bind(admin.0).map_err(BindError::of(admin));
        let socket = bind(webhooks.0).map_err(BindError::of(webhooks));
        let (admin, socket) = BindError::both(listener, socket)?;
        let webhooks = BoundPort {
            socket,
            address: webhooks,
        };
        Ok(Self { admin, webhooks })
    }
}

impl BoundPort {
    /// Fails if another process has started to listen there since.
    pub(super) fn listen(self) -> Result<TcpListener, AppError> {
        let listening = self.socket.listen(BACKLOG);
        let listening = listening.map_err(BindError::of(self.address));
        listening.map_err(AppError::Bind)
    }
}

impl BindError {
    pub(crate) fn of((address, name): NamedAddress) -> impl FnOnce(io::Error) -> Self {
        move |error| Self(vec![format!("{address} ({name}): {error}")])
    }

    /// Both results, or what is wrong with either.
    pub(crate) fn both<A, B>(one: Result<A, Self>, other: Result<B, Self>) -> Result<(A, B), Self> {
        match (one, other) {
            (Ok(one), Ok(other)) => Ok((one, other)),
            (Err(one), Err(other)) => Err(Self([one.0, other.0].concat())),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
