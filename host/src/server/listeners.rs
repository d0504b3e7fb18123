//! From a listener's configuration to what serves its connections, with as much of what served them before as still holds.

use std::sync::Arc;

use anyhow::Context;

use crate::config::{Config, ListenerConfig, OnChange, RouteConfig};
use crate::filter::{Filter, Observers};
use crate::limit::Limiter;
use crate::listener::Listener;
use crate::notice::Notice;
use crate::observe::AccessLog;
use crate::route::rules::Rules;
use crate::tls::Terminator;
use crate::transparent::Own;
use crate::treatment::Regimen;
use crate::upstream::{Upstream, Upstreams};

/// What listeners are made with.
pub struct Common<'a> {
    pub filters: &'a [Arc<Filter>],
    pub upstreams: &'a Arc<Upstreams>,
    /// All that there are, or are going to be.
    pub all: &'a [Arc<Upstream>],
    /// Whether there is a server that is told who clients are.
    pub tells_servers: bool,
    /// Whether somebody may ask for connections by what they are.
    pub is_asked: bool,
    pub shared: &'a Shared,
}

/// What all connections go by, whichever listener they come to.
#[derive(Clone, Default)]
pub struct Shared {
    pub limiter: Option<Arc<Limiter>>,
    /// Present once there was a filter.
    pub observers: Option<Observers>,
    pub access_log: Option<AccessLog>,
    /// Which sockets are this process's.
    pub own: Arc<Own>,
}

/// A listener that serves, and what it was made from.
pub struct Before<'a> {
    pub config: &'a ListenerConfig,
    pub listener: Arc<Listener>,
}

/// A listener, and who is to be given notice when it takes its place.
pub struct Made {
    pub listener: Arc<Listener>,
    pub notices: Vec<Given>,
}

/// A notice, and what it is to say.
type Given = (Arc<Notice>, OnChange);

impl Common<'_> {
    /// # Errors
    /// Its certificates cannot be used.
    pub fn listener(&self, config: &ListenerConfig, before: Option<&Before<'_>>) -> anyhow::Result<Made> {
        let by_name = |name: &String| self.filters.iter().find(|filter| **filter.name() == **name).cloned();
        let filters: Arc<[_]> = config.filters.iter().filter_map(by_name).collect();
        let same = |is_same: fn(&ListenerConfig, &ListenerConfig) -> bool| {
            before
                .filter(|before| is_same(before.config, config))
                .map(|before| &before.listener)
        };
        let own = match same(|old, new| old.limits == new.limits) {
            Some(listener) => listener.limiter.clone(),
            None => {
                let before = before.and_then(|before| before.listener.limiter.as_deref());
                Limiter::after(before, config.limits).map(Arc::new)
            }
        };
        let tls = match same(|old, new| old.tls == new.tls) {
            // Tickets that it has given out are still good.
            Some(listener) => listener.tls.clone(),
            None => config
                .tls
                .as_ref()
                .map(Terminator::load)
                .transpose()
                .map(|tls| tls.map(Arc::new))
                .with_context(|| format!("listener \"{}\"", config.name))?,
        };
        let rules = match same(|old, new| old.routes == new.routes) {
            Some(listener) => Arc::clone(&listener.rules),
            None => Arc::new(Rules::new(&config.routes)),
        };
        // Whoever shares a bandwidth goes on sharing it.
        let treatment = match same(|old, new| old.treatment == new.treatment) {
            Some(listener) => listener.treatment.clone(),
            None => Regimen::of(&config.treatment),
        };
        let targets = rules.upstream_names().iter().filter_map(|name| self.find(name));
        let (notices, given) = notices(config, before);
        let Shared {
            limiter: shared_limiter,
            observers,
            access_log,
            own: sockets,
        } = self.shared.clone();
        let listener = Listener {
            name: config.name.as_str().into(),
            observers: observers.filter(|_| !filters.is_empty()),
            tells: !filters.is_empty()
                || access_log.is_some()
                || self.tells_servers
                || self.is_asked
                || is_captured(config),
            with_ja4: !filters.is_empty() || access_log.as_ref().is_some_and(AccessLog::wants_ja4),
            targets: targets.collect(),
            transparent: config.transparent,
            own: sockets,
            rules,
            detection: config.detection,
            tls,
            filters,
            upstream: config.upstream.as_deref().and_then(|name| self.find(name)),
            upstreams: Arc::clone(self.upstreams),
            timeouts: Arc::new(config.timeouts),
            proxy_protocol: config.proxy_protocol.clone(),
            limiter: own,
            shared_limiter,
            access_log,
            counters: before
                .map(|before| Arc::clone(&before.listener.counters))
                .unwrap_or_default(),
            treatment,
            treatments: treatments(config, before),
            notices,
        };
        Ok(Made {
            listener: Arc::new(listener),
            notices: given,
        })
    }

    fn find(&self, name: &str) -> Option<Arc<Upstream>> {
        self.all.iter().find(|upstream| **upstream.name() == *name).cloned()
    }
}

/// Whether a capture says of its connections what they are.
fn is_captured(config: &ListenerConfig) -> bool {
    let routes = config.routes.iter().map(|route| &route.treatment);
    let mut treatments = std::iter::once(&config.treatment).chain(routes);
    treatments.any(|treatment| !treatment.captures.is_empty())
}

/// Of each route. One that stays as it was keeps what its connections share.
fn treatments(config: &ListenerConfig, before: Option<&Before<'_>>) -> Box<[Option<Arc<Regimen>>]> {
    let known = |route: &RouteConfig| {
        let before = before?;
        let same = |old: &RouteConfig| old.name == route.name && old.treatment == route.treatment;
        let place = before.config.routes.iter().position(same)?;
        before.listener.treatments.get(place)?.clone()
    };
    let of = |route: &RouteConfig| known(route).or_else(|| Regimen::of(&route.treatment));
    match config.routes.iter().all(|route| route.treatment.is_nothing()) {
        true => Box::default(),
        false => config.routes.iter().map(of).collect(),
    }
}

/// Whether there is a server that is told who clients are.
pub fn tells_servers(config: &Config) -> bool {
    config
        .upstreams
        .iter()
        .any(|upstream| upstream.proxy_protocol.is_some())
}

/// To the connections of each route, and to those of none; and who is to get one now. A route that stays, or whose connections
/// do, keeps its own, so that later changes reach everybody who came by it.
fn notices(config: &ListenerConfig, before: Option<&Before<'_>>) -> (Box<[Arc<Notice>]>, Vec<Given>) {
    let Some(Before { config: old, listener }) = before else {
        return ((0..=config.routes.len()).map(|_| Arc::default()).collect(), Vec::new());
    };
    let itself = match differs_in_routes_alone(old, config) {
        true => OnChange::Keep,
        false => config.on_change,
    };
    let mut given = Vec::new();
    let mut known: Vec<_> = old.routes.iter().zip(&listener.notices).map(Some).collect();
    let mut replaced = |notice: &Arc<Notice>, fate: OnChange| match fate {
        OnChange::Keep => Arc::clone(notice),
        _ => {
            given.push((Arc::clone(notice), fate));
            Arc::default()
        }
    };
    let of_route = |route: &RouteConfig| {
        let same = |known: &&mut Option<(&RouteConfig, &Arc<Notice>)>| {
            known.is_some_and(|(known, _)| known.name == route.name)
        };
        let Some((old, notice)) = known.iter_mut().find(same).and_then(Option::take) else {
            return Arc::default();
        };
        let fate = if old == route {
            itself
        } else {
            sooner(itself, route.on_change)
        };
        replaced(notice, fate)
    };
    let mut notices: Vec<_> = config.routes.iter().map(of_route).collect();
    notices.push(replaced(listener.notice(None), itself));
    for (route, notice) in known.into_iter().flatten() {
        replaced(notice, sooner(itself, route.on_change));
    }
    (notices.into(), given)
}

/// Of two wishes, the one that ends connections first.
fn sooner(one: OnChange, other: OnChange) -> OnChange {
    match (one, other) {
        (OnChange::Kill, _) | (_, OnChange::Kill) => OnChange::Kill,
        (OnChange::Drain(one), OnChange::Drain(other)) => OnChange::Drain(one.min(other)),
        (OnChange::Keep, fate) | (fate, OnChange::Keep) => fate,
    }
}

fn differs_in_routes_alone(old: &ListenerConfig, new: &ListenerConfig) -> bool {
    let old = ListenerConfig {
        routes: new.routes.clone(),
        on_change: new.on_change,
        ..old.clone()
    };
    old == *new
}
