//! What the documents say is so: every command in them is run, every configuration is checked.
//!
//! A document is read as by somebody who stands in the work tree after `make filters` and types what it says into a
//! terminal, and into one more for each program that stays. What a reader does not see:
//!
//! - **Ports.** A number that stands behind `127.0.0.1:` or its like in the code of a document, or in the configuration
//!   beside it, is a port. It is replaced by a free one wherever it stands by itself: in commands, files and output.
//! - **`sh`** blocks are run; each command succeeds. **`console`** blocks are run too, and print what they show, where `...`
//!   stands for anything. `spliceway run`, `spliceway forward` and servers stay until the end of the document; what a
//!   `console` block shows of theirs is to be printed by then.
//! - **`toml`** blocks are configurations: `spliceway check` finds nothing wrong with them, and they are the
//!   `spliceway.toml` of the commands that follow. In one that is an excerpt, the upstreams that it only names are added,
//!   and a listener where there is none. Filters are taken from where `make filters` puts them.
//! - **`rust`** blocks are parts of a file that is compiled; the front page's is a doctest of the SDK.
//! - Comments above a block say the rest: [`Marker`] has them. A block that is not understood fails the test.

use std::fs;
use std::path::Path;
use std::time::Duration;

use spliceway_tests::document::{Block, Marker, Step, blocks, line_matches, matches, ports, renumbered};
use spliceway_tests::ports::Port;
use spliceway_tests::servers::Postgres;
use spliceway_tests::terminal::{Answer, Running, Terminal, desk};
use spliceway_tests::{DEADLINE, artifacts, eventually, spliceway};
use tempfile::TempDir;

macro_rules! documents {
    ($($name:ident: $path:literal,)*) => {
        const DOCUMENTS: &[&str] = &[$($path),*];

        $(
            #[test]
            fn $name() {
                follow($path);
            }
        )*
    };
}

documents! {
    the_front_page: "README.md",
    forward: "examples/01-forward/README.md",
    postgres_routing: "examples/02-postgres-routing/README.md",
    redis_guard: "examples/03-redis-guard/README.md",
    access_log: "examples/04-access-log/README.md",
    first_filter: "examples/05-first-filter/README.md",
    hot_swap: "examples/06-hot-swap/README.md",
    guarded: "examples/07-guarded/README.md",
    several_servers: "examples/08-upstreams/README.md",
    proxy_protocol: "examples/09-proxy-protocol/README.md",
    routing_by_name: "examples/10-sni-routing/README.md",
    tls: "examples/11-tls/README.md",
    admin: "docs/admin.md",
    capture: "docs/capture.md",
    faults: "docs/faults.md",
    filters_in_production: "docs/filters-in-production.md",
    filter_commands: "docs/filter-cli.md",
    the_guide: "docs/filters.md",
    sharing: "docs/sharing.md",
    sockets: "docs/sockets.md",
    transparent: "docs/transparent.md",
    reload: "docs/reload.md",
    shaping: "docs/shaping.md",
    mirroring: "docs/mirroring.md",
    upgrade: "docs/upgrade.md",
    filter_access_log: "filters/access-log/README.md",
    filter_connect_rate: "filters/connect-rate/README.md",
    filter_ip_reputation: "filters/ip-reputation/README.md",
    filter_mqtt_guard: "filters/mqtt-guard/README.md",
    filter_mysql_router: "filters/mysql-router/README.md",
    filter_postgres_router: "filters/postgres-router/README.md",
    filter_redact: "filters/redact/README.md",
    filter_redis_guard: "filters/redis-guard/README.md",
    filter_sni_tenant: "filters/sni-tenant/README.md",
    filter_ssh_banner: "filters/ssh-banner/README.md",
    filter_vpce_router: "filters/vpce-router/README.md",
}

#[test]
fn no_document_is_forgotten() {
    let mut found = [
        "README.md",
        "docs/admin.md",
        "docs/capture.md",
        "docs/faults.md",
        "docs/filter-cli.md",
        "docs/filters-in-production.md",
        "docs/filters.md",
        "docs/mirroring.md",
        "docs/sharing.md",
        "docs/sockets.md",
        "docs/transparent.md",
        "docs/reload.md",
        "docs/shaping.md",
        "docs/upgrade.md",
    ]
    .map(str::to_owned)
    .to_vec();
    for folder in ["examples", "filters"] {
        let entries = fs::read_dir(artifacts::workspace().join(folder)).expect("the work tree can be read");
        for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            found.push(format!("{folder}/{name}/README.md"));
        }
    }
    found.sort();
    let mut known = DOCUMENTS.to_vec();
    known.sort_unstable();
    assert_eq!(found, known);
}

/// The table of complaints ends each row with a test.
#[test]
fn the_tests_that_answer_complaints_exist() {
    let text = fs::read_to_string(artifacts::workspace().join("docs/filters-in-production.md")).expect("a document");
    let (_, table) = text.split_once("## What people complain of").expect("its last part");
    let named: Vec<_> = table
        .lines()
        .filter_map(|row| row.strip_suffix("` |")?.rsplit('`').next())
        .collect();
    assert!(named.len() >= 15, "{named:?}");
    let missing: Vec<_> = named.iter().filter(|name| !is_a_test(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Whether some file of ours has a function of that name.
fn is_a_test(name: &str) -> bool {
    let mut folders = ["host/src", "tests/tests"]
        .map(|folder| artifacts::workspace().join(folder))
        .to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the work tree can be read").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::read_to_string(&path).is_ok_and(|text| text.contains(&format!("fn {name}("))) {
                return true;
            }
        }
    }
    false
}

/// Does what a document says.
fn follow(path: &str) {
    let source = artifacts::workspace().join(path);
    let text = fs::read_to_string(&source).unwrap_or_else(|error| panic!("{path}: {error}"));
    let beside = fs::read_to_string(source.with_file_name("spliceway.toml")).unwrap_or_default();
    let blocks = blocks(&text);
    let code: String = blocks.iter().map(|block| block.text.as_str()).collect();
    let config = path.replace("README.md", "spliceway.toml");
    assert!(
        beside.is_empty() || code.contains(&config),
        "{path} does not use {config}"
    );
    let mut numbers = Numbers::of(&(code + &beside));
    let _servers = start_needed(&blocks, &mut numbers);

    let folder = TempDir::with_prefix("spliceway-").expect("a temporary folder");
    desk(folder.path(), &numbers.pairs);
    let mut reader = Reader {
        document: path,
        terminal: Terminal::open(folder.path()),
        running: Vec::new(),
        folder: folder.path(),
        numbers,
    };
    for block in &blocks {
        reader.read(block);
    }
    reader.finish();
}

/// The ports of a document, and what they are replaced by.
struct Numbers {
    pairs: Vec<(u16, u16)>,
    /// Held until the document is done.
    _reserved: Vec<Port>,
}

impl Numbers {
    fn of(text: &str) -> Self {
        let (mut pairs, mut reserved) = (Vec::new(), Vec::new());
        for old in ports(text) {
            let port = Port::reserve();
            pairs.push((old, port.number()));
            reserved.push(port);
        }
        Self {
            pairs,
            _reserved: reserved,
        }
    }

    /// A server has a port already.
    fn set(&mut self, old: u16, new: u16) {
        let unused = |(known, _): &(u16, u16)| *known != old;
        self.pairs.retain(unused);
        self.pairs.push((old, new));
    }

    fn new_ports(&self) -> Vec<u16> {
        self.pairs.iter().map(|(_, new)| *new).collect()
    }
}

/// What a document takes for granted.
fn start_needed(blocks: &[Block], numbers: &mut Numbers) -> Vec<Postgres> {
    let mut servers = Vec::new();
    for block in blocks {
        let Marker::Needs(needs) = &block.marker else {
            continue;
        };
        for what in needs.split(", ") {
            let words: Vec<_> = what.split_whitespace().collect();
            let ["postgres", "on", port, "with", database] = words[..] else {
                panic!("line {}: `{what}` is not understood", block.line)
            };
            let postgres = Postgres::start();
            Postgres::psql(postgres.port(), "postgres", &format!("create database {database}")).success();
            numbers.set(port.parse().expect("a port"), postgres.port());
            servers.push(postgres);
        }
    }
    servers
}

struct Reader<'a> {
    document: &'a str,
    terminal: Terminal,
    running: Vec<(Running, Vec<String>)>,
    folder: &'a Path,
    numbers: Numbers,
}

impl Reader<'_> {
    fn read(&mut self, block: &Block) {
        let place = format!("{}:{}", self.document, block.line);
        let text = renumbered(&block.text, &self.numbers.pairs);
        match (block.language.as_str(), &block.marker) {
            (_, Marker::Unknown(said)) => panic!("{place}: the comment `{said}` is not understood"),
            (_, Marker::NotRun(_)) => {}
            (_, Marker::File(path)) => self.is_part_of_file(&place, &block.text, path),
            ("sh" | "console", marker) => {
                let again = matches!(marker, Marker::Until);
                for step in (Block { text, ..block.clone() }).steps() {
                    self.take(&place, &step, again);
                }
            }
            ("toml", Marker::None) => {
                let file = self.folder.join("spliceway.toml");
                fs::write(&file, completed(&text)).expect("a file in a folder of the test's");
                check(&file);
            }
            ("rust", Marker::None) if self.document == "README.md" => {
                let sdk = fs::read_to_string(artifacts::workspace().join("sdk/src/lib.rs")).expect("the SDK");
                assert!(
                    sdk.contains("#[doc = include_str!(\"../../README.md\")]"),
                    "{place}: the front page is no doctest of the SDK any more"
                );
            }
            (language, marker) => panic!("{place}: a block of `{language}` with {marker:?} is not understood"),
        }
    }

    fn take(&mut self, place: &str, step: &Step, again: bool) {
        let command = &step.command;
        if Running::stays(command) {
            let number = self.running.len();
            let running = Running::start(self.folder, number, command, &self.numbers.new_ports());
            return self.running.push((running, step.expected.clone()));
        }
        let is_as_said = |answer: &Answer| {
            let lines: Vec<_> = answer.text.lines().collect();
            // A command that shows how something fails shows it; one that shows nothing is to succeed.
            match step.expected.is_empty() {
                true => answer.status == 0,
                false => matches(&step.expected, &lines),
            }
        };
        let mut answer = self.terminal.run(command);
        if again {
            eventually(&format!("{place}: `{command}` prints what is shown"), || {
                if !is_as_said(&answer) {
                    answer = self.terminal.run(command);
                }
                is_as_said(&answer).then_some(())
            });
        }
        assert!(
            is_as_said(&answer),
            "{place}: `{command}` ended with {} and printed\n{}\ninstead of\n{}",
            answer.status,
            answer.text,
            step.expected.join("\n")
        );
    }

    fn is_part_of_file(&self, place: &str, text: &str, path: &str) {
        let file = artifacts::workspace().join(self.document).with_file_name(path);
        let content = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{place}: {path}: {error}"));
        assert!(content.contains(text), "{place}: this is not a part of {path} as it is");
    }

    /// What programs that stay were to print, they have printed.
    fn finish(self) {
        for (running, expected) in &self.running {
            let mut missing = expected.clone();
            eventually(&format!("`{}` prints {expected:#?}", running.command()), || {
                let output = running.output();
                let mut lines = output.lines();
                missing = expected.clone();
                missing
                    .retain(|expected| expected != "..." && !lines.by_ref().any(|line| line_matches(expected, line)));
                missing.is_empty().then_some(())
            });
        }
    }
}

/// An excerpt with what it leaves out, and with the filters that were built.
fn completed(text: &str) -> String {
    let mut config = String::new();
    for line in text.lines() {
        let built = line
            .strip_prefix("source")
            // A document that has a registry has put a filter there, and an upstream has another kind of source.
            .filter(|rest| !rest.contains("oci://") && !rest.contains("\"client\""))
            .and_then(|rest| Some(Path::new(rest.split('"').nth(1)?).file_stem()?.to_str()?.to_owned()));
        match built {
            Some(name) => config += &format!("source = \"{}\"", artifacts::filter(&name).display()),
            None => config += line,
        }
        config.push('\n');
    }
    if !config.contains("[[listeners]]") {
        config += "[[listeners]]\nname = \"excerpt\"\naddress = \"127.0.0.1:0\"\nupstream = \"excerpt\"\n";
    }
    let mut named: Vec<String> = config
        .lines()
        .flat_map(|line| line.split("upstream").skip(1))
        .filter_map(|rest| {
            rest.trim_start()
                .strip_prefix('=')?
                .split('"')
                .nth(1)
                .map(str::to_owned)
        })
        .collect();
    named.sort();
    named.dedup();
    for name in named {
        if !config.contains(&format!("[upstreams.{name}]")) {
            config += &format!("[upstreams.{name}]\nservers = [\"127.0.0.1:1\"]\n");
        }
    }
    config
}

#[track_caller]
fn check(config: &Path) {
    let path = config.display().to_string();
    let said = spliceway(["check", "--config", &path], DEADLINE.max(Duration::from_secs(60))).success();
    assert!(said.contains("is valid"), "{said}");
}
