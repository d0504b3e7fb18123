use std::cell::Cell;
use std::rc::Rc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const QUARANTINE: Quarantine = Quarantine {
    failures: 3,
    within: Duration::from_secs(10),
    retry_after: Duration::from_secs(5),
};

#[derive(Debug, Clone)]
struct Fake {
    number: u64,
    seen: Rc<Cell<Seen>>,
}

impl Judged for Fake {
    fn number(&self) -> u64 {
        self.number
    }

    fn seen(&self) -> Seen {
        self.seen.get()
    }
}

/// A filter, its clock, and everything that has happened to it.
#[derive(Debug)]
struct Scene {
    rollout: Rollout<Fake>,
    now: Instant,
    last: u64,
    living: Vec<Fake>,
}

impl Scene {
    fn new(canary: Option<Canary>, quarantine: Option<Quarantine>, on_error: OnError) -> Self {
        let config = FilterConfig {
            canary,
            quarantine,
            on_error,
            ..FilterConfig::new("test", "test.wasm")
        };
        Self {
            rollout: Rollout::new(&config),
            now: Instant::now(),
            last: 0,
            living: Vec::new(),
        }
    }

    fn publish(&mut self) -> Vec<Transition> {
        self.last += 1;
        let generation = Fake {
            number: self.last,
            seen: Rc::default(),
        };
        self.living.push(generation.clone());
        self.rollout.publish(generation, self.now)
    }

    fn seen(&self, number: u64, more: Seen) {
        let Some(generation) = self.living.iter().find(|generation| generation.number == number) else {
            return;
        };
        let Seen {
            failures,
            connections,
            refused,
            early,
        } = generation.seen.get();
        generation.seen.set(Seen {
            failures: failures + more.failures,
            connections: connections + more.connections,
            refused: refused + more.refused,
            early: early + more.early,
        });
    }

    fn fails(&self, number: u64, failures: u64) {
        self.seen(
            number,
            Seen {
                failures,
                ..Seen::default()
            },
        );
    }

    fn serves(&self, number: u64, connections: u64, refused: u64, early: u64) {
        self.seen(
            number,
            Seen {
                failures: 0,
                connections,
                refused,
                early,
            },
        );
    }

    fn judged(&mut self) -> Vec<Transition> {
        std::iter::from_fn(|| self.rollout.judge(self.now)).take(100).collect()
    }

    /// Stable, canary, previous, quarantined.
    fn places(&self) -> [Option<u64>; 4] {
        let Self { rollout, .. } = self;
        [
            rollout.stable(),
            rollout.canary(),
            rollout.previous(),
            rollout.quarantined(),
        ]
        .map(|held| held.map(Judged::number))
    }
}

fn canary() -> Canary {
    Canary {
        time: 60 * SECOND,
        connections: 50,
        ..defaults::CANARY
    }
}

/// Generation 1 is stable and has served as many connections, and generation 2 is tried.
fn trying(connections: u64) -> Scene {
    let mut scene = Scene::new(Some(canary()), Some(QUARANTINE), OnError::Close);
    scene.publish();
    scene.publish();
    scene.serves(1, connections, 0, 0);
    assert_eq!(scene.places(), [Some(1), Some(2), None, None]);
    scene
}

#[test]
fn a_canary_is_promoted_when_both_its_time_and_its_connections_are_enough() {
    let mut scene = trying(500);
    scene.now += 60 * SECOND;
    scene.serves(2, 49, 0, 0);
    assert_eq!(scene.judged(), [], "too few connections");
    scene.serves(2, 1, 0, 0);
    scene.now -= SECOND;
    assert_eq!(scene.judged(), [], "too short");
    scene.now += SECOND;
    assert!(matches!(
        scene.judged()[..],
        [Transition::Promoted { generation: 2, .. }]
    ));
    assert_eq!(scene.places(), [Some(2), None, Some(1), None]);
    assert_eq!(scene.rollout.next_look(scene.now), None);
}

#[test]
fn a_canary_that_fails_once_is_rolled_back() {
    let mut scene = trying(500);
    scene.fails(2, 1);
    assert!(matches!(
        scene.judged()[..],
        [Transition::RolledBack {
            generation: 2,
            stable: 1,
            verdict: Verdict::Failures,
            retry_after: None,
            ..
        }]
    ));
    assert_eq!(scene.places(), [Some(1), None, None, None]);
}

#[test]
fn a_canary_is_rolled_back_as_soon_as_it_is_sure_that_more_of_its_connections_are_refused() {
    let mut scene = trying(500);
    scene.serves(2, 4, 4, 0);
    assert_eq!(scene.judged(), [], "four are an anecdote");
    scene.serves(2, 1, 1, 0);
    let judged = scene.judged();
    assert!(matches!(
        judged[..],
        [Transition::RolledBack {
            verdict: Verdict::Refused,
            ..
        }]
    ));
}

#[test]
fn a_canary_with_the_rates_of_the_old_one_and_the_margin_is_promoted_and_one_with_more_is_not() {
    for (early, promoted) in [(10, true), (15, true), (16, false), (60, false)] {
        let mut scene = trying(0);
        scene.serves(1, 200, 0, 20);
        scene.serves(2, 100, 0, early);
        scene.now += 60 * SECOND;
        let judged = scene.judged();
        let is_promoted = matches!(judged[..], [Transition::Promoted { .. }]);
        assert_eq!(is_promoted, promoted, "{early}: {judged:?}");
    }
}

#[test]
fn a_canary_that_nobody_can_be_compared_with_is_judged_by_its_failures_alone() {
    let mut scene = trying(0);
    scene.serves(2, 100, 50, 50);
    scene.now += 60 * SECOND;
    assert!(matches!(scene.judged()[..], [Transition::Promoted { .. }]));
}

#[test]
fn what_was_before_the_trial_does_not_count() {
    let mut scene = Scene::new(None, Some(QUARANTINE), OnError::Close);
    scene.publish();
    scene.publish();
    scene.fails(2, 3);
    assert!(matches!(
        scene.judged()[..],
        [Transition::Quarantined { returns: 1, .. }]
    ));
    scene.now += 5 * SECOND;
    assert!(matches!(
        scene.judged()[..],
        [Transition::Retried {
            generation: 2,
            stable: 1
        }]
    ));
    assert_eq!(scene.places(), [Some(1), Some(2), None, None]);
    assert_eq!(scene.judged(), [], "its three failures are atoned for");
}

#[test]
fn the_back_off_doubles_each_time_that_it_fails_again_up_to_an_hour() {
    let mut scene = Scene::new(None, Some(QUARANTINE), OnError::Close);
    scene.publish();
    scene.publish();
    scene.fails(2, 3);
    let mut waited = Vec::new();
    for _ in 0..40 {
        waited.extend(scene.judged().iter().filter_map(|transition| match transition {
            Transition::Quarantined { retry_after, .. } => Some(*retry_after),
            Transition::RolledBack { retry_after, .. } => *retry_after,
            _ => None,
        }));
        match scene.rollout.next_look(scene.now) {
            Some(next) if scene.rollout.canary().is_none() => scene.now = next,
            _ => scene.fails(2, 1),
        }
    }
    let seconds: Vec<_> = waited.iter().map(Duration::as_secs).collect();
    assert_eq!(
        seconds[..12],
        [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]
    );
}

#[test]
fn one_that_was_in_quarantine_and_is_promoted_remembers_it() {
    let rules = Canary {
        time: SECOND,
        connections: 0,
        ..canary()
    };
    let mut scene = Scene::new(Some(rules), Some(QUARANTINE), OnError::Close);
    scene.publish();
    scene.publish();
    scene.now += SECOND;
    scene.judged();
    scene.fails(2, 3);
    scene.judged();
    scene.now += 5 * SECOND;
    scene.judged();
    scene.now += SECOND;
    assert!(matches!(scene.judged()[..], [Transition::Promoted { .. }]));
    assert_eq!(scene.places(), [Some(2), None, Some(1), None]);
    scene.fails(2, 3);
    let judged = scene.judged();
    assert!(
        matches!(judged[..], [Transition::Quarantined { retry_after, .. }] if retry_after == 10 * SECOND),
        "{judged:?}"
    );
}

#[test]
fn failures_that_are_too_far_apart_do_not_add_up() {
    let mut scene = Scene::new(None, Some(QUARANTINE), OnError::Close);
    scene.publish();
    scene.publish();
    for _ in 0..20 {
        scene.fails(2, 1);
        assert_eq!(scene.judged(), []);
        scene.now += 5 * SECOND;
    }
    scene.fails(2, 2);
    assert_eq!(scene.judged().len(), 1);
}

#[test]
fn a_filter_without_an_earlier_generation_stays_and_it_is_said_once_in_a_while() {
    let mut scene = Scene::new(None, Some(QUARANTINE), OnError::Close);
    scene.publish();
    let mut said = 0;
    for _ in 0..100 {
        scene.fails(1, 10);
        said += scene.judged().len();
        scene.now += SECOND;
    }
    assert_eq!(said, 10);
    assert_eq!(scene.places(), [Some(1), None, None, None]);
}

#[test]
fn a_generation_that_failed_is_not_the_one_to_go_back_to_where_there_is_a_better_one() {
    let mut scene = Scene::new(None, Some(QUARANTINE), OnError::Close);
    scene.publish();
    scene.publish();
    scene.fails(2, 1);
    scene.publish();
    assert_eq!(scene.places(), [Some(3), None, Some(1), None]);
    scene.publish();
    assert_eq!(scene.places(), [Some(4), None, Some(3), None]);
}

#[test]
fn nothing_is_kept_where_nothing_goes_back() {
    let mut scene = Scene::new(None, None, OnError::Pass);
    scene.publish();
    scene.publish();
    scene.fails(2, 100);
    assert_eq!(scene.judged(), []);
    assert_eq!(scene.places(), [Some(2), None, None, None]);
}

#[test]
fn the_stable_one_may_be_put_in_quarantine_while_another_is_tried() {
    let rules = Canary {
        time: Duration::ZERO,
        connections: 0,
        ..canary()
    };
    let mut scene = Scene::new(Some(rules), Some(QUARANTINE), OnError::Close);
    scene.publish();
    scene.publish();
    scene.judged();
    scene.publish();
    scene.fails(3, 1);
    scene.fails(2, 3);
    let judged = scene.judged();
    assert!(
        matches!(
            judged[..],
            [
                Transition::RolledBack { generation: 3, .. },
                Transition::Quarantined {
                    generation: 2,
                    returns: 1,
                    ..
                }
            ]
        ),
        "{judged:?}"
    );
}

#[derive(Debug, Clone)]
enum Event {
    Publish,
    Revert,
    Retry,
    Wait(u64),
    Fail(usize, u64),
    Serve(usize, u64, u64, u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::Publish),
        1 => Just(Event::Revert),
        1 => Just(Event::Retry),
        4 => (0_u64..20_000).prop_map(Event::Wait),
        4 => (0_usize..4, 1_u64..6).prop_map(|(who, count)| Event::Fail(who, count)),
        4 => (0_usize..4, 0_u64..60, 0_u64..4, 0_u64..4).prop_map(|(who, all, refused, early)| {
            Event::Serve(who, all + refused + early, refused, early)
        }),
    ]
}

fn scene() -> impl Strategy<Value = Scene> {
    let canary = Canary {
        time: 10 * SECOND,
        connections: 30,
        ..defaults::CANARY
    };
    let policy = prop_oneof![Just(OnError::Close), Just(OnError::Previous)];
    (any::<bool>(), any::<bool>(), policy).prop_map(move |(tries, banishes, policy)| {
        Scene::new(tries.then(|| canary.clone()), banishes.then_some(QUARANTINE), policy)
    })
}

fn apply(scene: &mut Scene, event: &Event) -> Vec<Transition> {
    match *event {
        Event::Publish => return scene.publish(),
        Event::Revert => return scene.rollout.withdraw(Withdrawal::Reverted),
        Event::Retry => return scene.rollout.retry(scene.now).into_iter().collect(),
        Event::Wait(milliseconds) => scene.now += Duration::from_millis(milliseconds),
        Event::Fail(who, count) => {
            if let Some(number) = scene.places()[who] {
                scene.fails(number, count);
            }
        }
        Event::Serve(who, all, refused, early) => {
            if let Some(number) = scene.places()[who] {
                scene.serves(number, all, refused, early);
            }
        }
    }
    Vec::new()
}

/// What holds at every time.
fn check(scene: &Scene) {
    let [stable, canary, previous, quarantined] = scene.places();
    let held: Vec<u64> = [stable, canary, previous, quarantined].into_iter().flatten().collect();
    assert!(held.len() <= 3, "{held:?}");
    assert!(stable.is_some(), "somebody serves");
    assert!(canary > stable || canary.is_none(), "what is tried is newer");
    assert!(previous < stable, "what returns is older");
    assert!(
        quarantined > stable || quarantined.is_none(),
        "what is in quarantine was newer"
    );
    assert!(
        previous.is_none() || quarantined.is_none(),
        "whoever went back has none to go back to"
    );
    assert!(previous.is_none() || scene.rollout.goes_back);
    assert!(quarantined.is_none() || scene.rollout.quarantine.is_some());
    for number in held {
        let place = scene.rollout.place(number);
        assert!(!matches!(place, Place::Old | Place::New));
        assert_eq!(Place::of(place as u8), place);
    }
    let waits = canary.is_some() || quarantined.is_some();
    assert_eq!(
        scene.rollout.next_look(scene.now).is_some(),
        waits,
        "nobody looks for nothing"
    );
}

proptest! {
    #[test]
    fn whatever_happens_somebody_serves_and_few_are_held((mut scene, events) in (scene(), vec(event(), 0..60))) {
        scene.publish();
        for event in &events {
            let before = scene.places();
            let mut transitions = apply(&mut scene, event);
            check(&scene);
            transitions.extend(scene.judged());
            prop_assert!(transitions.len() < 20, "it does not come to rest");
            check(&scene);
            for transition in &transitions {
                match transition {
                    Transition::Promoted { figures, .. } => {
                        prop_assert!(figures.after >= 10 * SECOND || scene.rollout.canary.is_none());
                        prop_assert!(figures.canary.connections >= 30);
                        prop_assert_eq!(figures.canary.failures, 0);
                    }
                    Transition::Quarantined { failures, retry_after, .. } => {
                        prop_assert_eq!(*failures, 3);
                        prop_assert!((5 * SECOND..=3600 * SECOND).contains(retry_after));
                    }
                    Transition::Published { generation } => {
                        prop_assert!(scene.rollout.canary.is_none() && *generation == scene.last);
                    }
                    _ => {}
                }
            }
            let changed = transitions.iter().any(Transition::changes);
            prop_assert_eq!(scene.places() != before, changed, "{:?}", transitions);
            prop_assert_eq!(scene.judged(), Vec::new());
            if let Some(next) = scene.rollout.next_look(scene.now) {
                prop_assert!(next > scene.now, "it would be looked at for ever");
            }
        }
    }
}

#[test]
fn an_operator_promotes_and_rolls_back_what_is_tried() {
    let mut scene = trying(0);
    let promoted = scene.rollout.promote_as_asked(scene.now);
    assert!(matches!(promoted, Some(Transition::Promoted { generation: 2, .. })));
    assert_eq!(scene.places(), [Some(2), None, Some(1), None]);
    assert_eq!(scene.rollout.promote_as_asked(scene.now), None);

    scene.publish();
    assert_eq!(scene.places(), [Some(2), Some(3), Some(1), None]);
    let back = scene.rollout.roll_back_as_asked(scene.now);
    assert!(matches!(
        back,
        Some(Transition::RolledBack {
            generation: 3,
            stable: 2,
            verdict: Verdict::Asked,
            retry_after: None,
            ..
        })
    ));
    assert_eq!(scene.places(), [Some(2), None, Some(1), None]);
}

#[test]
fn an_operator_goes_back_from_what_serves_and_it_does_not_return() {
    let mut scene = Scene::new(None, Some(QUARANTINE), OnError::Close);
    scene.publish();
    assert_eq!(scene.rollout.roll_back_as_asked(scene.now), None);
    scene.publish();
    let back = scene.rollout.roll_back_as_asked(scene.now);
    let expected = Transition::WentBack {
        generation: 2,
        stable: 1,
    };
    assert_eq!(back, Some(expected));
    assert_eq!(scene.places(), [Some(1), None, None, None]);
    scene.now += 3600 * SECOND;
    assert_eq!(scene.judged(), []);
}
