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
    address: SocketAddr,
}

impl Ports {
    /// Binds both; port 0 takes a free one.
    pub fn bind(admin: SocketAddr, webhooks: SocketAddr) -> Result<Self, AppError> {
        Ok(Self {
            admin: std::net::TcpListener::bind(admin).map_err(refused(admin, "admin.address"))?,
            webhooks: BoundPort {
                socket: bind(webhooks).map_err(refused(webhooks, "listen.address"))?,
                address: webhooks,
            },
        })
    }
}

impl BoundPort {
    /// Fails if another process has started to listen there since.
    pub(super) fn listen(self) -> Result<TcpListener, AppError> {
        let listening = self.socket.listen(BACKLOG);
        listening.map_err(refused(self.address, "listen.address"))
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

fn refused(address: SocketAddr, key: &'static str) -> impl FnOnce(io::Error) -> AppError {
    move |source| AppError::Bind {
        address,
        key,
        source,
    }
}
