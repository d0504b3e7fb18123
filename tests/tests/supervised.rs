//! Under a service manager, which the test plays: sockets that it opens or keeps, what it is told, and the watchdog. And the user
//! that a process becomes.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Child;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, Signal, kill_process};
use spliceway_tests::command::{lasting, run};
use spliceway_tests::ports::Port;
use spliceway_tests::terminal::is_listening;
use spliceway_tests::{Client, DEADLINE, Peer, Proxy, Upstream, artifacts, eventually, is_root, skip, wait_until_exit};
use tempfile::TempDir;

/// systemd's own grade of the unit, 0 to 10: 10 is no protection at all (systemd-analyze(1)).
const EXPOSURE: f64 = 2.0;

// ---- what it is told ----

#[test]
fn it_hears_that_the_service_is_ready_reloads_and_stops() {
    let manager = Manager::new();
    let upstream = Upstream::echo();
    let proxy = Proxy::run(&config(&upstream, "127.0.0.1:0", ""))
        .environment("NOTIFY_SOCKET", manager.path())
        .start();
    let ready = manager.hears("READY=1");
    assert!(ready.contains(&format!("MAINPID={}", proxy.pid())), "{ready}");
    assert!(ready.contains("STATUS=serving on 1 listeners"), "{ready}");
    proxy.signal(Signal::HUP);
    let reloading = manager.hears("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    manager.hears("READY=1");
    proxy.signal(Signal::TERM);
    manager.hears("STOPPING=1");
}

#[test]
fn an_upgrade_is_no_stop_and_the_new_process_is_the_main_one() {
    let manager = Manager::new();
    let upstream = Upstream::echo();
    let proxy = Proxy::run(&config(&upstream, "127.0.0.1:0", ""))
        .environment("NOTIFY_SOCKET", manager.path())
        .environment("WATCHDOG_USEC", "600000000")
        .start();
    manager.hears("READY=1");
    proxy.signal(Signal::USR2);
    let ready = manager.hears("READY=1");
    let process = proxy
        .wait_for("upgraded: another process serves", |_| true)
        .number("process");
    let _end = Killed(process);
    assert!(ready.contains(&format!("MAINPID={process}")), "{ready}");
    let mut proxy = proxy;
    assert_eq!(proxy.wait().code(), Some(0));
    // The watchdog is the new one's.
    manager.hears("WATCHDOG=1");
    assert!(!manager.heard().contains("STOPPING"), "{}", manager.heard());
}

/// A filter that loops keeps its worker from everything else for a second, which is the longest that it may.
#[test]
fn a_worker_that_does_not_answer_is_not_spoken_for() {
    let manager = Manager::new();
    let upstream = Upstream::echo();
    let filter = format!(
        "[filters.loops]\nsource = \"{}\"\nconfig = {{ how = \"loop\", when = \"loop\" }}\nlimits = {{ call = \"1s\" }}\n",
        artifacts::guest("misbehave").display()
    );
    let text = config(&upstream, "127.0.0.1:0", "") + "filters = [\"loops\"]\n" + &filter;
    let proxy = Proxy::run(&text)
        .environment("NOTIFY_SOCKET", manager.path())
        .environment("WATCHDOG_USEC", "300000")
        .start();
    for _ in 0..3 {
        manager.hears("WATCHDOG=1");
    }
    let mut client = Client::connect(proxy.address());
    client.send(b"loop");
    client.expect_closed();
    proxy.wait_for(
        "a worker does not answer: the service manager is not told that all is well",
        |_| true,
    );
    // It is again when the worker has come back.
    manager.hears("WATCHDOG=1");
}

// ---- sockets ----

#[test]
fn a_socket_that_it_has_opened_is_found_by_its_address() {
    let upstream = Upstream::echo();
    let manager = Manager::new();
    let port = Port::reserve();
    let address = format!("127.0.0.1:{}", port.number());
    let config = manager.file(&config(&upstream, &address, ""));
    // It is bound before anything of ours runs.
    let mut service = Activated::start(&["-l", &address], &config);
    echoed(&address);
    service.ends();
}

#[test]
fn or_by_its_name_wherever_it_is() {
    let upstream = Upstream::echo();
    let manager = Manager::new();
    let port = Port::reserve();
    let address = format!("127.0.0.1:{}", port.number());
    let config = manager.file(&config(&upstream, "127.0.0.2:1", ""));
    let mut service = Activated::start(&["-l", &address, "--fdname=front"], &config);
    echoed(&address);
    service.ends();
}

#[test]
fn what_it_keeps_survives_a_restart() {
    let manager = Manager::new();
    let upstream = Upstream::echo();
    let port = Port::reserve();
    let address = format!("127.0.0.1:{}", port.number());
    let text = config(&upstream, &address, "");
    let proxy = Proxy::run(&text).environment("NOTIFY_SOCKET", manager.path()).start();
    let name = format!("FDSTORE=1\nFDNAME=_127.0.0.1_{}", port.number());
    manager.hears(&name);
    let kept = manager.take_kept();
    assert!(!kept.is_empty());
    assert_eq!(proxy.terminate().code(), Some(0));
    // Nobody serves, and nobody is refused.
    let mut waiting: Vec<Peer> = (0..10).map(|_| Client::connect(&address)).collect();
    let config = manager.file(&text);
    let listeners: Vec<TcpListener> = kept.into_iter().map(TcpListener::from).collect();
    let mut service = Activated::with(&listeners, &config);
    for client in &mut waiting {
        client.send(b"waited");
        client.expect(b"waited");
    }
    drop(waiting);
    service.ends();
}

#[test]
fn a_descriptor_that_is_no_listening_socket_is_refused() {
    let manager = Manager::new();
    let upstream = Upstream::echo();
    let config = manager.file(&config(&upstream, "127.0.0.1:0", ""));
    let script = format!(
        "exec 3</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec {} run --config {config}",
        artifacts::binary().display()
    );
    let said = run(lasting("sh").args(["-c", &script]), DEADLINE);
    assert_eq!(said.code(), Some(1));
    assert!(
        said.stderr.contains("is no listening socket: expected ListenStream="),
        "{}",
        said.stderr
    );
}

// ---- privileges ----

#[test]
fn privileges_are_gone_from_every_thread_before_anybody_is_served() {
    if !is_root() {
        skip!("only root becomes somebody else");
    }
    let upstream = Upstream::echo();
    let guest = artifacts::filter("redis-guard");
    let filter = format!(
        "filters.guard = {{ source = \"{}\", config = {{ refuse = [\"FLUSHALL\"] }} }}\n",
        guest.display()
    );
    // A port below 1024 is bound by root, and its number is nobody's here.
    let text = format!("{filter}{}", config(&upstream, "127.0.0.81:81", "user = \"daemon\""));
    let proxy = Proxy::run(&text).start();
    echoed(proxy.address());
    let mut threads = 0;
    for task in fs::read_dir(format!("/proc/{}/task", proxy.pid()))
        .expect("it runs")
        .flatten()
    {
        let status = fs::read_to_string(task.path().join("status")).expect("a thread has a status");
        let value = |key: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            line.unwrap_or_default()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(value("Uid"), "1 1 1 1", "{status}");
        assert_eq!(value("Gid"), "1 1 1 1", "{status}");
        assert_eq!(value("Groups"), "", "{status}");
        for set in ["CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(value(set).trim_start_matches('0'), "", "{set}\n{status}");
        }
        assert_eq!(value("NoNewPrivs"), "1", "{status}");
        threads += 1;
    }
    assert!(threads >= 3, "{threads}");

    // A process without privileges hands its port over: the next one does not bind it.
    proxy.signal(Signal::USR2);
    let process = proxy
        .wait_for("upgraded: another process serves", |_| true)
        .number("process");
    let _end = Killed(process);
    echoed("127.0.0.81:81");
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    assert!(status.contains("Uid:\t1\t1\t1\t1"), "{status}");
}

#[test]
fn who_is_not_root_cannot_become_somebody_else() {
    if !is_root() {
        skip!("only root can be somebody else");
    }
    let upstream = Upstream::echo();
    let text = config(&upstream, "127.0.0.1:0", "user = \"daemon\"");
    let builder = Proxy::run(&text);
    let open = PermissionsExt::from_mode;
    fs::set_permissions(builder.folder(), open(0o755)).expect("it is ours");
    let binary = TempDir::new().expect("a temporary folder");
    fs::set_permissions(binary.path(), open(0o755)).expect("it is ours");
    let said = builder.as_user("nobody").fail();
    assert_eq!(said.code(), Some(1), "{}", said.stderr);
    let expected = "cannot become user \"daemon\" (`[process] user`): this process is user 65534's";
    assert!(said.stderr.contains(expected), "{}", said.stderr);
}

// ---- the unit ----

#[test]
fn the_unit_is_right_and_leaves_little_to_an_intruder() {
    let unit = artifacts::workspace().join("packaging/systemd/spliceway.service");
    let socket = artifacts::workspace().join("packaging/systemd/spliceway.socket");
    // The program is where the package puts it, which this machine has not.
    let folder = TempDir::new().expect("a temporary folder");
    let place = |file: &Path| {
        let text = fs::read_to_string(file).expect("a unit");
        let text = text.replace("/usr/bin/spliceway", &artifacts::binary().display().to_string());
        let copy = folder.path().join(file.file_name().unwrap_or_default());
        fs::write(&copy, text).expect("a file in a folder of the test's");
        copy
    };
    let (unit, socket) = (place(&unit), place(&socket));
    let analyze = |arguments: &[&OsStr]| run(lasting("systemd-analyze").args(arguments), DEADLINE);
    let said = analyze(&[
        "verify".as_ref(),
        "--man=no".as_ref(),
        unit.as_os_str(),
        socket.as_os_str(),
    ]);
    assert!(
        said.status.success() && said.stderr.trim().is_empty(),
        "{}",
        said.stderr
    );
    let said = analyze(&[
        "security".as_ref(),
        "--offline=yes".as_ref(),
        "--no-pager".as_ref(),
        unit.as_os_str(),
    ]);
    let text = said.stdout;
    let grade = text
        .lines()
        .find_map(|line| line.split_once("exposure level for ")?.1.split_once(": "));
    let grade: f64 = grade
        .and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| panic!("no grade in\n{text}{}", said.stderr));
    assert!(grade <= EXPOSURE, "{grade}\n{text}");
}

// ---- the scene ----

fn config(upstream: &Upstream, address: &str, process: &str) -> String {
    format!(
        "workers = 2\nprocess = {{ upgrade-socket = \"-\"{}{process} }}\n\
         upstreams.echo.servers = [\"{}\"]\n\
         [[listeners]]\nname = \"front\"\naddress = \"{address}\"\nupstream = \"echo\"\n",
        if process.is_empty() { "" } else { ", " },
        upstream.address()
    )
}

#[track_caller]
fn echoed(address: &str) {
    let mut client = Client::connect(address);
    client.send(b"hello");
    client.expect(b"hello");
}

/// The socket that a service is to notify, and what has come there.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
    heard: RefCell<String>,
    kept: RefCell<Vec<OwnedFd>>,
}

impl Manager {
    fn new() -> Self {
        let folder = TempDir::with_prefix("spliceway-").expect("a temporary folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket in a folder of the test's");
        socket.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        Self {
            socket,
            folder,
            heard: RefCell::default(),
            kept: RefCell::default(),
        }
    }

    fn path(&self) -> String {
        self.folder.path().join("notify").display().to_string()
    }

    fn file(&self, config: &str) -> String {
        let path = self.folder.path().join("spliceway.toml");
        fs::write(&path, config).expect("a file in a folder of the test's");
        path.display().to_string()
    }

    /// The next message, with the descriptors beside it taken away.
    fn next(&self) -> Option<String> {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(&self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut beside, flags).ok()?;
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.kept.borrow_mut().extend(descriptors);
            }
        }
        let text = String::from_utf8_lossy(&bytes[..received.bytes]).into_owned();
        self.heard.borrow_mut().push_str(&text);
        Some(text)
    }

    /// Waits for a message with that in it.
    #[track_caller]
    fn hears(&self, what: &str) -> String {
        loop {
            let Some(message) = self.next() else {
                panic!("{what:?} was not said:\n{}", self.heard())
            };
            if message.contains(what) {
                return message;
            }
        }
    }

    fn heard(&self) -> String {
        self.heard.borrow().clone()
    }

    fn take_kept(&self) -> Vec<OwnedFd> {
        self.kept.take()
    }
}

/// A service that is started with sockets.
struct Activated {
    child: Child,
}

impl Activated {
    /// By systemd's own tool, at the first connection.
    fn start(arguments: &[&str], config: &str) -> Self {
        let mut command = lasting("systemd-socket-activate");
        command
            .args(arguments)
            .arg(artifacts::binary())
            .args(["run", "--config", config]);
        let child = command.spawn().expect("systemd-socket-activate (systemd) is installed");
        let port = arguments
            .iter()
            .find_map(|argument| argument.rsplit_once(':')?.1.parse().ok());
        let port = port.expect("an address");
        eventually("it listens", || is_listening(port).then_some(()));
        Self { child }
    }

    /// As systemd does: the sockets are the descriptors from 3 on.
    fn with(listeners: &[TcpListener], config: &str) -> Self {
        // They are handed down, so they are not closed when the shell begins.
        let numbers: Vec<String> = listeners
            .iter()
            .map(|listener| listener.as_raw_fd().to_string())
            .collect();
        for listener in listeners {
            fcntl_setfd(listener, FdFlags::empty()).expect("a flag of our own descriptor");
        }
        let moves: Vec<String> = numbers
            .iter()
            .enumerate()
            .map(|(index, number)| format!("exec {}<&{number}", index + 3))
            .collect();
        let script = format!(
            "{}; LISTEN_FDS={} LISTEN_PID=$$ exec {} run --config {config}",
            moves.join("; "),
            listeners.len(),
            artifacts::binary().display()
        );
        let mut command = lasting("bash");
        command.args(["-c", &script]);
        Self {
            child: command.spawn().expect("bash is installed"),
        }
    }

    #[track_caller]
    fn ends(&mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("it runs");
        let status = wait_until_exit(&mut self.child, DEADLINE);
        assert_eq!(status.and_then(|status| status.code()), Some(0));
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A process that is nobody's child any more.
struct Killed(u64);

impl Drop for Killed {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.0 as i32).expect("the number of a process");
        kill_process(pid, Signal::KILL).ok();
        eventually("it is gone", || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
            (stat.is_empty() || stat.contains(") Z")).then_some(())
        });
    }
}
