//! An explanation as a person reads it.

use std::fmt::{self, Write};

use super::connection::{Connection, Decrypted};
use super::filters::{Answer, Met, Says};
use super::terms::{Of, write_terms};
use crate::config::{Config, Detection, ListenerConfig, Refusal, RouteTarget};
use crate::route::rules::{Awaited, Decided, Explanation, Finding, First, Known, Rules, Tls};
use crate::words::count;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub text: String,
    pub is_routed: bool,
}

/// What becomes of a connection.
struct End {
    text: String,
    is_routed: bool,
    /// Not by the routes.
    is_by_filter: bool,
    /// To which it may go.
    upstreams: Vec<String>,
}

/// `met`: what each of the listener's filters says, as far as they were asked.
pub(super) fn report(config: &Config, listener: &ListenerConfig, connection: &Connection, met: &[Met]) -> Report {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let is_routed = write_report(&mut text, config, listener, connection, met).unwrap_or_default();
    Report { text, is_routed }
}

fn write_report(
    text: &mut String,
    config: &Config,
    listener: &ListenerConfig,
    connection: &Connection,
    met: &[Met],
) -> Result<bool, fmt::Error> {
    let (decrypted, known) = (&connection.decrypted, &connection.known());
    writeln!(text, "listener \"{}\" ({})", listener.name, listener.address)?;
    writeln!(text, "what is known: {}", facts(known))?;
    if let Some(line) = decryption(listener, decrypted, known) {
        writeln!(text, "decrypted: {line}")?;
    }
    if let Decrypted::Failed(why) = decrypted {
        writeln!(text, "\nrefused: {why}")?;
        return Ok(false);
    }
    let rules = Rules::new(&listener.routes);
    let explanation = rules.explain(known);
    writeln!(text)?;
    write_steps(text, &explanation)?;
    let mut end = end(listener, known, explanation.decided);
    let is_refused = refuses(listener, explanation.decided);
    // Who has said too little is not asked about yet.
    let asked: &[Met] = match explanation.decided {
        Decided::NeedMore => &[],
        _ if is_refused => &[],
        Decided::Route(_) | Decided::NoMatch => met,
    };
    write_filters(text, asked)?;
    if let Some(by_filter) = decision(asked) {
        end = by_filter;
    }
    writeln!(text, "\n{}", end.text)?;
    if let Some(awaited) = awaited(&rules, known) {
        writeln!(text, "waited for: {}", waiting(awaited, listener, known))?;
    }
    let routers: Vec<String> = listener
        .filters
        .iter()
        .filter(|name| may_choose(name, asked))
        .map(|name| format!("\"{name}\""))
        .collect();
    if !routers.is_empty() && !is_refused {
        writeln!(
            text,
            "note: those of the filters {} that are routers are asked next, and may choose otherwise",
            routers.join(", ")
        )?;
    }
    for upstream in &end.upstreams {
        let Some(upstream) = config.upstreams.iter().find(|known| known.name == *upstream) else {
            continue;
        };
        if end.upstreams.len() > 1 {
            writeln!(text, "\nwith \"{}\":", upstream.name)?;
        } else {
            writeln!(text)?;
        }
        let of = Of {
            config,
            listener,
            route: match explanation.decided {
                Decided::Route(route) if !end.is_by_filter => listener.routes.get(route),
                _ => None,
            },
            upstream,
            client: known.client,
            is_decrypted: matches!(known.tls, Tls::Established { .. }),
            filters: asked,
        };
        write_terms(text, &of)?;
    }
    Ok(end.is_routed)
}

/// What filters say, where they were asked.
fn write_filters(text: &mut String, met: &[Met]) -> fmt::Result {
    if met.is_empty() {
        return Ok(());
    }
    writeln!(text)?;
    let width = met.iter().map(|met| met.name.chars().count()).max().unwrap_or_default();
    for Met { name, says } in met {
        let what = match says {
            Says::Nothing(why) => format!("is not asked: {why}"),
            Says::This { router, watches } => {
                let router = router.as_ref().map(|answer| match answer {
                    Answer::Passes => "passes".to_owned(),
                    Answer::Wants(what) => format!("wants {what}"),
                    Answer::Chooses(upstream) => format!("chooses the upstream \"{upstream}\""),
                    Answer::Refuses(why) => format!("refuses: {why}"),
                    Answer::Fails => "fails, and its policy is to go on".to_owned(),
                });
                let watches = match watches {
                    [true, true] => Some("sees what goes up and down"),
                    [true, false] => Some("sees what goes up"),
                    [false, true] => Some("sees what goes down"),
                    [false, false] => None,
                };
                let both: Vec<_> = router.into_iter().chain(watches.map(str::to_owned)).collect();
                match both.is_empty() {
                    true => "sees no byte".to_owned(),
                    false => both.join("; "),
                }
            }
        };
        writeln!(text, "  filter  {name:<width$}  {what}")?;
    }
    Ok(())
}

/// What the first router with an opinion makes of it; `None` where none has one, or that is not known.
fn decision(met: &[Met]) -> Option<End> {
    for Met { name, says } in met {
        let Says::This { router, .. } = says else { return None };
        match router {
            None | Some(Answer::Passes | Answer::Fails) => {}
            Some(Answer::Wants(_)) => return None,
            Some(Answer::Chooses(upstream)) => {
                return Some(End {
                    text: format!("upstream \"{upstream}\", chosen by the filter \"{name}\""),
                    is_routed: true,
                    is_by_filter: true,
                    upstreams: vec![upstream.clone()],
                });
            }
            Some(Answer::Refuses(_)) => {
                return Some(End {
                    text: format!("refused by the filter \"{name}\""),
                    is_routed: false,
                    is_by_filter: true,
                    upstreams: Vec::new(),
                });
            }
        }
    }
    None
}

/// Whether it may be a router, and has not decided yet.
fn may_choose(filter: &str, met: &[Met]) -> bool {
    match met.iter().find(|met| met.name == filter).map(|met| &met.says) {
        None | Some(Says::Nothing(_)) => true,
        Some(Says::This { router, .. }) => matches!(router, Some(Answer::Wants(_))),
    }
}

fn facts(known: &Known<'_>) -> String {
    let mut facts = Vec::new();
    facts.extend(known.client.map(|client| format!("client {client}")));
    if let Some(tlvs) = known.tlvs {
        facts.extend(
            tlvs.each()
                .map(|(kind, value)| format!("tlv 0x{kind:02X} {:?}", String::from_utf8_lossy(value))),
        );
    }
    let name = |name: Option<&str>| name.map_or_else(|| "no sni".to_owned(), |name| format!("sni {name:?}"));
    match known.tls {
        Tls::Unknown if known.first.is_empty() => {}
        Tls::Unknown => facts.push("a ClientHello that is not whole, or too little to tell".to_owned()),
        Tls::Absent => facts.push("no tls".to_owned()),
        Tls::Hello { name: asked, offered } => {
            facts.extend(["tls".to_owned(), name(asked)]);
            if !offered.is_empty() {
                facts.push(format!("alpn {}", offered.join(", ").escape_debug()));
            }
        }
        Tls::Established { name: asked, alpn } => {
            facts.extend(["tls".to_owned(), name(asked)]);
            facts.extend(alpn.map(|alpn| format!("alpn {alpn} negotiated")));
        }
    }
    facts.extend(known.subject.map(|subject| format!("subject {subject:?}")));
    if !known.first.is_empty() && !matches!(known.tls, Tls::Hello { .. }) {
        facts.push(count(known.first.len(), "byte"));
    }
    if known.over {
        facts.push("no more to come".to_owned());
    }
    if facts.is_empty() {
        "nothing".to_owned()
    } else {
        facts.join(", ")
    }
}

/// `None` where it never is.
fn decryption(listener: &ListenerConfig, decrypted: &Decrypted, known: &Known<'_>) -> Option<String> {
    let strict = listener.tls.as_ref().is_some_and(|tls| tls.strict);
    let condition = match known.tls {
        Tls::Established { name: Some(name), .. } if strict => format!(", if a certificate is for {name:?} (strict)"),
        _ => String::new(),
    };
    match decrypted {
        Decrypted::Never => None,
        Decrypted::Unknown => Some("not known yet".to_owned()),
        Decrypted::Yes => Some(format!("yes{condition}")),
        Decrypted::OnRequest => Some(format!("once a filter has asked for it{condition}")),
        Decrypted::No(why) => Some(format!("no, {why}")),
        Decrypted::Failed(_) => Some("the handshake fails".to_owned()),
    }
}

fn write_steps(text: &mut String, explanation: &Explanation) -> fmt::Result {
    let steps = &explanation.steps;
    if steps.is_empty() {
        return writeln!(text, "  there are no routes");
    }
    let width = steps
        .iter()
        .map(|step| step.name.chars().count())
        .max()
        .unwrap_or_default();
    let digits = steps.len().to_string().len();
    for step in steps {
        let (word, why) = match &step.finding {
            Finding::Yes(reasons) if reasons.is_empty() => ("yes", "for any connection".to_owned()),
            Finding::Yes(reasons) => ("yes", reasons.join(", ")),
            Finding::No(reason) => ("no", reason.clone()),
            Finding::NeedMore(Awaited::Hello) => ("waits", "for the ClientHello".to_owned()),
            Finding::NeedMore(Awaited::FirstBytes) => ("waits", "for the first bytes".to_owned()),
        };
        let number = step.route + 1;
        writeln!(text, "  {number:>digits$}  {:<width$}  {word:<5}  {why}", step.name)?;
    }
    match explanation.not_looked_at {
        0 => Ok(()),
        1 => writeln!(text, "  {:digits$}  1 more route is not looked at", ""),
        more => writeln!(text, "  {:digits$}  {more} more routes are not looked at", ""),
    }
}

fn end(listener: &ListenerConfig, known: &Known<'_>, decided: Decided) -> End {
    let routed = |text, upstreams| End {
        text,
        is_routed: true,
        is_by_filter: false,
        upstreams,
    };
    let not_routed = |text: &str| End {
        text: text.to_owned(),
        is_routed: false,
        is_by_filter: false,
        upstreams: Vec::new(),
    };
    let target = match decided {
        Decided::Route(route) => &listener.routes[route].target,
        Decided::NeedMore => return not_routed("undecided: say more of the client, or --timed-out"),
        Decided::NoMatch => {
            return match &listener.upstream {
                Some(upstream) => routed(
                    format!("upstream \"{upstream}\", the listener's own"),
                    vec![upstream.clone()],
                ),
                None if listener.filters.is_empty() => {
                    not_routed("refused: no route is for it, and the listener has no upstream of its own")
                }
                None => not_routed("refused, unless a filter chooses: the listener has no upstream of its own"),
            };
        }
    };
    match target {
        RouteTarget::Upstream(upstream) => routed(format!("upstream \"{upstream}\""), vec![upstream.clone()]),
        RouteTarget::Split(all_shares) => {
            let all: u64 = all_shares.iter().map(|(_, share)| u64::from(*share)).sum();
            let share = |(name, share): &(String, u32)| format!("\"{name}\" ({share} of {all})");
            let shares: Vec<String> = all_shares.iter().map(share).collect();
            let possible = all_shares.iter().filter(|(_, share)| *share > 0);
            let upstreams = possible.map(|(name, _)| name.clone()).collect();
            routed(format!("one of the upstreams {}", shares.join(", ")), upstreams)
        }
        RouteTarget::Refuse(Refusal::Rst) => not_routed("refused, with RST"),
        RouteTarget::Refuse(Refusal::Alert) if matches!(known.tls, Tls::Hello { .. }) => {
            not_routed("refused, with the alert unrecognized_name and FIN")
        }
        RouteTarget::Refuse(Refusal::Alert | Refusal::Fin) => not_routed("refused, with FIN"),
    }
}

fn refuses(listener: &ListenerConfig, decided: Decided) -> bool {
    match decided {
        Decided::Route(route) => matches!(listener.routes[route].target, RouteTarget::Refuse(_)),
        Decided::NoMatch | Decided::NeedMore => false,
    }
}

/// What the route of such a connection depends on beyond what is known at once.
fn awaited(rules: &Rules, known: &Known<'_>) -> Option<Awaited> {
    let at_once = Known {
        first: First::Bytes(&[]),
        tls: Tls::Unknown,
        over: false,
        ..*known
    };
    match rules.explain(&at_once).steps.pop()?.finding {
        Finding::NeedMore(awaited) => Some(awaited),
        Finding::Yes(_) | Finding::No(_) => None,
    }
}

fn waiting(awaited: Awaited, listener: &ListenerConfig, known: &Known<'_>) -> String {
    let what = match (awaited, known.tls, &listener.tls) {
        (Awaited::Hello, Tls::Established { .. }, Some(tls)) => {
            return format!("the TLS handshake (at most {:?})", tls.timeout);
        }
        (Awaited::Hello, ..) => "the ClientHello",
        (Awaited::FirstBytes, ..) => "the client's first bytes",
    };
    let Detection { timeout, longest, .. } = listener.detection;
    format!("{what} (at most {timeout:?}, {})", size(longest))
}

fn size(bytes: usize) -> String {
    if bytes.is_multiple_of(1 << 10) {
        format!("{}KiB", bytes >> 10)
    } else {
        count(bytes, "byte")
    }
}
