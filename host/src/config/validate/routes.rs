//! The routes of each listener: its own and those of several listeners, and whether each can ever match there.

use std::collections::{HashMap, HashSet};

use super::given::apart;
use super::names::Names;
use super::route::{Route, route};
use crate::config::diagnostics::{Problem, Problems, Reported, Span, all};
use crate::config::reader::Given;
use crate::config::{Pattern, RouteConfig, RouteTarget, TlsIn, TlsStart, file};

/// The routes of several listeners, as far as they could be read.
pub struct Shared {
    routes: Vec<SharedRoute>,
    pub complete: Result<(), Reported>,
    /// Those with which something is wrong on one listener: it need not be said of the others.
    told: HashSet<usize>,
}

struct SharedRoute {
    route: Route,
    /// `None`: all.
    listeners: Option<Vec<String>>,
}

impl SharedRoute {
    fn is_for(&self, listener: Option<&str>) -> bool {
        match (&self.listeners, listener) {
            (None, _) => true,
            (Some(listeners), Some(name)) => listeners.iter().any(|listener| listener == name),
            (Some(_), None) => false,
        }
    }
}

impl Shared {
    /// Whether one of them leads from a listener to an upstream, as far as could be read.
    pub fn lead_from(&self, listener: Option<&str>) -> bool {
        let refuses = |route: &SharedRoute| matches!(route.route.config.target, RouteTarget::Refuse(_));
        let mut here = self.routes.iter().filter(|route| route.is_for(listener));
        self.complete.is_err() || here.any(|route| !refuses(route))
    }
}

pub fn shared_routes(
    given: Option<Given<Vec<Given<file::SharedRoute>>>>,
    listeners: &Names,
    upstreams: &Names,
    problems: &mut Problems,
) -> Shared {
    let mut shared = Shared {
        routes: Vec::new(),
        complete: Ok(()),
        told: HashSet::new(),
    };
    let typed = match given.map(Given::value) {
        None => Vec::new(),
        Some(Ok(typed)) => typed,
        Some(Err(reported)) => {
            shared.complete = Err(reported);
            Vec::new()
        }
    };
    for (place, typed) in typed.into_iter().enumerate() {
        match shared_route(typed, place, listeners, upstreams, problems) {
            Ok(route) => shared.routes.push(route),
            Err(reported) => shared.complete = Err(reported),
        }
    }
    shared
}

fn shared_route(
    given: Given<file::SharedRoute>,
    place: usize,
    listeners: &Names,
    upstreams: &Names,
    problems: &mut Problems,
) -> Result<SharedRoute, Reported> {
    let (typed, at) = apart(given.0?);
    let listeners = typed
        .listeners
        .map(|given| {
            let (names, span) = apart(given.0?);
            if names.is_empty() {
                let problem = Problem::at(span, "this route is for no listener");
                return Err(problems.report(problem.label("leave the key out, and it is for all of them")));
            }
            all(names.into_iter().map(|name| listeners.existing(name.0?, problems)))
        })
        .transpose();
    let route = route(typed.route, at, format!("shared.routes[{place}]"), upstreams, problems);
    Ok(SharedRoute {
        route: route?,
        listeners: listeners?,
    })
}

/// What a listener is, as far as its routes depend on it.
pub struct Place<'a> {
    /// `None` where it could not be read.
    pub name: Option<&'a str>,
    pub proxied: bool,
    pub is_transparent: bool,
    /// Upstreams that send connections on their way.
    pub relays: &'a HashSet<String>,
    /// `None` where it could not be read.
    pub tls: Option<Option<&'a TlsIn>>,
}

/// The listener's own, and behind them those of several listeners that are for this one.
pub fn routes(
    given: Option<Given<Vec<Given<file::Route>>>>,
    place: &Place<'_>,
    shared: &mut Shared,
    upstreams: &Names,
    problems: &mut Problems,
) -> Result<Vec<RouteConfig>, Reported> {
    let typed = given.map_or(Ok(Vec::new()), Given::value)?;
    let own: Vec<Result<Route, Reported>> = typed
        .into_iter()
        .enumerate()
        .map(|(index, typed)| {
            let (typed, at) = apart(typed.0?);
            route(typed, at, format!("routes[{index}]"), upstreams, problems)
        })
        .collect();

    let mut sound = Ok(());
    let mut before = Before::default();
    for route in own.iter().flatten() {
        let taken = before.taken(route);
        let problem = taken
            .or_else(|| impossible(route, place))
            .or_else(|| before.hides(route));
        before.add(route);
        if let Some(problem) = problem {
            sound = Err(problems.report(problem));
        }
    }
    let Shared {
        routes: shared, told, ..
    } = shared;
    let here = || shared.iter().filter(|route| route.is_for(place.name));
    for SharedRoute { route, .. } in here() {
        let taken = before.taken(route);
        let problem = taken.or_else(|| {
            let problem = impossible(route, place).or_else(|| before.hides(route))?;
            let name = place.name.unwrap_or_default();
            Some(problem.help(format!(
                "where the listener `{name}` is not meant: name those that are with `listeners`"
            )))
        });
        before.add(route);
        if let Some(problem) = problem
            && told.insert(route.at.start)
        {
            sound = Err(problems.report(problem));
        }
    }
    let mut routes = own
        .into_iter()
        .map(|route| route.map(|route| route.config))
        .collect::<Result<Vec<_>, _>>()?;
    sound?;
    routes.extend(here().map(|route| route.route.config.clone()));
    Ok(routes)
}

/// Why a condition can never hold on a listener.
fn impossible(route: &Route, place: &Place<'_>) -> Option<Problem> {
    if let Some(at) = &route.tlvs_at
        && !place.proxied
    {
        let problem = Problem::at(
            at.clone(),
            "without `proxy-protocol` on the listener there is no header to look at",
        );
        return Some(problem.label("expected no such condition, or `proxy-protocol`"));
    }
    if let Some(at) = &route.destination_at
        && !place.is_transparent
    {
        let what = "without `transparent` on the listener it is not known where connections were to go";
        let problem = Problem::at(at.clone(), what);
        return Some(problem.label("expected no such condition, or `transparent`"));
    }
    if let Some(at) = &route.target_at
        && !place.is_transparent
        && let Some(name) = upstreams_of(&route.config.target).find(|name| place.relays.contains(*name))
    {
        return Some(nowhere_to_go(at.clone(), name));
    }
    let tls = place.tls?;
    if let Some(at) = &route.subject_at
        && tls.is_none_or(|tls| tls.client_auth.is_none())
    {
        let what = "without `tls.client-auth` on the listener no client shows a certificate";
        let problem = Problem::at(at.clone(), what);
        return Some(problem.label("expected no such condition, or `client-auth`"));
    }
    let places = [&route.sni_at, &route.alpn_at, &route.subject_at];
    let asked = places.into_iter().flatten().next()?;
    (tls?.start == TlsStart::OnRequest).then(|| {
        let problem = Problem::at(asked.clone(), "the route is chosen before TLS is asked for");
        problem.label("expected no such condition where `tls.start` is \"on-request\"")
    })
}

/// An upstream that sends connections on their way, for a listener whose connections were on no other one.
pub fn nowhere_to_go(at: Span, upstream: &str) -> Problem {
    let what =
        format!("the upstream `{upstream}` sends connections to where they were to go, and these were to come here");
    let problem = Problem::at(at, what).label("expected an upstream with `servers`");
    problem.help(
        "or add `transparent = \"redirect\"` or `\"tproxy\"` to the listener, and the rule of netfilter that it is for",
    )
}

fn upstreams_of(target: &RouteTarget) -> impl Iterator<Item = &String> {
    let (one, several) = match target {
        RouteTarget::Upstream(name) => (Some(name), &[][..]),
        RouteTarget::Split(shares) => (None, shares.as_slice()),
        RouteTarget::Refuse(_) => (None, &[][..]),
    };
    one.into_iter().chain(several.iter().map(|(name, _)| name))
}

/// The routes before another one.
#[derive(Default)]
struct Before {
    names: HashMap<String, Span>,
    conditions: HashMap<Conditions, (String, Span)>,
}

impl Before {
    /// Why a route behind them cannot be told from one of them.
    fn taken(&self, route: &Route) -> Option<Problem> {
        let name = &route.config.name;
        let (first, at) = (self.names.get(name)?, route.name_at.clone()?);
        let problem = Problem::at(at, format!("the route name `{name}` is taken")).label("and here again");
        Some(problem.related(first.clone(), "first here"))
    }

    /// Why a route behind them can never match.
    fn hides(&self, route: &Route) -> Option<Problem> {
        let all = self.conditions.get(&Conditions::default());
        let same = || self.conditions.get(&Conditions::of(&route.config));
        let (first, what, label) = match all {
            Some(first) => (first, "all that come to it", "this one has no conditions"),
            None => (same()?, "all of its kind", "this one has the same conditions"),
        };
        let (name, at) = first;
        let problem = Problem::at(route.at.clone(), "no connection ever comes to this route");
        let problem = problem.label(format!("the route `{name}` takes {what}"));
        Some(problem.related(at.clone(), label))
    }

    /// The first of several counts.
    fn add(&mut self, route: &Route) {
        let name = &route.config.name;
        if let Some(at) = &route.name_at {
            self.names.entry(name.clone()).or_insert_with(|| at.clone());
        }
        let here = || (name.clone(), route.at.clone());
        self.conditions
            .entry(Conditions::of(&route.config))
            .or_insert_with(here);
    }
}

/// What has to hold, in an order of its own: those of two routes are equal where they say the same. Of a route without
/// conditions all lists are empty.
#[derive(Default, PartialEq, Eq, Hash)]
struct Conditions([Vec<String>; 7]);

impl Conditions {
    fn of(route: &RouteConfig) -> Self {
        let shown = |patterns: &[Pattern]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
        let clients = route.client.iter().flat_map(|clients| {
            let unix = clients.unix.then(|| "unix".to_owned());
            clients.networks.iter().map(ToString::to_string).chain(unix)
        });
        let tlvs = route.tlvs.iter().map(|tlv| match &tlv.value {
            Some(value) => format!("{} {value}", tlv.kind),
            None => tlv.kind.to_string(),
        });
        let mut lists = [
            shown(&route.sni),
            route.alpn.clone(),
            route.protocol.iter().map(ToString::to_string).collect(),
            clients.collect(),
            route.destination.iter().map(ToString::to_string).collect(),
            tlvs.collect(),
            shown(&route.subject),
        ];
        for list in &mut lists {
            list.sort_unstable();
            list.dedup();
        }
        Self(lists)
    }
}
