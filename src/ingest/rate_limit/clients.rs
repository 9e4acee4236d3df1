//! A bucket for each client address, in memory that no number of addresses makes grow.
//!
//! An address belongs to one small set of places, which a hash with a secret key chooses. If a newcomer finds its set in use,
//! it takes the place of the bucket that is full first. Whoever is forgotten starts with a full bucket, so an attacker with
//! many addresses gets nothing that these would not give it anyway, and nobody is limited for another's requests.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::bucket::Quota;

/// Sets; with [`PLACES`] in each, 65,536 addresses are known at once, in 1.1 MiB.
const SETS: usize = 8192;
/// Places of one set, all of which are looked at for each request.
const PLACES: usize = 8;

/// The buckets of one source's clients.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) quota: Quota,
    hash: RandomState,
    sets: Box<[Mutex<[Place; PLACES]>]>,
}

/// One client's bucket. An unused place is the full bucket of `::/64`, which has no client but the loopback.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    client: u64,
    full_at: u64,
}

impl Clients {
    pub(super) fn new(quota: Quota) -> Self {
        Self {
            quota,
            hash: RandomState::new(),
            sets: (0..SETS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Takes a token of this address's bucket, or says how long until there is one.
    pub(super) fn take(&self, address: IpAddr, now: u64) -> Result<(), Duration> {
        let client = identity(address);
        let chosen = self.hash.hash_one(client) % SETS as u64;
        let set = usize::try_from(chosen).unwrap_or_default();
        let mut set = self.sets[set]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = set.iter().position(|place| place.client == client);
        let oldest = || (0..PLACES).min_by_key(|place| set[*place].full_at);
        let place = known.or_else(oldest).unwrap_or_default();
        let full_at = if known.is_some() {
            set[place].full_at
        } else {
            0
        };
        let full_at = self.quota.take(full_at, now)?;
        set[place] = Place { client, full_at };
        Ok(())
    }
}

/// What counts as one client: an IPv4 address, or the /64 of an IPv6 address, which one subscriber has at least (RFC 6177).
fn identity(address: IpAddr) -> u64 {
    match address.to_canonical() {
        // As a network that IPv6 reserves.
        IpAddr::V4(address) => 0xffff << 32 | u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::super::RateLimit;
    use super::*;

    fn clients(burst: u32) -> Clients {
        Clients::new(Quota::new(&RateLimit {
            per_second: 1,
            burst: Some(burst),
        }))
    }

    fn taken(clients: &Clients, address: &str, now: u64) -> usize {
        let address: IpAddr = address.parse().unwrap();
        let taken = (0..100).take_while(|_| clients.take(address, now).is_ok());
        taken.count()
    }

    #[test]
    fn an_ipv4_address_and_an_ipv6_network_of_64_bits_have_one_bucket_each() {
        let clients = clients(5);
        for (address, left) in [
            ("192.0.2.1", 5),
            ("192.0.2.1", 0),
            ("::ffff:192.0.2.1", 0),
            ("192.0.2.2", 5),
            ("2001:db8:0:1::1", 5),
            ("2001:db8:0:1:ffff::2", 0),
            ("2001:db8:0:2::1", 5),
            ("::1", 5),
            ("::1", 0),
        ] {
            assert_eq!(taken(&clients, address, 1), left, "{address}");
        }
    }

    #[test]
    fn a_million_addresses_take_no_more_memory_and_limit_nobody_else() {
        let clients = clients(2);
        for number in 0..1_000_000 {
            let flood = IpAddr::V4(Ipv4Addr::from_bits(number));
            assert!(clients.take(flood, 1).is_ok(), "{flood} is new");
        }
        for number in 0..1000 {
            let network = Ipv6Addr::from_bits((0x2001_0db8 << 96) | (number << 64));
            assert!(clients.take(network.into(), 1).is_ok(), "{network} is new");
        }
        assert_eq!(size_of::<Mutex<[Place; PLACES]>>() * SETS, 1_114_112);
    }
}
