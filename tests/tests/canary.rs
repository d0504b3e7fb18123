//! A new generation of a filter is tried with some connections, and what keeps failing makes room for what did not.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use spliceway_tests::artifacts::{filter, guest};
use spliceway_tests::bytes::variant;
use spliceway_tests::{Client, Event, Peer, Proxy, Upstream, eventually};
use tempfile::TempDir;

/// Whose connections a canary gets in most scenes: all of 127.0.0.0/8 is this machine.
const CHOSEN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const NOT_CHOSEN: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// For ever, as far as a test is concerned.
const CHOSEN_CLIENTS: &str = r#"canary = { clients = ["127.0.0.2"], for = "1h" }"#;

const PANICS: &str = r#"{ how = "panic", when = "misbehave" }"#;
const GUARDS: &str = r#"{ refuse = ["FLUSHALL"] }"#;

// ---- who gets it ----

#[test]
fn a_canary_gets_about_its_share_of_connections() {
    let scene = Scene::with(
        &filter("redis-guard"),
        GUARDS,
        r#"canary = { share = "25%", for = "1h" }"#,
    );
    scene.replace(&fs::read(guest("guard-off")).expect("a guest can be read"));
    let began = scene.says("canary began", 2);
    assert_eq!(began.number("stable"), 1);
    began.number("elapsed_ms");
    assert!(began.has("digest"));

    let through = (0..400).filter(|_| flushes(&mut scene.client(NOT_CHOSEN))).count();

    // Five standard deviations (of 8.7) around 100.
    assert!((56..=144).contains(&through), "{through} of 400");
    assert!(scene.proxy.logged("canary rolled back").is_empty());
    assert_eq!(scene.proxy.logged("filter published").len(), 1);
}

#[test]
fn a_canary_gets_the_connections_of_its_clients_and_no_others() {
    let scene = Scene::with(&filter("redis-guard"), GUARDS, CHOSEN_CLIENTS);
    scene.replace(&fs::read(guest("guard-off")).expect("a guest can be read"));
    scene.says("canary began", 2);
    for _ in 0..20 {
        assert!(flushes(&mut scene.client(CHOSEN)));
        assert!(!flushes(&mut scene.client(NOT_CHOSEN)));
    }
}

// ---- what becomes of it ----

#[test]
fn a_canary_that_does_no_worse_is_promoted_after_its_time_and_its_connections() {
    let scene = Scene::misbehaving(r#"canary = { share = "100%", for = "300ms", connections = 5 }"#);
    scene.next(1);
    scene.says("canary began", 2);
    let mut living = scene.client(NOT_CHOSEN);
    echo(&mut living);
    for _ in 0..4 {
        visit(scene.client(NOT_CHOSEN));
    }
    living.expect_silence(Duration::from_millis(600));
    assert!(scene.proxy.logged("canary promoted").is_empty(), "four have ended");
    visit(living);
    let promoted = scene.says("canary promoted", 2);
    assert!(promoted.text("canary").contains("5 connections"), "{promoted}");

    scene.next(2);
    assert_eq!(scene.says("canary began", 3).number("stable"), 2);
    assert_eq!(scene.proxy.logged("canary promoted").len(), 1);
}

#[test]
fn a_canary_that_traps_is_rolled_back_and_its_living_connections_finish_on_it() {
    rolled_back_on_failure(PANICS);
}

#[test]
fn a_canary_that_misses_a_deadline_is_rolled_back() {
    rolled_back_on_failure(r#"{ how = "loop", when = "misbehave" }"#);
}

#[track_caller]
fn rolled_back_on_failure(config: &str) {
    let scene = Scene::with(&guest("misbehave"), config, CHOSEN_CLIENTS);
    scene.next(1);
    scene.says("canary began", 2);
    let mut living = scene.client(CHOSEN);
    echo(&mut living);

    assert_eq!(scene.fails(CHOSEN), 2);

    let back = scene.says("canary rolled back", 2);
    assert_eq!(back.text("why"), "failures", "{back}");
    assert_eq!(back.number("serves"), 1, "{back}");
    assert!(!back.has("retry_after"), "{back}");
    assert_eq!(scene.fails(CHOSEN), 1, "they are served by the old one again");
    echo(&mut living);
    living.send(b"misbehave");
    living.expect_closed();
    scene.proxy.wait_for("filter failed", |event| {
        event.number("generation") == 2 && event.number("connection") == 1
    });
    scene.says("generation freed", 2);
    assert_eq!(scene.proxy.logged("canary rolled back").len(), 1);
}

#[test]
fn a_canary_that_refuses_more_than_the_old_one_is_rolled_back() {
    let scene = Scene::with(&guest("guard-off"), GUARDS, CHOSEN_CLIENTS);
    scene.replace(&fs::read(filter("redis-guard")).expect("a filter can be read"));
    scene.says("canary began", 2);
    for _ in 0..30 {
        visit(scene.client(NOT_CHOSEN));
    }
    for _ in 0..20 {
        flushes(&mut scene.client(CHOSEN));
    }
    let back = scene.says("canary rolled back", 2);
    assert_eq!(back.text("why"), "refused connections", "{back}");
    eventually("new connections are served by the old one", || {
        flushes(&mut scene.client(CHOSEN)).then_some(())
    });
}

#[test]
fn a_canary_whose_connections_end_early_is_rolled_back() {
    let scene = Scene::misbehaving(CHOSEN_CLIENTS);
    scene.next(1);
    scene.says("canary began", 2);
    for _ in 0..30 {
        visit(scene.client(NOT_CHOSEN));
    }
    for _ in 0..20 {
        // Whoever waits for an answer in vain goes at last.
        finish(scene.client(CHOSEN));
    }
    let back = scene.says("canary rolled back", 2);
    assert_eq!(back.text("why"), "connections that ended early", "{back}");
}

#[test]
fn a_canary_is_withdrawn_when_the_old_file_is_put_back() {
    let scene = Scene::misbehaving(CHOSEN_CLIENTS);
    scene.next(1);
    scene.says("canary began", 2);
    scene.replace(&scene.component);
    let withdrawn = scene.says("generation withdrawn", 2);
    assert!(
        withdrawn.text("why").contains("stable generation's again"),
        "{withdrawn}"
    );
    scene.says("generation freed", 2);
    assert_eq!(scene.fails(CHOSEN), 1);

    scene.next(1);
    scene.says("canary began", 3);
    scene.next(2);
    let withdrawn = scene.says("generation withdrawn", 3);
    assert!(withdrawn.text("why").contains("newer"), "{withdrawn}");
    scene.says("canary began", 4);
}

#[test]
fn a_canary_that_was_rolled_back_is_tried_again_when_somebody_asks_for_it() {
    let scene = Scene::misbehaving(CHOSEN_CLIENTS);
    scene.next(1);
    scene.says("canary began", 2);
    scene.fails(CHOSEN);
    scene.says("canary rolled back", 2);

    scene.proxy.signal(Signal::HUP);
    scene.says("canary began", 3);
    assert_eq!(scene.fails(CHOSEN), 3);
    scene.says("canary rolled back", 3);

    // That something happens beside it is no request.
    fs::write(scene.file.with_file_name("beside"), b"").expect("a file in a temporary folder");
    scene.next(2);
    scene.says("canary began", 4);
    assert_eq!(scene.proxy.logged("canary began").len(), 3);
}

// ---- quarantine ----

#[test]
fn a_generation_that_keeps_failing_makes_room_for_the_one_before_and_is_tried_again_after_longer_and_longer() {
    let scene = Scene::misbehaving(r#"quarantine = { failures = 3, within = "1h", retry-after = "200ms" }"#);
    scene.next(1);
    scene.proxy.published("wild", 2);
    for _ in 0..3 {
        assert_eq!(scene.fails(NOT_CHOSEN), 2);
    }
    let quarantined = scene.says("generation quarantined", 2);
    assert_eq!(quarantined.number("serves"), 1, "{quarantined}");
    assert_eq!(quarantined.number("failures"), 3, "{quarantined}");
    assert_eq!(quarantined.text("retry_after"), "200ms", "{quarantined}");
    visit(scene.client(NOT_CHOSEN));

    for (times, retry_after) in [(1, "400ms"), (2, "800ms")] {
        eventually("it is tried again", || {
            (scene.proxy.logged("generation tried again").len() == times).then_some(())
        });
        // A tenth of the connections are its.
        eventually("one of its connections fails", || {
            scene.fails(NOT_CHOSEN);
            (scene.proxy.logged("canary rolled back").len() == times).then_some(())
        });
        let back = scene.proxy.logged("canary rolled back");
        assert_eq!(back[times - 1].text("retry_after"), retry_after);
        assert_eq!(back[times - 1].number("generation"), 2);
    }
    assert_eq!(scene.proxy.logged("generation quarantined").len(), 1);
    assert!(scene.proxy.logged("generation freed").is_empty());
}

#[test]
fn a_generation_that_has_recovered_returns_from_quarantine() {
    let keys = r#"quarantine = { failures = 3, within = "1h", retry-after = "200ms" }
canary = { share = "100%", for = "100ms", connections = 0 }"#;
    let scene = Scene::misbehaving(keys);
    scene.next(1);
    scene.says("canary promoted", 2);
    for _ in 0..3 {
        scene.fails(NOT_CHOSEN);
    }
    scene.says("generation quarantined", 2);
    scene.says("generation tried again", 2);
    eventually("it is promoted again", || {
        (scene.proxy.logged("canary promoted").len() == 2).then_some(())
    });
    assert_eq!(scene.fails(NOT_CHOSEN), 2);
}

#[test]
fn a_generation_in_quarantine_is_tried_again_at_once_when_somebody_asks_for_it() {
    let scene = Scene::misbehaving(r#"quarantine = { failures = 1, retry-after = "1h" }"#);
    scene.next(1);
    scene.proxy.published("wild", 2);
    scene.fails(NOT_CHOSEN);
    scene.says("generation quarantined", 2);
    scene.proxy.signal(Signal::HUP);
    scene.says("generation tried again", 2);
    assert_eq!(
        scene.proxy.logged("filter published").len(),
        2,
        "it was not loaded again"
    );
}

#[test]
fn a_new_file_is_a_new_start() {
    let scene = Scene::misbehaving(r#"quarantine = { failures = 1, retry-after = "1h" }"#);
    scene.next(1);
    scene.proxy.published("wild", 2);
    scene.fails(NOT_CHOSEN);
    scene.says("generation quarantined", 2);
    scene.next(2);
    scene.proxy.published("wild", 3);
    scene.says("generation withdrawn", 2);
    scene.says("generation freed", 2);
    assert_eq!(scene.fails(NOT_CHOSEN), 3);
    let quarantined = scene.says("generation quarantined", 3);
    assert_eq!(quarantined.number("serves"), 1, "{quarantined}");
}

#[test]
fn a_filter_without_an_earlier_generation_goes_on_failing_and_says_so_once() {
    let scene = Scene::misbehaving(r#"quarantine = { failures = 3, within = "1h" }"#);
    for _ in 0..12 {
        assert_eq!(scene.fails(NOT_CHOSEN), 1);
    }
    let said = "filter keeps failing, and no earlier generation can take its place";
    let failing = scene.says(said, 1);
    assert_eq!(failing.number("failures"), 3, "{failing}");
    visit(scene.client(NOT_CHOSEN));
    assert_eq!(scene.proxy.logged(said).len(), 1);
    assert!(scene.proxy.logged("generation quarantined").is_empty());
}

#[test]
fn a_filter_that_nothing_goes_back_from_holds_no_earlier_generation() {
    let scene = Scene::misbehaving("quarantine = false");
    scene.next(1);
    scene.proxy.published("wild", 2);
    scene.says("generation freed", 1);
    for _ in 0..12 {
        assert_eq!(scene.fails(NOT_CHOSEN), 2);
    }
}

#[test]
fn a_connection_whose_filter_fails_before_it_saw_anything_goes_on_with_the_generation_before() {
    // Call 0 is the session's constructor.
    let keys = "on-error = \"previous\"\nquarantine = false";
    let scene = Scene::with(&guest("misbehave"), r#"{ how = "panic", call = 0 }"#, keys);
    let knock = || {
        // The proxy's RST may come before connect(2) has returned.
        if let Ok(mut client) = Client::try_connect(scene.proxy.address()) {
            client.half_close();
            client.expect_closed();
        }
    };
    let action = |generation: u64| {
        knock();
        let failed = scene
            .proxy
            .wait_for("filter failed", |event| event.number("generation") == generation);
        failed.text("action").to_owned()
    };
    assert_eq!(action(1), "close", "there is none before the first");
    scene.next(1);
    scene.proxy.published("wild", 2);
    assert_eq!(action(2), "previous");
    assert!(scene.proxy.logged("generation freed").is_empty());
}

/// A filter named `wild` in front of an echo, from a file of its own.
struct Scene {
    proxy: Proxy,
    component: Vec<u8>,
    file: PathBuf,
    _folder: TempDir,
    _upstream: Upstream,
}

impl Scene {
    /// It fails when it is told to, and does no harm otherwise.
    fn misbehaving(keys: &str) -> Self {
        Self::with(&guest("misbehave"), PANICS, keys)
    }

    fn with(component: &Path, config: &str, keys: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("wild.wasm");
        let component = fs::read(component).expect("a component can be read");
        fs::write(&file, &component).expect("a file in a temporary folder");
        let upstream = Upstream::echo();
        let proxy = Proxy::run(&format!(
            "[filters.wild]\nsource = \"{}\"\nconfig = {config}\n{keys}\n\
             [upstreams.only]\nservers = [\"{}\"]\n\
             [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\nfilters = [\"wild\"]\n",
            file.display(),
            upstream.address()
        ));
        let proxy = proxy.start();
        proxy.published("wild", 1);
        Self {
            proxy,
            component,
            file,
            _folder: folder,
            _upstream: upstream,
        }
    }

    /// The same component with another digest.
    fn next(&self, number: u32) {
        self.replace(&variant(&self.component, number));
    }

    fn replace(&self, bytes: &[u8]) {
        let next = self.file.with_extension("next");
        fs::write(&next, bytes).expect("a file beside the filter's");
        fs::rename(&next, &self.file).expect("a file can be renamed over another");
    }

    #[track_caller]
    fn says(&self, message: &str, generation: u64) -> Event {
        self.proxy
            .wait_for(message, |event| event.number("generation") == generation)
    }

    fn client(&self, source: Ipv4Addr) -> Peer {
        Client::connect_from(source, self.proxy.address())
    }

    /// A connection that makes the filter fail. Returns the generation that it had.
    #[track_caller]
    fn fails(&self, source: Ipv4Addr) -> u64 {
        let before = self.proxy.logged("filter failed").len();
        let mut client = self.client(source);
        client.send(b"misbehave");
        client.expect_closed();
        eventually("the failure is logged", || {
            let failed = self.proxy.logged("filter failed");
            failed.get(before).map(|event| event.number("generation"))
        })
    }
}

#[track_caller]
fn echo(client: &mut Peer) {
    client.send(b"*1\r\n$4\r\nPING\r\n");
    client.expect(b"*1\r\n$4\r\nPING\r\n");
}

/// As connections are.
#[track_caller]
fn visit(mut client: Peer) {
    echo(&mut client);
    finish(client);
}

#[track_caller]
fn finish(mut client: Peer) {
    client.half_close();
    client.expect_eof();
}

/// Whether the command that `redis-guard` refuses comes through.
#[track_caller]
fn flushes(client: &mut Peer) -> bool {
    client.send(b"*1\r\n$8\r\nFLUSHALL\r\n");
    client.half_close();
    String::from_utf8_lossy(&client.expect_closed()).contains("FLUSHALL")
}
