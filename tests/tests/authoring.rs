//! `spliceway filter`, from an empty directory to a filter that is replaced in a running proxy, as its author does it.
//!
//! Crates that a test makes are built in one target directory, `target/tmp/authoring`, so that what they depend on is built
//! once; and without a network.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spliceway_tests::artifacts::{binary, filter, guest, workspace};
use spliceway_tests::command::{Finished, lasting, run};
use spliceway_tests::{Client, DEADLINE, Upstream};
use tempfile::TempDir;

/// What a filter depends on takes minutes the first time, for each of three profiles and on two cores.
const FIRST_BUILD: Duration = Duration::from_secs(20 * 60);

/// A directory that somebody works in.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        Self { folder }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("a folder can be made");
        fs::write(path, text).expect("a file can be written");
    }

    fn command(&self, program: impl AsRef<Path>, directory: &str, arguments: &[&str]) -> Command {
        let mut command = lasting(program.as_ref());
        command
            .args(arguments)
            .current_dir(self.path(directory))
            .env("CARGO_TARGET_DIR", target())
            .env("CARGO_NET_OFFLINE", "true")
            .env("SPLICEWAY_SDK", workspace().join("sdk"));
        command
    }

    /// `spliceway filter ...`
    #[track_caller]
    fn filter(&self, directory: &str, arguments: &[&str]) -> Finished {
        let arguments = [&["filter"], arguments].concat();
        run(&mut self.command(binary(), directory, &arguments), FIRST_BUILD)
    }

    #[track_caller]
    fn cargo(&self, directory: &str, arguments: &[&str]) -> Finished {
        run(&mut self.command("cargo", directory, arguments), FIRST_BUILD)
    }

    /// A crate of that name.
    #[track_caller]
    fn made(&self, name: &str, roles: &[&str]) {
        let roles = roles.iter().flat_map(|role| ["--role", role]);
        let arguments: Vec<&str> = ["new", name].into_iter().chain(roles).collect();
        self.filter("", &arguments).success();
    }
}

fn target() -> PathBuf {
    workspace().join("target/tmp/authoring")
}

fn answer(finished: Finished) -> Value {
    let said = finished.success();
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// Exit code 1 or 2, and in a line that says all of these.
#[track_caller]
fn fails(finished: &Finished, code: i32, words: &[&str]) {
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert_eq!(finished.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_new_crate_of_each_role_builds_passes_its_tests_and_lints_clean() {
    let desk = Desk::new();
    for (name, roles) in [
        ("new-router", &["router"][..]),
        ("new-inspector", &["inspector"]),
        ("new-transformer", &["transformer"]),
        ("new-observer", &["observer"]),
        ("a-filter-with-rather-a-long-name", &["observer", "inspector", "router"]),
    ] {
        desk.made(name, roles);
        let built = answer(desk.filter(name, &["build", "--json"]));
        let mut sorted = roles.to_vec();
        sorted.sort_by_key(|role| {
            ["router", "inspector", "transformer", "observer"]
                .iter()
                .position(|known| known == role)
        });
        assert_eq!(built["roles"], json!(sorted));
        assert_eq!(built["file"], json!(target().join(format!("filters/{name}.wasm"))));
        assert!(built["bytes"].as_u64().unwrap() < 512 << 10, "{built}");

        let tested = answer(desk.filter(name, &["test", "--json"]));
        assert_eq!(tested["failed"], 0);
        assert!(tested["cases"].as_array().unwrap().len() >= 3 * roles.len(), "{tested}");

        desk.cargo(name, &["test", "--quiet"]).success();
        desk.cargo(name, &["fmt", "--check"]).success();
        desk.cargo(name, &["clippy", "--quiet", "--all-targets", "--", "-D", "warnings"])
            .success();
    }
}

#[test]
fn what_a_new_crate_cannot_be_is_said_and_nothing_is_written_over() {
    let desk = Desk::new();
    fails(
        &desk.filter("", &["new", "Guard"]),
        2,
        &["`Guard`", "lower-case", "redis-guard"],
    );
    fails(
        &desk.filter("", &["new", "guard", "--role", "filter"]),
        2,
        &["filter", "router"],
    );
    fails(
        &desk.filter("", &["new", "guard", "--sdk", "."]),
        2,
        &["not the SDK", "Cargo.toml"],
    );
    let both = ["new", "guard", "--role", "inspector", "--role", "transformer"];
    fails(&desk.filter("", &both), 2, &["transforms", "two filters"]);
    desk.write("guard/notes", "mine");
    fails(&desk.filter("", &["new", "guard"]), 2, &["guard", "--path"]);
    assert_eq!(fs::read_dir(desk.path("guard")).unwrap().count(), 1);
}

#[test]
fn the_sdk_is_published_unless_one_is_named_or_near() {
    let desk = Desk::new();
    let mut new = desk.command(binary(), "", &["filter", "new", "guard"]);
    run(new.env_remove("SPLICEWAY_SDK"), DEADLINE).success();
    let manifest = fs::read_to_string(desk.path("guard/Cargo.toml")).unwrap();
    assert!(manifest.contains("spliceway-sdk = \"0.1\""), "{manifest}");
}

#[test]
fn where_there_is_no_compiler_for_webassembly_it_is_said_how_to_get_it() {
    let desk = Desk::new();
    desk.made("guard", &["router"]);
    // A compiler that has been told of no target but its own.
    desk.write("bin/rustc", "#!/bin/sh\necho /nowhere\n");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(desk.path("bin/rustc"), executable).unwrap();
    let path = format!("{}:{}", desk.path("bin").display(), std::env::var("PATH").unwrap());
    let mut build = desk.command(binary(), "guard", &["filter", "build"]);
    let finished = run(build.env("PATH", path), DEADLINE);
    if Path::new("/usr/bin/rustc").exists() {
        spliceway_tests::skip!("Debian's compiler may be able to");
    }
    fails(
        &finished,
        1,
        &["wasm32-unknown-unknown", "rustup target add wasm32-unknown-unknown"],
    );
}

#[test]
fn what_is_no_crate_of_a_filter_s_is_not_built() {
    let desk = Desk::new();
    for command in ["build", "test", "check", "dev"] {
        let finished = desk.filter("", &[&[command][..], if_dev(command)].concat());
        fails(&finished, 2, &["no crate", "spliceway filter new"]);
    }
    fails(&desk.filter("", &["test", "nowhere"]), 2, &["nowhere", "is not there"]);
    desk.write(
        "Cargo.toml",
        "[package]\nname = \"plain\"\nedition = \"2024\"\n[workspace]\n",
    );
    desk.write("src/lib.rs", "");
    fails(&desk.filter("", &["build"]), 1, &["crate-type", "cdylib"]);
}

/// What it cannot do without.
fn if_dev(command: &str) -> &[&'static str] {
    match command {
        "dev" => &["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1"],
        _ => &[],
    }
}

#[test]
fn a_transcript_that_comes_to_something_else_says_where_and_how_it_was_cut() {
    let desk = Desk::new();
    desk.write(
        "transcripts/evil.toml",
        r#"
[given]
config = { verdict = "refuse", pattern = "EVIL" }

[[case]]
name   = "a word that is refused"
play   = [{ up = "so EVIL a word" }]
expect = { refused = "EVIL" }

[[case]]
name   = "another one is not"
play   = [{ up = "x" }]
expect = { upstream-receives = "y" }
"#,
    );
    let component = guest("inspector-script");
    let component = component.to_str().unwrap();
    let finished = desk.filter("", &["test", component, "--seed", "7"]);
    // Its filter looks for the word in each chunk by itself.
    let said = [
        "FAIL  a word that is refused",
        "evil.toml:5",
        "in single bytes",
        "not refused",
    ];
    fails(&finished, 1, &said);
    fails(
        &finished,
        1,
        &["FAIL  another one is not", "expected \"y\"", "2 failed", "--seed 7"],
    );

    let summary = desk.filter("", &["test", component, "--filter", "another", "--json"]);
    let summary: Value = serde_json::from_str(&summary.stdout).unwrap();
    assert_eq!(
        (&summary["failed"], &summary["cases"][0]["line"]),
        (&json!(1), &json!(10))
    );
}

#[test]
fn what_keeps_transcripts_from_being_played_is_exit_code_2() {
    let desk = Desk::new();
    let component = guest("inspector-pass");
    let component = component.to_str().unwrap();
    fails(
        &desk.filter("", &["test", component]),
        2,
        &["no transcripts", "--transcripts"],
    );
    desk.write("transcripts/a.toml", "[[case]]\nname = \"it is so\"\nplai = []\n");
    fails(&desk.filter("", &["test", component]), 2, &["a.toml", "plai"]);
    desk.write(
        "transcripts/a.toml",
        "[[case]]\nname = \"it is so\"\nplay = []\nexpect = {}\n",
    );
    fails(
        &desk.filter("", &["test", component, "--filter", "not"]),
        2,
        &["no case", "not"],
    );
    desk.filter("", &["test", component]).success();
}

#[test]
fn the_project_s_filters_do_in_the_engine_what_their_transcripts_say() {
    let desk = Desk::new();
    let mut played = 0;
    for entry in fs::read_dir(workspace().join("filters"))
        .expect("the work tree can be read")
        .flatten()
    {
        let transcripts = entry.path().join("transcripts");
        if !transcripts.is_dir() {
            continue;
        }
        let component = filter(&entry.file_name().to_string_lossy());
        let arguments = [
            "test",
            component.to_str().unwrap(),
            "--transcripts",
            transcripts.to_str().unwrap(),
        ];
        desk.filter("", &arguments).success();
        played += 1;
    }
    assert!(played >= 3, "{played} filters have transcripts");
}

#[test]
fn bytes_in_decisions_out() {
    let desk = Desk::new();
    let guard = filter("redis-guard");
    let guard = guard.to_str().unwrap();
    let config = r#"{ "refuse": ["FLUSHALL"] }"#;
    let asked = |more: &[&str]| desk.filter("", &[&["run", guard, "--config", config], more].concat());

    let refused = asked(&["--text", r"*1\r\n$8\r\nFLUSHALL\r\n"]).success();
    for said in [
        "refused with FIN: the command FLUSHALL",
        "redis.refused",
        "redis_commands_refused_total = 1",
    ] {
        assert!(refused.contains(said), "{refused}");
    }
    let passed = answer(asked(&[
        "--hex",
        "50 49 4e 47 0d 0a",
        "--down",
        r"+PONG\r\n",
        "--pieces",
        "1",
        "--json",
    ]));
    assert_eq!(passed["upstream-receives"], "PING\r\n");
    assert_eq!(passed["client-receives"], "+PONG\r\n");
    assert_eq!(passed["refused"], Value::Null);
    assert_eq!(passed["shown"], json!({ "up": 6, "down": 0 }));

    desk.write("input", "FLUSHALL\r\n");
    let mut from_input = desk.command(binary(), "", &["filter", "run", guard, "--config", config]);
    from_input.stdin(fs::File::open(desk.path("input")).unwrap());
    assert!(run(&mut from_input, DEADLINE).success().contains("refused"));
    assert!(asked(&["--file", "input"]).success().contains("refused"));
}

#[test]
fn a_router_is_asked_as_in_a_proxy() {
    let desk = Desk::new();
    let postgres = filter("postgres-router");
    let postgres = postgres.to_str().unwrap();
    let config = r#"{ "default": "blue" }"#;
    let ssl_request = "00 00 00 08 04 d2 16 2f";
    let asked = answer(desk.filter(
        "",
        &["run", postgres, "--config", config, "--hex", ssl_request, "--json"],
    ));
    assert_eq!(
        (&asked["decision"], &asked["client-receives"]),
        (&json!("waits"), &json!("N"))
    );

    let cancel = "00 00 00 10 04 d2 16 2e 00 00 00 01 00 00 00 02";
    let run = |more: &[&str]| {
        let always = ["run", postgres, "--config", config, "--hex", cancel];
        desk.filter("", &[&always, more].concat())
    };
    assert!(run(&["--upstream", "blue"]).success().contains("goes to \"blue\""));
    let unknown = run(&["--upstream", "green"]);
    fails(
        &unknown,
        1,
        &["\"blue\"", "which the configuration does not have", "green"],
    );
}

#[test]
fn a_real_client_hello_is_made_of_a_name() {
    let desk = Desk::new();
    let pass = guest("inspector-pass");
    let said = answer(desk.filter("", &["run", pass.to_str().unwrap(), "--sni", "a.example", "--json"]));
    let hello = said["upstream-receives"]["hex"].as_str().unwrap();
    let name: String = b"a.example".iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(hello.starts_with("1603") && hello.contains(&name), "{hello}");
}

#[test]
fn everything_that_is_wrong_with_a_filter_is_said_at_once() {
    let desk = Desk::new();
    let guard = filter("redis-guard");
    let guard = guard.to_str().unwrap();
    let good = ["check", guard, "--config", r#"{ "refuse": ["FLUSHALL"] }"#];
    let said = desk.filter("", &good).success();
    for word in ["sha256:", "inspector", "0.1.0", "metrics", "store-entries", "schema"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let bad = desk.filter(
        "",
        &["check", guard, "--config", r#"{ "refuse": [] }"#, "--grants", "log"],
    );
    fails(
        &bad,
        1,
        &["not granted", "\"metrics\"", "names no command", "2 problems"],
    );
    fails(
        &desk.filter("", &["check", guard]),
        1,
        &["missing field `refuse`", "--config"],
    );
    fails(
        &desk.filter("", &["check", guard, "--grants", "files"]),
        2,
        &["files", "upstreams"],
    );
    fails(
        &desk.filter("", &["check", guard, "--config", "nowhere.toml"]),
        2,
        &["nowhere.toml", "JSON"],
    );
    fails(
        &desk.filter("", &["check", "nowhere.wasm"]),
        1,
        &["nowhere.wasm", "spliceway filter build"],
    );
}

#[test]
fn a_file_is_inspected_whether_it_loads_or_not() {
    let desk = Desk::new();
    let guard = filter("redis-guard");
    let known = answer(desk.filter(
        "",
        &[
            "inspect",
            guard.to_str().unwrap(),
            "--json",
            "--config",
            r#"{ "refuse": ["A"] }"#,
        ],
    ));
    assert_eq!(
        (&known["loads"], &known["roles"]),
        (&json!(true), &json!(["inspector"]))
    );
    assert_eq!(known["schema"]["title"], "RedisGuard");
    assert_eq!(known["metrics"][0]["name"], "redis_commands_refused_total");
    assert!(known["producers"]["language"]["Rust"].is_string(), "{known}");

    desk.write("text.wasm", "(component)");
    let text = answer(desk.filter("", &["inspect", "text.wasm", "--json"]));
    assert_eq!(
        (&text["loads"], &text["kind"]),
        (&json!(false), &json!("no WebAssembly"))
    );
    fs::write(desk.path("module.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let module = desk.filter("", &["inspect", "module.wasm"]).success();
    assert!(
        module.contains("a WebAssembly module") && module.contains("wasm-component-ld"),
        "{module}"
    );
}

#[test]
fn what_a_filter_costs_is_measured() {
    let desk = Desk::new();
    let figures = answer(desk.filter("", &["bench", guest("inspector-pass").to_str().unwrap(), "--json"]));
    for figure in [&figures["nanoseconds"]["connection"], &figures["nanoseconds"]["chunk"]] {
        let [isolated, shared] = ["isolated", "shared"].map(|which| figure[which].as_f64().unwrap());
        assert!(shared > 0.0 && isolated > 0.0, "{figures}");
    }
    assert_eq!(figures["nanoseconds"]["router-decision"], Value::Null);
    assert!(
        figures["instance-memory-bytes"].as_u64().unwrap() >= 64 << 10,
        "{figures}"
    );
}

/// Saving a file cannot mend a command line.
#[test]
fn a_configuration_that_is_refused_from_the_beginning_ends_what_waits_for_changes() {
    let desk = Desk::new();
    desk.made("early-guard", &["inspector"]);
    let listen = ["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1"];
    let arguments = [&["dev"], &listen[..], &["--config", r#"{ "refuze": [] }"#]].concat();
    fails(
        &desk.filter("early-guard", &arguments),
        2,
        &["unknown field `refuze`", "check", "failed", "--config"],
    );
}

#[test]
fn a_crate_that_was_changed_since_it_was_built_is_said_to_have_been() {
    let desk = Desk::new();
    desk.made("stale-guard", &["inspector"]);
    desk.filter("", &["build", "stale-guard"]).success();
    let inspected = || {
        let finished = desk.filter("", &["inspect", "stale-guard", "--json"]);
        let warned = finished.stderr.clone();
        (answer(finished)["loads"].clone(), warned)
    };
    let (_, warned) = inspected();
    assert_eq!(warned, "");
    let source = fs::read_to_string(desk.path("stale-guard/src/lib.rs")).unwrap();
    desk.write("stale-guard/src/lib.rs", &format!("{source}// It is the same.\n"));
    let (loads, warned) = inspected();
    assert_eq!(loads, true);
    for word in [
        "warning: stale-guard/src/lib.rs is newer",
        "`spliceway filter build stale-guard`",
    ] {
        assert!(warned.contains(word), "{warned}");
    }
    // Its component comes out the same, and is of now.
    desk.filter("", &["build", "stale-guard"]).success();
    assert_eq!(inspected().1, "");

    let case = desk.filter("", &["run", "stale-guard", "--transcript", "told so"]);
    assert!(case.success().contains("the client is told 10 bytes"));
}

/// `spliceway filter dev`, and what it says.
struct Dev {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Dev {
    #[track_caller]
    fn start(desk: &Desk, directory: &str, arguments: &[&str]) -> Self {
        let arguments = [&["filter", "dev"], arguments].concat();
        let mut command = desk.command(binary(), directory, &arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("spliceway runs");
        let output = child.stdout.take().expect("it is piped");
        let (said, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        Self {
            child,
            lines,
            said: Vec::new(),
        }
    }

    /// Waits until it says that.
    #[track_caller]
    fn says(&mut self, text: &str, within: Duration) -> String {
        let end = Instant::now() + within;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("it did not say {text:?} but\n{}", self.said.join("\n")),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended without {text:?}\n{}", self.said.join("\n")),
            }
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_change_is_live_when_it_is_saved_and_what_does_not_work_changes_nothing() {
    let desk = Desk::new();
    desk.made("live-guard", &["inspector"]);
    let upstream = Upstream::echo();
    let config = r#"{ "refuse": ["quit"] }"#;
    let listen = [
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        upstream.address(),
        "--config",
        config,
    ];
    let mut dev = Dev::start(&desk, "live-guard", &listen);
    let live = dev.says("generation 1", FIRST_BUILD);
    let address = live.rsplit(' ').next().unwrap().to_owned();

    let mut client = Client::connect(&address);
    client.send(b"quit\n");
    client.expect(b"not here\r\n");
    client.expect_closed();
    let mut first = Client::connect(&address);
    first.send(b"hello\n");
    first.expect(b"hello\n");

    let source = fs::read_to_string(desk.path("live-guard/src/lib.rs")).unwrap();
    // Nothing is refused any more, and the transcripts say so.
    desk.write(
        "live-guard/src/lib.rs",
        &source.replace("line.starts_with", "false && line.starts_with"),
    );
    dev.says("FAIL", DEADLINE);
    dev.says("the last good one: generation 1", DEADLINE);

    desk.write("live-guard/src/lib.rs", "this is no Rust");
    dev.says("does not compile", DEADLINE);
    dev.says("the last good one: generation 1", DEADLINE);
    let mut client = Client::connect(&address);
    client.send(b"quit\n");
    client.expect(b"not here\r\n");
    client.expect_closed();

    desk.write(
        "live-guard/src/lib.rs",
        &source.replace("begins with {word:?}", "begins with {word:?}, not here"),
    );
    let live = dev.says("generation 2", DEADLINE);
    assert!(live.contains("live"), "{live}");
    eprintln!("{}", dev.said.join("\n"));

    first.send(b"still there\n");
    first.expect(b"still there\n");
}

#[test]
fn a_proxy_that_runs_is_given_what_works_where_its_configuration_says() {
    let desk = Desk::new();
    desk.made("other-guard", &["inspector"]);
    desk.write(
        "spliceway.toml",
        r#"
[filters.other-guard]
source = "installed/guard.wasm"
config = { refuse = ["quit"] }

[upstreams.u]
servers = ["127.0.0.1:1"]

[[listeners]]
name = "l"
address = "127.0.0.1:0"
filters = ["other-guard"]
upstream = "u"
"#,
    );
    let mut dev = Dev::start(&desk, "other-guard", &["--proxy", "../spliceway.toml", "--no-test"]);
    dev.says("publish", FIRST_BUILD);
    dev.says("takes it now", DEADLINE);
    let published = desk.path("installed/guard.wasm");
    let known = answer(desk.filter("", &["inspect", published.to_str().unwrap(), "--json"]));
    assert_eq!(known["loads"], true);
    let none = desk.filter("other-guard", &["dev", "--proxy", "nowhere.toml"]);
    fails(&none, 2, &["nowhere.toml"]);
    let neither = desk.filter("other-guard", &["dev"]);
    fails(
        &neither,
        2,
        &["either --listen ADDRESS and --upstream ADDRESS", "or --proxy FILE"],
    );
}

#[test]
fn shells_and_readers_of_manuals_know_the_commands() {
    let desk = Desk::new();
    let spliceway = |arguments: &[&str]| run(&mut desk.command(binary(), "", arguments), DEADLINE).success();
    for shell in ["bash", "zsh", "fish"] {
        let script = spliceway(&["completions", shell]);
        for word in ["forward", "filter", "inspect"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    spliceway(&["man", "pages"]);
    for page in [
        "spliceway.1",
        "spliceway-filter.1",
        "spliceway-filter-new.1",
        "spliceway-run.1",
    ] {
        assert!(desk.path("pages").join(page).exists(), "{page}");
    }
    assert!(spliceway(&["man"]).contains(".TH spliceway 1"));
}
