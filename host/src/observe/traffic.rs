//! What the connections of a worker have moved, those that are open among them.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Moved, Sums};
use crate::flow::Direction;

/// One worker's, on cache lines of its own. That worker alone adds to it, so adding is a load and a store, and whoever reads it
/// takes nothing away from it but that line, once.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Traffic {
    accepted: AtomicU64,
    up: Ways,
    down: Ways,
}

/// Bytes of one direction, by the way they went.
#[derive(Debug, Default)]
pub struct Ways {
    copied: AtomicU64,
    spliced: AtomicU64,
    filtered: AtomicU64,
}

impl Traffic {
    /// A connection has begun.
    pub fn accepted(&self) {
        add(&self.accepted, 1);
    }

    #[inline]
    pub fn of(&self, direction: Direction) -> &Ways {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// Of all connections that have begun.
    pub fn sums(&self) -> Sums {
        Sums {
            connections: self.accepted.load(Ordering::Relaxed),
            up: self.up.moved(),
            down: self.down.moved(),
        }
    }
}

impl Ways {
    #[inline]
    pub fn copied(&self, bytes: u64) {
        add(&self.copied, bytes);
    }

    #[inline]
    pub fn spliced(&self, bytes: u64) {
        add(&self.spliced, bytes);
    }

    #[inline]
    pub fn filtered(&self, bytes: u64) {
        add(&self.filtered, bytes);
    }

    fn moved(&self) -> Moved {
        Moved {
            copied: self.copied.load(Ordering::Relaxed),
            spliced: self.spliced.load(Ordering::Relaxed),
            filtered: self.filtered.load(Ordering::Relaxed),
        }
    }
}

/// Without the lock that adding has where several threads add.
#[inline]
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_direction_and_way_is_counted_for_itself() {
        let traffic = Traffic::default();
        traffic.accepted();
        traffic.of(Direction::Up).copied(1);
        traffic.of(Direction::Up).spliced(2);
        traffic.of(Direction::Down).filtered(3);
        traffic.of(Direction::Down).filtered(4);
        let (up, down) = (
            Moved {
                copied: 1,
                spliced: 2,
                filtered: 0,
            },
            Moved {
                filtered: 7,
                ..Moved::default()
            },
        );
        let connections = 1;
        assert_eq!(traffic.sums(), Sums { connections, up, down });
    }

    #[test]
    fn two_workers_share_no_cache_line() {
        assert_eq!((size_of::<Traffic>(), align_of::<Traffic>()), (128, 128));
    }
}
