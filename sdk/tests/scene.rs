//! What `testing` promises: a role sees in a scene what it would see in the proxy.

use std::time::Duration;

use spliceway_sdk::metrics::{Counter, Gauge, Histogram, Metric};
use spliceway_sdk::prelude::*;
use spliceway_sdk::store::{self, Rate};
use spliceway_sdk::testing::{Scene, json};
use spliceway_sdk::{Choice, environment, upstreams};

/// Answers with the verdicts of its configuration, one after the other, and then forwards.
struct Scripted {
    verdicts: std::slice::Iter<'static, Answer>,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Hold(usize),
    Skip(u64),
    Detach,
    Refuse,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Answers(Vec<Answer>);

impl Config for Answers {}

impl Inspector for Scripted {
    type Config = Answers;

    fn open(config: &'static Answers, _connection: &Connection) -> Self {
        Self {
            verdicts: config.0.iter(),
        }
    }

    fn on_bytes(&mut self, chunk: Chunk, _connection: &Connection) -> Verdict {
        log::info!(finished = chunk.finished, "{}", chunk.bytes.escape_ascii());
        match self.verdicts.next() {
            Some(Answer::Hold(more)) => Verdict::Hold(*more),
            Some(Answer::Skip(next)) => Verdict::Skip(*next),
            Some(Answer::Detach) => Verdict::Detach,
            Some(Answer::Refuse) => Verdict::refuse(Refusal::reset("told to")),
            None => Verdict::Forward,
        }
    }
}

fn scripted(verdicts: serde_json::Value) -> Scene {
    Scene::new().config(verdicts)
}

fn shown(run: &spliceway_sdk::testing::Inspected) -> Vec<&str> {
    run.host.logs().iter().map(|record| record.message.as_str()).collect()
}

#[test]
fn held_bytes_are_shown_again_in_front_of_the_ones_that_came() {
    let scene = scripted(json!([{"hold": 3}])).up("ab").up("c").up("d").up("e");
    let run = scene.inspect::<Scripted>();
    assert_eq!(shown(&run), ["ab", "abcde"]);
    assert_eq!(run.up.forwarded, b"abcde");
    let waiting = scripted(json!([{"hold": 9}])).up("ab").up("c").inspect::<Scripted>();
    assert_eq!(
        (waiting.up.forwarded.as_slice(), waiting.up.held.as_slice()),
        (&b""[..], &b"abc"[..])
    );
}

#[test]
fn a_hold_ends_with_its_direction() {
    let scene = scripted(json!([{"hold": 9}, {"hold": 9}]))
        .up("ab")
        .finish(Direction::Up);
    let run = scene.inspect::<Scripted>();
    assert_eq!(shown(&run), ["ab", "ab"]);
    assert_eq!(run.host.logs()[1].field("finished"), Some(&true.into()));
    assert_eq!(run.up.forwarded, b"ab");
}

#[test]
#[should_panic(expected = "are over 65536")]
fn a_hold_is_bounded() {
    scripted(json!([{"hold": 65536}])).up("ab").inspect::<Scripted>();
}

#[test]
fn skipped_bytes_are_forwarded_unseen() {
    let scene = scripted(json!([{"skip": 4}]))
        .up("ab")
        .up("123")
        .up("4cd")
        .finish(Direction::Up);
    let run = scene.inspect::<Scripted>();
    assert_eq!(shown(&run), ["ab", "cd", ""]);
    assert_eq!(run.up.forwarded, b"ab1234cd");
    let end_skipped = scripted(json!([{"skip": 4}]))
        .up("ab")
        .up("12")
        .finish(Direction::Up)
        .inspect::<Scripted>();
    assert_eq!(shown(&end_skipped), ["ab"]);
}

#[test]
fn a_detached_direction_is_never_shown_again_and_the_other_is() {
    let run = scripted(json!(["detach"]))
        .up("ab")
        .up("cd")
        .down("ef")
        .finish(Direction::Up)
        .inspect::<Scripted>();
    assert_eq!(shown(&run), ["ab", "ef"]);
    assert!(run.up.detached && !run.down.detached);
    assert_eq!(
        (run.up.forwarded.as_slice(), run.down.forwarded.as_slice()),
        (&b"abcd"[..], &b"ef"[..])
    );
}

#[test]
fn a_refusal_forwards_nothing_of_what_was_shown() {
    let run = scripted(json!([{"hold": 1}, "refuse"]))
        .up("ab")
        .up("cd")
        .up("ef")
        .inspect::<Scripted>();
    assert_eq!(run.refusal, Some(Refusal::reset("told to")));
    assert_eq!(run.up.forwarded, b"");
    assert_eq!(run.verdicts.len(), 2);
}

#[test]
fn a_scene_is_cut_at_every_place_and_into_single_bytes() {
    let scene = Scene::new().config(json!([])).up("abc").down("de");
    let seen: Vec<String> = scene
        .cuts()
        .map(|scene| shown(&scene.inspect::<Scripted>()).join("|"))
        .collect();
    assert_eq!(seen, ["abc|de", "a|bc|de", "ab|c|de", "abc|d|e", "a|b|c|d|e"]);
}

/// A greeting before the choice: "hello" is answered, and the line behind it names the upstream.
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Greeter {}

impl Config for Greeter {}

impl Router for Greeter {
    fn route(&self, window: &Window, _connection: &Connection) -> Decision {
        match window.bytes.iter().position(|&byte| byte == b'\n') {
            Some(end) if window.round == 0 => Decision::exchange(end + 1, *b"welcome\n"),
            Some(end) => Choice::new(String::from_utf8_lossy(&window.bytes[..end]))
                .option("round", window.round)
                .into(),
            None if window.timed_out => Decision::refuse("too slow"),
            None => Decision::Need(1),
        }
    }
}

#[test]
fn a_router_talks_to_the_client_and_then_decides() {
    let scene = Scene::new().config(json!({})).up("hello\nblue\nrest");
    for scene in scene.cuts() {
        let routed = scene.route::<Greeter>();
        assert_eq!(routed.decision, Choice::new("blue").option("round", 1).into());
        assert_eq!((routed.replies.as_slice(), routed.exchanges), (&b"welcome\n"[..], 1));
        assert_eq!(routed.window, b"blue\nrest");
    }
}

#[test]
fn a_router_that_asks_for_more_than_can_come_has_passed() {
    let scene = Scene::new().config(json!({})).up("hel");
    assert_eq!(scene.route::<Greeter>().decision, Decision::Need(1));
    assert_eq!(
        scene.clone().finish(Direction::Up).route::<Greeter>().decision,
        Decision::Pass
    );
    assert_eq!(scene.clone().fill().route::<Greeter>().decision, Decision::Pass);
    assert_eq!(
        scene.time_out().route::<Greeter>().decision,
        Decision::refuse("too slow")
    );
}

/// Says everything twice to the client, and lets what the upstream gets alone.
struct Echo;

impl Transformer for Echo {
    type Config = ();

    fn open(_config: &(), _connection: &Connection) -> Self {
        Self
    }

    fn interest(&self) -> Directions {
        Directions::Down
    }

    fn on_bytes(&mut self, chunk: Chunk, _connection: &Connection) -> Output {
        let end = chunk.bytes.ends_with(b".");
        let output = Output::forward(Direction::Down, chunk.bytes.repeat(2));
        if end { output.detach() } else { output }
    }
}

#[test]
fn a_transformer_changes_what_it_is_shown() {
    let run = Scene::new().up("x").down("a").down("b.").down("c").transform::<Echo>();
    assert_eq!(
        (run.to_upstream.as_slice(), run.to_client.as_slice()),
        (&b"x"[..], &b"aab.b.c"[..])
    );
}

static CALLS: Counter = Counter::new("calls_total", "Calls.");
static LAST: Gauge = Gauge::new("last", "The last.");
static SIZES: Histogram = Histogram::new("sizes_bytes", "Sizes.");

/// Uses everything that the host offers.
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Everything {}

impl Config for Everything {
    fn metrics() -> Vec<&'static dyn Metric> {
        vec![&CALLS, &LAST, &SIZES]
    }
}

impl Router for Everything {
    fn route(&self, _window: &Window, connection: &Connection) -> Decision {
        let client = connection
            .client()
            .map_or("unix".to_owned(), |client| client.ip().to_string());
        let burst = Rate {
            per_second: 1.0,
            burst: 2,
        };
        connection.annotate("allowed", store::take(&client, 1, burst));
        connection.annotate("sni", connection.text("tls.sni").unwrap_or_default());
        let minute = Some(Duration::from_secs(60));
        connection.annotate("count", store::add("count", 1, minute).unwrap_or(-1));
        connection.annotate("other", store::set("other", b"x", None).is_ok());
        connection.annotate("healthy", upstreams::get("blue").map_or(0, |blue| blue.healthy));
        connection.annotate("seconds", environment::monotonic().as_secs());
        CALLS.add(1);
        LAST.set(7.0);
        SIZES.observe(100.0);
        Decision::Pass
    }
}

#[test]
fn the_host_goes_on_from_scene_to_scene() {
    let scene = Scene::new()
        .config(json!({}))
        .upstream("blue", 3, 2)
        .attribute("tls.sni", "a.example")
        .store_entries(1);
    let first = scene.route::<Everything>().host;
    assert_eq!(first.annotation("sni"), Some(&"a.example".into()));
    assert_eq!(first.annotation("healthy"), Some(&2.into()));
    assert_eq!(
        first.annotation("other"),
        Some(&false.into()),
        "the store has one entry"
    );
    let again = |host| {
        Scene::new()
            .config(json!({}))
            .host(host)
            .wait(Duration::from_millis(1))
            .route::<Everything>()
            .host
    };
    let third = again(again(first));
    assert_eq!(
        third.annotation("allowed"),
        Some(&false.into()),
        "two tokens, and none came back yet"
    );
    assert_eq!(third.annotation("count"), Some(&3.into()));
    assert_eq!(third.metric("calls_total"), Some(3.0));
    assert_eq!(
        (third.metric("last"), third.metric("sizes_bytes")),
        (Some(7.0), Some(3.0))
    );
    let later = Scene::new()
        .config(json!({}))
        .host(third)
        .wait(Duration::from_secs(61))
        .route::<Everything>()
        .host;
    let next = again(later);
    assert_eq!(next.annotation("seconds"), Some(&61.into()));
    assert_eq!(
        (next.annotation("allowed"), next.annotation("count")),
        (Some(&true.into()), Some(&1.into()))
    );
}

#[test]
#[should_panic(expected = "the configuration is refused: missing field")]
fn a_scene_needs_a_configuration_that_fits() {
    Scene::new().config(json!({"blue": 1})).route::<Strict>();
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Strict {
    #[expect(dead_code, reason = "only its absence matters")]
    needed: String,
}

impl Config for Strict {}

impl Router for Strict {
    fn route(&self, _window: &Window, _connection: &Connection) -> Decision {
        Decision::Pass
    }
}
