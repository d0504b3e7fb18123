//! `[[listeners]]`

use toml::Spanned;

use super::given::{apart, table_or_default, word_or_default};
use super::limits::limits;
use super::names::{FirstUse, Names};
use super::proxy_protocol::proxy_in;
use super::socket_file::socket_file;
use super::timeouts::timeouts;
use super::vigilance::vigilance;
use crate::config::diagnostics::{Problem, Problems, Reported, Span, all};
use crate::config::name::Name;
use crate::config::reader::Given;
use crate::config::{ListenAddress, ListenerConfig, file};

pub fn listeners(
    given: Option<Given<Vec<Given<file::Listener>>>>,
    filters: &Names,
    upstreams: &Names,
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
        check_reach(&typed, span, problems);
        let name = typed.name.0.and_then(|name| names.check(name, problems));
        let address = typed
            .address
            .0
            .and_then(|address| match chosen_by_kernel(address.get_ref()) {
                true => Ok(address.into_inner()),
                false => addresses.check(address, problems),
            });
        let filters = attached(typed.filters, filters, problems);
        let upstream = typed
            .upstream
            .map(|name| upstreams.existing(name.0?, problems))
            .transpose();
        let timeouts = table_or_default(typed.timeouts).and_then(|typed| timeouts(typed, problems));
        let limits = table_or_default(typed.limits).and_then(|typed| limits(typed, problems));
        let accept = word_or_default(typed.accept);
        let vigilance = vigilance(typed.keepalive, typed.user_timeout, problems);
        let socket_file = socket_file(
            typed.socket_file,
            address.as_ref().map_err(|reported| *reported),
            problems,
        );
        let proxy_protocol = typed
            .proxy_protocol
            .map(|typed| proxy_in(typed, address.as_ref().ok(), problems))
            .transpose();
        Ok(ListenerConfig {
            name: name?.0,
            address: address?,
            filters: filters?,
            upstream: upstream?,
            timeouts: timeouts?,
            limits: limits?,
            accept: accept?,
            vigilance: vigilance?,
            socket_file: socket_file?,
            proxy_protocol: proxy_protocol?,
        })
    }))
}

/// Without a filter to choose an upstream, there must be one.
fn check_reach(listener: &file::Listener, span: Span, problems: &mut Problems) {
    let undecided = listener.filters.as_ref().is_none_or(|given| match &given.0 {
        Ok(filters) => filters.get_ref().is_empty(),
        Err(_) => false,
    });
    if undecided && listener.upstream.is_none() {
        problems.report(
            Problem::absence(Some(span), "this listener can never reach an upstream")
                .label("expected an `upstream`, or `filters` that choose one"),
        );
    }
}

/// Every listener on port 0 gets a port of its own.
fn chosen_by_kernel(address: &ListenAddress) -> bool {
    match address {
        ListenAddress::Socket(address) => address.port() == 0,
        ListenAddress::Host { port, .. } => *port == 0,
        ListenAddress::Unix(_) => false,
    }
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
