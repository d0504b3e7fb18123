//! `[[listeners]]`

use std::collections::HashSet;
use std::path::Path;

use toml::Spanned;

use super::detection::detection;
use super::given::{apart, table_or_default, word_or_default};
use super::limits::limits;
use super::mirror::check_mirrors;
use super::names::{FirstUse, Names};
use super::on_change::on_change;
use super::proxy_protocol::proxy_in;
use super::routes::{Place, Shared, nowhere_to_go, routes};
use super::socket::listener_socket;
use super::socket_file::socket_file;
use super::timeouts::timeouts;
use super::tls::tls_in;
use super::treatment::treatment;
use super::vigilance::vigilance;
use crate::config::diagnostics::{Problem, Problems, Reported, Span, all};
use crate::config::name::Name;
use crate::config::reader::Given;
use crate::config::word::Word;
use crate::config::{ListenAddress, ListenerConfig, ListenerSocket, Transparent, file};

/// What listeners refer to.
pub struct Known<'a> {
    pub filters: &'a Names,
    pub upstreams: &'a Names,
    /// Upstreams that send connections on their way.
    pub relays: &'a HashSet<String>,
    /// Where relative paths start.
    pub directory: &'a Path,
}

/// The names of all listeners, as far as can be read.
pub fn names(given: &Option<Given<Vec<Given<file::Listener>>>>) -> Names {
    let known = match given {
        None => Ok(Vec::new()),
        Some(Given(Err(reported))) => Err(*reported),
        Some(Given(Ok(listeners))) => {
            let names = listeners.get_ref().iter().map(|listener| {
                let listener = listener.0.as_ref().map_err(|reported| *reported)?.get_ref();
                let name = listener.name.0.as_ref().map_err(|reported| *reported)?;
                Ok(name.get_ref().0.clone())
            });
            all(names)
        }
    };
    Names::listed("listener", known)
}

pub fn listeners(
    given: Option<Given<Vec<Given<file::Listener>>>>,
    shared: &mut Shared,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Result<Vec<ListenerConfig>, Reported> {
    let (listeners, span) = match given {
        Some(given) => given.0.map(apart).map(|(listeners, span)| (listeners, Some(span)))?,
        None => (Vec::new(), None),
    };
    if listeners.is_empty() {
        let problem = Problem::absence(span, "there are no listeners, so nobody would be served");
        let help = "add a `[[listeners]]` table with a `name`, an `address` and an `upstream`";
        return Err(problems.report(problem.help(help)));
    }

    let mut names = FirstUse::new(|name: &Name| format!("the listener name `{}` is taken", name.0));
    let mut addresses =
        FirstUse::new(|address: &ListenAddress| format!("another listener has the address `{address}`"));
    all(listeners.into_iter().map(|listener| {
        let (typed, span) = apart(listener.0?);
        check_reach(&typed, shared, span, problems);
        let name = typed.name.0.and_then(|name| names.check(name, problems));
        let address = typed
            .address
            .0
            .and_then(|address| match address.get_ref().is_chosen_by_kernel() {
                true => Ok(address.into_inner()),
                false => addresses.check(address, problems),
            });
        let filters = attached(typed.filters, known.filters, problems);
        let is_transparent = typed.transparent.is_some();
        let upstream = typed
            .upstream
            .map(|given| {
                let (name, at) = apart(given.0?);
                let name = known.upstreams.existing(Spanned::new(at.clone(), name), problems)?;
                match known.relays.contains(&name) && !is_transparent {
                    true => Err(problems.report(nowhere_to_go(at, &name))),
                    false => Ok(name),
                }
            })
            .transpose();
        let timeouts = table_or_default(typed.timeouts).and_then(|typed| timeouts(typed, problems));
        let limits = table_or_default(typed.limits).and_then(|typed| limits(typed, problems));
        let accept = word_or_default(typed.accept);
        let vigilance = vigilance(typed.keepalive, typed.user_timeout, problems);
        let transparent = transparent(typed.transparent, address.as_ref().ok(), problems);
        let socket = listener_socket(typed.socket, address.as_ref().ok(), problems);
        let socket_file = socket_file(
            typed.socket_file,
            address.as_ref().map_err(|reported| *reported),
            problems,
        );
        let proxied = typed.proxy_protocol.is_some();
        let proxy_protocol = typed
            .proxy_protocol
            .map(|typed| proxy_in(typed, address.as_ref().ok(), problems))
            .transpose();
        let detection = table_or_default(typed.detection).and_then(|typed| detection(typed, problems));
        let tls = typed
            .tls
            .map(|typed| tls_in(typed, known.directory, problems))
            .transpose();
        let place = Place {
            name: name.as_ref().ok().map(|name| name.0.as_str()),
            proxied,
            is_transparent,
            relays: known.relays,
            tls: tls.as_ref().ok().map(Option::as_ref),
        };
        let primary = upstream.as_ref().ok().and_then(|upstream| upstream.as_deref());
        let mirrors = check_mirrors(&typed.treatment, known.upstreams, primary, problems);
        let treatment = treatment(typed.treatment, problems).and_then(|treatment| mirrors.map(|()| treatment));
        let on_change = on_change(typed.on_change, problems);
        let routes = routes(typed.routes, &place, shared, known.upstreams, problems);
        Ok(ListenerConfig {
            name: name?.0,
            address: address?,
            filters: filters?,
            upstream: upstream?,
            timeouts: timeouts?,
            limits: limits?,
            accept: accept?,
            vigilance: vigilance?,
            transparent: transparent?,
            socket: ListenerSocket {
                is_transparent: transparent? == Some(Transparent::Tproxy),
                ..socket?
            },
            socket_file: socket_file?,
            proxy_protocol: proxy_protocol?,
            routes: routes?,
            detection: detection?,
            tls: tls?,
            treatment: treatment?,
            on_change: on_change?,
        })
    }))
}

/// Without a route or a filter to choose an upstream, there must be one.
fn check_reach(listener: &file::Listener, shared: &Shared, span: Span, problems: &mut Problems) {
    let undecided = listener.filters.as_ref().is_none_or(|given| match &given.0 {
        Ok(filters) => filters.get_ref().is_empty(),
        Err(_) => false,
    });
    if undecided && listener.upstream.is_none() && !has_route(listener, shared) {
        problems.report(
            Problem::absence(Some(span), "this listener can never reach an upstream")
                .label("expected an `upstream`, or `routes` or `filters` that choose one"),
        );
    }
}

/// Whether one of its routes leads to an upstream, as far as can be read.
fn has_route(listener: &file::Listener, shared: &Shared) -> bool {
    let leads = |route: &Given<file::Route>| match &route.0 {
        Ok(route) => route.get_ref().refuse.is_none(),
        Err(_) => true,
    };
    let own = match &listener.routes {
        None => false,
        Some(Given(Ok(routes))) => routes.get_ref().iter().any(leads),
        Some(Given(Err(_))) => true,
    };
    let name = listener.name.0.as_ref().ok().map(|name| name.get_ref().0.as_str());
    own || shared.lead_from(name)
}

/// A unix socket has no other address that somebody could be on his way to.
fn transparent(
    given: Option<Given<Word<Transparent>>>,
    address: Option<&ListenAddress>,
    problems: &mut Problems,
) -> Result<Option<Transparent>, Reported> {
    let Some(given) = given else { return Ok(None) };
    let (Word(transparent), span) = apart(given.0?);
    if let Some(ListenAddress::Unix(_)) = address {
        let problem = Problem::at(span, "nobody is led to a unix socket on his way to somebody else");
        return Err(problems.report(problem.label("remove this, or listen on an address of TCP")));
    }
    Ok(Some(transparent))
}

fn attached(
    given: Option<Given<Vec<Given<String>>>>,
    known: &Names,
    problems: &mut Problems,
) -> Result<Vec<String>, Reported> {
    let filters = given.map_or(Ok(Vec::new()), Given::value)?;
    let mut attached = FirstUse::new(|name: &String| format!("the filter `{name}` is attached twice"));
    all(filters.into_iter().map(|filter| {
        let filter = filter.0?;
        let span = filter.span();
        let name = known.existing(filter, problems)?;
        attached.check(Spanned::new(span, name), problems)
    }))
}
