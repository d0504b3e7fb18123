//! `spliceway top`, as somebody sees it who sits at a terminal.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};
use spliceway_tests::artifacts::{binary, guest};
use spliceway_tests::command::Finished;
use spliceway_tests::{Client, DEADLINE, Pane, Peer, Proxy, Upstream, eventually, spliceway};
use tempfile::TempDir;

#[test]
fn each_view_shows_what_the_proxy_does_and_the_terminal_is_given_back() {
    let scene = Scene::start();
    let pane = Pane::open(120, 40);
    pane.type_line("echo as it was");
    pane.wait_for("\nas it was");
    let kept: Vec<Peer> = (0..3).map(|_| scene.connect()).collect();
    scene.echoed();
    pane.type_line(&scene.top("--every 200ms"));
    let screen = pane.wait_until("rates, and all that is open", |screen| {
        screen.contains("3 open") && screen.contains("/s accepted") && !screen.contains("-/s accepted")
    });
    for expected in [
        &format!("spliceway {}", env!("CARGO_PKG_VERSION")),
        "serving",
        &format!("pid {}", scene.proxy.pid()),
        "BYTES/S",
        "2 of 2 up",
        "1 Overview  2 Listeners",
        "q quit",
    ] {
        assert!(screen.contains(expected), "{expected}\n{screen}");
    }
    assert_eq!(pane.state(), (true, false), "it has the screen, and no cursor");

    pane.press("2");
    pane.wait_until("the listener", |screen| {
        screen.contains("OUTCOMES") && screen.contains(scene.proxy.address()) && screen.contains("by name")
    });
    pane.press("3");
    pane.wait_until("each server", |screen| {
        screen.contains("HEALTH") && scene.servers.iter().all(|server| screen.contains(server.address()))
    });
    pane.press("s");
    pane.wait_for("worst first");
    pane.press("Tab");
    pane.wait_until("what the filter costs", |screen| {
        let row = screen.lines().find(|line| line.starts_with("wild"));
        screen.contains("US/CALL") && row.is_some_and(|row| row.contains("stable") && row.contains("MiB"))
    });
    pane.press("5");
    pane.wait_until("each connection", |screen| {
        screen.contains("BIGGEST") && kept.iter().all(|client| screen.contains(client.local()))
    });
    pane.press("s");
    pane.wait_for("SLOWEST");
    pane.press("6");
    pane.wait_for("relay.finished.client");
    pane.press("7");
    pane.wait_for("nothing was logged");
    pane.press("?");
    pane.wait_for("a page down");
    pane.press("Escape");
    pane.wait_for("nothing was logged");
    pane.press("q");
    let screen = pane.wait_for("ended: 0");
    assert!(screen.contains("as it was") && !screen.contains("BYTES/S"), "{screen}");
    scene.assert_given_back(&pane);
}

#[test]
fn it_follows_the_size_of_the_terminal() {
    let scene = Scene::start();
    let pane = Pane::open(80, 24);
    scene.echoed();
    pane.type_line(&scene.top("--every 200ms"));
    let is_whole = |screen: &str| {
        let lines: Vec<&str> = screen.lines().collect();
        lines.last().is_some_and(|last| last.starts_with("q quit")) && lines[0].starts_with("spliceway")
    };
    let screen = pane.wait_until("relay.finished.client at 80x24", |screen| {
        is_whole(screen) && screen.contains("relay.finished.client") && screen.contains("7 Errors")
    });
    assert!(screen.contains("SO FAR") && screen.contains("2 of 2 up"), "{screen}");
    pane.resize(40, 12);
    pane.wait_until("12 lines", |screen| {
        is_whole(screen) && screen.contains(" 1 Overview  2 3")
    });
    pane.resize(150, 50);
    pane.wait_until("50 lines", |screen| is_whole(screen) && screen.contains("peak "));
    pane.press("C-c");
    pane.wait_for("ended: 0");
    scene.assert_given_back(&pane);
}

#[test]
fn it_waits_for_a_proxy_that_is_away() {
    let mut scene = Scene::start();
    let pane = Pane::open(120, 40);
    pane.type_line(&scene.top("--every 200ms"));
    pane.wait_for(&format!("pid {}", scene.proxy.pid()));
    scene.restart();
    let another = format!("pid {}", scene.proxy.pid());
    pane.wait_until("the next process", |screen| {
        screen.contains(&another) && !screen.contains("NO ANSWER")
    });

    let socket = scene.socket.clone();
    drop(scene);
    let screen = pane.wait_for("NO ANSWER (this is from");
    assert!(screen.contains("cannot ask a proxy at unix:"), "{screen}");
    assert!(screen.contains(&another), "what was known stays: {screen}");
    assert!(!socket.exists() || screen.contains("refused"), "{screen}");
    pane.press("q");
    pane.wait_for("ended: 0");
}

#[test]
fn a_signal_ends_it_and_the_terminal_is_given_back() {
    let scene = Scene::start();
    let pane = Pane::open(100, 30);
    pane.type_line(&scene.top(""));
    pane.wait_for("serving");
    let top = eventually("the shell waits for it", || pane.foreground());
    let top = Pid::from_raw(i32::try_from(top).unwrap()).unwrap();
    kill_process(top, Signal::TERM).unwrap();
    pane.wait_for("ended: 0");
    scene.assert_given_back(&pane);
}

#[test]
fn no_color_leaves_the_words() {
    let scene = Scene::start();
    for (environment, coloured) in [("NO_COLOR=", true), ("NO_COLOR=1", false)] {
        let pane = Pane::open(100, 30);
        pane.type_line(&format!("{environment} {}", scene.top("")));
        pane.wait_for("2 of 2 up");
        // The second colour of the terminal's own.
        let green = pane.coloured_screen().contains("38;5;2m");
        assert_eq!(green, coloured, "{environment}\n{}", pane.coloured_screen());
    }
}

#[test]
fn without_a_terminal_it_says_what_there_is_instead() {
    let ended = spliceway(["top"], DEADLINE);
    assert_eq!(ended.code(), Some(2));
    assert!(
        ended.stderr.contains("standard output is no terminal"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("top --once") && ended.stderr.contains("ctl --json overview"),
        "{}",
        ended.stderr
    );
    for wrong in ["100ms", "61s", "5"] {
        let ended = spliceway(["top", "--every", wrong], DEADLINE);
        assert_eq!(ended.code(), Some(2), "{wrong}: {}", ended.stderr);
    }
    let ended = spliceway(["top", "--once", "--admin", "unix:/nobody/is/there"], DEADLINE);
    assert_eq!(ended.code(), Some(1));
    assert!(ended.stderr.contains("cannot ask a proxy"), "{}", ended.stderr);
}

#[test]
fn once_and_ctl_print_all_of_it() {
    let scene = Scene::start();
    let _kept = scene.connect();
    scene.echoed();
    let text = scene.run(&["top", "--once", "--every", "200ms"]).success();
    for expected in [
        "1 open  0/s accepted",
        "LISTENER",
        "front",
        "2",
        "wild",
        "relay.finished.client 1",
        "BIGGEST",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let text = scene.run(&["ctl", "overview"]).success();
    assert!(
        text.contains("1 open  -/s accepted") && text.contains("relay.finished.client 1"),
        "{text}"
    );
    let json = scene.run(&["ctl", "--json", "overview"]).success();
    let said: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(said["status"]["connections"], 1);
}

/// A proxy whose admin interface is a unix socket, with a filter, in front of two echoes.
struct Scene {
    proxy: Proxy,
    config: String,
    socket: PathBuf,
    servers: Vec<Upstream>,
    _folder: TempDir,
}

impl Scene {
    fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let socket = folder.path().join("admin.sock");
        let servers = vec![Upstream::echo(), Upstream::echo()];
        let addresses: Vec<_> = servers.iter().map(Upstream::address).collect();
        let config = format!(
            "[admin]\nlisten = \"unix:{}\"\n[upstreams.only]\nservers = {addresses:?}\n\
             [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"only\"\nfilters = [\"wild\"]\n\
             [filters.wild]\nsource = \"{}\"\n",
            socket.display(),
            guest("inspector-pass").display(),
        );
        Self {
            proxy: Proxy::run(&config).start(),
            config,
            socket,
            servers,
            _folder: folder,
        }
    }

    /// Another process in the place of this one, which is killed.
    fn restart(&mut self) {
        kill_process(
            Pid::from_raw(i32::try_from(self.proxy.pid()).unwrap()).unwrap(),
            Signal::KILL,
        )
        .unwrap();
        fs::remove_file(&self.socket).ok();
        self.proxy = Proxy::run(&self.config).start();
    }

    /// What is typed; how it ended is on the screen.
    fn top(&self, options: &str) -> String {
        let program = binary();
        format!(
            "{} top --admin unix:{} {options}; echo ended: $?",
            program.display(),
            self.socket.display()
        )
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        let admin = format!("unix:{}", self.socket.display());
        let (command, rest) = arguments.split_first().unwrap();
        spliceway([*command, "--admin", &admin].iter().chain(rest), DEADLINE)
    }

    /// A connection that something has gone through.
    fn connect(&self) -> Peer {
        let mut client = Client::connect(self.proxy.address());
        client.send(b"hello");
        client.expect(b"hello");
        client
    }

    /// The same, from its beginning to its end.
    fn echoed(&self) {
        let mut client = self.connect();
        client.half_close();
        client.expect_eof();
        self.proxy.ended(&client);
    }

    /// What is typed is seen again, line by line, and so are the cursor and the lines of before.
    #[track_caller]
    fn assert_given_back(&self, pane: &Pane) {
        assert_eq!(pane.state(), (false, true));
        pane.type_line("stty -a | grep -o -w -e '-\\?icanon' -e '-\\?echo' | paste -sd ' '");
        pane.wait_for("\nicanon echo");
    }
}
