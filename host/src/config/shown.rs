//! A configuration as it is meant, in the words of a file: for people who ask what is in force, and never for reading it back.
//! What filters are given is left out, since nobody knows whether there is a secret in it.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::rate::Rate;
use super::units::{Size, period};
use super::word::{Word, Words};
use super::{
    AccessLogConfig, AdminConfig, CaptureConfig, Config, FaultConfig, FaultKind, FilterConfig, Health, Limits,
    ListenerConfig, ListenerSocket, LogFormat, Pull, RouteConfig, RouteTarget, ServerConfig, ServerPlace, SocketFile,
    SocketOptions, TemplatePart, TimeoutChanges, Timeouts, TlsIn, TlsOut, TreatmentConfig, Trusted, UpstreamConfig,
    Vigilance, WHOLE,
};

impl Config {
    /// Keys are those of a file; what is not there is left out.
    pub fn shown(&self) -> Json {
        let by_name = |named: Vec<(&str, Json)>| -> Json {
            named
                .into_iter()
                .map(|(name, shown)| (name.to_owned(), shown))
                .collect::<Map<_, _>>()
                .into()
        };
        let filters = self.filters.iter();
        let upstreams = self.upstreams.iter();
        let listeners = self.listeners.iter();
        there(json!({
            "workers": self.workers,
            "filters": by_name(filters.map(|config| (&*config.name, filter(config))).collect()),
            "upstreams": by_name(upstreams.map(|config| (&*config.name, upstream(config))).collect()),
            "listeners": listeners.map(listener).collect::<Vec<_>>(),
            "limits": limits(&self.limits),
            "drain": {
                "soft": timeout(self.drain.soft),
                "spread": period(self.drain.spread),
                "hard": timeout(self.drain.hard),
            },
            "access-log": self.access_log.as_ref().map(access_log),
            "resolver": {
                "nameservers": self.resolver.nameservers,
                "timeout": period(self.resolver.timeout),
            },
            "metrics": self.metrics.as_ref().map(|address| json!({ "address": address.to_string() })),
            "telemetry": self.telemetry.as_ref().map(|config| json!({
                "endpoint": config.endpoint,
                "traces": percent(config.traces),
                "logs": config.logs,
            })),
            "admin": self.admin.as_ref().map(admin),
            "toxiproxy": self.toxiproxy.as_ref().map(|address| json!({ "listen": address.to_string() })),
            "registries": {
                "cache": self.registries.cache,
                "insecure": self.registries.insecure,
                "authorities": self.registries.authorities,
            },
        }))
    }
}

fn filter(config: &FilterConfig) -> Json {
    let limits = config.limits.as_typed().into_iter();
    let pull = match config.pull {
        Pull::IfAbsent => json!("if-absent"),
        Pull::Always => json!("always"),
        Pull::Every(every) => json!({ "every": period(every) }),
    };
    there(json!({
        "source": config.source.to_string(),
        "pull": pull,
        "on-error": word(config.on_error),
        "sessions-per-instance": config.sessions_per_instance,
        "at-budget": word(config.at_budget),
        "retire": {
            "age": timeout(config.retire.age),
            "sessions": config.retire.sessions.unwrap_or(0),
            "memory": Size(config.retire.watermark(config.limits.memory)).to_string(),
        },
        "grants": config.grants.iter().map(|grant| grant.name()).collect::<Vec<_>>(),
        "limits": limits.map(|(key, value)| (key.to_owned(), value.into())).collect::<Map<_, _>>(),
        "canary": config.canary.as_ref().map(|canary| json!({
            "share": percent(canary.share),
            "clients": canary.clients.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "time": period(canary.time),
            "connections": canary.connections,
            "failures": canary.failures,
            "margin": percent(canary.margin),
        })),
        "quarantine": config.quarantine.map(|quarantine| json!({
            "failures": quarantine.failures,
            "within": period(quarantine.within),
            "retry-after": period(quarantine.retry_after),
        })),
    }))
}

fn upstream(config: &UpstreamConfig) -> Json {
    there(json!({
        "balance": word(config.balance),
        "connect": word(config.connect),
        "servers": (!config.servers.is_empty()).then(|| config.servers.iter().map(server).collect::<Vec<_>>()),
        "original-destination": config.original_destination.as_ref().map(|allowed| match allowed.is_empty() {
            true => json!(true),
            false => json!(allowed.iter().map(ToString::to_string).collect::<Vec<_>>()),
        }),
        "timeouts": timeout_changes(&config.timeouts),
        "keepalive": keepalive(&config.vigilance),
        "user-timeout": timeout(config.vigilance.user_timeout),
        "socket": config.socket.as_ref().map(|socket| {
            socket_options(&socket.options, json!({ "fast-open": socket.fast_open.then_some(true) }))
        }),
        "proxy-protocol": config.proxy_protocol.as_ref().map(|proxy| json!({
            "version": word(proxy.version),
            "tlvs": proxy.tlvs.iter().map(|tlv| word(*tlv)).collect::<Vec<_>>(),
            "pass": proxy.pass.iter().map(|kind| format!("{kind:#04x}")).collect::<Vec<_>>(),
        })),
        "tls": config.tls.as_ref().map(tls_out),
        "retries": { "count": config.retries.count, "budget": percent(config.retries.budget) },
        "queue": { "length": config.queue.length, "timeout": period(config.queue.timeout) },
        "preconnect": config.preconnect,
        "source": match config.as_client {
            true => json!("client"),
            false => json!(config.source),
        },
        "health": config.health.as_ref().map(health),
        "passive": config.passive.map(|passive| json!({
            "failures": passive.failures,
            "ejection": period(passive.ejection),
            "longest-ejection": period(passive.longest_ejection),
        })),
        "slow-start": period(config.slow_start),
        "panic": percent(config.panic.into()),
        "on-down": word(config.on_down),
        "dns": {
            "at-start": if config.discovery.must_resolve { "must-resolve" } else { "later" },
            "shortest": period(config.discovery.shortest),
            "longest": period(config.discovery.longest),
        },
        "treatment": treatment(&config.treatment),
    }))
}

fn server(config: &ServerConfig) -> Json {
    let (address, srv) = match &config.place {
        ServerPlace::Address(address) => (Some(address.to_string()), None),
        ServerPlace::Srv(name) => (None, Some(name)),
    };
    there(json!({
        "address": address,
        "srv": srv,
        "weight": config.weight,
        "max-connections": config.max_connections,
        "backup": config.backup,
    }))
}

fn health(config: &Health) -> Json {
    there(json!({
        "interval": period(config.interval),
        "fast-interval": period(config.fast_interval),
        "timeout": period(config.timeout),
        "rise": config.rise,
        "fall": config.fall,
        "send": String::from_utf8_lossy(&config.send),
        "expect": String::from_utf8_lossy(&config.expect),
        "port": config.port,
        "start": if config.starts_up { "up" } else { "unknown" },
    }))
}

fn listener(config: &ListenerConfig) -> Json {
    there(json!({
        "name": config.name,
        "address": config.address.to_string(),
        "filters": config.filters,
        "upstream": config.upstream,
        "timeouts": timeouts(&config.timeouts),
        "limits": limits(&config.limits),
        "accept": word(config.accept),
        "keepalive": keepalive(&config.vigilance),
        "user-timeout": timeout(config.vigilance.user_timeout),
        "transparent": config.transparent.map(word),
        "socket": has_options(&config.socket).then(|| {
            let socket = &config.socket;
            let own = json!({ "defer-accept": socket.defer_accept.map(period), "fast-open": socket.fast_open });
            socket_options(&socket.options, own)
        }),
        "socket-file": socket_file(config.socket_file),
        "proxy-protocol": config.proxy_protocol.as_ref().map(|proxy| json!({
            "required": proxy.required,
            "trusted": trusted(&proxy.trusted),
            "timeout": period(proxy.timeout),
            "max-length": size(proxy.longest),
        })),
        "routes": config.routes.iter().map(route).collect::<Vec<_>>(),
        "detection": {
            "timeout": period(config.detection.timeout),
            "max-bytes": size(config.detection.longest),
            "max-records": config.detection.records,
        },
        "tls": config.tls.as_ref().map(tls_in),
        "treatment": treatment(&config.treatment),
    }))
}

fn route(config: &RouteConfig) -> Json {
    let texts = |texts: Vec<String>| (!texts.is_empty()).then_some(texts);
    let (upstream, split, refuse) = match &config.target {
        RouteTarget::Upstream(name) => (Some(name), None, None),
        RouteTarget::Split(shares) => (None, Some(shares), None),
        RouteTarget::Refuse(refusal) => (None, None, Some(word(*refusal))),
    };
    let split = split.map(|shares| {
        let shares = shares.iter();
        shares
            .map(|(upstream, weight)| json!({ "upstream": upstream, "weight": weight }))
            .collect::<Vec<_>>()
    });
    let tlvs = config.tlvs.iter().map(|tlv| {
        let value = tlv.value.as_ref().map(ToString::to_string);
        there(json!({ "type": format!("{:#04x}", tlv.kind), "value": value }))
    });
    let tlvs: Vec<_> = tlvs.collect();
    there(json!({
        "name": config.name,
        "sni": texts(config.sni.iter().map(ToString::to_string).collect()),
        "alpn": texts(config.alpn.clone()),
        "protocol": texts(config.protocol.iter().map(|protocol| word(*protocol).to_owned()).collect()),
        "client": config.client.as_ref().map(trusted),
        "destination": texts(config.destination.iter().map(ToString::to_string).collect()),
        "proxy-tlv": (!tlvs.is_empty()).then_some(tlvs),
        "subject": texts(config.subject.iter().map(ToString::to_string).collect()),
        "upstream": upstream,
        "split": split,
        "refuse": refuse,
        "treatment": treatment(&config.treatment),
    }))
}

/// As it is typed.
pub fn shown_treatment(config: &TreatmentConfig) -> Json {
    treatment(config).unwrap_or_else(|| json!({}))
}

/// `None` where nothing is done.
fn treatment(config: &TreatmentConfig) -> Option<Json> {
    let rate = |rate: Option<u64>| rate.map(|rate| Rate(rate).to_string());
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| Size(bytes).to_string());
    let bandwidth = config.bandwidth.iter().map(|bandwidth| {
        there(json!({
            "up": rate(bandwidth.up),
            "down": rate(bandwidth.down),
            "per": word(bandwidth.per),
            "burst": bytes(bandwidth.burst),
        }))
    });
    let quotas = config.quotas.iter().map(|quota| {
        there(json!({
            "connections": quota.connections,
            "bytes": bytes(quota.bytes),
            "every": period(quota.every),
            "per": word(quota.per),
        }))
    });
    let mirrors = config.mirrors.iter().map(|mirror| {
        json!({
            "upstream": mirror.upstream,
            "direction": word(mirror.directions),
            "share": percent(mirror.share),
            "seed": mirror.seed,
            "lag": size(mirror.lag),
            "compare": mirror.compare,
        })
    });
    (!config.is_nothing()).then(|| {
        there(json!({
            "bandwidth": several(bandwidth),
            "quota": several(quotas),
            "capture": several(config.captures.iter().map(capture)),
            "faults": several(config.faults.iter().map(fault)),
            "mirror": several(mirrors),
        }))
    })
}

fn capture(config: &CaptureConfig) -> Json {
    let files = &config.files;
    there(json!({
        "directory": files.directory,
        "format": word(files.format),
        "legs": word(config.legs),
        "snap": Size(config.snap as u64).to_string(),
        "file-size": Size(files.size).to_string(),
        "files": files.count,
        "longest": config.longest.map(period),
        "bytes": config.bytes.map(|bytes| Size(bytes).to_string()),
        "share": format!("{}%", config.share),
        "only": config.only.map(word),
    }))
}

fn fault(config: &FaultConfig) -> Json {
    let mut shown = json!({
        "kind": config.kind.name(),
        "direction": config.direction.map_or_else(|| "both".to_owned(), |direction| direction.to_string()),
        "share": millionths(config.share),
        "seed": config.seed,
    });
    let own = match config.kind {
        FaultKind::Latency {
            latency,
            jitter,
            distribution,
        } => json!({
            "latency": period(latency),
            "jitter": period(jitter),
            "distribution": word(distribution),
        }),
        FaultKind::Bandwidth { rate } => json!({ "rate": Rate(rate).to_string() }),
        FaultKind::SlowClose { delay } => json!({ "delay": period(delay) }),
        FaultKind::Timeout { timeout: after } => json!({ "timeout": timeout(after) }),
        FaultKind::ResetPeer { timeout: after, bytes } => json!({
            "timeout": timeout(Some(after).filter(|after| !after.is_zero())),
            "bytes": Size(bytes).to_string(),
        }),
        FaultKind::Slicer {
            average,
            variation,
            delay,
        } => json!({
            "average-size": Size(average).to_string(),
            "size-variation": Size(variation).to_string(),
            "delay": period(delay),
        }),
        FaultKind::LimitData { bytes } => json!({ "bytes": Size(bytes).to_string() }),
        FaultKind::Corrupt { one_in } => json!({ "one-in": one_in }),
        FaultKind::Refuse { reset } => json!({ "with": if reset { "rst" } else { "fin" } }),
        FaultKind::Down => json!({}),
    };
    if let (Json::Object(shown), Json::Object(own)) = (&mut shown, own) {
        shown.extend(own);
    }
    there(shown)
}

/// `None` where there is none.
fn several(shown: impl Iterator<Item = Json>) -> Option<Vec<Json>> {
    Some(shown.collect::<Vec<_>>()).filter(|shown| !shown.is_empty())
}

fn tls_in(config: &TlsIn) -> Json {
    let certificates = config.certificates.iter();
    there(json!({
        "certificates": certificates
            .map(|files| json!({ "chain": files.chain, "key": files.key }))
            .collect::<Vec<_>>(),
        "strict": config.strict,
        "start": word(config.start),
        "passthrough": config.passthrough.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "client-auth": config.client_auth.as_ref().map(|auth| there(json!({
            "authorities": auth.authorities,
            "required": auth.required,
            "revocations": auth.revocations,
        }))),
        "alpn": config.alpn,
        "min-version": word(config.min_version),
        "timeout": period(config.timeout),
        "max-handshakes": config.handshakes,
    }))
}

fn tls_out(config: &TlsOut) -> Json {
    let certificate = config.certificate.as_ref();
    there(json!({
        "verify": config.verify,
        "name": config.name,
        "authorities": config.authorities,
        "certificate": certificate.map(|files| json!({ "chain": files.chain, "key": files.key })),
        "alpn": config.alpn,
        "min-version": word(config.min_version),
    }))
}

fn access_log(config: &AccessLogConfig) -> Json {
    let format = match &config.format {
        LogFormat::Json => "json".to_owned(),
        LogFormat::Template(parts) => parts.iter().map(part).collect(),
    };
    there(json!({
        "file": config.file,
        "format": format,
        "open": config.open,
        "every": config.every.map(period),
    }))
}

fn part(part: &TemplatePart) -> String {
    match part {
        TemplatePart::Text(text) => text.replace('{', "{{").replace('}', "}}"),
        TemplatePart::Field(field) => format!("{{{}}}", field.name()),
    }
}

fn admin(config: &AdminConfig) -> Json {
    there(json!({
        "listen": config.address.to_string(),
        "socket-file": socket_file(config.socket_file),
        "token-file": config.token_file,
    }))
}

fn limits(limits: &Limits) -> Json {
    there(json!({
        "connections": limits.connections,
        "connections-per-client": limits.connections_per_client,
        "rate": limits.rate,
        "rate-per-client": limits.rate_per_client,
        "ipv6-prefix": limits.ipv6_prefix,
        "at-limit": limits.at_limit.to_string(),
    }))
}

fn timeouts(timeouts: &Timeouts) -> Json {
    json!({
        "connect": timeout(timeouts.connect),
        "route": timeout(timeouts.route),
        "first-byte": timeout(timeouts.first_byte),
        "idle": timeout(timeouts.idle),
        "half-closed": timeout(timeouts.half_closed),
        "stall": timeout(timeouts.stall),
        "lifetime": timeout(timeouts.lifetime),
    })
}

fn timeout_changes(changes: &TimeoutChanges) -> Json {
    there(json!({
        "connect": changes.connect.map(timeout),
        "first-byte": changes.first_byte.map(timeout),
        "idle": changes.idle.map(timeout),
        "half-closed": changes.half_closed.map(timeout),
        "stall": changes.stall.map(timeout),
        "lifetime": changes.lifetime.map(timeout),
    }))
}

fn keepalive(vigilance: &Vigilance) -> Json {
    match vigilance.keepalive {
        None => json!("off"),
        Some(keepalive) => json!({
            "idle": period(keepalive.idle),
            "interval": period(keepalive.interval),
            "count": keepalive.count,
        }),
    }
}

/// Whether its table says anything.
fn has_options(socket: &ListenerSocket) -> bool {
    let none = ListenerSocket {
        is_transparent: socket.is_transparent,
        ..ListenerSocket::default()
    };
    *socket != none
}

/// With what one end alone has.
fn socket_options(options: &SocketOptions, own: Json) -> Json {
    let size = |bytes: Option<u32>| bytes.map(|bytes| Size(bytes.into()).to_string());
    let mut shown = json!({
        "receive-buffer": size(options.receive_buffer),
        "send-buffer": size(options.send_buffer),
        "congestion-control": options.congestion_control,
        "notsent-lowat": size(options.notsent_lowat),
        "dscp": options.dscp,
        "mark": options.mark,
        "device": options.device,
        "mss": options.mss,
        "freebind": options.freebind.then_some(true),
    });
    if let (Json::Object(all), Json::Object(own)) = (&mut shown, own) {
        all.extend(own);
    }
    there(shown)
}

fn socket_file(file: SocketFile) -> Option<Json> {
    let shown = there(json!({
        "mode": file.mode.map(|mode| format!("{mode:04o}")),
        "owner": file.owner,
        "group": file.group,
    }));
    (file != SocketFile::default()).then_some(shown)
}

fn trusted(trusted: &Trusted) -> Vec<String> {
    let networks = trusted.networks.iter().map(ToString::to_string);
    networks.chain(trusted.unix.then(|| "unix".to_owned())).collect()
}

/// Without what is null.
fn there(mut shown: Json) -> Json {
    if let Json::Object(entries) = &mut shown {
        entries.retain(|_, value| !value.is_null());
    }
    shown
}

fn word<T: Words>(value: T) -> &'static str {
    Word::of(value)
}

/// For ever is 0, as it is typed.
fn timeout(timeout: Option<Duration>) -> String {
    timeout.map_or_else(|| "0".to_owned(), period)
}

fn size(bytes: usize) -> String {
    Size(bytes as u64).to_string()
}

/// What a file cannot say Toxiproxy's clients can: a part of a hundredth.
fn millionths(share: u32) -> String {
    format!("{}%", f64::from(share) * 100.0 / f64::from(WHOLE))
}

fn percent(hundredths: u32) -> String {
    format!("{hundredths}%")
}

#[cfg(test)]
mod tests {
    use super::super::tests::complete;

    #[test]
    fn what_is_meant_is_shown_without_what_filters_are_given() {
        let shown = complete().shown();
        assert_eq!(shown["upstreams"]["blue"]["timeouts"]["half-closed"], "30s");
        assert_eq!(shown["upstreams"]["blue"]["servers"][1]["weight"], 256);
        assert_eq!(shown["listeners"][0]["timeouts"]["route"], "0");
        assert_eq!(shown["listeners"][0]["limits"]["at-limit"], "rst");
        assert_eq!(shown["limits"]["at-limit"], "queue(2s)");
        assert_eq!(shown["access-log"]["format"], "{time} {{{client}}} {outcome}");
        assert_eq!(shown["admin"]["token-file"], "/etc/spliceway/admin.token");
        assert_eq!(shown["filters"]["router"]["config"], serde_json::Value::Null);
        assert_eq!(
            shown["listeners"][1]["tls"]["client-auth"]["revocations"],
            "/etc/spliceway/crl.pem"
        );
        assert_eq!(shown["listeners"][1]["routes"][0]["proxy-tlv"][0]["type"], "0xea");
    }
}
