//! What is said of a proxy agrees: the page of metrics with the access log, with its document, with what Prometheus' own tools
//! want, and with the dashboard that asks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use spliceway_tests::artifacts::{guest, workspace};
use spliceway_tests::bytes::pattern;
use spliceway_tests::command::{Finished, lasting, run};
use spliceway_tests::exposition::{Family, Page, Sample};
use spliceway_tests::hello::Hello;
use spliceway_tests::ports::Port;
use spliceway_tests::servers::Prometheus;
use spliceway_tests::{Client, DEADLINE, Peer, Proxy, Upstream, alone, eventually};

/// Moved in one connection: enough to be spliced, whatever the sockets' buffers hold.
const BULK: usize = 8 << 20;

const METERS: &str = r#"metrics = [
    { kind = "counter", name = "seen_bytes", help = "Bytes." },
    { kind = "gauge", name = "last_bytes", help = "The last chunk." },
    { kind = "histogram", name = "chunk_bytes", help = "Chunks." },
]"#;

// ---- with the access log ----

#[test]
fn the_page_and_the_access_log_never_disagree() {
    let _alone = alone();
    let scene = Scene::whole();
    let connections = scene.traffic();
    // Neither in the log nor among those that have ended.
    let mut open = Client::connect(scene.proxy.listener("plain"));
    open.send(b"x");
    open.expect(b"x");

    let lines = scene.lines_after(connections);
    let page = scene.page_after(connections);
    let outcomes: BTreeSet<_> = lines.iter().map(|line| text(line, "outcome")).collect();
    for outcome in [
        "relay.finished.client",
        "relay.finished.upstream",
        "relay.reset.client",
        "connect.refused.upstream",
        "route.route-refused.proxy",
        "accept.limited.proxy",
        "proxy-header.malformed.client",
        "relay.filter-failed.proxy",
    ] {
        assert!(outcomes.contains(outcome), "{outcome} is not among {outcomes:?}");
    }
    assert!(page.sum("spliceway_bytes_total", &[("path", "spliced")]) > (BULK / 2) as f64);
    assert!(page.sum("spliceway_bytes_total", &[("path", "filtered")]) > 0.0);

    let logged = counted(&lines, &["listener", "outcome"]);
    assert_eq!(
        told(&page, "spliceway_connections_total", &["listener", "outcome"]),
        logged
    );
    for (whose, labels) in [
        ("spliceway", &["listener"][..]),
        ("spliceway_route", &["listener", "route"]),
        ("spliceway_upstream", &["upstream"]),
        ("spliceway_server", &["upstream", "server"]),
    ] {
        let connections = told(&page, &format!("{whose}_connections_total"), labels);
        assert_eq!(connections, counted(&lines, labels), "{whose}");
        for direction in ["up", "down"] {
            for path in ["copied", "spliced", "filtered"] {
                let way = [("direction", direction), ("path", path)];
                let bytes = told_of(&page, &format!("{whose}_bytes_total"), labels, &way);
                let logged = added(&lines, labels, &format!("{direction}_{path}"));
                assert_eq!(bytes, logged, "{whose}, {direction}, {path}");
            }
        }
    }
    for (family, field) in [
        ("spliceway_connect_seconds", "connect_us"),
        ("spliceway_first_byte_seconds", "first_byte_us"),
        ("spliceway_connection_duration_seconds", "duration_us"),
    ] {
        check_times(&page, family, &lines, field);
    }

    for listener in LISTENERS {
        let is_open = if *listener == "plain" { 1.0 } else { 0.0 };
        let ended = page.sum("spliceway_connections_total", &[("listener", listener)]);
        let of = [("listener", *listener)];
        assert_eq!(
            page.value("spliceway_connections_open", &of),
            Some(is_open),
            "{listener}"
        );
        assert_eq!(
            page.value("spliceway_connections_accepted_total", &of),
            Some(ended + is_open),
            "{listener}"
        );
    }
}

/// Counts, sum and every bucket are those of the lines' times, to the microsecond.
fn check_times(page: &Page, family: &str, lines: &[Value], field: &str) {
    for listener in LISTENERS {
        let own = lines.iter().filter(|line| text(line, "listener") == *listener);
        let times: Vec<u64> = own.filter_map(|line| line[field].as_u64()).collect();
        let of = [("listener", *listener)];
        let count = page.value(&format!("{family}_count"), &of);
        assert_eq!(count, Some(times.len() as f64), "{family} of {listener}");
        let sum = page.value(&format!("{family}_sum"), &of).expect("a sum");
        assert_eq!(
            (sum * 1e6).round() as u64,
            times.iter().sum::<u64>(),
            "{family} of {listener}"
        );
        for bucket in page
            .samples(&format!("{family}_bucket"))
            .filter(|one| one.labels["listener"] == *listener)
        {
            let most: f64 = bucket.labels["le"].parse().expect("a number");
            let within = times.iter().filter(|time| **time as f64 <= most * 1e6).count();
            assert_eq!(bucket.value, within as f64, "{family} of {listener} within {most} s");
        }
    }
}

#[test]
fn servers_are_up_or_ejected_and_their_failures_and_retries_are_counted() {
    let scene = Scene::start();
    (0..MIXED).for_each(|_| scene.echoed("mixed", b"whoever is there"));
    let page = scene.page_after(MIXED);
    let dead = [("upstream", "mixed"), ("server", &*scene.nobody)];
    let alive = [("upstream", "mixed"), ("server", scene.echo.address())];
    let value = |name: &str, of: &[(&str, &str)]| page.value(name, of).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(value("spliceway_server_up", &dead), 0.0);
    assert_eq!(value("spliceway_server_up", &alive), 1.0);
    assert_eq!(value("spliceway_server_share_ratio", &dead), 0.0);
    assert_eq!(value("spliceway_server_share_ratio", &alive), 1.0);
    assert_eq!(value("spliceway_server_connect_failures_total", &dead), 1.0);
    assert_eq!(value("spliceway_server_ejections_total", &dead), 1.0);
    assert_eq!(value("spliceway_server_connects_total", &dead), 0.0);
    assert_eq!(value("spliceway_server_connects_total", &alive), MIXED as f64);
    assert_eq!(value("spliceway_upstream_retries_total", &[("upstream", "mixed")]), 1.0);
    let ejected = [("upstream", "mixed"), ("state", "ejected")];
    assert_eq!(value("spliceway_upstream_servers", &ejected), 1.0);
    assert_eq!(value("spliceway_servers_left_out", &[]), 0.0);
}

#[test]
fn the_process_tells_how_it_is() {
    let scene = Scene::start();
    let page = scene.page();
    let value = |name: &str, of: &[(&str, &str)]| page.value(name, of).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(
        value("spliceway_build_info", &[("version", env!("CARGO_PKG_VERSION"))]),
        1.0
    );
    assert_eq!(value("spliceway_config_loads_total", &[("result", "applied")]), 1.0);
    assert_eq!(value("spliceway_config_last_load_successful", &[]), 1.0);
    let resident = scene.proxy.memory_kib() as f64 * 1024.0;
    let told = value("process_resident_memory_bytes", &[]);
    assert!((0.5..2.0).contains(&(told / resident)), "{told} of {resident}");
    let open = scene.proxy.descriptors().len() as f64;
    // The scrape's own connection is gone, or not yet.
    assert!((value("process_open_fds", &[]) - open).abs() <= 2.0);
    assert!(value("process_max_fds", &[]) >= open);
    assert!(value("process_start_time_seconds", &[]) <= value("spliceway_config_applied_timestamp_seconds", &[]));
    eventually("both workers have been seen a few times", || {
        let page = scene.page();
        let beats = |worker| page.value("spliceway_worker_loop_delay_seconds_count", &[("worker", worker)]);
        let silent = page.value("spliceway_worker_silent_seconds", &[("worker", "0")])?;
        assert!(silent < 20.0, "{silent} s");
        (beats("0")? >= 2.0 && beats("1")? >= 2.0).then_some(())
    });
    assert!(scene.page().value("spliceway_pipes_limit", &[]) >= Some(2.0));
}

#[test]
fn pipes_are_told_while_they_are_lent() {
    let scene = Scene::start();
    let mut client = Client::connect(scene.proxy.listener("bulk"));
    client.send(b"give");
    // What it does not take stays in a pipe.
    eventually("a pipe is lent", || {
        let lent = scene.page().value("spliceway_pipes", &[("state", "lent")])?;
        (lent >= 1.0).then_some(())
    });
    client.receive(BULK);
    client.expect_eof();
    eventually("it is given back", || {
        let page = scene.page();
        let pipes = |state| page.value("spliceway_pipes", &[("state", state)]);
        (pipes("lent")? == 0.0 && pipes("idle")? >= 1.0).then_some(())
    });
}

// ---- with Prometheus ----

#[test]
fn promtool_finds_nothing_wrong_with_the_page_and_the_alerts() {
    let scene = Scene::whole();
    let page = scene.page_after(scene.traffic());
    let folder = scene.proxy.folder();
    let file = folder.join("page.txt");
    fs::write(&file, page.as_older_text()).expect("a file in a folder of the test's");
    let said = shell(&format!("promtool check metrics <'{}'", file.display()));
    assert!(
        said.code() == Some(0) && said.stderr.is_empty(),
        "{}{}",
        said.stdout,
        said.stderr
    );

    let alerts = folder.join("alerts.yml");
    fs::write(&alerts, alerts_of_the_document()).expect("a file in a folder of the test's");
    let said = shell(&format!("promtool check rules '{}'", alerts.display()));
    assert!(said.code() == Some(0), "{}{}", said.stdout, said.stderr);
}

/// A panel whose query gives nothing shows nothing: a name has changed, or a label.
#[test]
fn every_query_of_the_dashboard_and_every_alert_is_answered() {
    let _alone = alone();
    let scene = Scene::whole();
    let ended = scene.traffic();
    scene.page_after(ended);
    let prometheus = Prometheus::of(&scene.metrics);
    eventually("it has been scraped", || {
        let scraped = prometheus.query("spliceway_build_info").ok()?;
        (!scraped.is_empty()).then_some(())
    });
    // So that there is something between one scrape and the next.
    scene.traffic();

    let queries = queries_of_the_dashboard();
    assert!(queries.len() >= 25, "{} queries", queries.len());
    for (panel, query) in &queries {
        let answer = || {
            prometheus
                .query(query)
                .unwrap_or_else(|error| panic!("{panel}: {query}: {error}"))
        };
        eventually(&format!("an answer to {panel}: {query}"), || {
            answer().iter().any(|value| !value.is_nan()).then_some(())
        });
    }
    // None of them fires, but each has something to compare: its left side.
    for line in alerts_of_the_document().lines() {
        let Some(query) = line.trim().strip_prefix("expr: ") else {
            continue;
        };
        prometheus
            .query(query)
            .unwrap_or_else(|error| panic!("{query}: {error}"));
        let compared = query.split([' ']).take_while(|word| !["<", ">", "=="].contains(word));
        let compared = compared.collect::<Vec<_>>().join(" ");
        eventually(&format!("something to compare in {query}"), || {
            let values = prometheus.query(&compared).ok()?;
            (!values.is_empty()).then_some(())
        });
    }
}

/// What panels and variables ask, with Grafana's own variables filled in.
fn queries_of_the_dashboard() -> Vec<(String, String)> {
    let file = workspace().join("packaging/grafana/spliceway.json");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let dashboard: Value = serde_json::from_str(&text).expect("a dashboard in JSON");
    let mut queries = Vec::new();
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        let asked = variable["query"]
            .as_str()
            .and_then(|query| query.strip_prefix("label_values("));
        if let Some((series, _)) = asked.and_then(|asked| asked.rsplit_once(',')) {
            queries.push((format!("variable {}", variable["name"]), series.to_owned()));
        }
    }
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a panel has a title");
        let targets = panel["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert!(panel["type"] == "row" || !targets.is_empty(), "{title} asks nothing");
        for target in targets {
            queries.push((
                title.to_owned(),
                target["expr"].as_str().expect("an expression").to_owned(),
            ));
        }
    }
    let fill = |query: String| {
        ["$job", "$instance", "$listener", "$upstream", "$filter"]
            .iter()
            .fold(query.replace("$__rate_interval", "1m"), |query, name| {
                query.replace(name, ".*")
            })
    };
    let filled: Vec<_> = queries.into_iter().map(|(whose, query)| (whose, fill(query))).collect();
    let unknown = filled.iter().find(|(_, query)| query.contains('$'));
    assert_eq!(unknown, None, "a variable that nobody fills in");
    filled
}

// ---- with the document ----

#[test]
fn the_document_has_every_family_and_no_other() {
    let scene = Scene::whole();
    let mut page = scene.page_after(scene.traffic());
    page.families.extend(of_mirrors(&scene.echo));
    let of_page: BTreeMap<String, (String, BTreeSet<String>)> = page
        .families
        .iter()
        .map(|(name, family)| match name.strip_prefix("spliceway_custom_") {
            Some(_) => ("spliceway_custom_NAME".to_owned(), (String::new(), labels(family))),
            None => (called(name, family), (family.kind.clone(), labels(family))),
        })
        .collect();
    let documented = documented();
    let names = |families: &BTreeMap<String, (String, BTreeSet<String>)>| families.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&of_page), names(&documented));
    for (name, family) in of_page.into_iter().filter(|(name, _)| name != "spliceway_custom_NAME") {
        assert_eq!(family, documented[&name], "{name}");
    }
}

/// What a page has where connections are mirrored.
fn of_mirrors(echo: &Upstream) -> BTreeMap<String, Family> {
    let echo = echo.address();
    let proxy = Proxy::run(&format!(
        "[metrics]\naddress = \"127.0.0.1:0\"\n[upstreams.a]\nservers = [{echo:?}]\n[upstreams.b]\nservers = [{echo:?}]\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"a\"\n\
         treatment.mirror = {{ upstream = \"b\", compare = true }}\n"
    ));
    let proxy = proxy.start();
    let mut client = Client::connect(proxy.address());
    client.send(b"hello");
    client.expect(b"hello");
    client.half_close();
    client.expect_eof();
    proxy.wait_for("mirror ended", |_| true);
    let metrics = proxy
        .wait_for("metrics are served", |_| true)
        .text("address")
        .to_owned();
    let families = page(&metrics).families;
    families
        .into_iter()
        .filter(|(name, _)| name.starts_with("spliceway_mirror_"))
        .collect()
}

/// As a query calls it.
fn called(name: &str, family: &Family) -> String {
    match &*family.kind {
        "counter" => format!("{name}_total"),
        "info" => format!("{name}_info"),
        _ => name.to_owned(),
    }
}

fn labels(family: &Family) -> BTreeSet<String> {
    let labels = family.samples.iter().flat_map(|sample| sample.labels.keys());
    labels.filter(|label| *label != "le").cloned().collect()
}

/// Rows of the tables: a name, a type, labels, a meaning.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let text = document();
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| `spliceway_") || line.starts_with("| `process_"));
    let row = |row: &str| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, meaning] = cells[..] else {
            panic!("four cells in {row}")
        };
        assert!(!meaning.is_empty(), "{row}");
        let labels = labels.split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        (name.trim_matches('`').to_owned(), (kind.to_owned(), labels))
    };
    rows.map(row).collect()
}

fn alerts_of_the_document() -> String {
    let text = document();
    let (_, behind) = text.split_once("```yaml\ngroups:").expect("alerts in the document");
    let (alerts, _) = behind.split_once("```").expect("the end of the alerts");
    format!("groups:{alerts}")
}

fn document() -> String {
    fs::read_to_string(workspace().join("docs/metrics.md")).expect("docs/metrics.md")
}

// ---- the scene ----

const LISTENERS: &[&str] = &[
    "plain", "bulk", "dead", "mixed", "filtered", "broken", "routed", "limited", "proxied",
];

/// Connections to the upstream of which one server is not there.
const MIXED: usize = 4;

/// A proxy with a page and an access log, whose listeners meet with all kinds of things.
struct Scene {
    proxy: Proxy,
    metrics: String,
    log: PathBuf,
    /// The address of a server that is not there.
    nobody: String,
    _nobody: Port,
    echo: Upstream,
    _bulk: Upstream,
}

impl Scene {
    /// Without filters, which take a while to be compiled.
    #[track_caller]
    fn start() -> Self {
        Self::of(false)
    }

    #[track_caller]
    fn whole() -> Self {
        Self::of(true)
    }

    #[track_caller]
    fn of(filters: bool) -> Self {
        let echo = Upstream::echo();
        let bulk = Upstream::listen().serving(|mut peer| {
            if peer.try_receive(4).is_some() {
                // The client may not wait for it.
                let _ = peer.try_send(&pattern(1, BULK));
            }
        });
        let (port, nobody) = Upstream::refusing();
        let config = config(echo.address(), bulk.address(), &nobody, filters);
        let proxy = Proxy::run(&config).patience(2 * DEADLINE).start();
        let metrics = proxy
            .wait_for("metrics are served", |_| true)
            .text("address")
            .to_owned();
        Self {
            metrics,
            log: proxy.folder().join("access.log"),
            proxy,
            nobody,
            _nobody: port,
            echo,
            _bulk: bulk,
        }
    }

    fn connect(&self, listener: &str) -> Peer {
        Client::connect(self.proxy.listener(listener))
    }

    /// A bit of everything, with a whole scene. Returns how many connections that was.
    #[track_caller]
    fn traffic(&self) -> usize {
        for length in [1, 100, 10_000] {
            self.echoed("plain", &pattern(2, length));
            self.echoed("filtered", &pattern(3, length));
        }
        (0..MIXED).for_each(|_| self.echoed("mixed", b"whoever is there"));
        self.echoed("routed", &Hello::of("a.example.com").bytes());
        self.echoed("routed", b"no hello\r\n");
        8 + MIXED + self.announced() + self.bulk() + self.broken_off() + self.turned_away()
    }

    #[track_caller]
    fn echoed(&self, listener: &str, bytes: &[u8]) {
        let mut client = self.connect(listener);
        client.send(bytes);
        client.expect(bytes);
        client.half_close();
        client.expect_eof();
    }

    fn announced(&self) -> usize {
        let mut client = self.connect("proxied");
        client.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nhello");
        client.expect(b"hello");
        client.half_close();
        client.expect_eof();
        1
    }

    fn bulk(&self) -> usize {
        let mut client = self.connect("bulk");
        client.send(b"give");
        client.receive(BULK);
        client.expect_eof();
        1
    }

    fn broken_off(&self) -> usize {
        let mut client = self.connect("plain");
        client.send(b"x");
        client.expect(b"x");
        client.reset();
        let mut client = self.connect("broken");
        client.send(b"x");
        client.expect_closed();
        self.connect("dead").expect_closed();
        3
    }

    fn turned_away(&self) -> usize {
        let mut client = self.connect("routed");
        client.send(&Hello::of("b.example.com").bytes());
        client.expect_closed();
        let mut client = self.connect("proxied");
        client.send(b"GET / HTTP/1.1\r\n\r\n");
        client.expect_closed();
        let mut first = self.connect("limited");
        first.send(b"x");
        first.expect(b"x");
        self.connect("limited").expect_closed();
        first.half_close();
        first.expect_eof();
        4
    }

    #[track_caller]
    fn page(&self) -> Page {
        page(&self.metrics)
    }

    /// Once so many connections have ended: the log is told of each when it has been counted everywhere.
    #[track_caller]
    fn page_after(&self, connections: usize) -> Page {
        self.lines_after(connections);
        self.page()
    }

    /// The lines of the access log, once there are so many.
    #[track_caller]
    fn lines_after(&self, connections: usize) -> Vec<Value> {
        eventually("a line for each connection", || {
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let lines: Vec<Value> = lines
                .map(|line| serde_json::from_str(line).expect("a line in JSON"))
                .collect();
            (lines.len() == connections).then_some(lines)
        })
    }
}

#[track_caller]
fn page(metrics: &str) -> Page {
    let mut client = Client::connect(metrics);
    client.send(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n");
    let answer = String::from_utf8(client.receive_all()).expect("an answer in UTF-8");
    let (_, page) = answer.split_once("\r\n\r\n").expect("a head and a body");
    Page::parse(page).unwrap_or_else(|error| panic!("{error}\n{page}"))
}

fn config(echo: &str, bulk: &str, nobody: &str, filters: bool) -> String {
    let mut config = format!(
        r#"
        workers = 2
        [metrics]
        address = "127.0.0.1:0"
        [access-log]
        file = "access.log"
        [upstreams.echo]
        servers = ["{echo}"]
        [upstreams.bulk]
        servers = ["{bulk}"]
        [upstreams.dead]
        servers = ["{nobody}"]
        retries = 0
        [upstreams.mixed]
        servers = ["{nobody}", "{echo}"]
        passive = {{ failures = 1, ejection = "1h", longest-ejection = "1h" }}
        "#
    );
    if filters {
        let (meter, misbehave) = (guest("meter"), guest("misbehave"));
        let _ = writeln!(config, "[filters.meter]\nsource = \"{}\"", meter.display());
        let _ = writeln!(config, "[filters.meter.config]\n{METERS}");
        let _ = writeln!(config, "[filters.broken]\nsource = \"{}\"", misbehave.display());
        let _ = writeln!(config, "config = {{ how = \"trap\" }}");
    }
    let with_filters = |listener: &&&str| ["filtered", "broken"].contains(*listener);
    for listener in LISTENERS.iter().filter(|listener| filters || !with_filters(listener)) {
        let (upstream, more) = match *listener {
            "filtered" => ("echo", "filters = [\"meter\"]"),
            "broken" => ("echo", "filters = [\"broken\"]"),
            "limited" => ("echo", "limits = { connections = 1, at-limit = \"rst\" }"),
            "proxied" => ("echo", "proxy-protocol = { trusted = [\"127.0.0.0/8\"] }"),
            "routed" => ("echo", ROUTES),
            "plain" => ("echo", ""),
            own => (own, ""),
        };
        let _ = writeln!(
            config,
            "[[listeners]]\nname = \"{listener}\"\naddress = \"127.0.0.1:0\"\nupstream = \"{upstream}\"\n{more}"
        );
    }
    config
}

const ROUTES: &str = r#"
[[listeners.routes]]
name = "by-name"
sni = ["a.example.com"]
upstream = "echo"
[[listeners.routes]]
name = "not-this-one"
sni = ["b.example.com"]
refuse = "fin"
[[listeners.routes]]
name = "nobody-s"
sni = ["c.example.com"]
upstream = "bulk"
"#;

// ---- sums ----

type Sums = BTreeMap<Vec<String>, u64>;

/// How many lines have each combination of these fields. Lines without one of them are none of it.
fn counted(lines: &[Value], fields: &[&str]) -> Sums {
    summed(lines, fields, |_| 1)
}

/// What a field of theirs adds up to.
fn added(lines: &[Value], fields: &[&str], what: &str) -> Sums {
    summed(lines, fields, |line| line[what].as_u64().expect("a number"))
}

fn summed(lines: &[Value], fields: &[&str], value: impl Fn(&Value) -> u64) -> Sums {
    let mut sums = Sums::new();
    for line in lines {
        let key: Option<Vec<String>> = fields
            .iter()
            .map(|field| Some(line[*field].as_str()?.to_owned()))
            .collect();
        if let Some(key) = key {
            *sums.entry(key).or_default() += value(line);
        }
    }
    sums.retain(|_, sum| *sum > 0);
    sums
}

/// What the page says of each combination of these labels, unless it is nothing.
fn told(page: &Page, name: &str, labels: &[&str]) -> Sums {
    told_of(page, name, labels, &[])
}

/// The same of samples that have these labels as well.
fn told_of(page: &Page, name: &str, labels: &[&str], with: &[(&str, &str)]) -> Sums {
    let mut sums = Sums::new();
    let fits = |sample: &&Sample| with.iter().all(|(key, value)| sample.labels[*key] == *value);
    for sample in page.samples(name).filter(fits) {
        let key = labels.iter().map(|label| sample.labels[*label].clone()).collect();
        *sums.entry(key).or_default() += sample.value as u64;
    }
    sums.retain(|_, sum| *sum > 0);
    sums
}

fn text(line: &Value, field: &str) -> String {
    line[field].as_str().unwrap_or_default().to_owned()
}

fn shell(command: &str) -> Finished {
    run(lasting("bash").args(["-c", command]), DEADLINE)
}
