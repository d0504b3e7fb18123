//! `dns` of an upstream.

use super::given::{or_default, place, word_or_default};
use super::order::Length;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::units::Period;
use crate::config::{Discovery, defaults, file, ranges};

pub fn dns(typed: file::Dns, problems: &mut Problems) -> Result<Discovery, Reported> {
    let (shortest_at, longest_at) = (place(&typed.shortest), place(&typed.longest));
    let at_start = word_or_default(typed.at_start);
    let range = &ranges::TIME_TO_LIVE;
    let shortest = or_default(typed.shortest, range, Period(defaults::DISCOVERY.shortest), problems);
    let longest = or_default(typed.longest, range, Period(defaults::DISCOVERY.longest), problems);
    let shortest = Length {
        key: "shortest",
        time: shortest?.0,
        at: shortest_at,
    };
    let longest = Length {
        key: "longest",
        time: longest?.0,
        at: longest_at,
    };
    shortest.at_most(&longest, problems)?;
    Ok(Discovery {
        must_resolve: at_start? == file::AtStart::Fail,
        shortest: shortest.time,
        longest: longest.time,
    })
}
