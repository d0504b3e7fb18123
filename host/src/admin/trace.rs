//! From what was noted of a connection to why it goes as it does. Pure: all of it is told by [`Shown`].

mod routes;
#[cfg(test)]
mod tests;
mod ways;

use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use super::said::{Step, StepKind, StepResult, Trace};
use crate::config::RouteTarget;
use crate::connection::{Answer, Began, Choice, Doing, Looked, Note, Relaying, Shown, Stage, Traced};
use crate::filter::{Attention, Interest, Watcher};
use crate::flow::Direction;
use crate::tls::Established;
use crate::upstream::method;
use crate::words::count;

/// `None` where it was not asked why.
pub fn trace_of(shown: &Shown) -> Option<Trace> {
    let traced = shown.traced.as_deref()?;
    let mut steps = vec![accepted(shown, traced)];
    steps.extend(limits(traced));
    steps.extend(detection(traced));
    steps.extend(routes(shown, traced));
    steps.extend(routers(shown, traced));
    let relaying = traced.relaying.as_ref();
    steps.extend(relaying.and_then(|relaying| late_tls(traced, relaying)));
    steps.extend(upstream(traced));
    steps.extend(
        relaying
            .map(|relaying| watching(shown, traced, relaying))
            .into_iter()
            .flatten(),
    );
    steps.extend(servers(shown, traced));
    steps.extend(waits(shown, traced));
    let [up, down] =
        [Direction::Up, Direction::Down].map(|direction| relaying.map(|relaying| ways::way(direction, relaying)));
    Some(Trace { steps, up, down })
}

fn step(step: StepKind, name: Option<&str>, result: StepResult, why: impl Display) -> Step {
    Step {
        step,
        name: name.map(str::to_owned),
        result,
        why: why.to_string(),
        took_us: None,
    }
}

fn timed(micros: u32, step: Step) -> Step {
    Step {
        took_us: Some(micros.into()),
        ..step
    }
}

fn accepted(shown: &Shown, traced: &Traced) -> Step {
    let client = shown
        .client
        .map_or_else(|| "a unix socket".to_owned(), |client| client.to_string());
    let header = match traced.listener.proxy_protocol {
        Some(_) if shown.stage != Stage::Accept => ", as far as its PROXY header may say so",
        _ => "",
    };
    let why = format!("from {client}{header}");
    step(StepKind::Accept, Some(&shown.listener), StepResult::Done, why)
}

fn limits(traced: &Traced) -> impl Iterator<Item = Step> {
    traced.notes.iter().filter_map(|note| match note {
        Note::Waited { limit, micros } => {
            let why = format!("waited {} for {}", time(*micros), limit_of(traced, *limit));
            Some(timed(*micros, step(StepKind::Limit, None, StepResult::Done, why)))
        }
        _ => None,
    })
}

fn limit_of(traced: &Traced, limit: u8) -> &'static str {
    // They are asked in this order, where there are both.
    match limit == 0 && traced.listener.limiter.is_some() {
        true => "the limits of its listener",
        false => "the limits of all listeners together",
    }
}

fn looked(traced: &Traced) -> Option<&Looked> {
    traced.notes.iter().find_map(|note| match note {
        Note::Looked(looked) => Some(&**looked),
        _ => None,
    })
}

fn detection(traced: &Traced) -> Vec<Step> {
    let done = |why| step(StepKind::Detect, None, StepResult::Done, why);
    let Some(looked) = looked(traced) else {
        let why = match traced.listener.rules.is_empty() {
            true => "nothing was waited for: the listener has no routes",
            false => "nothing was waited for: its routes ask for no byte",
        };
        // While it is looked at, what is waited for says more.
        return match traced.upstream {
            Some(_) => vec![done(why.to_owned())],
            None => Vec::new(),
        };
    };
    let mut steps = Vec::new();
    if let (Began::Established(tls), Some(micros)) = (&looked.tls, looked.handshake) {
        let why = format!("with the client: {}, in {}", established(tls), time(micros));
        steps.push(timed(micros, step(StepKind::Tls, None, StepResult::Done, why)));
    }
    if traced.listener.rules.asks_for().is_anything() {
        let why = format!(
            "{} in {}: {}",
            count(looked.seen as usize, "byte"),
            time(looked.micros),
            what(looked)
        );
        let result = match looked.late {
            true => StepResult::Late,
            false => StepResult::Done,
        };
        steps.push(timed(looked.micros, step(StepKind::Detect, None, result, why)));
    }
    steps
}

fn what(looked: &Looked) -> String {
    let mut what = vec![match looked.protocol {
        Some(protocol) => protocol.to_string(),
        None if looked.seen == 0 => "nothing has come".to_owned(),
        None => "no protocol that is known".to_owned(),
    }];
    if let Began::Hello { name, offered } = &looked.tls {
        what.push(match name {
            Some(name) => format!("asks for {name:?}"),
            None => "asks for no name".to_owned(),
        });
        if !offered.is_empty() {
            what.push(format!("offers {}", offered.join(", ").escape_debug()));
        }
    }
    if looked.late {
        what.push("its time was over".to_owned());
    }
    what.join(", ")
}

fn established(tls: &Established) -> String {
    let mut what = vec![tls.version().to_owned(), tls.cipher().to_owned()];
    what.extend(tls.sni().map(|name| format!("name {name:?}")));
    what.extend(tls.alpn().map(|alpn| format!("alpn {alpn}")));
    what.extend(
        tls.subject()
            .map(|subject| format!("certificate of {:?}", subject.name())),
    );
    what.join(", ")
}

/// Nothing before they were tried.
fn routes(shown: &Shown, traced: &Traced) -> Vec<Step> {
    let looked = looked(traced);
    if looked.is_none() && matches!(shown.stage, Stage::Accept | Stage::ProxyHeader | Stage::Detect) {
        return Vec::new();
    }
    let client: Option<IpAddr> = shown.client.map(|client| client.ip());
    routes::tried(&traced.listener.rules, client, looked)
}

fn routers<'a>(shown: &'a Shown, traced: &'a Traced) -> impl Iterator<Item = Step> + 'a {
    traced.notes.iter().filter_map(move |note| {
        let Note::Asked(asked) = note else { return None };
        let name = filter(shown, asked.filter);
        let failed = traced
            .relaying
            .as_ref()
            .is_some_and(|relaying| failure(relaying, name).is_some());
        let (result, why) = match asked.answer {
            Answer::Chose => (StepResult::Chosen, "chose the upstream"),
            Answer::Passed if !failed => (StepResult::Passed, "has no opinion"),
            Answer::TooLittle => (StepResult::Passed, "wanted to see more than came"),
            Answer::Passed | Answer::Failed => (StepResult::Failed, "failed, and its policy is to go on"),
        };
        let exchanges = match asked.exchanges {
            0 => String::new(),
            some => format!(", after {} with the client", count(some.into(), "exchange")),
        };
        let why = format!("{why}{exchanges}, in {}", time(asked.micros));
        Some(timed(asked.micros, step(StepKind::Filter, Some(name), result, why)))
    })
}

/// That a filter has asked for.
fn late_tls(traced: &Traced, relaying: &Relaying) -> Option<Step> {
    let tls = relaying.tls[0].as_ref()?;
    match looked(traced).map(|looked| &looked.tls) {
        Some(Began::Established(_)) => None,
        _ => {
            let why = format!("with the client, since a filter asked for it: {}", established(tls));
            Some(step(StepKind::Tls, None, StepResult::Done, why))
        }
    }
}

fn filter(shown: &Shown, number: u8) -> &str {
    shown.filters.get(number as usize).map_or("", |(name, _)| name)
}

fn failure(relaying: &Relaying, filter: &str) -> Option<&'static str> {
    let failed = relaying.failed.iter().rev().find(|(name, _)| **name == *filter);
    failed.map(|(_, action)| *action)
}

fn upstream(traced: &Traced) -> Option<Step> {
    let name = traced.upstream.as_ref()?.name();
    let chose = |note: &Note| matches!(note, Note::Asked(asked) if asked.answer == Answer::Chose);
    let why = match traced.route {
        Some(route) => by_route(traced, route as usize, name),
        None if traced.notes.iter().any(chose) => "by the filter".to_owned(),
        None => "the listener's own".to_owned(),
    };
    Some(step(StepKind::Upstream, Some(name), StepResult::Chosen, why))
}

fn by_route(traced: &Traced, route: usize, upstream: &str) -> String {
    let route = traced.listener.rules.route(route);
    let by = format!("by the route {:?}", route.name);
    match &route.target {
        RouteTarget::Split(shares) => {
            let all: u64 = shares.iter().map(|(_, share)| u64::from(*share)).sum();
            let share = shares
                .iter()
                .find(|(name, _)| name == upstream)
                .map_or(0, |(_, share)| *share);
            format!("{by}, which gives it {share} of {all}")
        }
        RouteTarget::Upstream(_) | RouteTarget::Refuse(_) => by,
    }
}

/// What the filters that may see bytes do now.
fn watching(shown: &Shown, traced: &Traced, relaying: &Relaying) -> Vec<Step> {
    let mut steps = Vec::new();
    for ((name, _), watches) in shown.filters.iter().zip(&traced.watches) {
        let watchers = relaying.watchers.iter().filter(|watcher| watcher.filter == *name);
        let here: Vec<_> = watchers
            .map(|watcher| step(StepKind::Filter, Some(name), StepResult::Watches, watch(watcher)))
            .collect();
        let is_gone = here.is_empty() && *watches;
        steps.extend(here);
        match failure(relaying, name) {
            Some("previous") => steps.push(step(
                StepKind::Filter,
                Some(name),
                StepResult::Failed,
                "failed: the generation before has taken its place",
            )),
            Some(_) if is_gone => steps.push(step(
                StepKind::Filter,
                Some(name),
                StepResult::Failed,
                "failed, and its policy is to go on without it",
            )),
            None if is_gone => steps.push(step(
                StepKind::Filter,
                Some(name),
                StepResult::Passed,
                "wants to see nothing more",
            )),
            _ => {}
        }
    }
    steps
}

fn watch(watcher: &Watcher) -> String {
    let wants = |interest: Interest| {
        let held = match interest.held {
            0 => String::new(),
            held => format!(", and holds {}", count(held, "byte")),
        };
        match interest.attention {
            Attention::Watching => format!("sees what goes{held}"),
            Attention::Skipping(bytes) => format!("skips {bytes} bytes{held}"),
            Attention::Detached => format!("is done{held}"),
        }
    };
    format!(
        "{}: up it {}, down it {}",
        watcher.role.name(),
        wants(watcher.up),
        wants(watcher.down)
    )
}

fn servers(shown: &Shown, traced: &Traced) -> Vec<Step> {
    let tried = traced.notes.iter().filter_map(|note| match note {
        Note::Tried(tried) => {
            let why = format!("{}, after {}", tried.error, time(tried.micros));
            let name = tried.server.to_string();
            Some(timed(
                tried.micros,
                step(StepKind::Server, Some(&name), StepResult::Failed, why),
            ))
        }
        _ => None,
    });
    let mut steps: Vec<_> = tried.collect();
    if let (Stage::Relay, Some(server)) = (shown.stage, &traced.server) {
        let micros = u32::try_from(traced.answer.as_micros()).unwrap_or(u32::MAX);
        let why = match traced.is_spare {
            true => "a spare connection to it was there".to_owned(),
            false => format!("connected in {}, {}", time(micros), choice(traced, steps.is_empty())),
        };
        let name = server.to_string();
        steps.push(timed(
            micros,
            step(StepKind::Server, Some(&name), StepResult::Chosen, why),
        ));
    }
    if let Some(tls) = traced.relaying.as_ref().and_then(|relaying| relaying.tls[1].as_ref()) {
        let why = format!("with the server: {}", established(tls));
        steps.push(step(StepKind::Tls, None, StepResult::Done, why));
    }
    steps
}

fn choice(traced: &Traced, is_first: bool) -> String {
    let upstream = traced.upstream.as_ref();
    let balance = upstream
        .map(|upstream| upstream.terms().config.balance)
        .unwrap_or_default();
    match traced.choice {
        Choice::Named if is_first => "as the filter wanted, while it is up".to_owned(),
        Choice::Destination => "where it was to go before it was led here".to_owned(),
        Choice::Key => format!("by the filter's key ({})", method(balance)),
        Choice::Client => format!("by the client's address ({})", method(balance)),
        Choice::Named | Choice::Balance => format!("as the upstream balances ({})", method(balance)),
    }
}

/// What it waits for, where it has no server yet.
fn waits(shown: &Shown, traced: &Traced) -> Option<Step> {
    if shown.stage == Stage::Relay {
        return None;
    }
    let waits = |kind, name: Option<&str>, why: String| Some(step(kind, name, StepResult::Waits, why));
    match traced.doing {
        Doing::Nothing if shown.stage == Stage::Accept && traced.listener.proxy_protocol.is_some() => {
            waits(StepKind::Accept, None, "for its PROXY header".to_owned())
        }
        Doing::Nothing => None,
        Doing::Limit(limit) => waits(StepKind::Limit, None, format!("for {}", limit_of(traced, limit))),
        Doing::FirstBytes(seen) => {
            let longest = traced.listener.detection.timeout;
            let why = format!("for the first bytes, {seen} seen (at most {longest:?})");
            waits(StepKind::Detect, None, why)
        }
        Doing::Handshake => waits(StepKind::Tls, None, "for the client, in the handshake".to_owned()),
        Doing::Router { filter: number, seen } => {
            let why = format!("for what it wants to see of the client, {seen} bytes seen");
            waits(StepKind::Filter, Some(filter(shown, number)), why)
        }
        Doing::Client => {
            let why = "for the client to say something: connect = \"first-byte\"";
            waits(StepKind::Server, None, why.to_owned())
        }
        Doing::Place => waits(StepKind::Server, None, "for a place at one of the servers".to_owned()),
        Doing::Server(attempt) => {
            let server = traced.server.as_ref().map(ToString::to_string).unwrap_or_default();
            let why = format!("trying {server}, attempt {attempt}");
            waits(StepKind::Server, Some(&server), why)
        }
    }
}

/// With as many digits as matter.
fn time(micros: u32) -> String {
    let time = Duration::from_micros(micros.into());
    match micros {
        0..1_000 => format!("{micros}us"),
        1_000..1_000_000 => format!("{:.1}ms", time.as_secs_f64() * 1e3),
        _ => format!("{:.1}s", time.as_secs_f64()),
    }
}
