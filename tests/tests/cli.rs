//! The command line: it says what is wrong in one go, at once, and with the right exit code.

use std::fs;
use std::path::Path;
use std::time::Duration;

use spliceway_tests::artifacts::guest;
use spliceway_tests::bytes::digest;
use spliceway_tests::command::Finished;
use spliceway_tests::{Client, DEADLINE, Proxy, Upstream, artifacts, spliceway};
use tempfile::TempDir;

/// Within this, a proxy that cannot start has said so.
const AT_ONCE: Duration = Duration::from_secs(5);

#[test]
fn help_names_the_commands() {
    let help = spliceway(["--help"], AT_ONCE).success();
    for command in ["forward", "run", "check", "demo"] {
        assert!(help.contains(command), "{help}");
    }
    let help = spliceway(["forward", "--help"], AT_ONCE).success();
    for option in [
        "--upstream",
        "--filter",
        "--filter-config",
        "--workers",
        "--log-format",
        "--log-level",
    ] {
        assert!(help.contains(option), "{help}");
    }
}

#[test]
fn a_wrong_command_line_is_exit_code_2_with_a_suggestion() {
    let cases: &[(&[&str], &str)] = &[
        (
            &["forward", "127.0.0.1:0", "127.0.0.1:1", "--fliter", "x.wasm"],
            "--fliter",
        ),
        (&["forwrad"], "forwrad"),
        (&["forward", "127.0.0.1:0"], "UPSTREAM"),
        (&["forward", "nonsense", "127.0.0.1:1"], "nonsense"),
        (&["forward", "127.0.0.1:99999", "127.0.0.1:1"], "99999"),
        (&["forward", "127.0.0.1:0", "127.0.0.1:1", "--workers", "many"], "many"),
        (
            &["forward", "127.0.0.1:0", "127.0.0.1:1", "--upstream", "nameless"],
            "nameless",
        ),
        (
            &["forward", "127.0.0.1:0", "127.0.0.1:1", "--log-level", "loud"],
            "loud",
        ),
    ];
    for (arguments, named) in cases {
        let finished = spliceway(*arguments, AT_ONCE);
        assert_eq!(finished.code(), Some(2), "{arguments:?}\n{}", finished.stderr);
        assert!(finished.stderr.contains(named), "{arguments:?}\n{}", finished.stderr);
        no_panic(&finished);
    }
}

#[test]
fn a_port_in_use_is_one_clear_line_and_exit_code_1() {
    let taken = Upstream::listen();
    let finished = Proxy::forward_from(taken.address(), "127.0.0.1:1").fail();
    says_once(&finished, &[taken.address(), "in use"]);
}

#[test]
fn a_port_that_another_spliceway_serves_is_in_use_too() {
    // Workers share a port among themselves; two proxies must never, or each would get some of the connections.
    let upstream = Upstream::echo();
    let first = Proxy::forward(upstream.address()).workers(2).start();
    let finished = Proxy::forward_from(first.address(), upstream.address())
        .workers(2)
        .fail();
    says_once(&finished, &[first.address(), "in use"]);

    let mut client = Client::connect(first.address());
    client.send(b"still there");
    client.expect(b"still there");
}

#[test]
fn a_unix_socket_that_is_served_is_in_use_and_one_left_behind_is_not() {
    let folder = TempDir::new().expect("a temporary folder");
    let address = format!("unix:{}/proxy", folder.path().display());
    let upstream = Upstream::echo();
    let first = Proxy::forward_from(&address, upstream.address()).start();
    says_once(
        &Proxy::forward_from(&address, upstream.address()).fail(),
        &["proxy", "in use"],
    );

    // Killed, it leaves its file behind; the next one takes its place.
    drop(first);
    assert!(folder.path().join("proxy").exists());
    let second = Proxy::forward_from(&address, upstream.address()).start();
    let mut client = Client::connect(second.address());
    client.send(b"hello");
    client.expect(b"hello");
}

#[test]
fn an_upstream_that_does_not_resolve_is_one_clear_line_and_exit_code_1() {
    let finished = spliceway(
        ["forward", "127.0.0.1:0", "name.invalid:80", "--log-format", "text"],
        AT_ONCE,
    );
    says_once(&finished, &["name.invalid"]);
}

#[test]
fn a_filter_that_cannot_be_read_is_one_clear_line_and_exit_code_1() {
    let upstream = Upstream::listen();
    says_once(
        &Proxy::forward(upstream.address()).filter("/nowhere/filter.wasm").fail(),
        &["/nowhere/filter.wasm"],
    );
}

#[test]
fn a_directory_in_the_place_of_a_filter_is_told_where_its_component_is() {
    let folder = TempDir::new().expect("a temporary folder");
    let upstream = Upstream::listen();
    let name = folder
        .path()
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a name");
    says_once(
        &Proxy::forward(upstream.address()).filter(folder.path()).fail(),
        &[
            "is a directory",
            &format!("target/filters/{name}.wasm"),
            "spliceway filter build",
        ],
    );
}

#[test]
fn check_says_what_each_filter_is() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("good.toml");
    let config = format!(
        "[filters.pass]\nsource = {:?}\ngrants = [\"log\"]\nlimits = {{ output = \"1MiB\" }}\n\
         [upstreams.a]\nservers = [\"127.0.0.1:1\"]\n\
         [[listeners]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\nupstream = \"a\"\nfilters = [\"pass\"]\n",
        guest("transformer-pass")
    );
    fs::write(&file, config).expect("a file in a folder of the test's");
    let finished = spliceway(["check", "--config", path(&file)], DEADLINE);
    assert_eq!((finished.code(), &*finished.stderr), (Some(0), ""));
    let component = fs::read(guest("transformer-pass")).expect("a guest can be read");
    let digest = format!("  digest  sha256:{}", digest(&component));
    for line in [
        "filter \"pass\"",
        &digest,
        "  roles   transformer",
        "  imports log",
        "  limits  memory 16MiB, call 20ms, init 1s, output 1MiB, log-lines 1000, metrics 64,",
    ] {
        assert!(
            finished.stdout.lines().any(|printed| printed == line),
            "{line}\n{}",
            finished.stdout
        );
    }
    assert!(finished.stdout.lines().any(|line| line.starts_with("  size    ")));
}

#[test]
fn a_wrong_configuration_is_shown_whole_each_problem_under_its_line() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("wrong.toml");
    fs::write(&file, WRONG).expect("a file in a folder of the test's");
    for command in ["check", "run"] {
        let finished = spliceway([command, "--config", path(&file)], AT_ONCE);
        assert_eq!(finished.code(), Some(2), "{}", finished.stderr);
        let report = format!("{}{}", finished.stdout, finished.stderr);
        // Each with its line, the text, and marks under it.
        for (line, text) in [
            (1, "upstrems"),
            (4, "127.0.0.1:notaport"),
            (7, "front"),
            (8, "127.0.0.1"),
            (9, "blew"),
            (10, "5 parsecs"),
            (12, "front"),
            (15, "maybe"),
        ] {
            assert!(
                report.contains(&format!("wrong.toml:{line}")) || report.contains(&format!("\n{line:>2} |")),
                "line {line}\n{report}"
            );
            assert!(report.contains(text), "{text}\n{report}");
        }
        assert!(report.contains("^^^"), "{report}");
        assert!(report.contains("did you mean"), "{report}");
        no_panic(&finished);
    }
}

const WRONG: &str = r#"[upstrems.green]
servers = ["127.0.0.1:1"]
[upstreams.blue]
servers = ["127.0.0.1:notaport"]

[[listeners]]
name = "front"
address = "127.0.0.1"
upstream = "blew"
timeouts = { idle = "5 parsecs" }
[[listeners]]
name = "front"
address = "127.0.0.1:2"
upstream = "blue"
filters = ["maybe"]
"#;

#[test]
fn a_configuration_that_is_no_toml_is_shown_where_it_breaks() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("broken.toml");
    fs::write(&file, "[upstreams.blue]\nservers = [\"127.0.0.1:1\"\n").expect("a file in a folder of the test's");
    let finished = spliceway(["check", "--config", path(&file)], AT_ONCE);
    assert_eq!(finished.code(), Some(2), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("broken.toml") || finished.stdout.contains("broken.toml"),
        "{finished:?}"
    );
    no_panic(&finished);
}

#[test]
fn a_configuration_file_that_is_missing_is_named() {
    let finished = spliceway(["run", "--config", "/nowhere/spliceway.toml"], AT_ONCE);
    assert!(matches!(finished.code(), Some(1 | 2)), "{finished:?}");
    assert!(
        finished.stderr.contains("/nowhere/spliceway.toml"),
        "{}",
        finished.stderr
    );
    no_panic(&finished);
}

#[test]
fn a_right_configuration_is_exit_code_0_and_opens_no_port() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("right.toml");
    let taken = Upstream::listen();
    let text = format!(
        "[filters.guard]\nsource = \"{}\"\nconfig = {{ refuse = [\"FLUSHALL\"] }}\n\
         [upstreams.only]\nservers = [\"127.0.0.1:1\"]\n\
         [[listeners]]\nname = \"front\"\naddress = \"{}\"\nupstream = \"only\"\nfilters = [\"guard\"]\n\
         timeouts = {{ connect = \"5s\", idle = \"1h\" }}\n",
        artifacts::filter("redis-guard").display(),
        taken.address()
    );
    fs::write(&file, text).expect("a file in a folder of the test's");
    // The port is taken, which is none of the check's business.
    spliceway(["check", "--config", path(&file)], Duration::from_secs(20)).success();
}

#[test]
fn the_log_is_json_where_nobody_looks_and_text_where_asked_for() {
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address()).start();
    let ready = proxy.wait_for("ready", |_| true);
    for field in ["timestamp", "level", "target", "message", "workers"] {
        assert!(ready.has(field), "{field} is missing in {ready}");
    }
    assert_eq!(ready.text("level").to_lowercase(), "info");
}

/// It ended with exit code 1, saying all of this in one line that is not a panic.
#[track_caller]
fn says_once(finished: &Finished, texts: &[&str]) {
    assert_eq!(finished.code(), Some(1), "{}", finished.stderr);
    no_panic(finished);
    let lines: Vec<&str> = finished
        .stderr
        .lines()
        .filter(|line| texts.iter().all(|text| line.contains(text)))
        .collect();
    assert_eq!(lines.len(), 1, "{texts:?} in one line of\n{}", finished.stderr);
}

#[track_caller]
fn no_panic(finished: &Finished) {
    for word in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
        assert!(!finished.stderr.contains(word), "{}", finished.stderr);
    }
}

fn path(file: &Path) -> &str {
    file.to_str().expect("a temporary path is text")
}
