//! The contract from other languages: one filter, written in Rust, C, JavaScript and Python (`tests/languages`), does the
//! same job on the same transcripts, however they are cut.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use spliceway_tests::artifacts::{guest, language};
use spliceway_tests::kernel::connections;
use spliceway_tests::{Client, Peer, Proxy, Upstream, eventually};
use tempfile::TempDir;

#[test]
fn the_filter_in_rust_does_its_job() {
    does_its_job(&guest("tenants"));
}

#[test]
fn the_filter_in_c_does_its_job() {
    does_its_job(&language("c"));
}

#[test]
fn the_filter_in_javascript_does_its_job() {
    does_its_job(&language("js"));
}

#[test]
fn the_filter_in_python_does_its_job() {
    does_its_job(&language("python"));
}

// ---- one job ----

/// What a client says, and what comes of it. A server that has heard the end says its name and what it has heard.
struct Transcript {
    says: &'static [u8],
    hears: &'static [u8],
    outcome: &'static str,
    /// How many lines the inspector let through, where it came so far.
    lines: Option<u64>,
    /// It had the client's end, or the line that it waits for, and has said so in the log.
    told: bool,
}

impl Transcript {
    const fn served(says: &'static [u8], hears: &'static [u8], lines: u64) -> Self {
        Self {
            says,
            hears,
            outcome: "relay.finished.client",
            lines: Some(lines),
            told: true,
        }
    }

    const fn not_routed(says: &'static [u8]) -> Self {
        Self {
            says,
            hears: b"error: no such tenant\n",
            outcome: "route.filter-refused.proxy",
            lines: None,
            told: false,
        }
    }

    const fn stopped(says: &'static [u8]) -> Self {
        Self {
            says,
            hears: b"error: a forbidden line\n",
            outcome: "relay.filter-refused.proxy",
            lines: None,
            told: false,
        }
    }

    fn is_refused(&self) -> bool {
        !self.told
    }
}

const TRANSCRIPTS: [Transcript; 14] = [
    Transcript::served(b"tenant green\nhello\n", b"green: tenant green\nhello\n", 2),
    Transcript::served(b"tenant blue\n", b"blue: tenant blue\n", 1),
    // No tenant says so: the configured upstream.
    Transcript::served(b"hello\nworld\n", b"default: hello\nworld\n", 2),
    Transcript::served(b"tenants\n", b"default: tenants\n", 1),
    Transcript::served(b"\xff\xfe\0\n\n", b"default: \xff\xfe\0\n\n", 2),
    // The end comes before a whole line has.
    Transcript::served(b"", b"default: ", 0),
    Transcript::served(b"tenant gre", b"default: tenant gre", 0),
    Transcript::served(b"tenant green\nhello", b"green: tenant green\nhello", 1),
    Transcript::not_routed(b"tenant \n"),
    Transcript::not_routed(b"tenant Green\n"),
    Transcript::not_routed(b"tenant gr\xff\n"),
    Transcript::stopped(b"tenant blue\nis FORBIDDEN here\n"),
    Transcript::stopped(b"FORBIDDEN"),
    // Nothing is looked at any more.
    Transcript::served(
        b"tenant green\ndone\nFORBIDDEN\n",
        b"green: tenant green\ndone\nFORBIDDEN\n",
        2,
    ),
];

#[track_caller]
fn does_its_job(component: &Path) {
    let scene = Scene::start(component);
    let refused: u64 = thread::scope(|scope| {
        let scene = &scene;
        let plays = TRANSCRIPTS.each_ref().map(|transcript| {
            scope.spawn(move || {
                let length = transcript.says.len();
                let whole = [vec![]];
                let cut_once = (1..length).map(|at| vec![at]);
                let byte_by_byte = [(1..length).collect()];
                let all = whole.into_iter().chain(cut_once).chain(byte_by_byte);
                all.inspect(|cuts| scene.play(transcript, cuts))
                    .filter(|_| transcript.is_refused())
                    .count()
            })
        });
        let counts = plays.map(|play| play.join().expect("a transcript that ends as it should"));
        counts.into_iter().sum::<usize>() as u64
    });
    scene.play_a_long_one();
    assert!(!scene.has_heard_of("FORBIDDEN"), "{:?}", scene.heard());
    scene.has_counted(refused);
}

/// The filter between clients and three servers.
struct Scene {
    proxy: Proxy,
    access_log: PathBuf,
    _upstreams: Vec<Upstream>,
    /// What each connection to a server has brought it.
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    connected: AtomicU32,
}

impl Scene {
    #[track_caller]
    fn start(component: &Path) -> Self {
        let heard = Arc::default();
        let names = ["default", "green", "blue"];
        let upstreams = names.map(|name| answering(name, &heard));
        let [default, green, blue] = upstreams.each_ref().map(Upstream::address);
        let proxy = Proxy::run(&format!(
            "[access-log]\nfile = \"access.log\"\n\
             [upstreams]\ndefault = {{ servers = [\"{default}\"] }}\ngreen = {{ servers = [\"{green}\"] }}\n\
             blue = {{ servers = [\"{blue}\"] }}\n\
             [filters.tenants]\nsource = \"{}\"\n\
             sessions-per-instance = 1000\nlimits = {{ memory = \"64MiB\" }}\n\
             [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"default\"\nfilters = [\"tenants\"]\n",
            component.display()
        ))
        // An interpreter of Python is 15 seconds of compiling.
        .patience(Duration::from_secs(120))
        .start();
        Self {
            access_log: proxy.folder().join("access.log"),
            proxy,
            _upstreams: upstreams.into(),
            heard,
            connected: AtomicU32::new(1),
        }
    }

    /// The transcript in pieces, each of which the proxy has read before the next one is sent.
    #[track_caller]
    fn play(&self, transcript: &Transcript, cuts: &[usize]) {
        let mut client = self.connect();
        let mut begin = 0;
        for end in cuts.iter().copied().chain([transcript.says.len()]) {
            if begin > 0 {
                self.has_read(&client);
            }
            // A client that was refused may be in the middle of a word.
            let sent = client.try_send(&transcript.says[begin..end]);
            assert!(sent.is_ok() || transcript.is_refused(), "{sent:?}");
            begin = end;
        }
        if !transcript.is_refused() {
            client.half_close();
        }
        let heard = client.expect_closed();
        let said = String::from_utf8_lossy(transcript.says);
        assert_eq!(
            String::from_utf8_lossy(&heard),
            String::from_utf8_lossy(transcript.hears),
            "{said:?}, cut at {cuts:?}"
        );
        let line = self.closed(&client);
        assert_eq!(line["outcome"], transcript.outcome, "{said:?}, cut at {cuts:?}: {line}");
        if let Some(lines) = transcript.lines {
            assert_eq!(
                line["annotations"],
                json!({ "lines": lines }),
                "{said:?}, cut at {cuts:?}"
            );
        }
        if transcript.told {
            self.has_told(&client, transcript.lines);
        }
    }

    /// Lines across the chunks in which an inspector is shown them.
    #[track_caller]
    fn play_a_long_one(&self) {
        let lines = format!("tenant green\n{}", format!("{}\n", "x".repeat(120)).repeat(1000));
        let mut client = self.connect();
        client.send(lines.as_bytes());
        client.half_close();
        assert!(client.expect_closed() == format!("green: {lines}").as_bytes());
        assert_eq!(self.closed(&client)["annotations"], json!({ "lines": 1001 }));
    }

    /// From an address of its own: a port alone may have been an earlier client's, which the log has as well.
    #[track_caller]
    fn connect(&self) -> Peer {
        let [.., high, low] = self.connected.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        Client::connect_from([127, 1, high, low], self.proxy.address())
    }

    fn has_read(&self, client: &Peer) {
        let port = |address: &str| address.rsplit(':').next().and_then(|port| port.parse().ok());
        let (ours, theirs) = (port(client.local()), Some(self.proxy.port()));
        eventually("the proxy has read what was sent", || {
            connections()
                .iter()
                .all(|end| Some(end.local) != theirs || Some(end.remote) != ours || end.unread == 0)
                .then_some(())
        });
    }

    #[track_caller]
    fn closed(&self, client: &Peer) -> Value {
        eventually("the connection's line in the access log", || {
            let text = fs::read_to_string(&self.access_log).ok()?;
            let mut lines = text.lines().rev().filter_map(|line| serde_json::from_str(line).ok());
            lines.find(|line: &Value| line["event"] == "close" && line["client"] == client.local())
        })
    }

    /// The filter's own record, which has the client's address.
    #[track_caller]
    fn has_told(&self, client: &Peer, lines: Option<u64>) {
        let told = self.proxy.wait_for("the client has said what it wants", |event| {
            event.field("fields")["from"] == client.local()
        });
        assert_eq!(told.text("filter"), "tenants", "{told}");
        assert_eq!(told.field("fields")["lines"].as_u64(), lines, "{told}");
    }

    fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Before the line after which nothing is looked at.
    fn has_heard_of(&self, word: &str) -> bool {
        self.heard().iter().any(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            text.split("\ndone\n").next().is_some_and(|text| text.contains(word))
        })
    }

    /// The filter's metric, which the log has at the end.
    #[track_caller]
    fn has_counted(&self, refused: u64) {
        self.proxy.signal(Signal::TERM);
        let counted = self
            .proxy
            .wait_for("filter metric", |event| event.text("metric") == "tenants_refused_total");
        assert_eq!(counted.field("value").as_f64(), Some(refused as f64), "{counted}");
    }
}

/// A server that hears a client out and then says its name and what it has heard.
fn answering(name: &'static str, heard: &Arc<Mutex<Vec<Vec<u8>>>>) -> Upstream {
    let heard = Arc::clone(heard);
    Upstream::listen().serving(move |mut peer| {
        let bytes = peer.expect_closed();
        let answer = [name.as_bytes(), b": ", &bytes].concat();
        heard.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
        // A proxy that has refused the client does not wait for it.
        peer.try_send(&answer).ok();
    })
}

// ---- what is not the contract's ----

#[test]
fn exports_that_the_host_does_not_know_are_ignored() {
    assert!(exports(&fs::read(language("js")).expect("it was built")).contains(&"init".to_owned()));

    // A function of nobody's, and an interface that a later version of the contract may have.
    let component = fs::read(language("c")).expect("it was built");
    let folder = TempDir::new().expect("a temporary folder");
    for name in ["example:other/thing@1.2.3", "spliceway:filter/oracle@0.1.0"] {
        let more = [&component[..], &exporting_the_first_instance_as(name)].concat();
        assert!(exports(&more).contains(&name.to_owned()));
        let file = folder.path().join("more.wasm");
        fs::write(&file, more).expect("a file in a folder of the test's");
        Scene::start(&file).play(&TRANSCRIPTS[0], &[]);
    }
}

/// A configuration that a filter does not take is told by its own `init`, in each language.
#[test]
fn the_error_of_init_reaches_the_operator() {
    let upstream = Upstream::listen();
    for (component, says) in [
        (guest("tenants"), "unknown field"),
        (language("c"), "it takes no configuration"),
        (language("js"), "it takes no configuration"),
    ] {
        let failed = Proxy::forward(upstream.address())
            .filter_with(&component, json!({ "colour": "green" }))
            .fail();
        assert_eq!(failed.code(), Some(1), "{failed:?}");
        assert!(failed.stderr.contains("refuses its configuration"), "{failed:?}");
        assert!(failed.stderr.contains(says), "{failed:?}");
    }
}

/// The section of a component (id 11 in the binary format of the component model) that exports its first instance once more.
fn exporting_the_first_instance_as(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("a short name");
    let mut section = vec![1, 0, length];
    section.extend(name.as_bytes());
    section.extend([5, 0, 0]);
    let mut bytes = vec![11, u8::try_from(section.len()).expect("a short section")];
    bytes.extend(section);
    bytes
}

/// The names that a component exports, from the same sections.
fn exports(component: &[u8]) -> Vec<String> {
    let mut rest = &component[8..];
    let mut names = Vec::new();
    while let Some((id, behind)) = rest.split_first() {
        rest = behind;
        let length = number(&mut rest);
        let (mut section, behind) = rest.split_at(length);
        rest = behind;
        if *id != 11 {
            continue;
        }
        for _ in 0..number(&mut section) {
            section = &section[1..];
            let length = number(&mut section);
            let (name, behind) = section.split_at(length);
            names.push(String::from_utf8_lossy(name).into_owned());
            // What it is, its index, and its type, which is another index where it is said.
            section = &behind[1..];
            number(&mut section);
            let has_type = section[0] == 1;
            section = &section[1..];
            if has_type {
                section = &section[1..];
                number(&mut section);
            }
        }
    }
    names
}

/// LEB128.
fn number(bytes: &mut &[u8]) -> usize {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}
