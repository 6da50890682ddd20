//! How often somebody may ask: by account, and strangers by address. Each process counts for itself.
//!
//! Not counted: workers, who ask as often as there is work; readers of repositories, of whom a whole
//! office may share an address; and what looks whether the service is well. See `routes.rs`.

use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use kiln_access::Principal;
use kiln_model::UserId;

use crate::peer::Peer;

/// What may come at once is what may come in so many seconds.
const BURST: u32 = 20;

/// How many are remembered before those are forgotten who ask no more.
const REMEMBERED: usize = 10_000;

/// How many requests a second are answered, on average; any number, where it is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct RateCaps {
    /// Of one account.
    pub user: Option<NonZeroU32>,
    /// Of strangers at one address.
    pub address: Option<NonZeroU32>,
}

/// Counts requests.
pub(crate) struct Rates<C: Clock = DefaultClock> {
    users: Option<Counted<UserId, C>>,
    addresses: Option<Counted<IpAddr, C>>,
    clock: C,
}

type Counted<K, C> = RateLimiter<K, HashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

impl<C: Clock> fmt::Debug for Rates<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rates")
    }
}

impl Rates {
    pub(crate) fn new(caps: RateCaps) -> Self {
        Self::with_clock(caps, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Rates<C> {
    fn with_clock(caps: RateCaps, clock: C) -> Self {
        let users = caps.user.map(|rate| counted(rate, &clock));
        let addresses = caps.address.map(|rate| counted(rate, &clock));
        Self { users, addresses, clock }
    }

    /// Counts a request; after how many seconds to ask again, where it is one too many.
    pub(crate) fn count(&self, principal: &Principal, peer: &Peer) -> Result<(), u64> {
        match (principal, &self.users, &self.addresses, peer.house()) {
            (Principal::User { id, .. }, Some(users), ..) => self.one(users, id),
            (Principal::Anonymous, _, Some(addresses), Some(house)) => self.one(addresses, &house),
            _ => Ok(()),
        }
    }

    fn one<K: Hash + Eq + Clone>(&self, counted: &Counted<K, C>, key: &K) -> Result<(), u64> {
        if counted.len() > REMEMBERED {
            counted.retain_recent();
        }
        counted.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now()).as_millis().div_ceil(1000);
            u64::try_from(wait).unwrap_or(u64::MAX).max(1)
        })
    }
}

fn counted<K: Hash + Eq + Clone, C: Clock + Clone>(rate: NonZeroU32, clock: &C) -> Counted<K, C> {
    let burst = NonZeroU32::new(BURST).expect("it is not 0");
    let quota = Quota::per_second(rate).allow_burst(rate.saturating_mul(burst));
    RateLimiter::new(quota, HashMapStateStore::default(), clock.clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;
    use kiln_model::Scope;

    use super::*;

    #[test]
    fn who_asks_too_often_waits_and_keeps_nobody_else_waiting() {
        let rate = |number| NonZeroU32::new(number);
        let clock = FakeRelativeClock::default();
        let caps = RateCaps { user: rate(5), address: rate(1) };
        let rates = Rates::with_clock(caps, clock.clone());
        let user = |id| Principal::User {
            id: UserId(id),
            name: "ann".to_owned(),
            is_operator: true,
            scope: Scope::All,
            token: 1,
        };
        let peer = |text: &str| Peer { address: text.parse().ok(), is_secure: false };
        let home = peer("192.0.2.1");
        for _ in 0..100 {
            rates.count(&user(1), &home).expect("at once");
        }
        assert_eq!(rates.count(&user(1), &home), Err(1));
        rates.count(&user(2), &home).expect("another account");
        for _ in 0..20 {
            rates.count(&Principal::Anonymous, &home).expect("a stranger");
        }
        assert_eq!(rates.count(&Principal::Anonymous, &home), Err(1));
        rates.count(&Principal::Anonymous, &peer("192.0.2.2")).expect("another address");
        rates.count(&Principal::Anonymous, &Peer::default()).expect("nobody knows who");
        clock.advance(Duration::from_secs(1));
        for _ in 0..5 {
            rates.count(&user(1), &home).expect("a second later");
        }
        assert_eq!(rates.count(&user(1), &home), Err(1));
        let any = Rates::with_clock(RateCaps::default(), clock);
        assert!((0..10_000).all(|_| any.count(&user(1), &home).is_ok()), "no bound is named");
    }
}
