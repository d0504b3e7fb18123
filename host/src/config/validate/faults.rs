//! `faults` of a treatment.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::given::{in_range, or_default, place, timeout_or_default, within, word_or_default};
use crate::config::Directions;
use crate::config::diagnostics::{Problem, Problems, Reported, Span};
use crate::config::file::{Close, Fault, Kind};
use crate::config::percentage::Percentage;
use crate::config::reader::Given;
use crate::config::suggest;
use crate::config::units::{Period, Size};
use crate::config::word::Word;
use crate::config::{FaultConfig, FaultKind, WHOLE, ranges};
use crate::flow::Direction;

pub fn fault(typed: Fault, at: Span, problems: &mut Problems) -> Result<FaultConfig, Reported> {
    let keys = keys_of(typed.kind.0.as_ref().ok().map(|kind| kind.get_ref().0));
    let foreign = foreign_keys(&typed, keys.as_ref(), problems);
    let direction = typed
        .direction
        .map_or(Ok(Directions::Down), |given| Ok(given.value()?.0));
    let share = or_default(typed.share, &ranges::SHARE_OF_CONNECTIONS, Percentage(100), problems);
    let seed = typed
        .seed
        .map(|given| within(given, &ranges::SEED, problems))
        .transpose();
    let mut has = Has { at, problems };
    let kind = typed.kind.value().and_then(|kind| match kind.0 {
        Kind::Latency => {
            let latency = has.time("latency", typed.latency);
            let jitter = has.time_or_none(typed.jitter);
            let distribution = word_or_default(typed.distribution);
            Ok(FaultKind::Latency {
                latency: latency?,
                jitter: jitter?,
                distribution: distribution?,
            })
        }
        Kind::Bandwidth => has
            .required("rate", typed.rate, &ranges::FAULT_RATE)
            .map(|rate| FaultKind::Bandwidth { rate: rate.0 }),
        Kind::SlowClose => has
            .time("delay", typed.delay)
            .map(|delay| FaultKind::SlowClose { delay }),
        Kind::Timeout => has.timeout(typed.timeout).map(|timeout| FaultKind::Timeout { timeout }),
        Kind::ResetPeer => {
            let timeout = has.timeout(typed.timeout);
            let bytes = or_default(typed.bytes, &ranges::FAULT_BYTES, Size(0), has.problems);
            Ok(FaultKind::ResetPeer {
                timeout: timeout?.unwrap_or_default(),
                bytes: bytes?.0,
            })
        }
        Kind::Slicer => {
            let varies_at = place(&typed.size_variation);
            let average = has.required("average-size", typed.average_size, &ranges::SLICE);
            let variation = or_default(typed.size_variation, &ranges::FAULT_BYTES, Size(0), has.problems);
            let delay = has.time_or_none(typed.delay);
            let (average, variation) = (average?, variation?);
            if let Some(at) = varies_at.filter(|_| variation >= average) {
                let most = Size(average.0.saturating_sub(1));
                in_range(variation, at, &(Size(0)..=most), has.problems)?;
            }
            Ok(FaultKind::Slicer {
                average: average.0,
                variation: variation.0,
                delay: delay?,
            })
        }
        Kind::LimitData => has
            .required("bytes", typed.bytes, &ranges::FAULT_BYTES)
            .map(|bytes| FaultKind::LimitData { bytes: bytes.0 }),
        Kind::Corrupt => has
            .required("one-in", typed.one_in, &ranges::CORRUPT)
            .map(|one_in| FaultKind::Corrupt {
                one_in: one_in.unsigned_abs(),
            }),
        Kind::Refuse => {
            let with = typed.with.map_or(Ok(Close::Rst), |given| Ok(given.value()?.0));
            with.map(|with| FaultKind::Refuse {
                reset: with == Close::Rst,
            })
        }
        Kind::Down => Ok(FaultKind::Down),
    });
    foreign?;
    Ok(FaultConfig {
        kind: kind?,
        direction: match direction? {
            Directions::Up => Some(Direction::Up),
            Directions::Down => Some(Direction::Down),
            Directions::Both => None,
        },
        share: share?.0 * (WHOLE / 100),
        seed: seed?.map(i64::unsigned_abs),
    })
}

/// What a fault of a kind takes besides what all take.
struct Takes {
    kind: &'static str,
    keys: &'static [&'static str],
}

fn keys_of(kind: Option<Kind>) -> Option<Takes> {
    let kind = kind?;
    Some(Takes {
        kind: Word::of(kind),
        keys: match kind {
            Kind::Latency => &["latency", "jitter", "distribution"],
            Kind::Bandwidth => &["rate"],
            Kind::SlowClose => &["delay"],
            Kind::Timeout => &["timeout"],
            Kind::ResetPeer => &["timeout", "bytes"],
            Kind::Slicer => &["average-size", "size-variation", "delay"],
            Kind::LimitData => &["bytes"],
            Kind::Corrupt => &["one-in"],
            Kind::Refuse => &["with"],
            Kind::Down => &[],
        },
    })
}

/// Keys of other kinds would do nothing.
fn foreign_keys(typed: &Fault, takes: Option<&Takes>, problems: &mut Problems) -> Result<(), Reported> {
    let Some(Takes { kind, keys }) = takes else {
        return Ok(());
    };
    let given = [
        ("latency", place(&typed.latency)),
        ("jitter", place(&typed.jitter)),
        ("distribution", place(&typed.distribution)),
        ("rate", place(&typed.rate)),
        ("delay", place(&typed.delay)),
        ("timeout", place(&typed.timeout)),
        ("bytes", place(&typed.bytes)),
        ("average-size", place(&typed.average_size)),
        ("size-variation", place(&typed.size_variation)),
        ("one-in", place(&typed.one_in)),
        ("with", place(&typed.with)),
    ];
    let mut reported = Ok(());
    for (key, at) in given {
        let Some(at) = at.filter(|_| !keys.contains(&key)) else {
            continue;
        };
        let problem = Problem::at(at, format!("a fault of the kind `{kind}` has no `{key}`"));
        let label = match keys {
            [] => "leave the key out".to_owned(),
            keys => format!("this kind has {}", suggest::list(keys.iter().copied())),
        };
        reported = Err(problems.report(problem.label(label)));
    }
    reported
}

/// What a fault of the kind has to have.
struct Has<'a> {
    at: Span,
    problems: &'a mut Problems,
}

impl Has<'_> {
    fn required<T: PartialOrd + std::fmt::Display>(
        &mut self,
        key: &str,
        given: Option<Given<T>>,
        range: &RangeInclusive<T>,
    ) -> Result<T, Reported> {
        let Some(given) = given else {
            let problem = Problem::absence(Some(self.at.clone()), format!("missing key `{key}`"));
            return Err(self
                .problems
                .report(problem.label(format!("expected `{key} = ...` in this table"))));
        };
        within(given, range, self.problems)
    }

    fn time(&mut self, key: &str, given: Option<Given<Period>>) -> Result<Duration, Reported> {
        self.required(key, given, &ranges::FAULT_TIME).map(|period| period.0)
    }

    fn time_or_none(&mut self, given: Option<Given<Period>>) -> Result<Duration, Reported> {
        let none = Period(Duration::ZERO);
        or_default(given, &ranges::FAULT_TIME, none, self.problems).map(|period| period.0)
    }

    fn timeout(&mut self, given: Option<Given<crate::config::units::Timeout>>) -> Result<Option<Duration>, Reported> {
        timeout_or_default(given, &ranges::FAULT_TIME, None, self.problems)
    }
}
