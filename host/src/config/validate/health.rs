//! `health` of an upstream.

use super::given::{apart, count_or_default, within};
use super::order::Length;
use crate::config::diagnostics::{Problem, Problems, Reported};
use crate::config::octets::Octets;
use crate::config::reader::Given;
use crate::config::word::Word;
use crate::config::{Health, defaults, file, ranges};

pub fn health(typed: file::Health, problems: &mut Problems) -> Result<Health, Reported> {
    let range = &ranges::HEALTH_INTERVAL;
    let interval = Length::of("interval", typed.interval, range, defaults::HEALTH.interval, problems);
    let default = defaults::HEALTH.fast_interval;
    let fast = Length::of("fast-interval", typed.fast_interval, range, default, problems);
    let range = &ranges::HEALTH_TIMEOUT;
    let timeout = Length::of("timeout", typed.timeout, range, defaults::HEALTH.timeout, problems);
    let rise = count_or_default(typed.rise, &ranges::HEALTH_COUNT, defaults::HEALTH.rise, problems);
    let fall = count_or_default(typed.fall, &ranges::HEALTH_COUNT, defaults::HEALTH.fall, problems);
    let send = typed.send.map_or(Ok(Vec::new()), |given| bytes(given, problems));
    let expect = typed.expect.map_or(Ok(Vec::new()), |given| bytes(given, problems));
    let port = typed.port.map(|given| within(given, &ranges::PORT, problems));
    let start = typed.start.map(Given::value);

    // A check that lasts longer than the time until the next one would keep that one from its turn.
    let ordered = [
        both(&timeout, &fast).map(|(timeout, fast)| timeout.shorter_than(fast, problems)),
        both(&timeout, &interval).map(|(timeout, interval)| timeout.shorter_than(interval, problems)),
        both(&fast, &interval).map(|(fast, interval)| fast.at_most(interval, problems)),
    ];
    ordered.into_iter().flatten().collect::<Result<(), _>>()?;
    Ok(Health {
        interval: interval?.time,
        fast_interval: fast?.time,
        timeout: timeout?.time,
        rise: rise?,
        fall: fall?,
        send: send?,
        expect: expect?,
        port: port.transpose()?.and_then(|port| u16::try_from(port).ok()),
        starts_up: match start.transpose()? {
            None => defaults::HEALTH.starts_up,
            Some(Word(start)) => start == file::Start::Up,
        },
    })
}

fn both<'a>(
    one: &'a Result<Length, Reported>,
    other: &'a Result<Length, Reported>,
) -> Option<(&'a Length, &'a Length)> {
    Some((one.as_ref().ok()?, other.as_ref().ok()?))
}

fn bytes(given: Given<Octets>, problems: &mut Problems) -> Result<Vec<u8>, Reported> {
    let (Octets(bytes), span) = given.0.map(apart)?;
    let range = &ranges::HEALTH_BYTES;
    if range.contains(&bytes.len()) {
        return Ok(bytes);
    }
    let problem = match bytes.len() {
        0 => Problem::at(span, "this is nothing").label("leave the key out, or write what is meant"),
        length => {
            let label = format!("expected {} to {} bytes", range.start(), range.end());
            Problem::at(span, format!("{length} bytes are too many")).label(label)
        }
    };
    Err(problems.report(problem))
}
