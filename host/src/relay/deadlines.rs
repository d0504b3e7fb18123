//! When the time of a connection is over: a pure function of what has happened on it. It reads no clock and no socket, and
//! it does not matter which way the bytes go.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Timeouts;
use crate::flow::{Direction, Side};
use crate::sys::Coarse;
use crate::worker::Draining;

/// What a connection has had too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    FirstByte,
    Idle,
    HalfClosed,
    /// This side took nothing of what it is owed.
    Stalled(Side),
    Lifetime,
    /// It was idle while the process was about to end.
    Drained,
    /// It was still there when the process had to end.
    DrainOver,
    /// Its server went down, and its connections do not stay.
    ServerDown,
    /// Its listener or its route was changed or removed, and its connections do not stay.
    Reconfigured,
    /// It had as many bytes as it may have.
    Quota,
    /// An operator ended it.
    Killed,
}

/// What is to be done at a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The connection has proved to be more than a short one: what costs system calls is worth them now.
    Settle,
    /// The sink of this direction is blocked: does its kernel get anything through, and is the source, which nobody reads
    /// meanwhile, still there?
    Probe(Direction),
    /// It is still there.
    Report,
    Over(Limit),
}

/// How far a lane has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    /// Bytes that its sink has taken, and what filters keep.
    pub delivered: u64,
    /// There is something that its sink has not taken yet.
    pub owes: bool,
    /// Its source has finished, or its sink takes nothing more.
    pub ended: bool,
}

pub(super) struct Deadlines {
    timeouts: Arc<Timeouts>,
    began: Coarse,
    /// This connection's own share of what is spread over many, 0 to 1.
    share: f32,
    settled: bool,
    every: Option<Duration>,
    reported: Coarse,
    up: Gauge,
    down: Gauge,
}

struct Gauge {
    progress: Progress,
    /// When its sink took something last.
    moved: Coarse,
    blocked: Option<Coarse>,
    probed: Coarse,
    /// What the sink's kernel had still to get through then.
    queued: Option<u32>,
}

/// Most connections of a busy service are over before this. Far below every keepalive and user timeout.
const SHORT: Duration = Duration::from_secs(1);

/// How often a blocked lane is looked at; and four times at least before it is taken for stalled.
const PROBE: Duration = Duration::from_secs(1);
const PROBES: u32 = 4;

/// While the process is about to end, a connection is idle after this. Longer than a round trip to anywhere, so that what was
/// just asked is answered.
const QUIET: Duration = Duration::from_secs(1);

/// The part of a lifetime that connections differ by.
const LIFETIME_SPREAD: f32 = 0.1;

impl Deadlines {
    /// `id` tells this connection from others that began with it; `every` is how often it is to be reported.
    pub(super) fn new(timeouts: Arc<Timeouts>, every: Option<Duration>, id: u64, now: Coarse) -> Self {
        Self {
            timeouts,
            began: now,
            share: share(id),
            settled: false,
            every,
            reported: now,
            up: Gauge::new(now),
            down: Gauge::new(now),
        }
    }

    pub(super) fn observe(&mut self, now: Coarse, up: Progress, down: Progress) {
        self.up.observe(now, up);
        self.down.observe(now, down);
    }

    pub(super) fn settled(&mut self) {
        self.settled = true;
    }

    pub(super) fn reported(&mut self, now: Coarse) {
        self.reported = now;
    }

    /// `queued` is what the sink's kernel has still to get through. A socket takes nothing more until a good part of its
    /// buffer is free (`sk_stream_write_space` in net/core/stream.c), so a slow reader would look like one that does not read.
    pub(super) fn probed(&mut self, now: Coarse, direction: Direction, queued: Option<u32>) {
        let gauge = match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        };
        if gauge.queued.is_some() && gauge.queued != queued {
            gauge.moved = now;
        }
        gauge.queued = queued;
        gauge.probed = now;
    }

    /// The earliest deadline, and what is to be done then. There may be none before the end of time.
    pub(super) fn next(&self, draining: Option<&Draining>) -> (Coarse, Due) {
        let candidates = [
            (!self.settled).then(|| (self.began + SHORT, Due::Settle)),
            self.every.map(|every| (self.reported + every, Due::Report)),
            self.first_byte(),
            self.silence(),
            self.lifetime(),
            self.up.stalled(self.timeouts.stall, Side::Upstream),
            self.down.stalled(self.timeouts.stall, Side::Client),
            self.up.probe(self.timeouts.stall, Direction::Up),
            self.down.probe(self.timeouts.stall, Direction::Down),
            draining.and_then(|draining| self.drained(draining)),
            draining.and_then(|draining| Some((draining.hard?, Due::Over(Limit::DrainOver)))),
        ];
        let earliest = candidates.into_iter().flatten().min_by_key(|(at, _)| *at);
        earliest.unwrap_or((Coarse::NEVER, Due::Settle))
    }

    fn first_byte(&self) -> Option<(Coarse, Due)> {
        let waiting = self.down.progress.delivered == 0 && !self.down.progress.owes;
        let limit = self.timeouts.first_byte.filter(|_| waiting)?;
        Some((self.began + limit, Due::Over(Limit::FirstByte)))
    }

    /// Idle, or half-closed where that is shorter: both count from the last byte that was taken on either side.
    fn silence(&self) -> Option<(Coarse, Due)> {
        let half_closed = self.up.progress.ended != self.down.progress.ended;
        let limits = [
            (self.timeouts.idle, Limit::Idle),
            (self.timeouts.half_closed.filter(|_| half_closed), Limit::HalfClosed),
        ];
        let shortest = limits.into_iter().filter_map(|(time, limit)| Some((time?, limit)));
        let (time, limit) = shortest.min_by_key(|(time, _)| *time)?;
        Some((self.last_moved() + time, Due::Over(limit)))
    }

    fn lifetime(&self) -> Option<(Coarse, Due)> {
        let lifetime = self.timeouts.lifetime?;
        let own = lifetime.mul_f32(1.0 - LIFETIME_SPREAD * self.share);
        Some((self.began + own, Due::Over(Limit::Lifetime)))
    }

    /// A connection on which bytes are owed or moving has its turn when they are through.
    fn drained(&self, draining: &Draining) -> Option<(Coarse, Due)> {
        if self.up.progress.owes || self.down.progress.owes {
            return None;
        }
        let turn = draining.soft? + draining.spread.mul_f32(self.share);
        Some((turn.max(self.last_moved() + QUIET), Due::Over(Limit::Drained)))
    }

    fn last_moved(&self) -> Coarse {
        self.up.moved.max(self.down.moved)
    }
}

impl Gauge {
    fn new(now: Coarse) -> Self {
        Self {
            progress: Progress {
                delivered: 0,
                owes: false,
                ended: false,
            },
            moved: now,
            blocked: None,
            probed: now,
            queued: None,
        }
    }

    fn observe(&mut self, now: Coarse, progress: Progress) {
        if progress.delivered != self.progress.delivered {
            self.moved = now;
        }
        self.blocked = progress.owes.then(|| self.blocked.unwrap_or(now));
        if !progress.owes {
            self.queued = None;
        }
        self.progress = progress;
    }

    fn stalled(&self, limit: Option<Duration>, side: Side) -> Option<(Coarse, Due)> {
        let since = self.blocked?.max(self.moved);
        Some((since + limit?, Due::Over(Limit::Stalled(side))))
    }

    fn probe(&self, stall: Option<Duration>, direction: Direction) -> Option<(Coarse, Due)> {
        let interval = stall.map_or(PROBE, |stall| PROBE.min(stall / (PROBES + 1)));
        Some((self.blocked?.max(self.probed) + interval, Due::Probe(direction)))
    }
}

/// Spreads consecutive numbers evenly over 0 to 1 (Fibonacci hashing: Knuth, The Art of Computer Programming 3, 6.4).
fn share(id: u64) -> f32 {
    let hash = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    hash as f32 / 65_536.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NOTHING: Progress = Progress {
        delivered: 0,
        owes: false,
        ended: false,
    };
    const NEVER: Timeouts = Timeouts {
        connect: None,
        route: None,
        first_byte: None,
        idle: None,
        half_closed: None,
        stall: None,
        lifetime: None,
    };

    struct Case {
        began: Coarse,
        deadlines: Deadlines,
    }

    fn case(timeouts: Timeouts) -> Case {
        let began = Coarse::now();
        let mut deadlines = Deadlines::new(Arc::new(timeouts), None, 0, began);
        deadlines.settled();
        Case { began, deadlines }
    }

    impl Case {
        fn observe(&mut self, second: u32, up: Progress, down: Progress) {
            self.deadlines.observe(self.began + SECOND * second, up, down);
        }

        /// In seconds after the beginning.
        fn next(&self) -> (f32, Due) {
            self.next_of(None)
        }

        fn next_of(&self, draining: Option<&Draining>) -> (f32, Due) {
            let (at, due) = self.deadlines.next(draining);
            (at.since(self.began).as_secs_f32(), due)
        }
    }

    fn delivered(bytes: u64) -> Progress {
        Progress {
            delivered: bytes,
            ..NOTHING
        }
    }

    fn owing(bytes: u64) -> Progress {
        Progress {
            owes: true,
            ..delivered(bytes)
        }
    }

    #[test]
    fn without_limits_there_is_no_deadline_but_the_one_to_settle() {
        let now = Coarse::now();
        let mut deadlines = Deadlines::new(Arc::new(NEVER), None, 1, now);
        assert_eq!(deadlines.next(None), (now + SHORT, Due::Settle));
        deadlines.settled();
        assert_eq!(deadlines.next(None).0, Coarse::NEVER);
    }

    #[test]
    fn bytes_in_either_direction_keep_a_connection_from_being_idle() {
        let mut case = case(Timeouts {
            idle: Some(SECOND * 10),
            ..NEVER
        });
        assert_eq!(case.next(), (10.0, Due::Over(Limit::Idle)));
        case.observe(3, delivered(1), NOTHING);
        assert_eq!(case.next(), (13.0, Due::Over(Limit::Idle)));
        case.observe(7, delivered(1), delivered(1));
        assert_eq!(case.next(), (17.0, Due::Over(Limit::Idle)));
        case.observe(9, delivered(1), delivered(1));
        assert_eq!(case.next(), (17.0, Due::Over(Limit::Idle)));
    }

    #[test]
    fn half_closed_is_counted_from_the_last_byte_and_only_while_one_side_sends() {
        let mut case = case(Timeouts {
            idle: Some(SECOND * 100),
            half_closed: Some(SECOND * 10),
            ..NEVER
        });
        let ended = Progress { ended: true, ..NOTHING };
        case.observe(1, ended, NOTHING);
        assert_eq!(case.next(), (10.0, Due::Over(Limit::HalfClosed)));
        case.observe(8, ended, delivered(9));
        assert_eq!(case.next(), (18.0, Due::Over(Limit::HalfClosed)));
        case.observe(
            9,
            ended,
            Progress {
                ended: true,
                ..delivered(9)
            },
        );
        assert_eq!(case.next(), (108.0, Due::Over(Limit::Idle)));
    }

    #[test]
    fn a_peer_that_takes_nothing_of_what_it_is_owed_stalls_however_busy_the_other_direction_is() {
        let mut case = case(Timeouts {
            stall: Some(SECOND * 10),
            ..NEVER
        });
        case.observe(5, NOTHING, owing(100));
        case.deadlines
            .probed(case.began + SECOND * 100, Direction::Down, Some(7));
        assert_eq!(case.next(), (15.0, Due::Over(Limit::Stalled(Side::Client))));
        case.observe(12, delivered(1), owing(100));
        assert_eq!(case.next().0, 15.0);
        case.observe(14, delivered(1), owing(101));
        assert_eq!(case.next().0, 24.0);
        case.observe(15, delivered(1), delivered(200));
        assert_eq!(case.deadlines.next(None).0, Coarse::NEVER);
    }

    #[test]
    fn a_blocked_lane_is_looked_at_and_is_not_stalled_while_its_kernel_gets_something_through() {
        let mut case = case(Timeouts {
            stall: Some(SECOND * 10),
            ..NEVER
        });
        case.observe(5, owing(0), NOTHING);
        for (second, queued) in [(6, 1000), (7, 1000), (8, 900)] {
            assert_eq!(case.next(), (second as f32, Due::Probe(Direction::Up)));
            let now = case.began + SECOND * second;
            case.deadlines.probed(now, Direction::Up, Some(queued));
        }
        let later = case.began + SECOND * 100;
        case.deadlines.probed(later, Direction::Up, Some(900));
        assert_eq!(case.next(), (18.0, Due::Over(Limit::Stalled(Side::Upstream))));
    }

    #[test]
    fn the_first_byte_is_the_upstream_s() {
        let mut case = case(Timeouts {
            first_byte: Some(SECOND * 10),
            ..NEVER
        });
        case.observe(1, delivered(5), NOTHING);
        assert_eq!(case.next(), (10.0, Due::Over(Limit::FirstByte)));
        case.observe(2, delivered(5), delivered(1));
        assert_eq!(case.deadlines.next(None).0, Coarse::NEVER);
    }

    #[test]
    fn lifetimes_differ_by_up_to_a_tenth() {
        let lifetimes: Vec<_> = (0..1000)
            .map(|id| {
                let now = Coarse::now();
                let timeouts = Timeouts {
                    lifetime: Some(SECOND * 100),
                    ..NEVER
                };
                let mut deadlines = Deadlines::new(Arc::new(timeouts), None, id, now);
                deadlines.settled();
                deadlines.next(None).0.since(now).as_secs_f32()
            })
            .collect();
        assert!(lifetimes.iter().all(|seconds| (90.0..=100.0).contains(seconds)));
        let early = lifetimes.iter().filter(|seconds| **seconds < 95.0).count();
        assert!((450..=550).contains(&early), "{early} of 1000 in the first half");
    }

    #[test]
    fn a_drain_ends_what_is_idle_in_its_turn_and_the_rest_at_its_end() {
        let mut case = case(NEVER);
        let draining = Draining {
            soft: Some(case.began + SECOND * 10),
            spread: Duration::ZERO,
            hard: Some(case.began + SECOND * 30),
        };
        assert_eq!(case.next_of(Some(&draining)), (10.0, Due::Over(Limit::Drained)));
        case.observe(20, delivered(1), NOTHING);
        assert_eq!(case.next_of(Some(&draining)), (21.0, Due::Over(Limit::Drained)));
        case.observe(21, owing(1), NOTHING);
        let later = case.began + SECOND * 100;
        case.deadlines.probed(later, Direction::Up, None);
        assert_eq!(case.next_of(Some(&draining)), (30.0, Due::Over(Limit::DrainOver)));
    }
}
