//! Which server the next connection goes to.
//!
//! A [`Lineup`] is those that may get connections now; it is made anew when that changes, and never changes itself.
//! What does change, how many connections a server has, is in its [`Seat`], which the lineups before and after share.
//!
//! Where a choice meets a server that is full or was tried already, it is made again a few times, since then each of
//! the others keeps its part; a look at all of them comes only when that has not helped, so it costs something only
//! where nearly all are full. [`Balance::LeastConnections`] is the exception, see [`Lineup::least`].

mod hash;
mod load;
mod maglev;
mod shares;
mod source_hash;
mod table;
#[cfg(test)]
mod tests;
mod turns;

use std::sync::Arc;

pub use crate::config::Balance;
pub use hash::hash_key;

use load::Load;
use shares::Shares;
use table::Table;
use turns::{Counter, Turns};

/// What the balancer knows of a server: shared by all threads, and by the lineups before and after this one.
pub trait Seat {
    /// A stable hash of its name or address, [`hash_key`] for example: which keys it gets depends on nothing else. No
    /// two servers of a lineup have the same.
    fn id(&self) -> u64;

    /// How many it has now. Other threads change it at any time.
    fn connections(&self) -> u32;

    /// Whether it is to get no more for now.
    fn is_full(&self) -> bool;
}

/// The servers that may get connections now, and how large a part of them.
#[derive(Debug)]
pub struct Lineup<S> {
    seats: Vec<(Arc<S>, u32)>,
    method: Method,
}

#[derive(Debug)]
enum Method {
    RoundRobin(Turns),
    LeastConnections {
        first: Counter,
        heaviest: u32,
    },
    TwoChoices(Shares),
    Random(Shares),
    /// Of the same server for the same key.
    Keyed(Table),
}

/// How many times a choice that is not to be had is made again before all servers are looked at. With half of them
/// full, that happens to one connection in 256.
const ATTEMPTS: usize = 8;

impl<S: Seat> Lineup<S> {
    /// Each with its weight. Only the proportions count, so slow start may give hundredths where it gives them for all.
    /// One of weight 0 gets nothing: it is left out.
    ///
    /// Costs next to nothing, but for [`Balance::SourceHash`] and [`Balance::Maglev`] milliseconds: they fill a table.
    /// Not for a worker's thread.
    pub fn new(balance: Balance, mut seats: Vec<(Arc<S>, u32)>) -> Self {
        seats.retain(|(_, weight)| *weight > 0);
        let weights = || seats.iter().map(|(_, weight)| *weight);
        let servers = || seats.iter().map(|(seat, weight)| (seat.id(), *weight));
        let method = match balance {
            Balance::RoundRobin => Method::RoundRobin(Turns::new(weights())),
            Balance::LeastConnections => Method::LeastConnections {
                first: Counter::anywhere(),
                heaviest: weights().max().unwrap_or_default(),
            },
            Balance::TwoChoices => Method::TwoChoices(Shares::new(weights())),
            Balance::Random => Method::Random(Shares::new(weights())),
            Balance::SourceHash => Method::Keyed(Table::new(servers(), source_hash::fill)),
            Balance::Maglev => Method::Keyed(Table::new(servers(), maglev::fill)),
        };
        Self { seats, method }
    }

    /// One that is not full and not among `tried`, which are ids; `None` where there is none.
    ///
    /// The same one for the same `key` where the lineup hashes, in every process, whatever the order of the servers;
    /// any one where no key is given. Other lineups ignore it.
    pub fn pick(&self, key: Option<u64>, tried: &[u64]) -> Option<&Arc<S>> {
        if self.is_empty() {
            return None;
        }
        let open = |index: usize| {
            let seat = &self.seats[index].0;
            !seat.is_full() && (tried.is_empty() || !tried.contains(&seat.id()))
        };
        let index = match &self.method {
            Method::RoundRobin(turns) => attempt(|| turns.take(), open).or_else(|| self.any(open)),
            Method::Random(shares) => attempt(|| shares.draw(), open).or_else(|| self.any(open)),
            Method::TwoChoices(shares) => self.lighter_of_two(shares, open).or_else(|| self.any(open)),
            Method::LeastConnections { first, heaviest } => self.least(first.take(self.len()), *heaviest, open),
            Method::Keyed(table) => {
                let key = key.unwrap_or_else(|| fastrand::u64(..));
                table.find(key, open).or_else(|| self.rendezvous(key, open))
            }
        }?;
        Some(&self.seats[index].0)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// All of them with their weights, as they were given.
    pub fn seats(&self) -> &[(Arc<S>, u32)] {
        &self.seats
    }

    /// The one that has the fewest connections for its weight: nobody has fewer.
    ///
    /// It looks at all of them, unless it meets one that could not have fewer: 2 us for 1 000 servers, 50 us for 10
    /// 000. An order kept from one pick to the next, a heap say, would have to learn of each connection that ends, here
    /// and in other lineups, or be wrong exactly about the server that has become free. HAProxy keeps such an order and
    /// takes a lock at each beginning and end; nginx looks at all of them, as here. Who has thousands of servers takes
    /// [`Balance::TwoChoices`].
    fn least(&self, first: usize, heaviest: u32, open: impl Fn(usize) -> bool) -> Option<usize> {
        let mut least: Option<(Load, usize)> = None;
        for part in [first..self.len(), 0..first] {
            for (index, (seat, weight)) in part.clone().zip(&self.seats[part]) {
                let load = Load::of_one_more(seat.connections(), *weight);
                if least.is_none_or(|(so_far, _)| load.is_less_than(so_far)) && open(index) {
                    if load == Load::least(heaviest) {
                        return Some(index);
                    }
                    least = Some((load, index));
                }
            }
        }
        least.map(|(_, index)| index)
    }

    /// The one with fewer connections for its weight, of two that are drawn. The second look is what counts: where one
    /// draw leaves somebody with ln n / ln ln n too many, the better of two leaves ln ln n / ln 2 (Mitzenmacher, The
    /// Power of Two Choices in Randomized Load Balancing, 1996). And no two threads run after the same server, as they
    /// would after the one with the fewest of all.
    fn lighter_of_two(&self, shares: &Shares, open: impl Fn(usize) -> bool) -> Option<usize> {
        for _ in 0..ATTEMPTS {
            let (one, other) = shares.draw_two();
            let (lighter, heavier) = if self.load(other).is_less_than(self.load(one)) {
                (other, one)
            } else {
                (one, other)
            };
            if let Some(index) = [lighter, heavier].into_iter().find(|index| open(*index)) {
                return Some(index);
            }
        }
        None
    }

    fn load(&self, index: usize) -> Load {
        let (seat, weight) = &self.seats[index];
        Load::of_one_more(seat.connections(), *weight)
    }

    /// One of all that are open, at random by weight. In one pass: each takes the place of the one before with the
    /// chance that it has among those seen so far.
    fn any(&self, open: impl Fn(usize) -> bool) -> Option<usize> {
        let mut seen = 0;
        let mut chosen = None;
        for (index, (_, weight)) in self.seats.iter().enumerate() {
            if open(index) {
                seen += u64::from(*weight);
                if fastrand::u64(..seen) < u64::from(*weight) {
                    chosen = Some(index);
                }
            }
        }
        chosen
    }

    /// Of all that are open, the one that the key prefers (rendezvous hashing, Thaler and Ravishankar 1998).
    fn rendezvous(&self, key: u64, open: impl Fn(usize) -> bool) -> Option<usize> {
        let preference = |index: &usize| hash::mix(key ^ hash::mix(self.seats[*index].0.id()));
        (0..self.len()).filter(|index| open(*index)).max_by_key(preference)
    }
}

fn attempt(choose: impl Fn() -> usize, open: impl Fn(usize) -> bool) -> Option<usize> {
    (0..ATTEMPTS).map(|_| choose()).find(|index| open(*index))
}
