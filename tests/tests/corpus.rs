//! Filters that were published once go on working: a corpus of old components (`tests/corpus`), each of which does its job
//! with the host of today, and the contract as it was released, which may grow and not change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};
use spliceway_tests::artifacts::workspace;
use spliceway_tests::{Client, Proxy, Upstream};

// ---- what is in the corpus ----

#[test]
fn no_component_of_the_corpus_is_changed_or_removed() {
    let readme = fs::read_to_string(corpus().join("README.md")).expect("the corpus has a README");
    let listed: BTreeMap<String, String> = readme.lines().filter_map(row).collect();
    let files = fs::read_dir(corpus()).expect("a folder of the work tree");
    let present: BTreeMap<String, String> = files
        .flatten()
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .map(|path| (name_of(&path), digest(&path)))
        .collect();
    assert!(!present.is_empty());
    assert_eq!(listed, present, "the README's list (left) and the files (right)");
}

/// ``| `name.wasm` | when | with what | `digest` |``
fn row(line: &str) -> Option<(String, String)> {
    let mut cells = line.split('|').map(|cell| cell.trim().trim_matches('`'));
    let name = cells.nth(1).filter(|name| name.ends_with(".wasm"))?;
    Some((name.to_owned(), cells.nth(2)?.to_owned()))
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().expect("a file has a name");
    name.to_string_lossy().into_owned()
}

fn digest(path: &Path) -> String {
    let bytes = fs::read(path).expect("a file of the corpus can be read");
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn corpus() -> PathBuf {
    workspace().join("tests/corpus/v0.1")
}

fn component(name: &str) -> PathBuf {
    corpus().join(name).with_extension("wasm")
}

// ---- each does its job ----

#[test]
fn a_router_of_the_corpus_routes() {
    let (default, green) = (Upstream::named("default"), Upstream::named("green"));
    let route = json!({ "decision": "route", "upstream": "green", "options": { "idle-timeout-ms": 60_000 } });
    let hello = json!({ "decision": "exchange", "consume": 5, "reply": "welcome", "then": route });
    let proxy = Proxy::forward(default.address())
        .upstream("green", green.address())
        .filter_with(
            component("router-script"),
            json!({ "decision": "need", "bytes": 5, "then": hello }),
        )
        .start();
    let mut client = Client::connect(proxy.address());
    client.send(b"hel");
    client.send(b"lo");
    client.expect(b"welcome");
    client.expect(b"green");
    client.send(b"more");
    client.expect(b"more");
}

#[test]
fn an_inspector_of_the_corpus_inspects() {
    let upstream = Upstream::echo();
    let script = json!({ "interest": "up", "verdict": "refuse", "pattern": "evil", "reset": true });
    let proxy = Proxy::forward(upstream.address())
        .filter_with(component("inspector-script"), script)
        .start();
    let mut client = Client::connect(proxy.address());
    client.send(b"good");
    client.expect(b"good");
    client.send(b"evil");
    client.expect_reset();
    let transfer = proxy.ended(&client);
    assert_eq!(transfer.outcome, "relay.filter-refused.proxy");
    assert_eq!(transfer.down_filtered, 0, "{transfer:?}");
}

#[test]
fn a_transformer_of_the_corpus_takes_bytes_and_gives_them() {
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address())
        .filter(component("transformer-pass"))
        .start();
    let mut client = Client::connect(proxy.address());
    client.send(b"hello");
    client.expect(b"hello");
    client.send(b" and more");
    client.half_close();
    client.expect(b" and more");
    client.expect_eof();
    let transfer = proxy.ended(&client);
    assert_eq!((transfer.up_filtered, transfer.down_filtered), (14, 14), "{transfer:?}");
}

#[test]
fn an_observer_of_the_corpus_is_told() {
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address())
        .filter_with(component("recorder"), json!({}))
        .start();
    says_hello(&proxy, b"");
    let told = proxy.wait_for_guest("recorder", |event| event.message().starts_with("closed "));
    assert!(told.message().ends_with(" 5 5 relay.finished.client"), "{told}");
}

#[test]
fn two_roles_of_the_corpus_share_a_configuration() {
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address())
        .filter_with(component("two-roles"), json!({ "tag": "old" }))
        .start();
    says_hello(&proxy, b"");
    let told = proxy.wait_for_guest("two-roles", |event| event.message() == "closed");
    let fields = told.field("fields");
    assert_eq!(
        (&fields["own"], &fields["seen"]),
        (&json!(true), &json!(true)),
        "{told}"
    );
}

#[test]
fn a_filter_of_the_corpus_that_imports_wasi_runs() {
    let (default, green) = (Upstream::named("default"), Upstream::named("green"));
    let proxy = Proxy::forward(default.address())
        .upstream("green", green.address())
        .filter_with(component("wasi-tagged"), json!({ "tag": "old", "upstream": "green" }))
        .start();
    says_hello(&proxy, b"green");
}

#[test]
fn filters_of_the_corpus_in_c_and_javascript_do_their_job() {
    for name in ["c", "js"] {
        let (default, green) = (Upstream::named("default"), Upstream::named("green"));
        let proxy = Proxy::forward(default.address())
            .upstream("green", green.address())
            .filter(component(name))
            .start();
        let mut client = Client::connect(proxy.address());
        client.send(b"tenant gr");
        client.send(b"een\nhello\n");
        client.expect(b"greentenant green\nhello\n");
        client.send(b"FORBIDDEN\n");
        client.expect(b"error: a forbidden line\n");
        client.expect_closed();
        assert_eq!(proxy.ended(&client).outcome, "relay.filter-refused.proxy", "{name}");
    }
}

/// Through a server that echoes, after it may have said its name.
#[track_caller]
fn says_hello(proxy: &Proxy, greeting: &[u8]) {
    let mut client = Client::connect(proxy.address());
    client.send(b"hello");
    client.expect(&[greeting, b"hello"].concat());
    client.half_close();
    client.expect_eof();
}

// ---- the contract has only grown ----

#[test]
fn what_was_released_of_the_contract_has_not_changed() {
    let released = Shape::of(&fs::read_to_string(corpus().join("contract.wit")).expect("the corpus has the contract"));
    let today = Shape::of(&wit());
    assert!(
        released.items.len() > 60,
        "too little was understood: {:?}",
        released.items
    );
    let problems = released.broken_by(&today);
    assert!(
        problems.is_empty(),
        "filters that are published would not load any more:\n{}",
        problems.join("\n")
    );
}

#[test]
fn a_change_that_breaks_published_filters_is_noticed() {
    let wit = wit();
    let released = Shape::of(&wit);
    let breaks = |from: &str, to: &str| {
        assert!(wit.contains(from), "{from}");
        !released.broken_by(&Shape::of(&wit.replace(from, to))).is_empty()
    };
    // A case more, a field more, another order, another name, another parameter, nothing at all.
    assert!(breaks(
        "enum ending { graceful, reset }",
        "enum ending { graceful, reset, later }"
    ));
    assert!(breaks(
        "record endpoint { address: ip-address, port: u16 }",
        "record endpoint { address: ip-address, port: u16, zone: string }"
    ));
    assert!(breaks("flags directions { up, down }", "flags directions { down, up }"));
    assert!(breaks("start-tls: func() -> bool;", "begin-tls: func() -> bool;"));
    assert!(breaks("take: func(key: string,", "take: func(key: list<u8>,"));
    assert!(breaks("interest: func() -> directions;", ""));
    assert!(breaks("variant error { full, too-large }", ""));
    // An export more is one that published filters lack.
    assert!(breaks(
        "route: func(seen: window) -> decision;",
        "route: func(seen: window) -> decision; forget: func();"
    ));
    assert!(breaks("constructor();", "constructor(); pause: func();"));

    assert!(!breaks(
        "id: func() -> u64;",
        "id: func() -> u64; listener-address: func() -> string;"
    ));
    assert!(!breaks("import upstreams;", "import upstreams; import clock;"));
    assert!(!breaks(
        "use types.{endpoint, value};",
        "use types.{value, direction, endpoint};"
    ));
    assert!(!breaks("/// Unique while the process runs.", "/// Unique."));
}

fn wit() -> String {
    let files = fs::read_dir(workspace().join("wit/v0.1")).expect("the contract has a folder");
    let texts = files
        .flatten()
        .map(|file| fs::read_to_string(file.path()).expect("a file of the contract"));
    texts.collect::<Vec<_>>().join("\n")
}

/// The contract's items by where they stand: `interface types / record endpoint`, and what each says.
struct Shape {
    items: BTreeMap<String, String>,
}

impl Shape {
    fn of(wit: &str) -> Self {
        let code = wit.lines().map(|line| line.split("//").next().unwrap_or_default());
        let words: Vec<String> = code.flat_map(words).collect();
        let mut items = BTreeMap::new();
        collect("", &words, &mut items);
        Self { items }
    }

    /// What published filters rely on and does not find in that one, or finds otherwise; and what that one wants of them that
    /// they cannot have.
    fn broken_by(&self, today: &Self) -> Vec<String> {
        let differs = |(place, text): (&String, &String)| match today.items.get(place) {
            None => Some(format!("gone: {place}")),
            Some(now) if now != text => Some(format!("changed: {place}: {text}\n     now {now}")),
            Some(_) => None,
        };
        let exported = self.exported();
        let is_wanted = |place: &&String| {
            let interface = place.split(" / ").next().unwrap_or_default();
            let is_function = today.items[*place].contains("func") || place.ends_with("constructor");
            is_function && exported.contains(interface) && !self.items.contains_key(*place)
        };
        let wanted = today.items.keys().filter(is_wanted);
        self.items
            .iter()
            .filter_map(differs)
            .chain(wanted.map(|place| format!("filters would have to export: {place}")))
            .collect()
    }

    fn exported(&self) -> BTreeSet<String> {
        let exports = self.items.keys().filter_map(|place| place.split(" / export ").nth(1));
        exports.map(|interface| format!("interface {interface}")).collect()
    }
}

/// Names and signs of a line. Commas may stand at the end of a list or not.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let is_sign = |c: char| "{}();:,".contains(c);
    for part in line.split_whitespace() {
        let mut word = String::new();
        for c in part.chars() {
            if is_sign(c) {
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                words.push(c.to_string());
            } else {
                word.push(c);
            }
        }
        words.extend((!word.is_empty()).then_some(word));
    }
    words
}

/// Those of one block. Blocks of functions are gone into: an item more in them is none that changed.
fn collect(place: &str, mut words: &[String], items: &mut BTreeMap<String, String>) {
    let within = |name: &str| match place {
        "" => name.to_owned(),
        _ => format!("{place} / {name}"),
    };
    while !words.is_empty() {
        let length = item(words);
        let (head, rest) = words.split_at(length);
        words = rest;
        let name = head
            .iter()
            .take_while(|word| !["{", ":", ";", "("].contains(&word.as_str()))
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" ");
        match head[0].as_str() {
            "interface" | "world" | "resource" => {
                let block = &head[head.iter().position(|word| word == "{").map_or(head.len(), |at| at + 1)..];
                collect(&within(&name), &block[..block.len().saturating_sub(1)], items);
                items.insert(within(&name), String::new());
            }
            "use" => {
                let from = head[1].clone();
                let names = head
                    .iter()
                    .skip(2)
                    .filter(|word| !["{", "}", ",", ";"].contains(&word.as_str()));
                items.extend(names.map(|name| (within(&format!("use {from}{name}")), String::new())));
            }
            _ => {
                let text = head.join(" ").replace(", }", " }").replace(", )", " )");
                items.insert(within(&name), text);
            }
        }
    }
}

/// How many words the first item has: to its semicolon, or to the end of its block.
fn item(words: &[String]) -> usize {
    let mut depth = 0_usize;
    for (at, word) in words.iter().enumerate() {
        match word.as_str() {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        let is_use = words[0] == "use";
        if depth == 0 && (word == ";" || (word == "}" && !is_use)) {
            return at + 1;
        }
    }
    words.len()
}
