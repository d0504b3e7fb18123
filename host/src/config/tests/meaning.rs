use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::super::load::parse;
use super::super::{
    Accept, AccessLogConfig, Address, AtBudget, AtLimit, Balance, Connect, Discovery, Drain, FilterLimits, Grant,
    Health, Keepalive, Limits, ListenAddress, LoadError, LogField, LogFormat, OnDown, OnError, Passive, Queue,
    Resolver, Retire, Retries, ServerConfig, ServerPlace, TemplatePart, TimeoutChanges, Timeouts, UpstreamConfig,
    Vigilance, defaults, load,
};
use super::{COMPLETE, LEAST, accepted, seconds};

#[test]
fn every_key_arrives() {
    let config = accepted(COMPLETE);
    assert_eq!(config.workers, NonZeroUsize::new(2));
    assert_eq!(
        config.limits,
        Limits {
            connections: Some(20_000),
            connections_per_client: Some(100),
            rate: Some(1_000),
            rate_per_client: Some(10),
            ipv6_prefix: 56,
            at_limit: AtLimit::Queue(seconds(2)),
        }
    );
    assert_eq!(
        config.drain,
        Drain {
            soft: Some(seconds(5)),
            spread: Duration::ZERO,
            hard: Some(seconds(60)),
        }
    );
    let text = |text: &str| TemplatePart::Text(text.to_owned());
    assert_eq!(
        config.access_log,
        Some(AccessLogConfig {
            file: Some("/etc/spliceway/access.log".into()),
            format: LogFormat::Template(vec![
                TemplatePart::Field(LogField::Time),
                text(" {"),
                TemplatePart::Field(LogField::Client),
                text("} "),
                TemplatePart::Field(LogField::Outcome),
            ]),
            open: true,
            every: Some(seconds(300)),
        })
    );
    assert_eq!(
        config.resolver,
        Resolver {
            nameservers: vec!["10.0.0.53:53".parse().unwrap(), "[2001:db8::53]:5353".parse().unwrap()],
            timeout: seconds(1),
        }
    );

    let router = &config.filters[0];
    assert_eq!(router.name, "router");
    assert_eq!(router.source, "/etc/spliceway/filters/router.wasm".into());
    assert_eq!(
        router.config,
        json!({
            "default": "blue",
            "since": "1979-05-27T07:32:00Z",
            "share": 0.5,
            "big": u64::MAX,
            "tags": ["a", {}],
        })
    );
    assert_eq!(router.on_error, OnError::Pass);
    assert_eq!(router.sessions_per_instance, 16);
    let (call, init) = (Duration::from_millis(5), Duration::from_secs(10));
    assert_eq!(
        router.limits,
        FilterLimits {
            memory: 1 << 20,
            call,
            init,
            output: 4 << 20,
            log_lines: 0,
            metrics: 1024,
            store_entries: 10_000_000,
            store_bytes: 1 << 30,
        }
    );
    assert_eq!(router.at_budget, AtBudget::Refuse);
    let retire = Retire {
        age: Some(seconds(24 * 3600)),
        sessions: Some(1_000_000),
        memory: Some(512 << 10),
    };
    assert_eq!(router.retire, retire);
    assert_eq!(router.grants, Grant::ALL);

    let blue = &config.upstreams[0];
    assert_eq!((blue.name.as_str(), blue.balance), ("blue", Balance::LeastConnections));
    let server = |address: &str| ServerConfig::from(address.parse::<Address>().unwrap());
    assert_eq!(
        blue.servers,
        [
            server("10.0.0.1:5432"),
            ServerConfig {
                weight: 256,
                max_connections: Some(100),
                ..server("[2001:db8::1]:5432")
            },
            ServerConfig::from(Address::Unix("/run/x.sock".into())),
            ServerConfig {
                backup: true,
                ..server("db.example:5432")
            },
            ServerConfig {
                place: ServerPlace::Srv("_postgres._tcp.example.org".to_owned()),
                weight: 1,
                max_connections: Some(u32::MAX),
                backup: false,
            },
        ]
    );
    assert_eq!(blue.connect, Connect::FirstByte);
    assert_eq!(blue.retries, Retries { count: 2, budget: 10 });
    assert_eq!(
        blue.queue,
        Queue {
            length: 100,
            timeout: seconds(1),
        }
    );
    let sources: [IpAddr; 2] = ["10.0.0.5".parse().unwrap(), "2001:db8::5".parse().unwrap()];
    assert_eq!(blue.source, sources);
    assert_eq!(
        blue.health,
        Some(Health {
            interval: seconds(5),
            fast_interval: seconds(2),
            timeout: Duration::from_millis(1_500),
            rise: 1,
            fall: 100,
            send: b"PING\r\n".to_vec(),
            expect: b"+PONG".to_vec(),
            port: Some(8080),
            starts_up: true,
        })
    );
    assert_eq!(
        blue.passive,
        Some(Passive {
            failures: 3,
            ejection: seconds(5),
            longest_ejection: seconds(60),
        })
    );
    assert_eq!((blue.slow_start, blue.panic), (seconds(30), 50));
    assert_eq!((blue.on_down, blue.preconnect), (OnDown::Drain, 0));
    assert_eq!(
        blue.discovery,
        Discovery {
            must_resolve: false,
            shortest: seconds(5),
            longest: seconds(600),
        }
    );
    assert_eq!(
        blue.timeouts,
        TimeoutChanges {
            connect: Some(Some(seconds(2))),
            first_byte: Some(Some(seconds(30))),
            idle: Some(Some(seconds(600))),
            half_closed: Some(Some(seconds(30))),
            stall: Some(Some(seconds(60))),
            lifetime: Some(None),
        }
    );
    assert_eq!(
        blue.vigilance,
        Vigilance {
            keepalive: Some(Keepalive {
                idle: seconds(30),
                interval: seconds(5),
                count: 3,
            }),
            user_timeout: Some(seconds(300)),
        }
    );

    let postgres = &config.listeners[0];
    assert_eq!(postgres.name, "postgres");
    assert_eq!(postgres.address, ListenAddress::Socket("[::]:5432".parse().unwrap()));
    assert_eq!(postgres.filters, ["router", "audit"]);
    assert_eq!(postgres.upstream.as_deref(), Some("blue"));
    assert_eq!(
        postgres.timeouts,
        Timeouts {
            connect: Some(Duration::from_millis(250)),
            route: None,
            first_byte: Some(seconds(60)),
            idle: Some(seconds(5_400)),
            half_closed: Some(seconds(10)),
            stall: None,
            lifetime: Some(seconds(8 * 3_600)),
        }
    );
    assert_eq!(
        postgres.limits,
        Limits {
            connections: Some(1),
            connections_per_client: Some(u32::MAX),
            rate: Some(2),
            rate_per_client: Some(3),
            ipv6_prefix: 128,
            at_limit: AtLimit::Rst,
        }
    );
    assert_eq!(postgres.accept, Accept::Shared);
    assert_eq!(
        postgres.vigilance,
        Vigilance {
            keepalive: None,
            user_timeout: None,
        }
    );
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = accepted(COMPLETE);
    let audit = &config.filters[1];
    assert_eq!(audit.source, "/opt/audit.wasm".into());
    assert_eq!(audit.config, json!(null));
    assert_eq!(audit.on_error, OnError::Close);
    assert_eq!(audit.limits, defaults::FILTER_LIMITS);
    assert_eq!(audit.sessions_per_instance, defaults::SESSIONS_PER_INSTANCE);
    assert_eq!(config.listeners[1].timeouts, defaults::TIMEOUTS);
    assert_eq!(config.listeners[1].upstream, None);
    assert_eq!(config.listeners[1].limits, defaults::LIMITS);
    assert_eq!(config.listeners[1].accept, Accept::Groups);
    assert_eq!(config.listeners[1].vigilance, defaults::VIGILANCE);
    let second = &config.upstreams[1];
    assert_eq!((second.retries.count, second.preconnect), (0, 1024));
    assert_eq!(second.retries.budget, defaults::RETRIES.budget);

    let least = accepted(LEAST);
    let server = ServerConfig::from("a:1".parse::<Address>().unwrap());
    assert_eq!(least.upstreams, [UpstreamConfig::new("a", vec![server])]);
    assert_eq!(least.workers, None);
    assert!(least.filters.is_empty());
    assert_eq!(least.limits, defaults::LIMITS);
    assert_eq!(least.drain, defaults::DRAIN);
    assert_eq!(least.resolver, defaults::RESOLVER);
    assert_eq!(least.access_log, None);
    assert_eq!(least.metrics, None);
}

#[test]
fn an_empty_table_means_every_default() {
    let config = accepted(
        "upstreams.a = { servers = ['a:1'], timeouts = {}, keepalive = {}, retries = {}, dns = {}, health = {}, \
         passive = {} }\nupstreams.b = { servers = [{ address = 'b:1', max-connections = 1 }], queue = {} }\n[limits]\n[drain]\n\
         [[listeners]]\nname = 'a'\naddress = ':1'\nupstream = 'a'\ntimeouts = {}\nlimits = {}\nkeepalive = {}\n",
    );
    assert_eq!(config.limits, defaults::LIMITS);
    assert_eq!(config.drain, defaults::DRAIN);
    assert_eq!(config.upstreams[0].timeouts, TimeoutChanges::default());
    assert_eq!(config.upstreams[0].vigilance, defaults::VIGILANCE);
    assert_eq!(config.upstreams[0].retries, defaults::RETRIES);
    assert_eq!(config.upstreams[0].discovery, defaults::DISCOVERY);
    assert_eq!(config.upstreams[0].health, Some(defaults::HEALTH));
    assert_eq!(config.upstreams[0].passive, Some(defaults::PASSIVE));
    assert_eq!(config.upstreams[1].queue, defaults::QUEUE);
    assert_eq!(config.listeners[0].timeouts, defaults::TIMEOUTS);
    assert_eq!(config.listeners[0].limits, defaults::LIMITS);
    assert_eq!(config.listeners[0].vigilance, defaults::VIGILANCE);
}

#[test]
fn the_order_is_that_of_the_file() {
    let names: Vec<String> = accepted(COMPLETE)
        .upstreams
        .into_iter()
        .map(|upstream| upstream.name)
        .collect();
    assert_eq!(names, ["blue", "a-second", "onwards"]);
}

#[test]
fn listeners_on_port_0_are_no_duplicates() {
    accepted(
        "[filters.f]\nsource = 'f'\n\
         [[listeners]]\nname = 'a'\naddress = '[::1]:0'\nfilters = ['f']\n\
         [[listeners]]\nname = 'b'\naddress = '[::1]:0'\nfilters = ['f']\n",
    );
}

#[test]
fn a_file_that_cannot_be_read_is_one_line() {
    let missing = load(Path::new("/nowhere/proxy.toml")).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "cannot read /nowhere/proxy.toml: No such file or directory (os error 2)"
    );

    let path = std::env::temp_dir().join(format!("spliceway-latin1-{}.toml", std::process::id()));
    std::fs::write(&path, b"# first\n# caf\xe9\n").unwrap();
    let latin1 = load(&path).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        latin1.to_string(),
        format!("cannot read {}: line 2 is not UTF-8", path.display())
    );
    assert!(!matches!(latin1, LoadError::Invalid(_)));
}

#[test]
fn colour_is_for_those_who_ask() {
    let problems = parse(Path::new("proxy.toml"), "worker = 1").unwrap_err();
    assert_eq!(problems.count(), 2);
    assert!(problems.render(true).contains("\x1b["));
    assert!(!problems.render(false).contains('\x1b'));
    assert_eq!(problems.render(false), problems.to_string());
}
