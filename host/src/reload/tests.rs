use std::path::Path;

use super::Plan;
use crate::config::{Config, parse};

const BASE: &str = r#"
[upstreams.blue]
servers = ["127.0.0.1:1", "127.0.0.1:2"]

[upstreams.green]
servers = ["127.0.0.1:3"]
on-change = "kill"

[[listeners]]
name = "front"
address = "127.0.0.1:80"
upstream = "blue"

[[listeners.routes]]
name = "green"
sni = ["green.example.com"]
upstream = "green"
on-change = { drain = "5m" }

[[listeners]]
name = "back"
address = "127.0.0.1:81"
upstream = "blue"
"#;

fn config(text: &str) -> Config {
    parse(Path::new("test.toml"), text).unwrap()
}

/// The lines of a plan from the base to what a change of its text makes of it.
fn plan(from: &str, to: &str) -> Vec<String> {
    assert!(BASE.contains(from), "{from}");
    let plan = Plan::between(&config(BASE), &config(&BASE.replacen(from, to, 1)));
    plan.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn where_nothing_has_changed_nothing_is_planned() {
    assert_eq!(
        plan("[upstreams.blue]", "# A comment.\n[upstreams.blue]"),
        ["= nothing changes"]
    );
}

#[test]
fn servers_are_told_by_themselves_and_everything_else_by_its_key() {
    assert_eq!(
        plan(
            "servers = [\"127.0.0.1:1\", \"127.0.0.1:2\"]",
            "balance = \"random\"\nservers = [{ address = \"127.0.0.1:1\", weight = 2 }, \"127.0.0.1:9\"]",
        ),
        [
            "~ upstream \"blue\": ~127.0.0.1:1, +127.0.0.1:9, -127.0.0.1:2, balance",
            "= as they are: filters: 0, upstreams: 1, listeners: 2",
        ]
    );
}

#[test]
fn what_becomes_of_connections_is_told_where_they_do_not_stay() {
    assert_eq!(
        plan("servers = [\"127.0.0.1:3\"]", "servers = [\"127.0.0.1:4\"]")[0],
        "~ upstream \"green\": +127.0.0.1:4, -127.0.0.1:3 (its connections are ended)"
    );
    assert_eq!(
        plan("green.example.com", "lime.example.com")[0],
        "~ route \"green\" of listener \"front\": sni (its connections have 5m to end)"
    );
    assert_eq!(
        plan("name = \"green\"\nsni", "name = \"lime\"\nsni")[..2],
        [
            "+ route \"lime\" of listener \"front\"",
            "- route \"green\" of listener \"front\" (its connections have 5m to end)",
        ]
    );
}

#[test]
fn listeners_come_and_go_by_their_names() {
    assert_eq!(
        plan("name = \"back\"", "name = \"rear\""),
        [
            "+ listener \"rear\"",
            "- listener \"back\"",
            "= as they are: filters: 0, upstreams: 2, listeners: 1",
        ]
    );
    assert_eq!(
        plan(
            "address = \"127.0.0.1:81\"",
            "address = \"127.0.0.1:82\"\ntimeouts = { idle = \"1m\" }"
        )[0],
        "~ listener \"back\": address, timeouts"
    );
}

#[test]
fn what_a_process_cannot_change_while_it_runs_is_said() {
    assert_eq!(
        plan("[upstreams.blue]", "workers = 7\n[upstreams.blue]")[0],
        "! workers (not before the next process: `spliceway upgrade`, or a restart)"
    );
    assert_eq!(
        plan(
            "address = \"127.0.0.1:81\"",
            "address = \"127.0.0.1:81\"\naccept = \"shared\""
        )[0],
        "! listener \"back\": accept (not before the next process: `spliceway upgrade`, or a restart)"
    );
}
