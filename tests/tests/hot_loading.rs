//! A filter is replaced while it serves: new connections get the new one, living ones keep theirs, nothing is lost.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use spliceway_tests::artifacts::{filter, guest};
use spliceway_tests::bytes::{digest, pattern, variant};
use spliceway_tests::command::run;
use spliceway_tests::servers::Redis;
use spliceway_tests::{Client, DEADLINE, Peer, Proxy, Upstream, alone, eventually};
use tempfile::TempDir;

const GUARD: &str = r#"{"refuse": ["FLUSHALL"]}"#;

#[test]
fn a_file_written_in_place_is_the_next_generation() {
    let scene = Scene::new();
    let first = scene.proxy.published("guard", 1);
    fs::write(&scene.file, variant(&scene.component, 1)).expect("the filter's file can be written");
    let second = scene.proxy.published("guard", 2);
    assert_ne!(first.text("digest"), second.text("digest"));
    second.number("elapsed_ms");
    scene.guards();
}

#[test]
fn a_file_renamed_over_is_the_next_generation() {
    let scene = Scene::new();
    for number in 1..=3 {
        replace(&scene.file, &variant(&scene.component, number));
        scene.proxy.published("guard", u64::from(number) + 1);
    }
    scene.guards();
}

#[test]
fn a_file_removed_and_made_again_is_the_next_generation() {
    let scene = Scene::new();
    fs::remove_file(&scene.file).expect("the filter's file can be removed");
    scene.guards();
    fs::write(&scene.file, variant(&scene.component, 1)).expect("the filter's file can be written");
    scene.proxy.published("guard", 2);
    scene.guards();
}

#[test]
fn a_hangup_reads_the_files_again() {
    // A folder behind a symbolic link is how Kubernetes replaces files: nothing happens in the folder that was watched.
    let folder = TempDir::new().expect("a temporary folder");
    let component = fs::read(filter("redis-guard")).expect("a filter can be read");
    let current = folder.path().join("current");
    for (name, bytes) in [("one", component.clone()), ("two", variant(&component, 2))] {
        fs::create_dir(folder.path().join(name)).expect("a folder in a temporary folder");
        fs::write(folder.path().join(name).join("guard.wasm"), bytes).expect("a file in a temporary folder");
    }
    symlink("one", &current).expect("a link in a temporary folder");
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address())
        .filter_with(current.join("guard.wasm"), GUARD)
        .start();
    proxy.published("guard", 1);

    symlink("two", folder.path().join("next")).expect("a link in a temporary folder");
    fs::rename(folder.path().join("next"), &current).expect("a link can be replaced");
    proxy.signal(Signal::HUP);

    proxy.published("guard", 2);
}

#[test]
fn a_file_that_is_no_filter_leaves_the_old_generation_serving() {
    for wrong in [&b"this is no component"[..], b"", b"\0asm\x01\0\0\0"] {
        let scene = Scene::new();
        replace(&scene.file, wrong);
        let rejected = scene
            .proxy
            .wait_for("filter rejected", |event| event.text("filter") == "guard");
        assert_eq!(rejected.number("generation"), 1, "the one that still serves");
        assert!(!rejected.text("error").is_empty());
        scene.guards();

        replace(&scene.file, &variant(&scene.component, 1));
        scene.proxy.published("guard", 2);
    }
}

#[test]
fn a_generation_whose_init_refuses_is_not_published() {
    let scene = Scene::new();
    // Another filter under the same name: it does not know this configuration, and says so.
    replace(
        &scene.file,
        &fs::read(filter("postgres-router")).expect("a filter can be read"),
    );
    let rejected = scene
        .proxy
        .wait_for("filter rejected", |event| event.text("filter") == "guard");
    assert_eq!(rejected.number("generation"), 1, "the one that still serves");
    assert!(
        rejected.text("error").contains("refuse"),
        "the filter's own message: {rejected}"
    );
    scene.guards();

    replace(&scene.file, &variant(&scene.component, 9));
    scene.proxy.published("guard", 2);
}

#[test]
fn a_living_connection_keeps_the_generation_it_began_with_which_is_freed_with_it() {
    let scene = Scene::new();
    let mut old = Client::connect(scene.proxy.address());
    exchange(&mut old);

    replace(&scene.file, &variant(&scene.component, 1));
    scene.proxy.published("guard", 2);
    let mut new = Client::connect(scene.proxy.address());
    exchange(&mut new);
    exchange(&mut old);

    // The fourth generation frees the second as soon as its connection has ended, while the first still has one. The third
    // is the one to go back to.
    for number in [2, 3] {
        replace(&scene.file, &variant(&scene.component, number));
        scene.proxy.published("guard", u64::from(number) + 1);
    }
    finish(new);
    scene.proxy.wait_for("generation freed", |event| {
        event.text("filter") == "guard" && event.number("generation") == 2
    });
    assert!(
        scene
            .proxy
            .logged("generation freed")
            .iter()
            .all(|event| event.number("generation") == 2)
    );
    exchange(&mut old);

    finish(old);
    scene.proxy.wait_for("generation freed", |event| {
        event.text("filter") == "guard" && event.number("generation") == 1
    });
}

#[test]
fn the_generation_of_a_connection_decides_what_becomes_of_it() {
    // The old generation refuses a command; the new one, another program for the same configuration, looks at nothing.
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("guard.wasm");
    fs::copy(filter("redis-guard"), &file).expect("a filter can be copied");
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address()).filter_with(&file, GUARD).start();
    let mut old = Client::connect(proxy.address());
    exchange(&mut old);

    replace(&file, &fs::read(guest("guard-off")).expect("a guest can be read"));
    proxy.published("guard", 2);

    let mut new = Client::connect(proxy.address());
    new.send(b"FLUSHALL\r\n");
    new.expect(b"FLUSHALL\r\n");
    exchange(&mut old);
    old.send(b"FLUSHALL\r\n");
    assert!(!String::from_utf8_lossy(&old.expect_closed()).contains("FLUSHALL"));
}

#[test]
fn two_hundred_swaps_under_load_lose_no_connection_and_no_byte() {
    let _alone = alone();
    let redis = Redis::start();
    let echo = Upstream::echo();
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("guard.wasm");
    let component = fs::read(filter("redis-guard")).expect("a filter can be read");
    fs::write(&file, &component).expect("a file in a temporary folder");
    let config = format!(
        "[filters.guard]\nsource = \"{}\"\nconfig = {{ refuse = [\"FLUSHALL\"] }}\n\
         [upstreams.redis]\nservers = [\"{}\"]\n\
         [upstreams.echo]\nservers = [\"{}\"]\n\
         [[listeners]]\nname = \"redis\"\naddress = \"127.0.0.1:0\"\nupstream = \"redis\"\nfilters = [\"guard\"]\n\
         [[listeners]]\nname = \"bulk\"\naddress = \"127.0.0.1:0\"\nupstream = \"echo\"\nfilters = [\"guard\"]\n",
        file.display(),
        redis.address(),
        echo.address()
    );
    let proxy = Proxy::run(&config).start();
    proxy.published("guard", 1);
    let redis_port: u16 = proxy
        .listener("redis")
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port");
    let descriptors = proxy.descriptors().len();

    let swapped = AtomicBool::new(false);
    let (rounds, sent) = thread::scope(|scope| {
        // Connections that live through many generations, and ones that begin in each.
        let requests = scope.spawn(|| {
            let mut rounds = 0;
            while !swapped.load(Ordering::Relaxed) {
                for arguments in [
                    &["-t", "set,get", "-n", "20000", "-c", "10", "-q"][..],
                    &["-t", "ping_inline", "-n", "300", "-c", "5", "-k", "0", "-q"],
                ] {
                    let finished = run(&mut Redis::benchmark(redis_port, arguments), Duration::from_secs(120));
                    assert!(finished.status.success(), "{finished:?}");
                    assert!(!finished.stderr.contains("rror"), "{finished:?}");
                }
                rounds += 1;
            }
            rounds
        });
        // One connection that moves bulk from the first generation to the last.
        let bulk = scope.spawn(|| {
            let mut client = Client::connect(proxy.listener("bulk"));
            let mut reader = client.another();
            let message = set_command(&pattern(1, 4 << 20));
            let expected = digest(&message);
            let mut sent = 0;
            while !swapped.load(Ordering::Relaxed) {
                let got = thread::scope(|scope| {
                    let got = scope.spawn(|| reader.receive(message.len()));
                    client.send(&message);
                    got.join().expect("the reader does not panic")
                });
                assert_eq!(digest(&got), expected);
                sent += message.len() as u64;
            }
            client.half_close();
            client.expect_eof();
            sent
        });
        // Set also when a swap fails, or the threads would go on for ever.
        let _stop = SetWhenDropped(&swapped);
        for number in 1..=200 {
            let next = variant(&component, number);
            match number % 2 {
                0 => fs::write(&file, &next).expect("the filter's file can be written"),
                _ => replace(&file, &next),
            }
            proxy.published("guard", u64::from(number) + 1);
        }
        swapped.store(true, Ordering::Relaxed);
        (
            requests.join().expect("no request was lost"),
            bulk.join().expect("no byte was lost"),
        )
    });

    assert!(rounds > 0 && sent > 0);
    assert!(proxy.logged("filter failed").is_empty());
    let bulk = proxy.wait_for("connection ended", |event| event.text("listener") == "bulk");
    assert_eq!(
        bulk.number("up_copied") + bulk.number("up_spliced") + bulk.number("up_filtered"),
        sent
    );
    for ended in proxy.logged("connection ended") {
        // redis-benchmark leaves replies unread when it has its number, which resets its own connection.
        let outcome = ended.text("outcome");
        assert!(
            outcome.starts_with("relay.finished") || outcome == "relay.reset.client",
            "{ended}"
        );
    }
    for generation in 1..200 {
        proxy.wait_for("generation freed", |event| event.number("generation") == generation);
    }
    let freed = proxy.logged("generation freed");
    assert_eq!(freed.len(), 199, "the last but one is the one to go back to");
    // A worker keeps the pipes that it splices with: here at most the two of the one connection that moved bulk, with two
    // ends each. And the generation to go back to has the image of its memory, as places of instances have that nobody has used
    // since: a few, where a leak would be one for each swap.
    proxy.descriptors_back_to(descriptors + 4 + 16);
}

/// As many as take less than two minutes in a debug build; others are asked for by `SPLICEWAY_RELOADS`.
const RELOADS: u32 = 10_000;

/// So small that it is not the compiler that is tested: beside it lies what it is made of.
const TINY: &[u8] = include_bytes!("../guests/tiny.wasm");

/// Between what clients do, so that the machine has time for reloads too.
const PACE: Duration = Duration::from_millis(2);

#[test]
fn thousands_of_reloads_under_load_cut_no_connection_and_leave_nothing_behind() {
    let _alone = alone();
    let reloads = std::env::var("SPLICEWAY_RELOADS").ok();
    let reloads: u32 = reloads.map_or(RELOADS, |count| count.parse().expect("a number of reloads"));
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("tiny.wasm");
    fs::write(&file, TINY).expect("a file in a temporary folder");
    let upstream = Upstream::echo();
    // Ends of connections are told at `debug`: all would be read again at each step.
    let proxy = Proxy::forward(upstream.address())
        .filter(&file)
        .log_level("info")
        .start();
    proxy.published("tiny", 1);

    let over = AtomicBool::new(false);
    let (settled, visits, sent) = thread::scope(|scope| {
        let visits = [(); 2].map(|()| {
            scope.spawn(|| {
                let mut visits = 0_u64;
                while !over.load(Ordering::Relaxed) {
                    let mut client = Client::connect(proxy.address());
                    exchange(&mut client);
                    finish(client);
                    visits += 1;
                    thread::sleep(PACE);
                }
                visits
            })
        });
        // One connection that lives from the first generation to the last.
        let bulk = scope.spawn(|| {
            let mut client = Client::connect(proxy.address());
            let message = pattern(1, 32 << 10);
            let mut sent = 0;
            while !over.load(Ordering::Relaxed) {
                client.send(&message);
                assert!(client.receive(message.len()) == message);
                sent += message.len() as u64;
                thread::sleep(PACE);
            }
            finish(client);
            sent
        });
        let _over = SetWhenDropped(&over);
        let mut settled = Footprint::default();
        for number in 1..=reloads {
            replace(&file, &variant(TINY, number));
            // It would be noticed by itself, but not at once: writers are given time to finish.
            proxy.signal(Signal::HUP);
            proxy.just_published("tiny", u64::from(number) + 1);
            // What is used again and again is there by then.
            if number == reloads / 10 {
                settled = Footprint::of(&proxy);
            }
        }
        over.store(true, Ordering::Relaxed);
        let visits: u64 = visits
            .map(|thread| thread.join().expect("no connection was cut"))
            .iter()
            .sum();
        (settled, visits, bulk.join().expect("no byte was lost"))
    });

    assert!(
        visits > u64::from(reloads) / 10 && sent > 0,
        "{visits} connections, {sent} bytes"
    );
    assert!(proxy.logged("filter failed").is_empty());
    let held = [reloads, reloads + 1];
    eventually("all but the last two are freed", || {
        (proxy.logged("generation freed").len() as u32 == reloads - 1).then_some(())
    });
    let freed = proxy.logged("generation freed");
    assert!(
        freed
            .iter()
            .all(|event| !held.map(u64::from).contains(&event.number("generation")))
    );
    let last = eventually("nothing is left of the others", || {
        let last = Footprint::of(&proxy);
        (last.descriptors <= settled.descriptors && last.maps <= settled.maps + 32).then_some(last)
    });
    eprintln!("{reloads} reloads, {visits} connections, {sent} bytes: {settled:?}, then {last:?}");
    assert!(
        last.memory_kib <= settled.memory_kib + 4 * 1024,
        "{settled:?}, then {last:?}"
    );
}

/// What a process has.
#[derive(Debug, Default)]
struct Footprint {
    memory_kib: u64,
    descriptors: usize,
    maps: usize,
}

impl Footprint {
    fn of(proxy: &Proxy) -> Self {
        let maps = fs::read_to_string(format!("/proc/{}/maps", proxy.pid())).expect("a running process has maps");
        Self {
            memory_kib: proxy.memory_kib(),
            descriptors: proxy.descriptors().len(),
            maps: maps.lines().count(),
        }
    }
}

/// A proxy with `redis-guard` from a file of its own, in front of an echo.
struct Scene {
    proxy: Proxy,
    component: Vec<u8>,
    file: std::path::PathBuf,
    _folder: TempDir,
    _upstream: Upstream,
}

impl Scene {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("guard.wasm");
        let component = fs::read(filter("redis-guard")).expect("a filter can be read");
        fs::write(&file, &component).expect("a file in a temporary folder");
        let upstream = Upstream::echo();
        let proxy = Proxy::forward(upstream.address()).filter_with(&file, GUARD).start();
        proxy.published("guard", 1);
        Self {
            proxy,
            component,
            file,
            _folder: folder,
            _upstream: upstream,
        }
    }

    /// A new connection is guarded: it works, and the command that the configuration names is refused.
    #[track_caller]
    fn guards(&self) {
        let mut client = Client::connect(self.proxy.address());
        exchange(&mut client);
        client.send(b"*1\r\n$8\r\nFLUSHALL\r\n");
        let got = client.expect_closed();
        assert!(
            !String::from_utf8_lossy(&got).contains("FLUSHALL"),
            "it came through to the server"
        );
    }
}

struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Puts a file in the place of another one, as a deployment does.
fn replace(file: &Path, bytes: &[u8]) {
    let next = file.with_extension("next");
    fs::write(&next, bytes).expect("a file beside the filter's");
    fs::rename(&next, file).expect("a file can be renamed over another");
}

#[track_caller]
fn exchange(client: &mut Peer) {
    client.deadline(DEADLINE);
    client.send(b"*1\r\n$4\r\nPING\r\n");
    client.expect(b"*1\r\n$4\r\nPING\r\n");
}

#[track_caller]
fn finish(mut client: Peer) {
    client.half_close();
    client.expect_eof();
}

/// `SET key value` as RESP has it.
fn set_command(value: &[u8]) -> Vec<u8> {
    let mut command = format!("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n${}\r\n", value.len()).into_bytes();
    command.extend_from_slice(value);
    command.extend_from_slice(b"\r\n");
    command
}

#[test]
fn a_proxy_with_filters_ends_when_it_is_told_to_and_tells_its_observers_everything_first() {
    let upstream = Upstream::echo();
    let mut proxy = Proxy::forward(upstream.address()).filter(filter("access-log")).start();
    let mut client = Client::connect(proxy.address());
    client.send(b"hello");
    client.expect(b"hello");
    client.half_close();
    client.expect_eof();
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
    proxy.wait_for_guest("access-log", |_| true);
}

#[test]
fn a_rejected_file_is_tried_again_on_hangup_and_not_when_something_happens_beside_it() {
    let folder = TempDir::new().expect("a temporary folder");
    let component = fs::read(filter("redis-guard")).expect("a filter can be read");
    let [file, beside] = ["guard.wasm", "beside.wasm"].map(|name| folder.path().join(name));
    for file in [&file, &beside] {
        fs::write(file, &component).expect("a file in a temporary folder");
    }
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address())
        .filter_with(&file, GUARD)
        .filter_with(&beside, GUARD)
        .start();
    let rejections = || proxy.logged("filter rejected").len();
    // All files are looked at in turn. The first of two generations may be from a look that began before it was written; the
    // second is from another one.
    let look_around = |generation| {
        for generation in [generation, generation + 1] {
            replace(&beside, &variant(&component, generation));
            proxy.published("beside", generation.into());
        }
    };

    replace(&file, b"this is no component");
    let first = proxy.wait_for("filter rejected", |event| event.text("filter") == "guard");
    look_around(2);
    assert_eq!(rejections(), 1, "{}", proxy.log_text());

    proxy.signal(Signal::HUP);
    eventually("it is rejected again", || (rejections() == 2).then_some(()));
    for rejected in proxy.logged("filter rejected") {
        for field in ["filter", "generation", "error"] {
            assert_eq!(rejected.field(field), first.field(field));
        }
    }
    look_around(4);
    assert_eq!(rejections(), 2, "{}", proxy.log_text());
}

#[test]
fn a_file_that_missed_its_deadline_is_tried_again_when_something_happens_beside_it() {
    let scene = Scene::new();
    let rejections = || scene.proxy.logged("filter rejected").len();
    replace(&scene.file, &without_end(&scene.component));
    let rejected = scene
        .proxy
        .wait_for("filter rejected", |event| event.text("filter") == "guard");
    assert!(rejected.text("error").contains("deadline"), "{rejected}");

    fs::write(scene.file.with_file_name("beside"), b"").expect("a file in a temporary folder");

    eventually("it is tried again", || (rejections() >= 2).then_some(()));
    scene.guards();
}

/// A component that is like this one, but for one more module, which begins with an endless loop.
fn without_end(component: &[u8]) -> Vec<u8> {
    // (module (func $loop (loop (br 0))) (start $loop))
    let module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x08\x01\0\x0a\x09\x01\x07\0\x03\x40\x0c\0\x0b\x0b";
    let instantiate = [2, 4, 1, 0, modules(component), 0];
    [component, &[1, module.len() as u8], module, &instantiate].concat()
}

/// How many core modules a component has: the sections of kind 1, each of them behind its kind and its length (LEB128).
fn modules(component: &[u8]) -> u8 {
    let mut rest = &component[8..];
    let mut modules = 0;
    while let [kind, more @ ..] = rest {
        let digits = 1 + more.iter().take_while(|byte| **byte >= 0x80).count();
        let length = more[..digits]
            .iter()
            .rev()
            .fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
        modules += u8::from(*kind == 1);
        rest = &more[digits + length..];
    }
    modules
}
