//! Another process in the place of the running one: nobody who connects is refused, nobody who is connected is cut off, and what
//! fails changes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rustix::process::Signal;
use spliceway_tests::artifacts;
use spliceway_tests::bytes::pattern;
use spliceway_tests::command::{lasting_as, run};
use spliceway_tests::service::{EndOf, PATIENCE, Service, connected, sockets};
use spliceway_tests::{Client, Proxy, Upstream, alone, eventually, is_root, skip, spliceway};
use tempfile::TempDir;

const UPGRADES: usize = 20;

// ---- what goes well ----

#[test]
fn twenty_upgrades_in_a_row_under_load_refuse_and_reset_nobody() {
    let _alone = alone();
    let service = Scene::start("");
    let over = AtomicBool::new(false);
    let served = AtomicU64::new(0);
    // One connection from before the first upgrade, and one from between each two.
    let mut lasting = vec![service.connected("groups")];
    thread::scope(|scope| {
        let mut coming = Vec::new();
        for (number, listener) in ["groups", "per-worker", "shared", "unix"].into_iter().enumerate() {
            let (service, over, served) = (&service, &over, &served);
            // An address of its own, so that ports do not run out.
            let source = Ipv4Addr::new(127, 0, 1, 1 + number as u8);
            coming.push(scope.spawn(move || come_and_go(service.address(listener), source, over, served)));
        }
        let bulk = scope.spawn(|| move_bulk(service.address("groups"), &over));
        for number in 0..UPGRADES {
            let before = served.load(Ordering::Relaxed);
            service.upgraded();
            lasting.push(service.connected(["groups", "per-worker", "shared", "unix"][number % 4]));
            eventually("more are served", || {
                (served.load(Ordering::Relaxed) > before + 20).then_some(())
            });
        }
        over.store(true, Ordering::Relaxed);
        for thread in coming {
            thread.join().expect("nobody was refused or reset");
        }
        let moved = bulk.join().expect("all bytes arrive");
        assert!(moved > 50 << 20, "only {moved} bytes were moved");
    });
    for client in &mut lasting {
        client.send(b"still here");
        client.expect(b"still here");
    }
    // As many processes as have connections: each ends with the last that it has.
    assert_eq!(service.processes().len(), UPGRADES + 1);
    drop(lasting);
    eventually("the old processes end", || {
        (service.processes().len() == 1).then_some(())
    });
    let newest = service.newest();
    assert_eq!(service.processes(), BTreeSet::from([newest]));
    println!("{} short connections in {UPGRADES} upgrades", served.into_inner());
}

/// Connects, asks and leaves, again and again, and panics if it is refused or reset.
fn come_and_go(address: &str, source: Ipv4Addr, over: &AtomicBool, served: &AtomicU64) {
    while !over.load(Ordering::Relaxed) {
        let mut client = match address.starts_with("unix:") {
            true => Client::connect(address),
            false => Client::connect_from(source, address),
        };
        client.send(b"ping");
        client.expect(b"ping");
        client.half_close();
        client.expect_eof();
        served.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends the same mebibyte again and again over one connection, and checks that it comes back; says how much that was.
fn move_bulk(address: &str, over: &AtomicBool) -> u64 {
    let chunk = pattern(8, 1 << 20);
    let mut client = Client::connect(address);
    let mut moved = 0;
    while !over.load(Ordering::Relaxed) {
        let (mut sending, sent) = (client.another(), chunk.clone());
        let sender = thread::spawn(move || sending.send(&sent));
        let received = client.receive(chunk.len());
        assert!(
            received == chunk,
            "other bytes than were sent, within a mebibyte after {moved}"
        );
        sender.join().expect("everything is taken");
        moved += chunk.len() as u64;
    }
    client.half_close();
    client.expect_eof();
    moved
}

#[test]
fn a_signal_asks_for_the_same() {
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address()).start();
    let address = proxy.address().to_owned();
    let mut before = connected(&address);
    proxy.signal(Signal::USR2);
    let process = proxy
        .wait_for("upgraded: another process serves", |_| true)
        .number("process");
    let _end = EndOf(vec![process]);
    let mut after = connected(&address);
    before.send(b"x");
    before.expect(b"x");
    drop(before);
    let mut proxy = proxy;
    assert_eq!(proxy.wait().code(), Some(0));
    after.send(b"y");
    after.expect(b"y");
}

#[test]
fn the_process_is_found_by_its_number_too() {
    let service = Scene::start("");
    let said = spliceway(["upgrade", "--pid", &service.proxy.pid().to_string()], PATIENCE).success();
    assert!(said.contains(&format!("process {} ", service.newest())), "{said}");
    let other = spliceway(["upgrade", "--pid", &std::process::id().to_string()], PATIENCE);
    assert_eq!(other.code(), Some(2));
    assert!(other.stderr.contains("is no `spliceway run`"), "{}", other.stderr);
}

#[test]
fn the_new_process_serves_what_its_configuration_says() {
    let service = Scene::start("");
    let removed = service.address("shared").to_owned();
    let text = service.config();
    let (before, rest) = text.split_once("# shared").expect("a mark");
    let (_, after) = rest.split_once("# end of shared").expect("a mark");
    let added = "[[listeners]]\nname = \"added\"\naddress = \"127.0.0.1:0\"\nupstream = \"echo\"\n";
    // Fewer workers than there are sockets: each of these is served nevertheless.
    let text = format!("{before}{after}{added}").replace("workers = 6", "workers = 1");
    service.configure(&text);
    service.upgraded();
    for listener in ["groups", "per-worker", "unix"] {
        for _ in 0..20 {
            drop(service.connected(listener));
        }
    }
    let listening = service
        .proxy
        .wait_for("listening", |event| event.text("listener") == "added");
    drop(connected(listening.text("address")));
    eventually("nobody listens where the listener was", || {
        let refused = Client::try_connect(&removed).err()?;
        (refused.kind() == ErrorKind::ConnectionRefused).then_some(())
    });
    // And back to more of them.
    service.configure(&text.replace("workers = 1", "workers = 8"));
    service.upgraded();
    for listener in ["groups", "per-worker", "unix"] {
        for _ in 0..20 {
            drop(service.connected(listener));
        }
    }
}

#[test]
fn the_page_of_metrics_is_the_new_process_s() {
    let service = Scene::start("");
    let page = || {
        let mut client = Client::connect(format!("unix:{}/metrics", service.folder.path().display()));
        client.send(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n");
        String::from_utf8(client.receive_all()).expect("text")
    };
    let connections = "spliceway_connections_total{listener=\"unix\",outcome=\"relay.finished.client\"}";
    for _ in 0..5 {
        drop(service.connected("unix"));
    }
    eventually("they are counted", || {
        page().contains(&format!("{connections} 5")).then_some(())
    });
    let mut lasting = service.connected("unix");
    service.upgraded();
    for _ in 0..10 {
        assert!(!page().contains(&format!("{connections} 5")), "the old process answers");
    }
    lasting.send(b"x");
    lasting.expect(b"x");
}

#[test]
fn an_old_process_waits_for_its_connections_no_longer_than_it_is_told_to() {
    let service = Scene::start("upgrade-linger = \"1ms\"");
    let mut lasting = service.connected("groups");
    service.upgraded();
    // The drain has no soft end and a hard one after 200ms.
    lasting.expect_closed();
    eventually("the old process ends", || {
        (service.processes().len() == 1).then_some(())
    });
}

// ---- what goes wrong ----

#[test]
fn a_new_process_that_fails_changes_nothing() {
    let service = Scene::start("upgrade-timeout = \"8s\"");
    let mut lasting = service.connected("groups");
    let open = service.proxy.descriptors().len();
    let sleeps = service.script("sleeps", "exec sleep 1000");
    let says = service.script("says", "echo 'one of its lines' >&2; echo another >&2; exit 7");
    let silent = service.script("silent", "exec 0<&- 2<&-; exec sleep 1000");
    let garbage = service.script("garbage", "echo nonsense >&0; exec sleep 1000");
    let text = service.file("text", "this is no program");
    let mut fails = |binary: &Path, expected: &[&str]| {
        let said = service.upgrade(&["--binary", &binary.display().to_string()]);
        assert_eq!(said.code(), Some(1), "{}", said.stderr);
        for expected in expected.iter().chain(&["the running process serves on"]) {
            assert!(
                said.stderr.contains(expected),
                "{expected:?} is missing:\n{}",
                said.stderr
            );
        }
        drop(service.connected("per-worker"));
        lasting.send(b"still here");
        lasting.expect(b"still here");
    };
    fails(&text, &["cannot run", "Permission denied"]);
    fails(Path::new("/bin/true"), &["ended before it served: exit status: 0"]);
    fails(&says, &["exit status: 7", "  one of its lines\n  another\n"]);
    fails(&garbage, &["no message of this protocol"]);
    fails(&sleeps, &["was killed", "in time"]);
    fails(&silent, &["was killed"]);
    for step in ["begun", "inherited", "serving"] {
        fails(&service.faulty(step, "kill"), &["signal: 9"]);
        fails(
            &service.faulty(step, "panic"),
            &["exit status: 101", "a fault that a test has asked for"],
        );
        fails(&service.faulty(step, "hang"), &["was killed", "in time"]);
    }
    let good = service.config();
    service.configure(&good.replace("upstream = \"echo\"", "upstream = \"ecko\""));
    let said = service.upgrade(&[]);
    assert_eq!(said.code(), Some(2), "{}", said.stderr);
    // The command reads the configuration itself. Who only sends a signal finds it in the log.
    service.proxy.signal(Signal::USR2);
    let failed = "upgrade failed: this process serves on";
    let event = service
        .proxy
        .wait_for(failed, |event| event.text("error").contains("exit status: 2"));
    assert!(event.has("error"));
    assert!(service.proxy.log_text().contains("there is no upstream `ecko`"));

    // Nothing is left of all that, and a good one gets through.
    service.proxy.descriptors_back_to(open);
    assert_eq!(service.processes().len(), 1);
    lasting.send(b"all the time");
    lasting.expect(b"all the time");
    service.configure(&good);
    service.upgraded();
    lasting.send(b"and behind it");
    lasting.expect(b"and behind it");
}

#[test]
fn two_upgrades_at_once_are_one_too_many() {
    let service = Scene::start("upgrade-timeout = \"8s\"");
    let hangs = service.faulty("inherited", "hang");
    thread::scope(|scope| {
        let first = scope.spawn(|| service.upgrade(&["--binary", &hangs.display().to_string()]));
        service.proxy.wait_for("upgrade: another process is started", |_| true);
        let second = service.upgrade(&[]);
        assert_eq!(second.code(), Some(1));
        assert!(
            second.stderr.contains("an upgrade is under way already, to process"),
            "{}",
            second.stderr
        );
        let first = first.join().expect("it is answered");
        assert!(first.stderr.contains("was killed"), "{}", first.stderr);
    });
    service.upgraded();
}

#[test]
fn whoever_kills_the_old_process_once_the_new_one_is_ready_loses_its_connections_alone() {
    let mut service = Scene::start("");
    service.upgraded();
    service.proxy.signal(Signal::KILL);
    service.proxy.wait();
    for listener in ["groups", "per-worker", "shared", "unix"] {
        for _ in 0..50 {
            drop(service.connected(listener));
        }
    }
    // And it can be upgraded in its turn.
    service.upgraded();
    drop(service.connected("unix"));
}

#[test]
fn a_new_process_whose_old_one_is_killed_takes_its_place_as_soon_as_it_has_the_sockets() {
    for step in ["inherited", "serving"] {
        let mut service = Scene::start("");
        let orphan = service.faulty(step, "orphan");
        thread::scope(|scope| {
            let asking = scope.spawn(|| service.upgrade(&["--binary", &orphan.display().to_string()]));
            service.proxy.wait_for("upgrade: another process is started", |_| true);
            // It has been given everything when it has as many sockets as that.
            let newest = service.newest();
            eventually("it has the sockets", || (sockets(newest) >= 14).then_some(()));
            service.proxy.signal(Signal::KILL);
            let said = asking.join().expect("the command ends");
            assert!(said.stderr.contains("ended without an answer"), "{}", said.stderr);
        });
        service.proxy.wait();
        for listener in ["groups", "per-worker", "shared", "unix"] {
            for _ in 0..20 {
                drop(service.connected(listener));
            }
        }
        service.proxy.wait_for("the old process is gone", |_| true);
    }
}

#[test]
fn who_ends_the_old_process_ends_the_new_one_that_does_not_serve_yet() {
    let mut service = Scene::start("");
    let hangs = service.faulty("serving", "hang");
    thread::scope(|scope| {
        scope.spawn(|| service.upgrade(&["--binary", &hangs.display().to_string()]));
        service.proxy.wait_for("upgrade: another process is started", |_| true);
        service.proxy.signal(Signal::TERM);
    });
    assert_eq!(service.proxy.wait().code(), Some(0));
    eventually("no process is left", || service.processes().is_empty().then_some(()));
}

#[test]
fn nobody_else_may_ask() {
    if !is_root() {
        skip!("only root can be somebody else");
    }
    let service = Scene::start("");
    let socket = service.folder.path().join("upgrade.sock");
    assert_eq!(
        fs::metadata(&socket).expect("it is there").permissions().mode() & 0o777,
        0o600
    );
    // Even where somebody has opened the file to all.
    let open = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("it is ours");
    open(&socket, 0o666);
    open(service.folder.path(), 0o755);
    let binary = service.folder.path().join("spliceway");
    fs::copy(artifacts::binary(), &binary).expect("a file in a folder of the test's");
    let mut command = lasting_as("nobody", binary);
    let config = service.folder.path().join("copy.toml");
    fs::write(&config, service.config()).expect("a file in a folder of the test's");
    let said = run(command.args(["upgrade", "--config"]).arg(&config), PATIENCE);
    assert_eq!(said.code(), Some(1));
    assert!(said.stderr.contains("only root and user 0 may ask"), "{}", said.stderr);
    assert_eq!(service.processes().len(), 1);
}

#[test]
fn without_a_process_the_command_says_so() {
    let folder = TempDir::new().expect("a temporary folder");
    let config = folder.path().join("spliceway.toml");
    let least = "process.upgrade-socket = \"none.sock\"\n[[listeners]]\nname = \"a\"\naddress = \":0\"\nupstream = \"u\"\n\
                 [upstreams.u]\nservers = [\"127.0.0.1:1\"]\n";
    fs::write(&config, least).expect("a file in a folder of the test's");
    let said = spliceway(["upgrade", "--config", &config.display().to_string()], PATIENCE);
    assert_eq!(said.code(), Some(1));
    assert!(said.stderr.contains("no process takes requests at"), "{}", said.stderr);
}

// ---- the scene ----

/// A proxy with every kind of listener.
struct Scene {
    service: Service,
    _upstream: Upstream,
}

impl Scene {
    #[track_caller]
    fn start(process: &str) -> Self {
        let upstream = Upstream::echo();
        let service = Service::run(|place| {
            let mut config = format!(
                "workers = 6\n\
                 process = {{ upgrade-socket = \"{place}/upgrade.sock\"{}{process} }}\n\
                 drain = {{ soft = \"0\", hard = \"200ms\" }}\n\
                 metrics = {{ address = \"unix:{place}/metrics\" }}\n\
                 upstreams.echo.servers = [\"{}\"]\n",
                if process.is_empty() { "" } else { ", " },
                upstream.address()
            );
            for accept in ["groups", "per-worker", "shared"] {
                config += &format!(
                    "# {accept}\n[[listeners]]\nname = \"{accept}\"\naddress = \"127.0.0.1:0\"\nupstream = \"echo\"\n\
                     accept = \"{accept}\"\n# end of {accept}\n"
                );
            }
            let unix =
                format!("[[listeners]]\nname = \"unix\"\naddress = \"unix:{place}/front\"\nupstream = \"echo\"\n");
            config + &unix
        });
        Self {
            service,
            _upstream: upstream,
        }
    }
}

impl Deref for Scene {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

impl DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut Service {
        &mut self.service
    }
}
