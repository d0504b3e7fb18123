//! `dns` of an upstream.

use super::given::word_or_default;
use super::order::Length;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::{Discovery, defaults, file, ranges};

pub fn dns(typed: file::Dns, problems: &mut Problems) -> Result<Discovery, Reported> {
    let at_start = word_or_default(typed.at_start);
    let range = &ranges::TIME_TO_LIVE;
    let shortest = Length::of(
        "shortest",
        typed.shortest,
        range,
        defaults::DISCOVERY.shortest,
        problems,
    );
    let longest = Length::of("longest", typed.longest, range, defaults::DISCOVERY.longest, problems);
    let (shortest, longest) = (shortest?, longest?);
    shortest.at_most(&longest, problems)?;
    Ok(Discovery {
        must_resolve: at_start? == file::AtStart::Fail,
        shortest: shortest.time,
        longest: longest.time,
    })
}
