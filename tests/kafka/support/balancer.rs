//! A plain TCP balancer before several relays, as a Kubernetes Service is one: it knows connections, not requests, and sends
//! new ones to relays that are ready. Connections that exist stay where they are.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::eventually;
use super::relay::Relay;

/// Between two looks at each relay's readiness. The deployment's are two seconds apart, with a `readiness_delay` of five.
const PROBE_INTERVAL: Duration = Duration::from_millis(400);
/// Longer than a busy machine needs for an answer: a relay that is gone refuses the connection at once.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How a new connection gets its relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    /// The next one in turn.
    None,
    /// The one that the client's address had before, while that is ready; then the next one in turn, which it keeps.
    ClientIp,
}

/// The running balancer; dropping it ends it, but not its connections.
pub struct Balancer {
    /// Where clients connect.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    affinity: Affinity,
    state: Mutex<State>,
    stop: AtomicBool,
}

#[derive(Default)]
struct State {
    relays: Vec<Backend>,
    next: usize,
    kept: HashMap<IpAddr, usize>,
}

struct Backend {
    webhooks: SocketAddr,
    admin: SocketAddr,
    ready: bool,
}

impl Balancer {
    /// Starts before these relays, none of which counts as ready yet.
    pub fn start(affinity: Affinity, relays: &[Relay]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = State {
            relays: relays.iter().map(Backend::of).collect(),
            ..State::default()
        };
        let shared = Arc::new(Shared {
            affinity,
            state: Mutex::new(state),
            stop: AtomicBool::new(false),
        });
        let probes = shared.clone();
        thread::spawn(move || probes.probe());
        let balancer = shared.clone();
        thread::spawn(move || balancer.accept(&listener));
        Self { address, shared }
    }

    /// The relay in this place was started again, and has other ports.
    pub fn replace(&self, place: usize, relay: &Relay) {
        self.shared.lock().relays[place] = Backend::of(relay);
    }

    /// Waits until this relay gets new connections.
    pub fn await_ready(&self, place: usize) {
        eventually("the relay is ready", || {
            self.shared.lock().relays[place].ready
        });
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts; the listener is there as long as that thread is.
        let _ = TcpStream::connect(self.address);
    }
}

impl Backend {
    fn of(relay: &Relay) -> Self {
        Self {
            webhooks: relay.address,
            admin: relay.admin,
            ready: false,
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with it")
    }

    fn probe(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let admins: Vec<_> = self.lock().relays.iter().map(|relay| relay.admin).collect();
            for (place, admin) in admins.into_iter().enumerate() {
                let ready = is_ready(admin).unwrap_or(false);
                let relay = &mut self.lock().relays[place];
                // Unless it was replaced meanwhile.
                if relay.admin == admin {
                    relay.ready = ready;
                }
            }
            thread::sleep(PROBE_INTERVAL);
        }
    }

    fn accept(&self, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let Ok(client) = client else { continue };
            let relay = client.peer_addr().map(|peer| self.choose(peer.ip()));
            if let Ok(Some(relay)) = relay {
                thread::spawn(move || pass(client, relay));
            }
        }
    }

    /// The relay for a new connection of this client; none if no relay is ready.
    fn choose(&self, client: IpAddr) -> Option<SocketAddr> {
        let mut state = self.lock();
        let kept = state.kept.get(&client).copied();
        let kept =
            kept.filter(|place| self.affinity == Affinity::ClientIp && state.relays[*place].ready);
        let place = kept.or_else(|| {
            let count = state.relays.len();
            let mut places = (0..count).map(|step| (state.next + step) % count);
            places.find(|place| state.relays[*place].ready)
        })?;
        if kept.is_none() {
            state.next = place + 1;
            state.kept.insert(client, place);
        }
        Some(state.relays[place].webhooks)
    }
}

fn is_ready(admin: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(status.ends_with(b" 200"))
}

/// Passes bytes on in both directions until both sides have ended; closes the client's connection if the relay refuses.
fn pass(client: TcpStream, relay: SocketAddr) {
    let Ok(relay) = TcpStream::connect(relay) else {
        return;
    };
    let streams = (|| io::Result::Ok((client.try_clone()?, relay.try_clone()?)))();
    let (requests, answers) = streams.expect("a descriptor is left");
    let upstream = thread::spawn(move || copy(requests, relay));
    copy(answers, client);
    upstream.join().expect("it does not panic");
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    // A side that has reset its connection takes nothing more, which the other side learns by the end of the stream.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
