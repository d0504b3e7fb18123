//! `mirror` of a treatment.

use toml::Spanned;

use super::given::{apart, or_default, place};
use super::names::Names;
use crate::config::diagnostics::{Problem, Problems, Reported, Span};
use crate::config::percentage::Percentage;
use crate::config::reader::Given;
use crate::config::units::Size;
use crate::config::{Directions, MirrorConfig, defaults, file, ranges};

pub fn mirror(typed: file::Mirror, _: Span, problems: &mut Problems) -> Result<MirrorConfig, Reported> {
    let compared = place(&typed.compare);
    let upstream = typed.upstream.value();
    let directions = typed.direction.map_or(Ok(Directions::Up), |given| Ok(given.value()?.0));
    let default = Percentage(defaults::MIRROR_SHARE);
    let share = or_default(typed.share, &ranges::MIRROR_SHARE, default, problems);
    let seed = or_default(typed.seed, &ranges::SEED, 0, problems);
    let default = Size(defaults::MIRROR_LAG as u64);
    let lag = or_default(typed.lag, &ranges::MIRROR_LAG, default, problems);
    let compare = typed.compare.map_or(Ok(false), Given::value);
    if let (Some(at), Ok(true), Ok(Directions::Down)) = (compared, compare, directions) {
        let problem = Problem::at(
            at,
            "nothing is asked of a mirror of `down`, so it has nothing to reply to",
        );
        return Err(problems.report(problem.label("expected `direction` to be \"up\" or \"both\"")));
    }
    Ok(MirrorConfig {
        upstream: upstream?,
        directions: directions?,
        share: share?.0,
        seed: seed?.unsigned_abs(),
        lag: lag.map(|Size(bytes)| usize::try_from(bytes).unwrap_or(usize::MAX))?,
        compare: compare?,
    })
}

/// Each leads to an upstream that there is, and to another one than the primary's, as far as that is known. And there are not
/// too many.
pub fn check_mirrors(
    given: &Option<Given<file::Treatment>>,
    upstreams: &Names,
    primary: Option<&str>,
    problems: &mut Problems,
) -> Result<(), Reported> {
    let Some(mirrors) = written(given) else { return Ok(()) };
    let mut sound = Ok(());
    if mirrors.get_ref().0.len() > ranges::MIRRORS {
        let problem = Problem::at(mirrors.span(), "each mirror is one connection more for every client's");
        let most = format!("expected {} at the most", ranges::MIRRORS);
        sound = Err(problems.report(problem.label(most)));
    }
    for mirror in &mirrors.get_ref().0 {
        let Ok(mirror) = &mirror.0 else { continue };
        let Ok(name) = &mirror.get_ref().upstream.0 else {
            continue;
        };
        let there = upstreams.existing(name.clone(), problems).map(|_| ());
        let (name, at) = apart(name.clone());
        let other = match primary == Some(&*name) {
            false => Ok(()),
            true => {
                let problem = Problem::at(at, format!("`{name}` would get everything twice"));
                Err(problems.report(problem.label("expected another upstream than the connection's own")))
            }
        };
        sound = sound.and(there).and(other);
    }
    sound
}

fn written(given: &Option<Given<file::Treatment>>) -> Option<&Spanned<file::Several<file::Mirror>>> {
    let treatment = given.as_ref()?.0.as_ref().ok()?.get_ref();
    treatment.mirror.as_ref()?.0.as_ref().ok()
}
