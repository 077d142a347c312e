//! Places for connections: so many in all, and so many for one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The places of a server.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Table>);

#[derive(Debug)]
struct Table {
    all: usize,
    each: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Places {
    pub(super) fn new(all: usize, each: usize) -> Self {
        Self(Arc::new(Table { all, each, taken: Mutex::default() }))
    }

    /// Takes a place, if there is one for the address.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let key = network(address);
        let mut taken = self.taken();
        let of_address = taken.by_address.get(&key).copied().unwrap_or(0);
        if taken.all == self.0.all || of_address == self.0.each {
            return None;
        }
        taken.all += 1;
        taken.by_address.insert(key, of_address + 1);
        Some(Place { places: self.clone(), key })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what counts as one address: whoever has an IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// A place that is taken until dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    key: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(of_address) = taken.by_address.get_mut(&self.key) {
            *of_address -= 1;
            if *of_address == 0 {
                taken.by_address.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_share_and_all_have_theirs() {
        let places = Places::new(3, 2);
        let first = places.take(address("192.0.2.1"));
        let second = places.take(address("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some(), "the two are one address");
        assert!(places.take(address("192.0.2.1")).is_none());
        let third = places.take(address("192.0.2.2"));
        assert!(third.is_some() && places.take(address("192.0.2.3")).is_none(), "three in all");
        drop(first);
        assert!(places.take(address("192.0.2.1")).is_some());
    }

    #[test]
    fn an_ipv6_network_of_one_holder_is_one_address() {
        let places = Places::new(3, 1);
        let first = places.take(address("2001:db8::1"));
        assert!(first.is_some() && places.take(address("2001:db8::ffff:1")).is_none());
        assert!(places.take(address("2001:db8:0:1::1")).is_some());
        drop(first);
        assert!(places.0.taken.lock().unwrap().by_address.is_empty(), "nothing is kept of who has gone");
    }
}
