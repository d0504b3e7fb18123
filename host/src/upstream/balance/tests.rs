//! What all ways to balance have in common, and what each promises of a whole lineup.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use proptest::prelude::*;

use super::{Balance, Lineup, Seat, hash_key};

const ALL: [Balance; 6] = [
    Balance::RoundRobin,
    Balance::LeastConnections,
    Balance::TwoChoices,
    Balance::SourceHash,
    Balance::Maglev,
    Balance::Random,
];

const KEYED: [Balance; 2] = [Balance::SourceHash, Balance::Maglev];

#[derive(Debug, Default)]
struct Chair {
    id: u64,
    connections: AtomicU32,
    full: AtomicBool,
}

impl Chair {
    fn connect(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    fn disconnect(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    fn fill(&self) {
        self.full.store(true, Ordering::Relaxed);
    }
}

impl Seat for Chair {
    fn id(&self) -> u64 {
        self.id
    }

    fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}

/// Of so many servers, in their order.
pub(super) fn ids(count: usize) -> impl Iterator<Item = u64> {
    let mut ids: Vec<u64> = (0..count).map(id).collect();
    ids.sort_unstable();
    ids.into_iter()
}

/// The part of a table's slots that change from one to another server, of which neither is the one that leaves.
pub(super) fn moved_among_others(
    servers: &[(u64, u32)],
    leaving: usize,
    fill: impl Fn(&[(u64, u32)]) -> Vec<u32>,
) -> f64 {
    let mut others = servers.to_vec();
    others.remove(leaving);
    let owners = |servers: &[(u64, u32)]| -> Vec<u64> {
        let slots = fill(servers);
        slots.into_iter().map(|server| servers[server as usize].0).collect()
    };
    let before = owners(servers);
    let after = owners(&others);
    assert_eq!(before.len(), after.len());
    let moved = before.iter().zip(&after);
    let moved = moved.filter(|(before, after)| **before != servers[leaving].0 && before != after);
    moved.count() as f64 / before.len() as f64
}

fn id(server: usize) -> u64 {
    hash_key(format!("192.0.2.{server}:80").as_bytes())
}

fn chairs(weights: &[u32]) -> Vec<(Arc<Chair>, u32)> {
    let chair = |(server, weight): (usize, &u32)| {
        let chair = Chair {
            id: id(server),
            ..Chair::default()
        };
        (Arc::new(chair), *weight)
    };
    weights.iter().enumerate().map(chair).collect()
}

fn lineup(balance: Balance, weights: &[u32]) -> Lineup<Chair> {
    Lineup::new(balance, chairs(weights))
}

/// How many of so many picks each got, by its place.
fn picked(lineup: &Lineup<Chair>, picks: usize) -> Vec<usize> {
    let mut picked = HashMap::<u64, usize>::new();
    for _ in 0..picks {
        *picked.entry(lineup.pick(None, &[]).unwrap().id).or_default() += 1;
    }
    let seats = lineup.seats().iter();
    seats
        .map(|(chair, _)| picked.get(&chair.id).copied().unwrap_or_default())
        .collect()
}

#[test]
fn nobody_is_picked_from_nobody() {
    for balance in ALL {
        assert!(lineup(balance, &[]).pick(Some(1), &[]).is_none());
        assert!(lineup(balance, &[0, 0]).pick(None, &[]).is_none());
    }
}

#[test]
fn a_server_without_weight_gets_nothing() {
    for balance in ALL {
        let lineup = lineup(balance, &[1, 0, 1]);
        assert_eq!(lineup.len(), 2);
        assert!((0..100).all(|key| lineup.pick(Some(key), &[]).unwrap().id != id(1)));
    }
}

#[test]
fn round_robin_is_exact_over_a_cycle() {
    for weights in [vec![1; 7], vec![100; 3], vec![5, 1, 1], vec![256, 3, 100, 3]] {
        let lineup = lineup(Balance::RoundRobin, &weights);
        let equal = weights.iter().all(|weight| *weight == weights[0]);
        let cycle = if equal {
            weights.len()
        } else {
            weights.iter().sum::<u32>() as usize
        };
        for _ in 0..3 {
            let expected = weights.iter().map(|weight| if equal { 1 } else { *weight as usize });
            assert!(picked(&lineup, cycle).into_iter().eq(expected));
        }
    }
}

#[test]
fn equal_servers_take_turns_in_their_order() {
    let lineup = lineup(Balance::RoundRobin, &[1, 1, 1]);
    let turns: Vec<u64> = (0..6).map(|_| lineup.pick(None, &[]).unwrap().id).collect();
    let first = (0..3).find(|server| id(*server) == turns[0]).unwrap();
    assert!(turns.into_iter().eq((first..first + 6).map(|server| id(server % 3))));
}

#[test]
fn chance_keeps_the_weights_to_within_a_hundredth() {
    fastrand::seed(3);
    let weights = [1, 2, 3, 4, 10];
    for balance in [Balance::Random, Balance::SourceHash, Balance::Maglev] {
        for (count, weight) in picked(&lineup(balance, &weights), 100_000).into_iter().zip(weights) {
            let part = count as f64 / 100_000.0;
            assert!(
                (part - f64::from(weight) / 20.0).abs() < 0.01,
                "{balance:?}: {part} for {weight}"
            );
        }
    }
}

#[test]
fn connections_that_stay_are_shared_by_weight() {
    fastrand::seed(4);
    let weights = [1, 2, 3, 4, 10];
    for balance in [Balance::LeastConnections, Balance::TwoChoices] {
        let lineup = lineup(balance, &weights);
        for _ in 0..20_000 {
            lineup.pick(None, &[]).unwrap().connect();
        }
        for (chair, weight) in lineup.seats() {
            let part = f64::from(chair.connections()) / 20_000.0;
            assert!(
                (part - f64::from(*weight) / 20.0).abs() < 0.01,
                "{balance:?}: {part} for {weight}"
            );
        }
    }
}

#[test]
fn where_connections_do_not_tell_servers_apart_they_take_turns() {
    let lineup = lineup(Balance::LeastConnections, &[1; 5]);
    assert_eq!(picked(&lineup, 50), [10; 5]);
    for (chair, _) in lineup.seats() {
        chair.connect();
    }
    assert_eq!(picked(&lineup, 50), [10; 5]);
}

/// Whoever changes these moves the keys of everybody who updates.
#[test]
fn a_key_has_the_same_server_in_every_process_and_version() {
    let picks = |balance| -> Vec<usize> {
        let lineup = lineup(balance, &[1, 2, 3, 4]);
        let pick = |key: u8| lineup.pick(Some(hash_key(&[192, 0, 2, key])), &[]).unwrap().id;
        (0..16)
            .map(pick)
            .map(|picked| (0..4).find(|server| id(*server) == picked).unwrap())
            .collect()
    };
    assert_eq!(
        picks(Balance::SourceHash),
        [2, 2, 1, 3, 3, 2, 2, 3, 3, 1, 2, 0, 0, 0, 1, 1]
    );
    assert_eq!(picks(Balance::Maglev), [1, 3, 2, 1, 3, 1, 3, 3, 2, 3, 3, 3, 3, 3, 2, 2]);
}

#[test]
fn a_key_whose_server_is_full_has_one_other_and_gets_its_own_back() {
    for balance in KEYED {
        let lineup = lineup(balance, &[1; 10]);
        let mut others = HashMap::<u64, usize>::new();
        for key in 0..1000 {
            let own = Arc::clone(lineup.pick(Some(key), &[]).unwrap());
            let other = lineup.pick(Some(key), &[own.id]).unwrap().id;
            own.fill();
            assert_eq!(lineup.pick(Some(key), &[]).unwrap().id, other);
            own.full.store(false, Ordering::Relaxed);
            assert_eq!(lineup.pick(Some(key), &[]).unwrap().id, own.id);
            *others.entry(other).or_default() += 1;
        }
        assert!(others.values().all(|keys| (50..200).contains(keys)), "{others:?}");
    }
}

#[test]
fn the_share_of_a_full_server_goes_to_all_others() {
    fastrand::seed(5);
    for balance in [Balance::RoundRobin, Balance::Random, Balance::TwoChoices] {
        let lineup = lineup(balance, &[100, 1, 1, 1, 1, 1]);
        lineup.seats()[0].0.fill();
        let picked = picked(&lineup, 5000);
        assert_eq!(picked[0], 0);
        assert!(
            picked[1..].iter().all(|picks| (800..1200).contains(picks)),
            "{balance:?}: {picked:?}"
        );
    }
}

#[test]
fn a_server_among_ten_thousand_that_alone_is_not_full_is_found() {
    for balance in ALL {
        let lineup = lineup(balance, &[1; 10_000]);
        for (chair, _) in lineup.seats() {
            chair.fill();
        }
        assert!(lineup.pick(None, &[]).is_none());
        lineup.seats()[6789].0.full.store(false, Ordering::Relaxed);
        assert_eq!(lineup.pick(Some(1), &[]).unwrap().id, id(6789));
        assert!(lineup.pick(Some(1), &[id(6789)]).is_none());
    }
}

#[test]
fn threads_that_pick_and_release_at_once_leave_nothing_behind_and_share_evenly() {
    const THREADS: usize = 4;
    const PICKS: usize = 12_000;
    const HELD: usize = 30;
    for balance in ALL {
        let weights = [1, 1, 2, 4];
        let lineup = lineup(balance, &weights);
        let (start, end) = (Barrier::new(THREADS), Barrier::new(THREADS + 1));
        let work = || {
            let mut picked = vec![0_usize; weights.len()];
            let mut held = std::collections::VecDeque::new();
            start.wait();
            for _ in 0..PICKS {
                let chair = lineup.pick(None, &[]).unwrap();
                chair.connect();
                picked[lineup
                    .seats()
                    .iter()
                    .position(|(seat, _)| Arc::ptr_eq(seat, chair))
                    .unwrap()] += 1;
                held.push_back(chair);
                if held.len() > HELD {
                    held.pop_front().unwrap().disconnect();
                }
            }
            end.wait();
            end.wait();
            held.into_iter().for_each(|chair| chair.disconnect());
            picked
        };
        let picked = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            end.wait();
            let held: Vec<u32> = lineup.seats().iter().map(|(chair, _)| chair.connections()).collect();
            assert_eq!(held.iter().sum::<u32>() as usize, THREADS * HELD);
            let most_off = match balance {
                // Each thread may have picked just before the others' connections were counted.
                Balance::LeastConnections => 2 * THREADS as u32,
                Balance::TwoChoices => 15,
                // They do not look at connections.
                _ => u32::MAX,
            };
            for (held, weight) in held.iter().zip(weights) {
                assert!(
                    held.abs_diff(weight * 15) <= most_off,
                    "{balance:?}: {held} for {weight}"
                );
            }
            end.wait();
            let each = threads.into_iter().map(|thread| thread.join().unwrap());
            each.fold(vec![0_usize; weights.len()], |mut all, each| {
                all.iter_mut().zip(each).for_each(|(all, each)| *all += each);
                all
            })
        });
        assert!(lineup.seats().iter().all(|(chair, _)| chair.connections() == 0));
        let all = THREADS * PICKS;
        let most_off = match balance {
            Balance::RoundRobin => 0,
            // What one thread's connections leave uneven the others' picks make up for, in whatever order threads run.
            Balance::LeastConnections | Balance::TwoChoices => all,
            _ => all / 50,
        };
        for (picked, weight) in picked.iter().zip(weights) {
            let ideal = all * weight as usize / 8;
            assert!(
                picked.abs_diff(ideal) <= most_off,
                "{balance:?}: {picked} instead of {ideal}"
            );
        }
    }
}

#[derive(Debug, Clone)]
struct Scene {
    balance: Balance,
    /// Weight, connections, whether it is full, whether it was tried.
    servers: Vec<(u32, u32, bool, bool)>,
    keys: Vec<Option<u64>>,
}

impl Scene {
    fn lineup(&self) -> Lineup<Chair> {
        let weights: Vec<u32> = self.servers.iter().map(|(weight, ..)| *weight).collect();
        let lineup = lineup(self.balance, &weights);
        for ((_, connections, full, _), (chair, _)) in self.servers.iter().zip(lineup.seats()) {
            chair.connections.store(*connections, Ordering::Relaxed);
            chair.full.store(*full, Ordering::Relaxed);
        }
        lineup
    }

    fn tried(&self) -> Vec<u64> {
        let tried = self.servers.iter().enumerate().filter(|(_, (.., tried))| *tried);
        tried.map(|(server, _)| id(server)).collect()
    }
}

fn scenes(balance: impl Strategy<Value = Balance>) -> impl Strategy<Value = Scene> {
    let weight = prop_oneof![Just(1_u32), 1_u32..=256];
    let server = (weight, 0_u32..20, any::<bool>(), any::<bool>());
    let servers = prop::collection::vec(server, 0..12);
    let keys = prop::collection::vec(any::<Option<u64>>(), 1..20);
    (balance, servers, keys).prop_map(|(balance, servers, keys)| Scene { balance, servers, keys })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_pick_is_neither_full_nor_tried_and_there_is_one_while_such_a_server_is(
        scene in scenes(prop::sample::select(ALL.to_vec())),
    ) {
        let lineup = scene.lineup();
        let tried = scene.tried();
        let is_open = |chair: &Chair| !chair.is_full() && !tried.contains(&chair.id);
        let any_open = lineup.seats().iter().any(|(chair, _)| is_open(chair));
        for key in &scene.keys {
            let pick = lineup.pick(*key, &tried);
            prop_assert_eq!(pick.is_some(), any_open);
            prop_assert!(pick.is_none_or(|chair| is_open(chair)));
        }
    }

    #[test]
    fn least_connections_never_picks_one_that_is_busier_for_its_weight_than_another(
        scene in scenes(Just(Balance::LeastConnections)),
    ) {
        let lineup = scene.lineup();
        let tried = scene.tried();
        for _ in 0..20 {
            let Some(pick) = lineup.pick(None, &tried) else { break };
            let load = |chair: &Chair, weight| f64::from(chair.connections() + 1) / f64::from(weight);
            let loads = lineup.seats().iter();
            let (open, of_pick): (Vec<_>, Vec<_>) = loads
                .filter(|(chair, _)| !chair.is_full() && !tried.contains(&chair.id))
                .map(|(chair, weight)| (load(chair, *weight), chair.id == pick.id))
                .unzip();
            let picked = open[of_pick.iter().position(|is| *is).unwrap()];
            // Weights are far too small for two different fractions to be one f64.
            prop_assert!(open.iter().all(|load| *load >= picked), "{picked} of {open:?}");
            pick.connect();
        }
    }

    #[test]
    fn two_choices_never_pick_the_busiest_of_all(scene in scenes(Just(Balance::TwoChoices))) {
        let lineup = scene.lineup();
        let load = |(chair, weight): &(Arc<Chair>, u32)| f64::from(chair.connections() + 1) / f64::from(*weight);
        let busiest = lineup.seats().iter().map(load).fold(0.0, f64::max);
        let only_one = lineup.seats().iter().filter(|seat| load(seat) == busiest).count() == 1;
        if only_one && lineup.len() > 1 {
            for (chair, _) in lineup.seats() {
                chair.full.store(false, Ordering::Relaxed);
            }
            for _ in 0..50 {
                let pick = lineup.pick(None, &[]).unwrap();
                let seat = lineup.seats().iter().find(|(chair, _)| chair.id == pick.id).unwrap();
                prop_assert!(load(seat) < busiest);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn keys_do_not_care_in_which_order_servers_are_given(
        weights in prop::collection::vec(1_u32..=256, 1..12),
        balance in prop::sample::select(KEYED.to_vec()),
        keys in prop::collection::vec(any::<u64>(), 100),
        turn: prop::sample::Index,
    ) {
        let seats = chairs(&weights);
        let mut turned = seats.clone();
        turned.rotate_left(turn.index(seats.len()));
        turned.reverse();
        let (one, other) = (Lineup::new(balance, seats), Lineup::new(balance, turned));
        for key in keys {
            let pick = one.pick(Some(key), &[]).unwrap().id;
            prop_assert_eq!(pick, other.pick(Some(key), &[]).unwrap().id);
            let next = |lineup: &Lineup<Chair>| lineup.pick(Some(key), &[pick]).map(|chair| chair.id);
            prop_assert_eq!(next(&one), next(&other));
        }
    }

    #[test]
    fn keys_of_others_stay_when_a_server_leaves(
        weights in prop::collection::vec(1_u32..=256, 2..12),
        leaving: prop::sample::Index,
        keys in prop::collection::vec(any::<u64>(), 1000),
    ) {
        let seats = chairs(&weights);
        let mut others = seats.clone();
        let (gone, _) = others.remove(leaving.index(seats.len()));
        for balance in KEYED {
            let before = Lineup::new(balance, seats.clone());
            let after = Lineup::new(balance, others.clone());
            let moved = keys.iter().filter(|key| {
                let pick = |lineup: &Lineup<Chair>| lineup.pick(Some(**key), &[]).unwrap().id;
                pick(&before) != gone.id && pick(&before) != pick(&after)
            });
            let most = if balance == Balance::SourceHash { 0 } else { keys.len() / 20 };
            let moved = moved.count();
            prop_assert!(moved <= most, "{balance:?}: {moved} of {} keys", keys.len());
        }
    }
}
