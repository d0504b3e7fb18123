//! One route: `[[listeners.routes]]`, or `[[routes]]`.

use toml::Spanned;

use super::given::{apart, count_or_default, place};
use super::mirror::check_mirrors;
use super::names::{FirstUse, Names};
use super::on_change::on_change;
use super::treatment::treatment;
use crate::config::alpn_name::AlpnName;
use crate::config::diagnostics::{Problem, Problems, Reported, Span, all};
use crate::config::network::Network;
use crate::config::pattern::{NamePattern, TextPattern};
use crate::config::reader::Given;
use crate::config::word::Word;
use crate::config::{Destination, Pattern, Refusal, RouteConfig, RouteTarget, TlvCondition, Trusted, file, ranges};
use crate::protocol::Protocol;

/// A route that is sound by itself, and where it stands: whether it can ever match depends on the listener.
pub struct Route {
    pub config: RouteConfig,
    /// Of its name, or of all of it.
    pub at: Span,
    /// Where the file has a name for it.
    pub name_at: Option<Span>,
    pub sni_at: Option<Span>,
    pub alpn_at: Option<Span>,
    pub destination_at: Option<Span>,
    pub tlvs_at: Option<Span>,
    pub subject_at: Option<Span>,
    /// Of what says where it leads.
    pub target_at: Option<Span>,
}

/// Where the file names none, the route has the name `default`.
pub fn route(
    typed: file::Route,
    at: Span,
    default: String,
    upstreams: &Names,
    problems: &mut Problems,
) -> Result<Route, Reported> {
    let name_at = place(&typed.name);
    let (sni_at, alpn_at) = (place(&typed.sni), place(&typed.alpn));
    let (tlvs_at, subject_at) = (place(&typed.proxy_tlv), place(&typed.subject));
    let destination_at = place(&typed.destination);
    let target_at = place(&typed.upstream).or_else(|| place(&typed.split));

    let name = typed.name.map_or(Ok(default), |given| given.value().map(|name| name.0));
    let sni = condition(typed.sni, problems, |typed, problems| {
        patterns(typed, |pattern: NamePattern| pattern.0, problems)
    });
    let alpn = condition(typed.alpn, problems, alpn);
    let protocol = condition(typed.protocol, problems, protocols);
    let client = condition(typed.client, problems, |typed, _| {
        all(typed.into_iter().map(Given::value))
    });
    let destination = condition(typed.destination, problems, destinations);
    let tlvs = condition(typed.proxy_tlv, problems, |typed, _| {
        all(typed.into_iter().map(|typed| tlv(typed.value()?)))
    });
    let subject = condition(typed.subject, problems, |typed, problems| {
        patterns(typed, |pattern: TextPattern| pattern.0, problems)
    });
    let primary = typed.upstream.as_ref().and_then(|name| name.0.as_ref().ok());
    let primary = primary.map(|name| &**name.get_ref());
    let mirrors = check_mirrors(&typed.treatment, upstreams, primary, problems);
    let treatment = treatment(typed.treatment, problems).and_then(|treatment| mirrors.map(|()| treatment));
    let on_change = on_change(typed.on_change, problems);
    let target = target(typed.upstream, typed.split, typed.refuse, upstreams, problems);
    Ok(Route {
        config: RouteConfig {
            name: name?,
            sni: sni?,
            alpn: alpn?,
            protocol: protocol?,
            client: client.map(clients)?,
            destination: destination?,
            tlvs: tlvs?,
            subject: subject?,
            target: target?,
            treatment: treatment?,
            on_change: on_change?,
        },
        at: name_at.clone().unwrap_or(at),
        name_at,
        sni_at,
        alpn_at,
        destination_at,
        tlvs_at,
        subject_at,
        target_at,
    })
}

/// What holds always is no condition: an empty list is a slip.
fn condition<T, U>(
    given: Option<Given<Vec<T>>>,
    problems: &mut Problems,
    check: impl FnOnce(Vec<T>, &mut Problems) -> Result<Vec<U>, Reported>,
) -> Result<Vec<U>, Reported> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let (members, span) = apart(given.0?);
    if members.is_empty() {
        let problem = Problem::at(span, "nothing could ever be one of none");
        return Err(problems.report(problem.label("leave the key out, or write what is meant")));
    }
    check(members, problems)
}

/// Each once.
pub fn patterns<T>(
    given: Vec<Given<T>>,
    pattern: impl Fn(T) -> Pattern,
    problems: &mut Problems,
) -> Result<Vec<Pattern>, Reported> {
    let mut seen = FirstUse::new(|typed: &String| format!("`{typed}` is there already"));
    all(given.into_iter().map(|given| {
        let (typed, span) = apart(given.0?);
        let pattern = pattern(typed);
        seen.check(Spanned::new(span, pattern.to_string()), problems)?;
        Ok(pattern)
    }))
}

/// Each once.
pub fn alpn(given: Vec<Given<AlpnName>>, problems: &mut Problems) -> Result<Vec<String>, Reported> {
    let mut seen = FirstUse::new(|name: &AlpnName| format!("`{}` is there already", name.0));
    all(given
        .into_iter()
        .map(|given| seen.check(given.0?, problems).map(|name| name.0)))
}

fn protocols(given: Vec<Given<Word<Protocol>>>, problems: &mut Problems) -> Result<Vec<Protocol>, Reported> {
    let mut seen = FirstUse::new(|protocol: &Word<Protocol>| format!("`{}` is there already", protocol.0));
    all(given.into_iter().map(|given| {
        let protocol = given.0?;
        let name = protocol.get_ref().0;
        if name.is_server_first() {
            let what = format!("the server speaks first in {name}, so it is not known when the route is chosen");
            let problem = Problem::at(protocol.span(), what);
            return Err(problems.report(problem.label("expected another protocol, or another condition")));
        }
        seen.check(protocol, problems).map(|protocol| protocol.0)
    }))
}

/// Each once.
pub fn destinations(given: Vec<Given<Destination>>, problems: &mut Problems) -> Result<Vec<Destination>, Reported> {
    let mut seen = FirstUse::new(|one: &Destination| format!("`{one}` is there already"));
    all(given.into_iter().map(|given| seen.check(given.0?, problems)))
}

fn clients(networks: Vec<Network>) -> Option<Trusted> {
    let mut clients = Trusted::default();
    for network in &networks {
        match network {
            Network::Ip(network) => clients.networks.push(*network),
            Network::Unix => clients.unix = true,
        }
    }
    (!networks.is_empty()).then_some(clients)
}

fn tlv(typed: file::TlvCondition) -> Result<TlvCondition, Reported> {
    let kind = typed.kind.value();
    let value = typed.value.map(Given::value).transpose();
    Ok(TlvCondition {
        kind: kind?.0,
        value: value?.map(|pattern| pattern.0),
    })
}

fn target(
    upstream: Option<Given<String>>,
    split: Option<Given<Vec<Given<file::Share>>>>,
    refuse: Option<Given<Word<Refusal>>>,
    upstreams: &Names,
    problems: &mut Problems,
) -> Result<RouteTarget, Reported> {
    let given = [
        ("upstream", upstream.is_some(), place(&upstream)),
        ("split", split.is_some(), place(&split)),
        ("refuse", refuse.is_some(), place(&refuse)),
    ];
    let upstream = upstream.map(|name| upstreams.existing(name.0?, problems));
    let split = split.map(|given| shares(given, upstreams, problems));
    let refuse = refuse.map(Given::value);

    let mut given = given.into_iter().filter(|(_, is_given, _)| *is_given);
    if let (Some((first, _, first_at)), Some((second, _, second_at))) = (given.next(), given.next())
        // Where one of them could not be read, that is reported already.
        && let (Some(first_at), Some(second_at)) = (first_at, second_at)
    {
        let problem = Problem::at(second_at, format!("a route with both `{first}` and `{second}`"));
        let problem = problem.label("expected one of them");
        return Err(problems.report(problem.related(first_at, format!("`{first}` is here"))));
    }
    match (upstream, split, refuse) {
        (Some(upstream), _, _) => upstream.map(RouteTarget::Upstream),
        (None, Some(split), _) => split.map(RouteTarget::Split),
        (None, None, Some(refuse)) => refuse.map(|word| RouteTarget::Refuse(word.0)),
        (None, None, None) => unreachable!("the reader puts a report in the place of the upstream"),
    }
}

fn shares(
    given: Given<Vec<Given<file::Share>>>,
    upstreams: &Names,
    problems: &mut Problems,
) -> Result<Vec<(String, u32)>, Reported> {
    let (typed, span) = apart(given.0?);
    if typed.len() < 2 {
        let problem = Problem::at(span, "a split has at least two upstreams");
        return Err(problems.report(problem.label("expected more of them, or `upstream = \"...\"`")));
    }
    let mut seen = FirstUse::new(|name: &String| format!("`{name}` has a share already"));
    let shares = all(typed.into_iter().map(|share| {
        let typed = share.value()?;
        let upstream = typed.upstream.0.and_then(|name| {
            let span = name.span();
            let name = upstreams.existing(name, problems)?;
            seen.check(Spanned::new(span, name), problems)
        });
        let weight = count_or_default(typed.weight, &ranges::SHARE, 1, problems);
        Ok((upstream?, weight?))
    }))?;
    if shares.iter().all(|(_, weight)| *weight == 0) {
        let problem = Problem::at(span, "every upstream of this split has the weight 0");
        return Err(problems.report(problem.label("expected one that is not 0, or `refuse`")));
    }
    Ok(shares)
}
