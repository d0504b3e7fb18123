use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::Fault;
use super::*;
use crate::config::{Distribution, FaultConfig, FaultKind};

const DOWN: Direction = Direction::Down;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn fault(kind: FaultKind) -> Arc<Fault> {
    Arc::new(Fault::new(FaultConfig {
        seed: Some(7),
        ..FaultConfig::new(kind, DOWN)
    }))
}

fn hits(faults: &[Arc<Fault>]) -> Vec<Hit> {
    faults.iter().filter_map(|fault| fault.hits(1)).collect()
}

fn latency(latency: Duration) -> FaultKind {
    FaultKind::Latency {
        latency,
        jitter: Duration::ZERO,
        distribution: Distribution::Uniform,
    }
}

/// A line, its time, and what came out of it.
struct Run {
    began: Instant,
    now: Instant,
    line: Line,
    /// How late, and what.
    out: Vec<(Duration, Vec<u8>)>,
    last: Option<(Duration, Step)>,
    held: usize,
}

impl Run {
    fn new(faults: &[Arc<Fault>]) -> Self {
        let began = Instant::now();
        let line = Line::new(hits(faults).iter(), DOWN, began).unwrap();
        Self {
            began,
            now: began,
            line,
            out: Vec::new(),
            last: None,
            held: 0,
        }
    }

    fn of(kinds: &[FaultKind]) -> Self {
        Self::new(&kinds.iter().copied().map(fault).collect::<Vec<_>>())
    }

    fn feed(&mut self, bytes: &[u8]) -> &mut Self {
        self.line.feed(self.now, bytes);
        self.held = self.held.max(self.line.holds());
        self.drain();
        self
    }

    fn finish(&mut self) -> &mut Self {
        self.line.finish(self.now);
        self.drain();
        self
    }

    fn replace(&mut self, faults: &[Arc<Fault>]) -> &mut Self {
        self.line.replace(hits(faults).iter(), self.now);
        self.drain();
        self
    }

    /// As far as it goes without waiting. Returns for when.
    fn drain(&mut self) -> Option<Instant> {
        let mut out = Vec::new();
        loop {
            let step = self.line.step(self.now, &mut out);
            match step {
                Step::Send => {
                    assert!(!out.is_empty() && out.len() <= PORTION);
                    self.out.push((self.now - self.began, std::mem::take(&mut out)));
                }
                Step::Wait(until) => {
                    assert!(until.is_none_or(|until| until > self.now), "waits for what was");
                    return until;
                }
                Step::Finish | Step::Cut { .. } => {
                    self.last.get_or_insert((self.now - self.began, step));
                    return None;
                }
            }
            assert!(out.is_empty());
        }
    }

    /// Until `time` has passed.
    fn pass(&mut self, time: Duration) -> &mut Self {
        let end = self.now + time;
        while let Some(until) = self.drain().filter(|until| *until <= end) {
            self.now = until;
        }
        self.now = end;
        self.drain();
        self
    }

    /// Until there is nothing more to wait for.
    fn settle(&mut self) -> &mut Self {
        while let Some(until) = self.drain() {
            self.now = until;
        }
        self
    }

    fn bytes(&self) -> Vec<u8> {
        self.out.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
    }

    fn times(&self) -> Vec<Duration> {
        self.out.iter().map(|(when, _)| *when).collect()
    }
}

#[test]
fn no_fault_is_no_line() {
    let now = Instant::now();
    let line = |faults: &[_], direction| Line::new(hits(faults).iter(), direction, now);
    assert!(line(&[], DOWN).is_none());
    assert!(line(&[fault(FaultKind::Refuse { reset: true })], DOWN).is_none());
    let latency = [fault(latency(ms(1)))];
    assert!(line(&latency, Direction::Up).is_none());
    assert!(line(&latency, DOWN).is_some());
}

#[test]
fn latency_delays_bytes_and_the_end_and_keeps_their_distance() {
    let mut run = Run::of(&[latency(ms(100))]);
    run.feed(b"a").pass(ms(30)).feed(b"b").pass(ms(30)).finish().settle();
    assert_eq!(run.times(), [ms(100), ms(130)]);
    assert_eq!(run.last, Some((ms(160), Step::Finish)));
}

#[test]
fn latencies_add_up() {
    let mut run = Run::of(&[latency(ms(100)), latency(ms(50))]);
    run.feed(b"a").settle();
    assert_eq!(run.times(), [ms(150)]);
}

#[test]
fn jitter_keeps_within_its_bounds_and_the_order() {
    let mut run = Run::of(&[FaultKind::Latency {
        latency: ms(100),
        jitter: ms(20),
        distribution: Distribution::Uniform,
    }]);
    for byte in 0..100 {
        run.feed(&[byte]).pass(ms(50));
    }
    run.settle();
    assert_eq!(run.bytes(), (0..100).collect::<Vec<_>>());
    let sent = (0..100).map(|byte| ms(50 * byte));
    let delays: Vec<_> = run
        .times()
        .into_iter()
        .zip(sent)
        .map(|(came, sent)| came - sent)
        .collect();
    assert!(
        delays.iter().all(|delay| (ms(80)..=ms(120)).contains(delay)),
        "{delays:?}"
    );
    assert!(delays.iter().min() < Some(&ms(85)) && delays.iter().max() > Some(&ms(115)));
}

#[test]
fn normal_jitter_has_its_mean_and_its_deviation() {
    let mut run = Run::of(&[FaultKind::Latency {
        latency: ms(500),
        jitter: ms(50),
        distribution: Distribution::Normal,
    }]);
    for _ in 0..2000 {
        run.feed(b"x").pass(ms(1000));
    }
    run.settle();
    let sent = (0..2000).map(|byte| ms(1000 * byte));
    let delays: Vec<_> = run
        .times()
        .into_iter()
        .zip(sent)
        .map(|(came, sent)| (came - sent).as_secs_f64())
        .collect();
    let count = delays.len() as f64;
    let mean = delays.iter().sum::<f64>() / count;
    let deviation = (delays.iter().map(|delay| (delay - mean).powi(2)).sum::<f64>() / count).sqrt();
    assert!((0.495..0.505).contains(&mean), "{mean}");
    assert!((0.046..0.054).contains(&deviation), "{deviation}");
}

#[test]
fn a_rate_is_kept_from_the_first_byte_and_nothing_is_saved_up() {
    let mut run = Run::of(&[FaultKind::Bandwidth { rate: 100_000 }]);
    run.feed(&[1; 50_000]).settle();
    assert_eq!(run.now - run.began, ms(500));
    assert_eq!(run.times()[0], ms(50));
    run.pass(ms(5000)).feed(&[2; 10_000]).settle();
    assert_eq!(run.now - run.began, ms(5600));
    assert_eq!(run.bytes().len(), 60_000);
}

#[test]
fn at_a_rate_of_0_everything_is_kept_until_the_fault_is_gone() {
    let mut run = Run::of(&[FaultKind::Bandwidth { rate: 0 }]);
    run.feed(b"kept").finish().pass(ms(3_600_000));
    assert!(run.out.is_empty() && run.last.is_none());
    run.replace(&[]);
    assert_eq!(run.bytes(), b"kept");
    assert_eq!(run.last.unwrap().1, Step::Finish);
    assert!(!run.line.has_faults());
}

#[test]
fn a_slow_close_delays_the_end_alone() {
    let mut run = Run::of(&[FaultKind::SlowClose { delay: ms(300) }]);
    run.feed(b"a").finish().settle();
    assert_eq!(run.times(), [ms(0)]);
    assert_eq!(run.last, Some((ms(300), Step::Finish)));
}

#[test]
fn a_timeout_drops_bytes_and_then_closes() {
    let timeout = Some(ms(200));
    let mut run = Run::of(&[FaultKind::Timeout { timeout }]);
    run.feed(b"lost").pass(ms(100)).feed(b"lost").settle();
    assert!(run.out.is_empty());
    assert_eq!(run.last, Some((ms(200), Step::Cut { reset: false })));
}

#[test]
fn a_black_hole_closes_what_it_took_something_from_when_it_is_gone() {
    let hole = [fault(FaultKind::Timeout { timeout: None })];
    let mut run = Run::new(&hole);
    run.feed(b"lost").pass(ms(3_600_000));
    assert_eq!(run.last, None);
    run.replace(&[]);
    assert_eq!(run.last.unwrap().1, Step::Cut { reset: false });

    let mut run = Run::new(&hole);
    run.pass(ms(100)).replace(&[]).feed(b"whole").settle();
    assert_eq!((run.bytes().as_slice(), run.last), (&b"whole"[..], None));
}

#[test]
fn a_reset_waits_for_its_bytes_and_its_time() {
    let reset = |timeout, bytes| Run::of(&[FaultKind::ResetPeer { timeout, bytes }]);
    let mut run = reset(ms(100), 0);
    run.pass(ms(1000)).feed(b"lost").settle();
    assert!(run.out.is_empty());
    assert_eq!(run.last, Some((ms(1100), Step::Cut { reset: true })));

    let mut run = reset(ms(0), 3);
    run.feed(b"ab").feed(b"cd").settle();
    assert_eq!(run.bytes(), b"abc");
    assert_eq!(run.last, Some((ms(0), Step::Cut { reset: true })));

    // Who says nothing is reset at the end.
    let mut run = reset(ms(50), 3);
    run.finish().settle();
    assert_eq!(run.last, Some((ms(50), Step::Cut { reset: true })));
}

#[test]
fn a_limit_lets_so_many_bytes_through_and_closes() {
    let mut run = Run::of(&[FaultKind::LimitData { bytes: 5 }, latency(ms(100))]);
    run.feed(b"abc").pass(ms(10)).feed(b"defg").feed(b"h").settle();
    assert_eq!(run.bytes(), b"abcde");
    assert_eq!(run.last, Some((ms(110), Step::Cut { reset: false })));
}

#[test]
fn a_slicer_cuts_and_waits() {
    let slicer = FaultKind::Slicer {
        average: 10,
        variation: 3,
        delay: ms(5),
    };
    let mut run = Run::of(&[slicer]);
    run.feed(&[0; 100]).finish().settle();
    let sizes: Vec<_> = run.out.iter().map(|(_, bytes)| bytes.len()).collect();
    let (rest, whole) = sizes.split_last().unwrap();
    assert!(
        whole.iter().all(|size| (7..=13).contains(size)) && *rest <= 13,
        "{sizes:?}"
    );
    assert_eq!(sizes.iter().sum::<usize>(), 100);
    assert!(run.times().windows(2).all(|pair| pair[1] - pair[0] == ms(5)));
    assert_eq!(run.last.unwrap().1, Step::Finish);
}

#[test]
fn the_finest_slicer_cuts() {
    let slicer = |average| FaultKind::Slicer {
        average,
        variation: 0,
        delay: ms(0),
    };
    let mut run = Run::of(&[slicer(2), slicer(50)]);
    run.feed(&[0; 10]).settle();
    assert!(run.out.iter().all(|(_, bytes)| bytes.len() == 2), "{:?}", run.out);
}

#[test]
fn one_byte_in_so_many_is_corrupted() {
    let changed = |one_in, bytes: usize| {
        let mut run = Run::of(&[FaultKind::Corrupt { one_in }]);
        for chunk in vec![0; bytes].chunks(1000) {
            run.feed(chunk);
        }
        assert_eq!(run.bytes().len(), bytes);
        let flipped = |byte: &&u8| **byte != 0;
        assert!(run.bytes().iter().filter(flipped).all(|byte| byte.count_ones() == 1));
        run.bytes().iter().filter(flipped).count()
    };
    assert_eq!(changed(1, 5000), 5000);
    let about_1000 = changed(100, 100_000);
    assert!((800..1200).contains(&about_1000), "{about_1000}");
    assert_eq!(changed(u64::MAX, 10_000), 0);
}

#[test]
fn down_is_the_end_at_once() {
    let mut run = Run::of(&[FaultKind::Down]);
    run.feed(b"lost").settle();
    assert!(run.out.is_empty());
    assert_eq!(run.last, Some((ms(0), Step::Cut { reset: false })));
}

#[test]
fn a_changed_fault_goes_on_from_where_it_was() {
    let limit = fault(FaultKind::LimitData { bytes: 10 });
    let mut run = Run::new(&[Arc::clone(&limit)]);
    run.feed(b"12345");
    let kind = FaultKind::LimitData { bytes: 7 };
    run.replace(&[Arc::new(limit.changed(FaultConfig::new(kind, DOWN)))]);
    run.feed(b"67890").settle();
    assert_eq!(run.bytes(), b"1234567");

    let slow = fault(latency(ms(10_000)));
    let mut run = Run::new(&[Arc::clone(&slow)]);
    run.feed(b"a").pass(ms(50));
    run.replace(&[Arc::new(slow.changed(FaultConfig::new(latency(ms(100)), DOWN)))]);
    run.settle();
    assert_eq!(run.times(), [ms(100)]);
}

#[test]
fn what_a_fault_holds_that_is_gone_stays_in_front() {
    let (first, second) = (fault(latency(ms(1000))), fault(latency(ms(1000))));
    let mut run = Run::new(&[Arc::clone(&first), Arc::clone(&second)]);
    run.feed(b"a").pass(ms(1500)).feed(b"b").pass(ms(100));
    // "a" is in the second, "b" in the first.
    run.replace(&[Arc::clone(&second)]);
    assert!(run.out.is_empty());
    run.feed(b"c").settle();
    assert_eq!((run.bytes().as_slice(), run.times()[0]), (&b"abc"[..], ms(2000)));

    let mut run = Run::new(&[Arc::clone(&first), Arc::clone(&second)]);
    run.feed(b"a").pass(ms(1500)).feed(b"b").pass(ms(100)).replace(&[first]);
    assert_eq!(run.bytes(), b"a");
    run.replace(&[]);
    assert_eq!(run.bytes(), b"ab");
    assert!(run.line.is_empty());
}

#[test]
fn a_full_line_says_so_before_it_holds_too_much() {
    let mut run = Run::of(&[FaultKind::Bandwidth { rate: 0 }]);
    let mut fed = 0;
    while !run.line.is_full() {
        run.feed(&[0; PORTION - PIECE]);
        fed += 1;
    }
    assert!((15..=16).contains(&fed), "{fed}");
    assert!(run.line.holds() <= MOST);
}

fn harmless() -> impl Strategy<Value = FaultKind> {
    prop_oneof![
        (0..300u64, 0..100u64, any::<bool>()).prop_map(|(latency, jitter, is_normal)| FaultKind::Latency {
            latency: ms(latency),
            jitter: ms(jitter),
            distribution: if is_normal {
                Distribution::Normal
            } else {
                Distribution::Uniform
            },
        }),
        (1000..10_000_000u64).prop_map(|rate| FaultKind::Bandwidth { rate }),
        (0..500u64).prop_map(|delay| FaultKind::SlowClose { delay: ms(delay) }),
        (1..5000u64, 0..5000u64, 0..3000u64).prop_map(|(average, variation, delay)| FaultKind::Slicer {
            average,
            variation: variation.min(average - 1),
            delay: Duration::from_micros(delay),
        }),
    ]
}

/// What happens to a line: bytes come, time passes, or its faults are others.
#[derive(Debug, Clone)]
enum Event {
    Bytes(usize),
    Time(u64),
    Faults(u8),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (1..20_000usize).prop_map(Event::Bytes),
        4 => (0..200u64).prop_map(Event::Time),
        1 => any::<u8>().prop_map(Event::Faults),
    ];
    vec(event, 1..30)
}

/// What went in and what came out.
fn play(kinds: &[FaultKind], events: &[Event]) -> (Vec<u8>, Run) {
    let faults: Vec<_> = kinds.iter().copied().map(fault).collect();
    let mut run = Run::new(&faults);
    let mut sent = Vec::new();
    for event in events {
        match event {
            Event::Bytes(_) if run.line.is_full() => {}
            Event::Bytes(count) => {
                let bytes: Vec<_> = (sent.len()..sent.len() + count).map(|at| (at % 251) as u8).collect();
                sent.extend_from_slice(&bytes);
                run.feed(&bytes);
            }
            Event::Time(time) => _ = run.pass(ms(*time)),
            Event::Faults(which) => {
                let some = faults.iter().enumerate().filter(|(at, _)| (which >> (at % 8)) & 1 == 1);
                let some: Vec<_> = some.map(|(_, fault)| Arc::clone(fault)).collect();
                run.replace(&some);
            }
        }
    }
    run.finish().settle();
    (sent, run)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_byte_is_lost_and_none_overtakes_another(kinds in vec(harmless(), 1..5), events in events()) {
        let (sent, run) = play(&kinds, &events);
        prop_assert_eq!(run.bytes(), sent);
        prop_assert_eq!(run.last.map(|(_, last)| last), Some(Step::Finish));
        prop_assert_eq!(run.line.bytes(), 0);
        prop_assert!(run.held <= MOST, "{} bytes held", run.held);
    }

    #[test]
    fn the_same_seed_is_the_same_run(kinds in vec(harmless(), 1..5), events in events()) {
        let (_, one) = play(&kinds, &events);
        let (_, other) = play(&kinds, &events);
        prop_assert_eq!(one.out, other.out);
        prop_assert_eq!(one.last, other.last);
    }

    #[test]
    fn a_byte_is_never_early(latency in 0..300u64, rate in 1000..1_000_000u64, sizes in vec(1..10_000usize, 1..10)) {
        let mut run = Run::of(&[self::latency(ms(latency)), FaultKind::Bandwidth { rate }]);
        for size in &sizes {
            run.feed(&vec![0; *size]);
        }
        run.settle();
        let mut passed = 0;
        for (when, bytes) in &run.out {
            passed += bytes.len() as u64;
            let least = ms(latency) + Duration::from_nanos(passed * 1_000_000_000 / rate);
            // A nanosecond is lost in rounding with each piece.
            prop_assert!(*when + Duration::from_micros(1) >= least, "{when:?} {least:?}");
        }
        prop_assert_eq!(passed, sizes.iter().sum::<usize>() as u64);
    }
}
