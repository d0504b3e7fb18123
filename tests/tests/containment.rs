//! What a hostile filter can do, and what becomes of it: for its own connection, for those beside it, and for the proxy.
//!
//! `misbehave` does to a connection what its client says. The table of its sins is one; what no compiler makes is written by
//! hand, in the text format of WebAssembly.

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs;
use std::thread;
use std::time::Instant;

use spliceway_tests::artifacts::guest;
use spliceway_tests::{Client, Event, Peer, Proxy, Upstream, alone, eventually};

/// What a client asks for, and what comes of it.
struct Sin {
    word: &'static str,
    /// Bytes behind the word.
    more: usize,
    end: End,
}

#[derive(Clone, Copy)]
enum End {
    /// The filter has failed: the kind of failure, and what is said of it.
    Failed(&'static str, &'static str),
    Refused,
    /// Nothing happens.
    Harmless,
}

const fn sin(word: &'static str, end: End) -> Sin {
    Sin { word, more: 0, end }
}

const SINS: [Sin; 17] = [
    sin("trap", End::Failed("trap", "unreachable")),
    sin("panic", End::Failed("trap", "misbehave panics")),
    sin("recurse", End::Failed("trap", "out of bounds")),
    sin("loop", End::Failed("deadline", "CPU time")),
    sin("allocate", End::Failed("memory", "bytes of memory")),
    sin("log", End::Failed("deadline", "CPU time")),
    sin("log-parts", End::Failed("trap", "3 values for 2 keys")),
    sin("annotate", End::Failed("deadline", "CPU time")),
    sin("metrics", End::Failed("deadline", "CPU time")),
    sin("store", End::Failed("deadline", "CPU time")),
    sin("pass", End::Failed("trap", "fuel")),
    sin("hold", End::Failed("contract", "hold")),
    Sin {
        word: "hold-on",
        more: 80_000,
        end: End::Failed("contract", "hold"),
    },
    sin("reason", End::Refused),
    sin("skip-max", End::Harmless),
    sin("fill-store", End::Harmless),
    sin("ask-later", End::Harmless),
];

/// Two filters that do as they are told, one for each policy; `other` has both.
fn scene() -> (Proxy, Upstream) {
    let upstream = Upstream::echo();
    let mut config = String::new();
    for policy in ["close", "pass"] {
        let _ = write!(
            config,
            "[filters.{policy}]\nsource = \"{}\"\nconfig = {{ how = \"as-told\" }}\non-error = \"{policy}\"\n\
             limits = {{ log-lines = 100, metrics = 8, store-entries = 8, store-bytes = \"128KiB\" }}\n\
             [[listeners]]\nname = \"{policy}\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\nfilters = [\"{policy}\"]\n",
            guest("misbehave").display()
        );
    }
    let _ = write!(
        config,
        "[[listeners]]\nname = \"other\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\nfilters = [\"close\", \"pass\"]\n\
         [upstreams.only]\nservers = [\"{}\"]\n",
        upstream.address()
    );
    (Proxy::run(&config).start(), upstream)
}

impl Sin {
    fn message(&self) -> Vec<u8> {
        let mut message = format!("sin: {}.", self.word).into_bytes();
        message.resize(message.len() + self.more, b'x');
        message
    }

    /// Sins once, and checks what the sinner sees.
    #[track_caller]
    fn commit(&self, proxy: &Proxy, policy: &str) {
        let failed = Failures::so_far(proxy);
        let mut client = Client::connect(proxy.listener(policy));
        // A port comes round again, on the way to another listener at once.
        let ended = proxy.logged("connection ended");
        let earlier = ended
            .iter()
            .filter(|event| event.text("client") == client.local())
            .count();
        let message = self.message();
        // It may be closed on before all of it is sent.
        client.try_send(&message).ok();
        let goes_on = match self.end {
            End::Failed(..) => policy == "pass",
            End::Refused => false,
            End::Harmless => true,
        };
        if goes_on {
            client.expect(&message);
            client.send(b"and on it goes");
            client.expect(b"and on it goes");
            client.half_close();
            client.expect_eof();
        } else {
            assert_eq!(client.expect_closed(), b"", "{}", self.word);
        }
        let outcome = proxy.all_ended_from(client.local(), earlier + 1)[earlier]
            .outcome
            .clone();
        match self.end {
            End::Failed(kind, says) => {
                let event = failed.next(proxy);
                assert_eq!(event.text("filter"), policy, "{event}");
                assert_eq!(event.text("kind"), kind, "{event}");
                assert_eq!(event.text("action"), policy, "{event}");
                assert!(event.text("error").contains(says), "{event}");
                if policy == "close" {
                    assert_eq!(outcome, "relay.filter-failed.proxy", "{}", self.word);
                }
            }
            End::Refused => assert_eq!(outcome, "relay.filter-refused.proxy", "{}", self.word),
            End::Harmless => assert!(outcome.starts_with("relay.finished"), "{}: {outcome}", self.word),
        }
    }
}

/// The failures of filters that have been logged.
struct Failures(usize);

impl Failures {
    fn so_far(proxy: &Proxy) -> Self {
        Self(proxy.logged("filter failed").len())
    }

    #[track_caller]
    fn next(&self, proxy: &Proxy) -> Event {
        let seen = Cell::new(0);
        proxy.wait_for("filter failed", |_| {
            seen.set(seen.get() + 1);
            seen.get() > self.0
        })
    }
}

#[track_caller]
fn goes_on(neighbours: &mut [Peer]) {
    for neighbour in neighbours {
        neighbour.send(b"well behaved");
        neighbour.expect(b"well behaved");
    }
}

#[test]
fn no_sin_of_a_filter_is_noticed_by_anybody_but_its_own_connection() {
    let _alone = alone();
    let (mut proxy, _upstream) = scene();
    let mut neighbours = ["close", "pass", "other"].map(|listener| Client::connect(proxy.listener(listener)));
    goes_on(&mut neighbours);
    let round = |neighbours: &mut [Peer]| {
        for sin in &SINS {
            for policy in ["close", "pass"] {
                sin.commit(&proxy, policy);
                goes_on(neighbours);
            }
        }
    };
    round(&mut neighbours);
    round(&mut neighbours);
    let (memory, descriptors) = (proxy.memory_kib(), proxy.descriptors().len());
    for _ in 0..4 {
        round(&mut neighbours);
    }
    let grown = proxy.memory_kib().saturating_sub(memory);
    assert!(grown < 4 * 1024, "the proxy grew by {grown} KiB");
    // A worker keeps its pipes, and may have needed none before: two of them, with two ends each, for each of two workers. What
    // leaked with a sin would have done so more than a hundred times.
    proxy.descriptors_back_to(descriptors + 8);
    assert!(proxy.is_running());
    let longest = proxy.log_text().lines().map(str::len).max();
    assert!(longest < Some(16 << 10), "a line of {longest:?} bytes in the log");
}

#[test]
fn the_thousandth_call_is_as_any_other() {
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address())
        .filter_with(guest("misbehave"), r#"{ "how": "panic", "call": 1000 }"#)
        .start();
    let mut client = Client::connect(proxy.address());
    // Call 0 is the constructor, and each echo is shown, too.
    for number in 1..500 {
        client.send(b"x");
        client.expect(b"x");
        assert!(proxy.logged("filter failed").is_empty(), "{number}");
    }
    client.send(b"x");
    assert!(client.expect_closed().len() < 2);
    assert_eq!(proxy.wait_for("filter failed", |_| true).text("kind"), "trap");
}

#[test]
fn a_filter_that_failed_has_given_its_memory_back_though_its_connection_lives_on() {
    let _alone = alone();
    let (proxy, _upstream) = scene();
    let sin = |count: usize| -> Vec<Peer> {
        let connect = |_| {
            let mut client = Client::connect(proxy.listener("pass"));
            client.send(b"sin: allocate.");
            client.expect(b"sin: allocate.");
            client
        };
        (0..count).map(connect).collect()
    };
    let _first = sin(4);
    let before = proxy.memory_kib();
    let mut living = sin(16);
    let grown = proxy.memory_kib().saturating_sub(before);
    // Each had 16 MiB.
    assert!(grown < 32 * 1024, "the proxy grew by {grown} KiB");
    goes_on(&mut living);
}

#[test]
fn a_trap_has_the_names_of_the_functions_where_it_happened() {
    let (proxy, _upstream) = scene();
    for word in ["trap", "panic", "recurse", "loop"] {
        let failed = Failures::so_far(&proxy);
        let mut client = Client::connect(proxy.listener("close"));
        client.send(format!("sin: {word}.").as_bytes());
        client.expect_closed();
        let event = failed.next(&proxy);
        let backtrace = event.text("backtrace");
        assert!(backtrace.contains("misbehave"), "{event}");
        assert!(
            !backtrace.contains("_ZN") && !backtrace.contains("_R"),
            "mangled: {event}"
        );
        assert!(backtrace.lines().count() <= 20 && backtrace.len() <= 4096, "{event}");
    }
}

// ---- what is over after a connection ----

/// `misbehave`, two connections to an instance, one worker.
fn shared(keys: &str) -> (Proxy, Upstream) {
    let upstream = Upstream::echo();
    let config = format!(
        "workers = 1\n[filters.wild]\nsource = \"{}\"\nconfig = {{ how = \"as-told\" }}\n{keys}\n\
         [upstreams.only]\nservers = [\"{}\"]\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\nfilters = [\"wild\"]\n",
        guest("misbehave").display(),
        upstream.address()
    );
    (Proxy::run(&config).start(), upstream)
}

#[test]
fn a_session_that_asks_for_its_connection_once_that_is_over_gets_none() {
    let (proxy, _upstream) = shared("sessions-per-instance = 2");
    let mut client = Client::connect(proxy.address());
    client.send(b"sin: ask-later.");
    client.expect(b"sin: ask-later.");
    drop(client);
    proxy.wait_for_guest("wild", |event| event.message() == "the connection is 0 now");
}

#[test]
fn a_destructor_that_fails_is_said_and_ends_the_others_of_its_instance() {
    let (mut proxy, _upstream) = shared("sessions-per-instance = 2");
    let mut other = Client::connect(proxy.address());
    goes_on(std::slice::from_mut(&mut other));
    let mut client = Client::connect(proxy.address());
    client.send(b"sin: panic-later.");
    client.expect(b"sin: panic-later.");
    client.half_close();
    client.expect_eof();
    let failed = proxy.wait_for("filter failed", |_| true);
    assert!(failed.text("error").contains("at the end"), "{failed}");
    assert!(proxy.ended(&client).outcome.starts_with("relay.finished"));
    other.send(b"hello");
    assert_eq!(other.expect_closed(), b"", "its session was in the same memory");
    let mut next = Client::connect(proxy.address());
    goes_on(std::slice::from_mut(&mut next));
    assert!(proxy.is_running());
}

// ---- instances that have served for long enough ----

/// How many there have been beside the one that was tried before anything was served.
fn instances(proxy: &Proxy) -> usize {
    proxy.logged("an instance begins").len() - 1
}

#[test]
fn an_instance_that_has_served_its_connections_gets_no_new_ones() {
    let (proxy, _upstream) = shared("sessions-per-instance = 16\nretire.sessions = 2");
    let mut clients: Vec<Peer> = Vec::new();
    for count in 1..=6 {
        let mut client = Client::connect(proxy.address());
        client.send(b"well behaved");
        client.expect(b"well behaved");
        clients.push(client);
        assert_eq!(instances(&proxy), clients.len().div_ceil(2), "{count}");
    }
    // Those that it has are served on.
    goes_on(&mut clients);
    assert!(proxy.logged("filter failed").is_empty());
}

#[test]
fn an_instance_that_has_grown_gets_no_new_connections_and_keeps_those_that_it_has() {
    let (proxy, _upstream) = shared("sessions-per-instance = 16\nretire.memory = \"4MiB\"");
    let mut clients = [Client::connect(proxy.address()), Client::connect(proxy.address())];
    goes_on(&mut clients);
    clients[0].send(b"sin: grow.");
    clients[0].expect(b"sin: grow.");
    assert_eq!(instances(&proxy), 1);
    let mut next = [Client::connect(proxy.address()), Client::connect(proxy.address())];
    goes_on(&mut next);
    assert_eq!(instances(&proxy), 2);
    goes_on(&mut clients);
    assert!(proxy.logged("filter failed").is_empty());
}

#[test]
fn an_instance_that_is_old_gets_no_new_connections() {
    let (proxy, _upstream) = shared("sessions-per-instance = 16\nretire.age = \"50ms\"");
    let mut first = Client::connect(proxy.address());
    goes_on(std::slice::from_mut(&mut first));
    eventually("a connection gets another instance", || {
        let mut next = Client::connect(proxy.address());
        goes_on(std::slice::from_mut(&mut next));
        (instances(&proxy) > 1).then_some(())
    });
    goes_on(std::slice::from_mut(&mut first));
}

// ---- what is logged ----

#[test]
fn a_filter_logs_no_more_in_a_second_than_it_may() {
    let _alone = alone();
    let (proxy, _upstream) = scene();
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let mut client = Client::connect(proxy.listener("close"));
                    client.send(b"sin: log.");
                    client.expect_closed();
                }
            });
        }
    });
    proxy.all_ended(40);
    // A second's worth at once, and what came in since.
    let seconds = begun.elapsed().as_secs() as usize + 1;
    let logged = proxy.logged("misbehave logs").len();
    assert!(
        logged >= 50 && logged <= 100 * (seconds + 1),
        "{logged} records in {seconds} s"
    );
    let said = proxy.logged("a filter logs too much: records were dropped");
    assert!(
        (1..=seconds + 1).contains(&said.len()),
        "{} times in {seconds} s",
        said.len()
    );
    assert!(
        said.iter()
            .all(|event| event.text("filter") == "close" && event.number("lost") > 0)
    );
}

#[test]
fn what_a_filter_prints_is_counted_as_what_it_logs() {
    let upstream = Upstream::echo();
    let config = format!(
        "[filters.wasi]\nsource = \"{}\"\nconfig = {{ tag = \"one\", lines = 1000 }}\nlimits.log-lines = 20\n\
         limits.call = \"1s\"\n[upstreams.only]\nservers = [\"{}\"]\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\nfilters = [\"wasi\"]\n",
        guest("wasi-tagged").display(),
        upstream.address()
    );
    let proxy = Proxy::run(&config).start();
    let begun = Instant::now();
    let mut client = Client::connect(proxy.address());
    goes_on(std::slice::from_mut(&mut client));
    proxy.wait_for("a filter logs too much: records were dropped", |event| {
        event.text("filter") == "wasi"
    });
    let text = proxy.log_text();
    let printed = text.lines().filter(|line| line.contains("\"message\":\"line ")).count();
    let seconds = begun.elapsed().as_secs() as usize + 1;
    assert!(
        printed >= 20 && printed <= 20 * (seconds + 1),
        "{printed} lines in {seconds} s"
    );
}

#[test]
fn an_observer_may_log_each_connection_that_it_is_told_of_whatever_its_limit() {
    let upstream = Upstream::echo();
    let config = format!(
        "[filters.recorder]\nsource = \"{}\"\nconfig = {{}}\nlimits.log-lines = 0\n\
         [upstreams.only]\nservers = [\"{}\"]\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\nfilters = [\"recorder\"]\n",
        guest("recorder").display(),
        upstream.address()
    );
    let proxy = Proxy::run(&config).start();
    drop(Client::connect(proxy.address()));
    // One of one connection; the batch behind it is two records more.
    proxy.wait_for_guest("recorder", |event| event.message().starts_with("closed "));
    let said = proxy.wait_for("a filter logs too much: records were dropped", |_| true);
    assert_eq!(said.number("lost"), 2, "{said}");
    assert!(proxy.logged("batch").is_empty());
}

// ---- what is granted ----

fn wasi(grants: &str) -> [String; 2] {
    let upstream = Upstream::echo();
    let config = format!(
        "[filters.wasi]\nsource = \"{}\"\nconfig = {{ tag = \"one\" }}\n{grants}\n\
         [upstreams.only]\nservers = [\"{}\"]\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\nfilters = [\"wasi\"]\n",
        guest("wasi-tagged").display(),
        upstream.address()
    );
    let proxy = Proxy::run(&config).start();
    let mut client = Client::connect(proxy.address());
    goes_on(std::slice::from_mut(&mut client));
    ["year is ", "dice is "].map(|line| {
        let event = proxy.wait_for_guest("wasi", |event| event.message().starts_with(line));
        event.message().trim_start_matches(line).to_owned()
    })
}

#[test]
fn without_a_grant_clocks_stand_still_and_dice_fall_alike() {
    let [year, dice] = wasi("");
    assert_eq!(year, "1970");
    assert_eq!(wasi("")[1], dice);
    let granted =
        "grants = [\"connection\", \"environment\", \"log\", \"store\", \"metrics\", \"wasi-clocks\", \"wasi-random\"]";
    let [year, granted] = wasi(granted);
    assert!(year.parse::<u32>().is_ok_and(|year| year > 2020), "{year}");
    assert_ne!(granted, dice);
}

#[test]
fn a_filter_that_imports_what_it_is_not_granted_is_refused_at_load_with_all_of_it() {
    let config = format!(
        "[filters.wild]\nsource = \"{}\"\nconfig = {{ how = \"as-told\" }}\ngrants = [\"log\"]\n\
         [upstreams.only]\nservers = [\"127.0.0.1:1\"]\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\nfilters = [\"wild\"]\n",
        guest("misbehave").display(),
    );
    let finished = Proxy::run(&config).fail();
    assert_eq!(finished.code(), Some(1), "{}", finished.stderr);
    let said = finished.stderr;
    for text in [
        "`spliceway:filter/connection`",
        "`spliceway:filter/store`",
        "which it is not granted",
    ] {
        assert!(said.contains(text), "{text} in {said}");
    }
    assert!(!said.contains("`spliceway:filter/log`"), "{said}");
}

// ---- answers that no compiler makes ----

/// A router by hand: `route` answers with what lies in its memory at `answer`.
fn router(answer: u32, data: &str, realloc: &str) -> String {
    format!(
        r#"(component
  (core module $code
    (memory (export "memory") 256)
    (data (i32.const 1024) "{data}")
    (func (export "route") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const {answer}))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc}))
  (core instance $running (instantiate $code))
  (alias core export $running "memory" (core memory $memory))
  (alias core export $running "realloc" (core func $realloc))
  (type $window (record
    (field "bytes" (list u8)) (field "round" u32) (field "finished" bool) (field "timed-out" bool) (field "full" bool)))
  (type $exchange (record (field "consume" u32) (field "reply" (list u8))))
  (type $v4 (tuple u8 u8 u8 u8))
  (type $v6 (tuple u16 u16 u16 u16 u16 u16 u16 u16))
  (type $ip-address (variant (case "v4" $v4) (case "v6" $v6)))
  (type $endpoint (record (field "address" $ip-address) (field "port" u16)))
  (type $value (variant (case "text" string) (case "integer" s64) (case "boolean" bool) (case "bytes" (list u8))
    (case "address" $endpoint)))
  (type $attribute (record (field "key" string) (field "value" $value)))
  (type $choice (record (field "upstream" string) (field "options" (list $attribute))))
  (type $ending (enum "graceful" "reset"))
  (type $refusal (record (field "ending" $ending) (field "reason" string) (field "reply" (list u8))))
  (type $decision (variant (case "pass") (case "need" u32) (case "exchange" $exchange) (case "route" $choice)
    (case "refuse" $refusal)))
  (type $route (func (param "seen" $window) (result $decision)))
  (func $route (type $route) (canon lift (core func $running "route") (memory $memory) (realloc $realloc)))
  (instance $router
    (export "window" (type $window))
    (export "exchange" (type $exchange))
    (export "ip-address" (type $ip-address))
    (export "endpoint" (type $endpoint))
    (export "value" (type $value))
    (export "attribute" (type $attribute))
    (export "choice" (type $choice))
    (export "ending" (type $ending))
    (export "refusal" (type $refusal))
    (export "decision" (type $decision))
    (export "route" (func $route)))
  (export "spliceway:filter/router@0.1.0" (instance $router)))"#
    )
}

/// Where the bytes of a window are put: behind everything.
const ROOM: &str = "(i32.const 65536)";

/// A number as the data of a module has it.
fn number(number: u32) -> String {
    number.to_le_bytes().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\{byte:02x}");
        text
    })
}

/// A decision: its case, and what it is made of.
fn decision(case: u8, numbers: &[u32]) -> String {
    let numbers: String = numbers.iter().copied().map(number).collect();
    format!("\\{case:02x}\\00\\00\\00{numbers}")
}

#[test]
fn what_is_no_answer_at_all_is_a_failure_like_any_other() {
    const AT: u32 = 1024;
    let not_text = format!("{}\\ff\\fe\\fd\\fc", decision(3, &[AT + 20, 4, 0, 0]));
    let answers = [
        ("right", router(AT, &decision(0, &[]), ROOM), None),
        ("beyond", router(0xffff_fff0, "", ROOM), Some("out of bounds")),
        ("at-the-end", router(256 << 16, "", ROOM), Some("out of bounds")),
        ("odd", router(AT + 1, "", ROOM), Some("aligned")),
        ("case", router(AT, &decision(9, &[]), ROOM), Some("discriminant")),
        (
            "ending",
            router(AT, &decision(4, &[7, 0, 0, 0, 0]), ROOM),
            Some("discriminant"),
        ),
        (
            "length",
            router(AT, &decision(3, &[0, u32::MAX, 0, 0]), ROOM),
            Some("out of bounds"),
        ),
        ("text", router(AT, &not_text, ROOM), Some("utf-8")),
        (
            "list",
            router(AT, &decision(3, &[0, 0, 0, 0x1000_0000]), ROOM),
            Some("out of bounds"),
        ),
        (
            "long-list",
            router(AT, &decision(3, &[0, 0, 65536, 400_000]), ROOM),
            Some("fuel"),
        ),
        (
            "realloc-traps",
            router(AT, &decision(0, &[]), "unreachable"),
            Some("unreachable"),
        ),
        (
            "realloc-lies",
            router(AT, &decision(0, &[]), "(i32.const -16)"),
            Some("realloc"),
        ),
    ];
    for (name, text, says) in answers {
        let component = wat::parse_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let upstream = Upstream::echo();
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let file = folder.path().join(format!("{name}.wasm"));
        fs::write(&file, component).expect("a file in a temporary folder");
        let policies = [("close", "close"), ("pass", "pass")].map(|(listener, policy)| {
            format!(
                "[filters.{policy}]\nsource = \"{}\"\non-error = \"{policy}\"\n\
                 [[listeners]]\nname = \"{listener}\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\n\
                 filters = [\"{policy}\"]\n",
                file.display()
            )
        });
        let config = format!(
            "{}[[listeners]]\nname = \"plain\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\n\
             [upstreams.only]\nservers = [\"{}\"]\n",
            policies.concat(),
            upstream.address()
        );
        let mut proxy = Proxy::run(&config).start();
        let mut neighbour = [Client::connect(proxy.listener("plain"))];
        for _ in 0..3 {
            let mut passed = Client::connect(proxy.listener("pass"));
            passed.send(b"hello");
            passed.expect(b"hello");
            // The proxy's RST may come before connect(2) has returned.
            if let Ok(mut closed) = Client::try_connect(proxy.listener("close")) {
                let _ = closed.try_send(b"hello");
                if says.is_none() {
                    closed.expect(b"hello");
                } else {
                    assert_eq!(closed.expect_closed(), b"", "{name}");
                }
            }
            goes_on(&mut neighbour);
        }
        let Some(says) = says else {
            assert!(proxy.logged("filter failed").is_empty(), "{name}");
            continue;
        };
        for policy in ["close", "pass"] {
            let failed = proxy.wait_for("filter failed", |event| event.text("filter") == policy);
            assert_eq!(failed.text("kind"), "trap", "{name}: {failed}");
            assert!(failed.text("error").contains(says), "{name}: {failed}");
        }
        assert!(proxy.is_running());
    }
}
