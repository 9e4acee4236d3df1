//! The two ports, taken before anything else is begun: a taken one is told at once, with nothing to undo.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use super::AppError;

/// The kernel's queue of connections not yet accepted: a burst of senders must not be refused.
const BACKLOG: u32 = 4096;

/// Both ports. The admin's listens; the webhooks' is only held, so that senders are refused until all is ready.
pub struct Ports {
    pub(super) admin: std::net::TcpListener,
    pub(super) webhooks: Held,
}

/// A port on which nothing listens yet.
pub(super) struct Held {
    socket: TcpSocket,
    address: SocketAddr,
}

impl Ports {
    /// Takes both; 0 for a port is a free one.
    pub fn bind(admin: SocketAddr, webhooks: SocketAddr) -> Result<Self, AppError> {
        Ok(Self {
            admin: std::net::TcpListener::bind(admin).map_err(refused(admin, "admin.address"))?,
            webhooks: Held {
                socket: hold(webhooks).map_err(refused(webhooks, "listen.address"))?,
                address: webhooks,
            },
        })
    }
}

impl Held {
    /// Fails where another process has come to listen there meanwhile.
    pub(super) fn listen(self) -> Result<TcpListener, AppError> {
        let listening = self.socket.listen(BACKLOG);
        listening.map_err(refused(self.address, "listen.address"))
    }
}

fn hold(address: SocketAddr) -> io::Result<TcpSocket> {
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
