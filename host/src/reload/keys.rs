//! Which keys of two tables differ, as they are typed.

use std::collections::HashMap;

use crate::config::{Config, FilterConfig, ListenerConfig, RouteConfig, ServerConfig, UpstreamConfig};

/// The names of the fields that differ, with dashes.
macro_rules! differing {
    ($old:expr, $new:expr; $($name:literal = $($field:ident),+;)*) => {{
        let mut keys: Vec<String> = Vec::new();
        $(if $($old.$field != $new.$field)||+ { keys.push($name.to_owned()); })*
        keys
    }};
}

/// What is there once, and whether it differs.
pub fn settings(old: &Config, new: &Config) -> [(&'static str, bool); 10] {
    [
        ("limits", old.limits != new.limits),
        ("drain", old.drain != new.drain),
        ("access-log", old.access_log != new.access_log),
        ("resolver", old.resolver != new.resolver),
        ("metrics", old.metrics != new.metrics),
        ("admin", old.admin != new.admin),
        ("toxiproxy", old.toxiproxy != new.toxiproxy),
        ("registries", old.registries != new.registries),
        ("trust", old.trust != new.trust),
        ("reload", old.watch != new.watch),
    ]
}

/// Routes are told by themselves.
pub fn listener_keys(old: &ListenerConfig, new: &ListenerConfig) -> Vec<String> {
    differing!(old, new;
        "address" = address;
        "filters" = filters;
        "upstream" = upstream;
        "timeouts" = timeouts;
        "limits" = limits;
        "keepalive or user-timeout" = vigilance;
        "transparent" = transparent;
        "socket" = socket;
        "proxy-protocol" = proxy_protocol;
        "detection" = detection;
        "tls" = tls;
        "treatment" = treatment;
        "on-change" = on_change;
    )
}

/// What a socket is made with: it stays what it is for as long as it is at the same address.
pub fn socket_keys(old: &ListenerConfig, new: &ListenerConfig) -> Vec<String> {
    if old.address != new.address {
        return Vec::new();
    }
    differing!(old, new;
        "accept" = accept;
        "socket-file" = socket_file;
    )
}

/// What a filter's generations share is made once.
pub fn table_keys(old: &FilterConfig, new: &FilterConfig) -> Vec<String> {
    let (old, new) = (&old.limits, &new.limits);
    differing!(old, new;
        "limits.log-lines" = log_lines;
        "limits.metrics" = metrics;
        "limits.store-entries" = store_entries;
        "limits.store-bytes" = store_bytes;
    )
}

pub fn route_keys(old: &RouteConfig, new: &RouteConfig) -> Vec<String> {
    differing!(old, new;
        "sni" = sni;
        "alpn" = alpn;
        "protocol" = protocol;
        "client" = client;
        "destination" = destination;
        "proxy-tlv" = tlvs;
        "subject" = subject;
        "where it leads" = target;
        "treatment" = treatment;
        "on-change" = on_change;
    )
}

pub fn filter_keys(old: &FilterConfig, new: &FilterConfig) -> Vec<String> {
    differing!(old, new;
        "source" = source, digest;
        "pull" = pull;
        "config" = config;
        "on-error" = on_error;
        "limits" = limits;
        "sessions-per-instance" = sessions_per_instance;
        "at-budget" = at_budget;
        "retire" = retire;
        "grants" = grants;
        "canary" = canary;
        "quarantine" = quarantine;
    )
}

pub fn upstream_keys(old: &UpstreamConfig, new: &UpstreamConfig) -> Vec<String> {
    let mut keys = servers(&old.servers, &new.servers);
    keys.extend(differing!(old, new;
        "balance" = balance;
        "timeouts" = timeouts;
        "keepalive or user-timeout" = vigilance;
        "socket" = socket;
        "proxy-protocol" = proxy_protocol;
        "tls" = tls;
        "connect" = connect;
        "retries" = retries;
        "queue" = queue;
        "preconnect" = preconnect;
        "original-destination" = original_destination;
        "source" = source, as_client;
        "health" = health;
        "passive" = passive;
        "slow-start" = slow_start;
        "panic" = panic;
        "on-down" = on_down;
        "dns" = discovery;
        "treatment" = treatment;
        "on-change" = on_change;
    ));
    keys
}

/// How many there are on one line.
const TOLD: usize = 8;

fn servers(old: &[ServerConfig], new: &[ServerConfig]) -> Vec<String> {
    let mut before: HashMap<String, Vec<&ServerConfig>> = HashMap::new();
    for server in old.iter().rev() {
        before.entry(server.place.to_string()).or_default().push(server);
    }
    let mut told = Vec::new();
    for server in new {
        let place = server.place.to_string();
        match before.get_mut(&place).and_then(Vec::pop) {
            None => told.push(format!("+{place}")),
            Some(old) if old == server => {}
            Some(_) => told.push(format!("~{place}")),
        }
    }
    for server in old {
        let place = server.place.to_string();
        if before.get_mut(&place).and_then(Vec::pop).is_some() {
            told.push(format!("-{place}"));
        }
    }
    if told.is_empty() {
        return match old == new {
            true => Vec::new(),
            false => vec!["the order of its servers".to_owned()],
        };
    }
    let more = told.len().saturating_sub(TOLD);
    told.truncate(TOLD);
    if more > 0 {
        told.push(format!("and {more} more servers"));
    }
    told
}
