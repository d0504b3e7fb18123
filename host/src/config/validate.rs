//! From a file as typed to the configuration as meant: defaults, ranges, names, and what belongs together.

use std::collections::HashMap;
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::diagnostics::{Problem, Problems, Reported, Span, all};
use super::name::Name;
use super::named::{Entry, Named};
use super::reader::Given;
use super::units::{Period, Size, Timeout};
use super::word::{Word, Words};
use super::{
    Config, FilterConfig, FilterLimits, ListenAddress, ListenerConfig, ServerConfig, Timeouts, UpstreamConfig,
    defaults, file, ranges, suggest,
};

/// The configuration that the file means. Relative paths in it start at `directory`.
pub(super) fn validate(file: file::File, directory: &Path, problems: &mut Problems) -> Result<Config, Reported> {
    let filter_names = Names::of("filter", &file.filters);
    let upstream_names = Names::of("upstream", &file.upstreams);

    let workers = workers(file.workers, problems);
    let filters = all(entries(file.filters).map(|entry| filter(entry?, directory, problems)));
    let upstreams = all(entries(file.upstreams).map(|entry| upstream(entry?, problems)));
    let listeners = listeners(file.listeners, &filter_names, &upstream_names, problems);
    Ok(Config {
        workers: workers?,
        filters: filters?,
        upstreams: upstreams?,
        listeners: listeners?,
    })
}

fn workers(given: Option<Given<i64>>, problems: &mut Problems) -> Result<Option<NonZeroUsize>, Reported> {
    let Some(given) = given else { return Ok(None) };
    let count = within(given, &ranges::WORKERS, problems)?;
    Ok(usize::try_from(count).ok().and_then(NonZeroUsize::new))
}

fn filter(entry: Entry<file::Filter>, directory: &Path, problems: &mut Problems) -> Result<FilterConfig, Reported> {
    let typed = entry.table.value()?;
    let source = source(typed.source, directory, problems);
    let config = typed.config.map_or(Ok(serde_json::Value::Null), Given::value);
    let on_error = word_or_default(typed.on_error);
    let limits = table_or_default(typed.limits).and_then(|typed| limits(typed, problems));
    let sessions = or_default(
        typed.sessions_per_instance,
        &ranges::SESSIONS_PER_INSTANCE,
        i64::from(defaults::SESSIONS_PER_INSTANCE),
        problems,
    );
    Ok(FilterConfig {
        name: entry.name?.0,
        source: source?,
        config: config?,
        on_error: on_error?,
        limits: limits?,
        sessions_per_instance: sessions.map(|count| u32::try_from(count).unwrap_or(u32::MAX))?,
    })
}

fn source(given: Given<String>, directory: &Path, problems: &mut Problems) -> Result<PathBuf, Reported> {
    let (source, span) = apart(given.0?);
    let problem = if source.contains("://") {
        Problem::at(span, "only files can be the source of a filter so far")
            .label("expected a path, as in \"filters/router.wasm\"")
    } else if source.is_empty() || source.contains('\0') {
        Problem::at(span, "this is no path of a file").label("expected a path, as in \"filters/router.wasm\"")
    } else {
        return Ok(directory.join(source));
    };
    Err(problems.report(problem))
}

fn limits(typed: file::Limits, problems: &mut Problems) -> Result<FilterLimits, Reported> {
    let FilterLimits { memory, call, init } = defaults::FILTER_LIMITS;
    let memory = or_default(typed.memory, &ranges::MEMORY, Size(memory), problems);
    let call = or_default(typed.call, &ranges::CALL, Period(call), problems);
    let init = or_default(typed.init, &ranges::INIT, Period(init), problems);
    Ok(FilterLimits {
        memory: memory?.0,
        call: call?.0,
        init: init?.0,
    })
}

fn upstream(entry: Entry<file::Upstream>, problems: &mut Problems) -> Result<UpstreamConfig, Reported> {
    let typed = entry.table.value()?;
    let balance = word_or_default(typed.balance);
    let servers = servers(typed.servers, &entry.key, problems);
    Ok(UpstreamConfig {
        name: entry.name?.0,
        balance: balance?,
        servers: servers?,
    })
}

fn servers(
    given: Given<Vec<Given<file::Server>>>,
    upstream: &str,
    problems: &mut Problems,
) -> Result<Vec<ServerConfig>, Reported> {
    let (servers, span) = apart(given.0?);
    if servers.is_empty() {
        let problem = Problem::at(span, format!("the upstream `{upstream}` has no servers"));
        return Err(problems.report(problem.label("expected at least one, as in [\"10.0.0.1:5432\"]")));
    }
    all(servers.into_iter().map(|server| {
        let address = match server.value()? {
            file::Server::Short(address) => address,
            file::Server::Long(table) => table.address.value()?,
        };
        Ok(ServerConfig { address })
    }))
}

fn listeners(
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
        Ok(ListenerConfig {
            name: name?.0,
            address: address?,
            filters: filters?,
            upstream: upstream?,
            timeouts: timeouts?,
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

fn timeouts(typed: file::Timeouts, problems: &mut Problems) -> Result<Timeouts, Reported> {
    let connect = timeout(typed.connect, defaults::TIMEOUTS.connect, problems);
    let route = timeout(typed.route, defaults::TIMEOUTS.route, problems);
    let idle = timeout(typed.idle, defaults::TIMEOUTS.idle, problems);
    Ok(Timeouts {
        connect: connect?,
        route: route?,
        idle: idle?,
    })
}

fn timeout(
    given: Option<Given<Timeout>>,
    default: Option<Duration>,
    problems: &mut Problems,
) -> Result<Option<Duration>, Reported> {
    let Some(given) = given else {
        return Ok(default);
    };
    let (timeout, span) = apart(given.0?);
    let Some(period) = timeout.0 else {
        return Ok(None);
    };
    within(Given(Ok(Spanned::new(span, period))), &ranges::TIMEOUT, problems).map(|period| Some(period.0))
}

/// The names of one kind of table that other tables refer to.
struct Names {
    kind: &'static str,
    /// Not known where the tables could not be read as such: then no reference can be called wrong.
    known: Result<Vec<String>, Reported>,
}

impl Names {
    fn of<T>(kind: &'static str, given: &Option<Given<Named<T>>>) -> Self {
        let known = match given {
            None => Ok(Vec::new()),
            Some(Given(Ok(named))) => Ok(named.get_ref().0.iter().map(|entry| entry.key.clone()).collect()),
            Some(Given(Err(reported))) => Err(*reported),
        };
        Self { kind, known }
    }

    fn existing(&self, name: Spanned<String>, problems: &mut Problems) -> Result<String, Reported> {
        let known = self.known.as_ref().map_err(|reported| *reported)?;
        let (name, span) = apart(name);
        if known.contains(&name) {
            return Ok(name);
        }
        let kind = self.kind;
        let names = || known.iter().map(String::as_str);
        let problem = Problem::absence(Some(span), format!("there is no {kind} `{name}`"));
        Err(problems.report(match suggest::similar(&name, names()) {
            Some(meant) => problem.label(format!("did you mean `{meant}`?")),
            None if known.is_empty() => problem.help(format!("add a table `[{kind}s.{name}]`")),
            // A dozen is enough to see what was meant; a generated file may have thousands.
            None if known.len() > 12 => {
                problem.note(format!("known {kind}s: {}, ...", suggest::list(names().take(12))))
            }
            None => problem.note(format!("known {kind}s: {}", suggest::list(names()))),
        }))
    }
}

/// Finds what may be there once and is there again.
struct FirstUse<T, F> {
    seen: HashMap<T, Span>,
    complaint: F,
}

impl<T: Eq + std::hash::Hash + Clone, F: Fn(&T) -> String> FirstUse<T, F> {
    fn new(complaint: F) -> Self {
        Self {
            seen: HashMap::new(),
            complaint,
        }
    }

    fn check(&mut self, given: Spanned<T>, problems: &mut Problems) -> Result<T, Reported> {
        let (value, span) = apart(given);
        if let Some(first) = self.seen.get(&value) {
            let problem = Problem::at(span, (self.complaint)(&value)).label("and here again");
            return Err(problems.report(problem.related(first.clone(), "first here")));
        }
        self.seen.insert(value.clone(), span);
        Ok(value)
    }
}

fn entries<T>(given: Option<Given<Named<T>>>) -> impl Iterator<Item = Result<Entry<T>, Reported>> {
    let (entries, reported) = match given.map(Given::value) {
        None => (Vec::new(), None),
        Some(Ok(named)) => (named.0, None),
        Some(Err(reported)) => (Vec::new(), Some(Err(reported))),
    };
    entries.into_iter().map(Ok).chain(reported)
}

fn word_or_default<T: Words + Default>(given: Option<Given<Word<T>>>) -> Result<T, Reported> {
    given.map_or_else(|| Ok(T::default()), |given| given.value().map(|word| word.0))
}

fn table_or_default<T: Default>(given: Option<Given<T>>) -> Result<T, Reported> {
    given.map_or(Ok(T::default()), Given::value)
}

fn or_default<T: PartialOrd + Display>(
    given: Option<Given<T>>,
    range: &RangeInclusive<T>,
    default: T,
    problems: &mut Problems,
) -> Result<T, Reported> {
    given.map_or(Ok(default), |given| within(given, range, problems))
}

fn within<T: PartialOrd + Display>(
    given: Given<T>,
    range: &RangeInclusive<T>,
    problems: &mut Problems,
) -> Result<T, Reported> {
    let (value, span) = apart(given.0?);
    if range.contains(&value) {
        return Ok(value);
    }
    let problem = Problem::at(span, format!("{value} is out of range"));
    Err(problems.report(problem.label(format!("expected {} to {}", range.start(), range.end()))))
}

fn apart<T>(spanned: Spanned<T>) -> (T, Span) {
    let span = spanned.span();
    (spanned.into_inner(), span)
}
