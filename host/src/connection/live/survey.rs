//! Which connections of a worker stand out.
//!
//! What a connection has moved it is asked itself, which wakes it: so the oldest and the newest are asked, a bounded number of
//! each, a few at a time. How long it waits is known without asking.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::yield_now;

use super::recent::newest;
use super::{CHUNK, Entry, Live, Past, Shown, Table};
use crate::observe::Moved;
use crate::outcome::Stage;

/// How many are shown.
const MOST: usize = 10;

/// From either end of the table: how many are looked at, and how many of those are asked. Those that move much are old for the
/// most part, and those that wait are new.
const LOOKED_AT: usize = 8192;
const ASKED: usize = 1024;

/// What stands out, and what has ended lately.
#[derive(Debug, Default)]
pub struct Survey {
    pub biggest: Vec<Shown>,
    pub slowest: Vec<Shown>,
    pub recent: Vec<Past>,
}

/// The best of what was offered, the best first.
struct Best<K, T>(Vec<(K, T)>);

/// Those that still wait for their server come before those that have waited; then who waits, or has waited, for longer.
type Wait = (bool, Duration);

impl Live {
    pub async fn survey(&self) -> Survey {
        let Some(table) = self.0.get() else {
            return Survey::default();
        };
        let (asked, slowest) = table.look_over().await;
        let mut biggest = Best::new();
        for chunk in asked.chunks(CHUNK) {
            let _turn = table.turn.lock().await;
            table.ask(chunk).await;
            for entry in chunk {
                let moved = entry.said.take().map(|said| said.moved).unwrap_or_default();
                biggest.offer(total(&moved), (Rc::clone(entry), moved));
            }
        }
        let slowest: Vec<_> = slowest.items().collect();
        let _turn = table.turn.lock().await;
        table.ask(&slowest).await;
        // Some may have ended meanwhile.
        let is_open = |entry: &Rc<Entry>| table.entries.borrow().contains_key(&entry.id);
        let slowest = slowest.iter().filter(|entry| is_open(entry));
        let slowest = slowest.map(|entry| entry.show()).collect();
        let biggest = biggest.items().filter(|(entry, _)| is_open(entry));
        let biggest = biggest.map(|(entry, moved)| entry.shown(Some(moved)));
        Survey {
            biggest: biggest.collect(),
            slowest,
            recent: table.recent.borrow().all(),
        }
    }
}

impl Survey {
    /// What stands out among all of these.
    pub fn of(surveys: Vec<Self>) -> Self {
        let (mut biggest, mut slowest) = (Best::new(), Best::new());
        let mut recent = Vec::new();
        for survey in surveys {
            for shown in survey.biggest {
                biggest.offer(shown.up.total() + shown.down.total(), shown);
            }
            for shown in survey.slowest {
                slowest.offer(wait(shown.stage, shown.age, shown.connect), shown);
            }
            recent.extend(survey.recent);
        }
        Self {
            biggest: biggest.items().collect(),
            slowest: slowest.items().collect(),
            recent: newest(recent),
        }
    }
}

impl Table {
    /// Those that are to be asked, and those that wait the longest.
    async fn look_over(&self) -> (Vec<Rc<Entry>>, Best<Wait, Rc<Entry>>) {
        let (mut asked, mut slowest) = (Vec::new(), Best::new());
        let mut look_at = |entry: &Rc<Entry>, number: usize| {
            if number < ASKED {
                asked.push(Rc::clone(entry));
            }
            let waits = wait(entry.stage.get(), entry.started.elapsed(), entry.connect.get());
            slowest.offer(waits, Rc::clone(entry));
        };
        let (mut seen, mut after) = (0, 0);
        while seen < LOOKED_AT {
            let begun = seen;
            for (id, entry) in self.entries.borrow().range(after + 1..).take(CHUNK) {
                look_at(entry, seen);
                (seen, after) = (seen + 1, *id);
            }
            if seen - begun < CHUNK {
                return (asked, slowest);
            }
            yield_now().await;
        }
        let (mut seen, mut before) = (0, u64::MAX);
        while seen < LOOKED_AT && after + 1 < before {
            let begun = seen;
            for (id, entry) in self.entries.borrow().range(after + 1..before).rev().take(CHUNK) {
                look_at(entry, seen);
                (seen, before) = (seen + 1, *id);
            }
            if seen - begun < CHUNK {
                break;
            }
            yield_now().await;
        }
        (asked, slowest)
    }
}

impl<K: PartialOrd, T> Best<K, T> {
    fn new() -> Self {
        Self(Vec::with_capacity(MOST + 1))
    }

    fn offer(&mut self, key: K, item: T) {
        if self.0.len() == MOST && self.0.last().is_some_and(|(last, _)| *last >= key) {
            return;
        }
        let place = self.0.partition_point(|(other, _)| *other >= key);
        self.0.insert(place, (key, item));
        self.0.truncate(MOST);
    }

    fn items(self) -> impl Iterator<Item = T> {
        self.0.into_iter().map(|(_, item)| item)
    }
}

fn wait(stage: Stage, age: Duration, connect: Option<Duration>) -> Wait {
    match stage {
        Stage::Relay => (false, connect.unwrap_or_default()),
        _ => (true, age),
    }
}

fn total(moved: &[Moved; 2]) -> u64 {
    moved.iter().map(Moved::total).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_kept_and_the_best_is_the_first() {
        let mut best = Best::new();
        for key in [3, 1, 2] {
            best.offer(key, key);
        }
        assert_eq!(best.items().collect::<Vec<_>>(), [3, 2, 1]);
        let mut best = Best::new();
        for key in 0..100_u64 {
            best.offer(key * 37 % 100, key * 37 % 100);
        }
        let expected: Vec<_> = (90..100).rev().collect();
        assert_eq!(best.items().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn who_waits_comes_before_who_has_waited() {
        let seconds = Duration::from_secs;
        let mut waits = [
            wait(Stage::Relay, seconds(1000), Some(seconds(4))),
            wait(Stage::Connect, seconds(1), None),
            wait(Stage::Relay, seconds(1), None),
            wait(Stage::Detect, seconds(3), None),
        ];
        waits.sort_unstable();
        assert_eq!(waits.map(|(_, time)| time.as_secs()), [0, 4, 1, 3]);
    }
}
