//! What is said about each kind of mistake, word for word.

use super::{alone, refused, with_listener, with_upstream};

#[test]
fn an_unknown_key() {
    with_listener(
        r"
worker = 2
",
        r"
error: unknown key `worker`
 --> proxy.toml:1:1
  |
1 | worker = 2
  | ^^^^^^ did you mean `workers`?
  |
  = note: known keys: `workers`, `filters`, `upstreams`, `listeners`, `routes`, `limits`, `drain`, `access-log`, `resolver`, `metrics`, `telemetry`, `reload`, `admin`, `toxiproxy`, `process`, `registries`, `trust`
",
    );
}

#[test]
fn an_unknown_key_like_no_other() {
    with_listener(
        r"
[tls]
x = 1
",
        r"
error: unknown key `tls`
 --> proxy.toml:1:2
  |
1 | [tls]
  |  ^^^
  |
  = note: known keys: `workers`, `filters`, `upstreams`, `listeners`, `routes`, `limits`, `drain`, `access-log`, `resolver`, `metrics`, `telemetry`, `reload`, `admin`, `toxiproxy`, `process`, `registries`, `trust`
",
    );
}

#[test]
fn a_missing_key() {
    with_listener(
        r#"
[filters.f]
on-error = "pass"
"#,
        r"
error: missing key `source`
 --> proxy.toml:1:1
  |
1 | [filters.f]
  | ^^^^^^^^^^^ expected `source = ...` in this table
",
    );
}

#[test]
fn a_missing_key_is_not_also_a_misspelt_one() {
    with_listener(
        r#"
[filters.f]
suorce = "f.wasm"
"#,
        r#"
error: unknown key `suorce`
 --> proxy.toml:2:1
  |
2 | suorce = "f.wasm"
  | ^^^^^^ did you mean `source`?
  |
  = note: known keys: `source`, `pull`, `config`, `on-error`, `sessions-per-instance`, `at-budget`, `retire`, `grants`, `limits`, `canary`, `quarantine`
"#,
    );
}

#[test]
fn a_wrong_type() {
    with_listener(
        r#"
workers = "2"
"#,
        r#"
error: expected an integer
 --> proxy.toml:1:11
  |
1 | workers = "2"
  |           ^^^ this is a string
"#,
    );
}

#[test]
fn a_table_that_should_be_an_array() {
    with_upstream(
        r#"
[listeners]
name = "a"
"#,
        r"
error: expected an array
 --> proxy.toml:1:1
  |
1 | [listeners]
  | ^^^^^^^^^^^ this is a table
  |
  = help: write `[[listeners]]`
",
    );
}

#[test]
fn an_array_that_should_be_tables_with_names() {
    with_listener(
        r#"
[[filters]]
source = "f.wasm"
"#,
        r"
error: expected tables with names, as in `[filters.NAME]`
 --> proxy.toml:1:1
  |
1 | [[filters]]
  | ^^^^^^^^^^^ this is an array
",
    );
}

#[test]
fn a_string_that_should_be_an_array() {
    with_listener(
        r#"
[upstreams.a]
servers = "10.0.0.1:5432"
"#,
        r#"
error: expected an array
 --> proxy.toml:2:11
  |
2 | servers = "10.0.0.1:5432"
  |           ^^^^^^^^^^^^^^^ this is a string
  |
  = help: write `["10.0.0.1:5432"]`
"#,
    );
}

#[test]
fn a_server_of_the_wrong_type() {
    with_listener(
        r"
[upstreams.a]
servers = [5432]
",
        r#"
error: expected an address, as in "10.0.0.1:5432"
 --> proxy.toml:2:12
  |
2 | servers = [5432]
  |            ^^^^ this is an integer
"#,
    );
}

#[test]
fn a_number_out_of_range() {
    with_listener(
        r"
workers = 1025
",
        r"
error: 1025 is out of range
 --> proxy.toml:1:11
  |
1 | workers = 1025
  |           ^^^^ expected 1 to 1024
",
    );
}

#[test]
fn a_number_out_of_all_range() {
    with_listener(
        r"
workers = 99999999999999999999
",
        r"
error: this integer is out of range
 --> proxy.toml:1:11
  |
1 | workers = 99999999999999999999
  |           ^^^^^^^^^^^^^^^^^^^^ expected one that fits 64 bits
",
    );
}

#[test]
fn sessions_out_of_range() {
    with_listener(
        r#"
[filters.f]
source = "f.wasm"
sessions-per-instance = 0
"#,
        r"
error: 0 is out of range
 --> proxy.toml:3:25
  |
3 | sessions-per-instance = 0
  |                         ^ expected 1 to 65536
",
    );
}

#[test]
fn a_size_out_of_range() {
    with_listener(
        r#"
[filters.f]
source = "f.wasm"
limits.memory = "1GiB"
"#,
        r#"
error: 1GiB is out of range
 --> proxy.toml:3:17
  |
3 | limits.memory = "1GiB"
  |                 ^^^^^^ expected 64KiB to 64MiB
"#,
    );
}

#[test]
fn a_size_in_ambiguous_units() {
    with_listener(
        r#"
[filters.f]
source = "f.wasm"
limits.memory = "64K"
"#,
        r#"
error: expected a size, as in "16MiB"
 --> proxy.toml:3:17
  |
3 | limits.memory = "64K"
  |                 ^^^^^ units are powers of 1024 here: write "64KiB"
"#,
    );
}

#[test]
fn a_size_that_is_none() {
    with_listener(
        r#"
[filters.f]
source = "f.wasm"
limits.memory = -1
"#,
        r#"
error: expected a size, as in "16MiB"
 --> proxy.toml:3:17
  |
3 | limits.memory = -1
  |                 ^^ this is not a number of bytes
"#,
    );
}

#[test]
fn a_length_of_time_out_of_range() {
    with_listener(
        r#"
[filters.f]
source = "f.wasm"
limits.call = "0"
"#,
        r#"
error: 0s is out of range
 --> proxy.toml:3:15
  |
3 | limits.call = "0"
  |               ^^^ expected 1ms to 1s
"#,
    );
}

#[test]
fn a_length_of_time_without_a_unit() {
    with_listener(
        r#"
[filters.f]
source = "f.wasm"
limits.init = 5
"#,
        r#"
error: expected a length of time, as in "5s"
 --> proxy.toml:3:15
  |
3 | limits.init = 5
  |               ^ write a unit, as in "5s"
"#,
    );
}

#[test]
fn a_length_of_time_in_days() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = ":80"
upstream = "z"
timeouts.idle = "1d"
"#,
        r#"
error: expected a length of time, as in "5s", or "0" for none
 --> proxy.toml:5:17
  |
5 | timeouts.idle = "1d"
  |                 ^^^^ the units are h, m, s, ms, us and ns, as in "1h 30m"
"#,
    );
}

#[test]
fn a_timeout_out_of_range() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = ":80"
upstream = "z"
timeouts.idle = "9000h"
"#,
        r#"
error: 9000h is out of range
 --> proxy.toml:5:17
  |
5 | timeouts.idle = "9000h"
  |                 ^^^^^^^ expected 1ms to 8760h
"#,
    );
}

#[test]
fn a_filter_from_nowhere() {
    with_listener(
        r#"
[filters.f]
source = ""
"#,
        r#"
error: this is no path of a file
 --> proxy.toml:2:10
  |
2 | source = ""
  |          ^^ expected a path, as in "filters/router.wasm", or `oci://HOST/REPOSITORY:TAG`
"#,
    );
}

#[test]
fn an_unknown_value() {
    with_listener(
        r#"
[filters.f]
source = "f.wasm"
on-error = "closed"
"#,
        r#"
error: unknown value `closed`
 --> proxy.toml:3:12
  |
3 | on-error = "closed"
  |            ^^^^^^^^ did you mean `close`?
  |
  = note: known values: `close`, `pass`, `previous`
"#,
    );
}

#[test]
fn an_unknown_value_like_no_other() {
    with_listener(
        r#"
[upstreams.a]
balance = "fastest"
servers = ["a:1"]
"#,
        r#"
error: unknown value `fastest`
 --> proxy.toml:2:11
  |
2 | balance = "fastest"
  |           ^^^^^^^^^
  |
  = note: known values: `round-robin`, `least-connections`, `two-choices`, `source-hash`, `maglev`, `random`
"#,
    );
}

#[test]
fn a_number_that_json_does_not_have() {
    with_listener(
        r#"
[filters.f]
source = "f.wasm"
config = { shares = [0.5, inf] }
"#,
        r"
error: this number cannot be given to a filter
 --> proxy.toml:3:27
  |
3 | config = { shares = [0.5, inf] }
  |                           ^^^ its configuration reaches it as JSON, which has no such number
",
    );
}

#[test]
fn an_impossible_name() {
    with_listener(
        r#"
[filters."Tenant Router"]
source = "f.wasm"
"#,
        r#"
error: `Tenant Router` cannot be a name
 --> proxy.toml:1:10
  |
1 | [filters."Tenant Router"]
  |          ^^^^^^^^^^^^^^^ expected 1 to 64 of a-z, 0-9, `.`, `_`, `-`, beginning with a letter or a digit
  |
  = help: write `tenant-router`
"#,
    );
}

#[test]
fn a_name_with_a_line_break() {
    with_listener(
        r#"
[filters."a\nb"]
source = "f.wasm"
"#,
        r#"
error: `a\nb` cannot be a name
 --> proxy.toml:1:10
  |
1 | [filters."a\nb"]
  |          ^^^^^^ expected 1 to 64 of a-z, 0-9, `.`, `_`, `-`, beginning with a letter or a digit
"#,
    );
}

#[test]
fn a_bad_address() {
    with_listener(
        r#"
[upstreams.a]
servers = [{ address = "10.0.0.300:80" }]
"#,
        r#"
error: expected an address, as in "10.0.0.1:5432"
 --> proxy.toml:2:24
  |
2 | servers = [{ address = "10.0.0.300:80" }]
  |                        ^^^^^^^^^^^^^^^ `10.0.0.300` is neither an IPv4 address (four numbers up to 255) nor a host name (its end is a number)
"#,
    );
}

#[test]
fn a_bad_address_of_a_listener() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = "0.0.0.0"
upstream = "z"
"#,
        r#"
error: expected an address, as in "0.0.0.0:5432"
 --> proxy.toml:3:11
  |
3 | address = "0.0.0.0"
  |           ^^^^^^^^^ the port is missing: expected `0.0.0.0:PORT`
"#,
    );
}

#[test]
fn an_upstream_without_servers() {
    with_listener(
        r"
[upstreams.a]
servers = []
",
        r#"
error: the upstream `a` has no servers
 --> proxy.toml:2:11
  |
2 | servers = []
  |           ^^ expected at least one, as in ["10.0.0.1:5432"]
"#,
    );
}

#[test]
fn an_unknown_upstream() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = ":80"
upstream = "bleu"

[upstreams.blue]
servers = ["a:1"]
"#,
        r#"
error: there is no upstream `bleu`
 --> proxy.toml:4:12
  |
4 | upstream = "bleu"
  |            ^^^^^^ did you mean `blue`?
"#,
    );
}

#[test]
fn an_unknown_upstream_like_no_other() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = ":80"
upstream = "green"
"#,
        r#"
error: there is no upstream `green`
 --> proxy.toml:4:12
  |
4 | upstream = "green"
  |            ^^^^^^^
  |
  = note: known upstreams: `z`
"#,
    );
}

#[test]
fn an_unknown_filter() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = ":80"
upstream = "z"
filters = ["audit"]
"#,
        r#"
error: there is no filter `audit`
 --> proxy.toml:5:12
  |
5 | filters = ["audit"]
  |            ^^^^^^^
  |
  = help: add a table `[filters.audit]`
"#,
    );
}

#[test]
fn a_filter_attached_twice() {
    with_upstream(
        r#"
[filters.f]
source = "f.wasm"
[[listeners]]
name = "a"
address = ":80"
filters = ["f", "f"]
"#,
        r#"
error: the filter `f` is attached twice
 --> proxy.toml:6:17
  |
6 | filters = ["f", "f"]
  |            ---  ^^^ and here again
  |            |
  |            first here
"#,
    );
}

#[test]
fn a_listener_name_declared_twice() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = ":80"
upstream = "z"

[[listeners]]
name = "a"
address = ":81"
upstream = "z"
"#,
        r#"
error: the listener name `a` is taken
 --> proxy.toml:7:8
  |
2 | name = "a"
  |        --- first here
...
7 | name = "a"
  |        ^^^ and here again
"#,
    );
}

#[test]
fn two_listeners_on_one_address() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = ":80"
upstream = "z"

[[listeners]]
name = "b"
address = "[::]:80"
upstream = "z"
"#,
        r#"
error: another listener has the address `[::]:80`
 --> proxy.toml:8:11
  |
3 | address = ":80"
  |           ----- first here
...
8 | address = "[::]:80"
  |           ^^^^^^^^^ and here again
"#,
    );
}

#[test]
fn a_listener_that_reaches_nothing() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = ":80"
"#,
        r"
error: this listener can never reach an upstream
 --> proxy.toml:1:1
  |
1 | [[listeners]]
  | ^^^^^^^^^^^^^ expected an `upstream`, or `routes` or `filters` that choose one
",
    );
}

#[test]
fn no_listeners() {
    alone(
        r"
workers = 2
",
        r"
error: there are no listeners, so nobody would be served
--> proxy.toml
 = help: add a `[[listeners]]` table with a `name`, an `address` and an `upstream`
",
    );
}

#[test]
fn an_empty_list_of_listeners() {
    alone(
        r"
listeners = []
",
        r"
error: there are no listeners, so nobody would be served
 --> proxy.toml:1:13
  |
1 | listeners = []
  |             ^^
  |
  = help: add a `[[listeners]]` table with a `name`, an `address` and an `upstream`
",
    );
}

#[test]
fn text_without_quotes() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = ":80"
upstream = z
"#,
        r#"
error: string values must be quoted
 --> proxy.toml:4:12
  |
4 | upstream = z
  |            ^ expected "z"
"#,
    );
}

#[test]
fn an_address_without_quotes() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = 0.0.0.0:80
upstream = "z"
"#,
        r"
error: invalid float
 --> proxy.toml:3:14
  |
3 | address = 0.0.0.0:80
  |              ^^^^^^^
  |
  = help: text goes in quotes
",
    );
}

#[test]
fn a_key_without_a_value() {
    with_listener(
        r"
workers =
",
        r"
error: string values must be quoted
 --> proxy.toml:1:10
  |
1 | workers =
  |          ^ expected a value
",
    );
}

#[test]
fn a_table_declared_twice() {
    with_listener(
        r#"
[upstreams.a]
servers = ["a:1"]

[upstreams.a]
servers = ["b:1"]
"#,
        r"
error: `a` is declared twice
 --> proxy.toml:4:12
  |
1 | [upstreams.a]
  | ------------- first here
...
4 | [upstreams.a]
  |            ^ and here again
",
    );
}

#[test]
fn a_key_declared_twice() {
    with_listener(
        r"
workers = 1
workers = 2
",
        r"
error: `workers` is declared twice
 --> proxy.toml:2:1
  |
2 | workers = 2
  | ^^^^^^^
",
    );
}

#[test]
fn an_array_that_is_never_closed() {
    alone(
        r#"
[upstreams.a]
servers = ["a:1"

[[listeners]]
name = "a"
address = ":80"
"#,
        r#"
error: this array is never closed
 --> proxy.toml:2:11
  |
2 | servers = ["a:1"
  |           ^ opened here
"#,
    );
}

#[test]
fn a_table_that_is_never_closed() {
    with_upstream(
        r#"
[[listeners]]
name = "a"
address = ":80"
timeouts = { idle = "1h"
upstream = "z"
"#,
        r#"
error: this table is never closed
 --> proxy.toml:4:12
  |
4 | timeouts = { idle = "1h"
  |            ^ opened here
"#,
    );
}

#[test]
fn a_string_that_is_never_closed() {
    alone(
        r#"
workers = 2
[filters.f]
source = """f.wasm

[filters.g]
"#,
        r#"
error: this string is never closed
 --> proxy.toml:3:10
  |
3 | source = """f.wasm
  |          ^^^ opened here
"#,
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once_and_in_order() {
    let text = r#"workers = 0
worker = 4
[filters.Router]
source = "https://registry.example/router:1"
config = { weight = inf, other = [nan] }
on-error = "clsoe"
sessions-per-instance = "one"
limits = { memory = "16MB", call = 20, init = "2m", memroy = 1 }
[filters.audit]
[upstreams.blue]
balance = "least-connection"
servers = ["10.0.0.300:5432", { address = "10.0.0.2" }, { port = 1 }, 5432]
[upstreams.green]
servers = []
[[listeners]]
name = "postgres"
adress = "0.0.0.0:5432"
upstream = "bleu"
timeouts = { connect = "5", route = 0, idle = "1d" }
[[listeners]]
name = "postgres"
address = "0.0.0.0:5432"
filters = ["audit", "Router", "audit", "tenant"]
[[listeners]]
name = "Other"
address = "0.0.0.0:5432"
"#;
    let said = refused(text);
    let said: Vec<String> = said.split("\n\n").map(headline).collect();
    assert_eq!(
        said,
        [
            "1:11 0 is out of range",
            "2:1 unknown key `worker`",
            "3:10 `Router` cannot be a name",
            "4:10 a filter comes from a file or from a registry",
            "5:21 this number cannot be given to a filter",
            "5:35 this number cannot be given to a filter",
            "6:12 unknown value `clsoe`",
            "7:25 expected an integer",
            "8:21 expected a size, as in \"16MiB\"",
            "8:36 expected a length of time, as in \"5s\"",
            "8:47 2m is out of range",
            "8:53 unknown key `memroy`",
            "9:1 missing key `source`",
            "11:11 unknown value `least-connection`",
            "12:12 expected an address, as in \"10.0.0.1:5432\"",
            "12:43 expected an address, as in \"10.0.0.1:5432\"",
            "12:57 neither `address` nor `srv`",
            "12:59 unknown key `port`",
            "12:71 expected an address, as in \"10.0.0.1:5432\"",
            "14:11 the upstream `green` has no servers",
            "17:1 unknown key `adress`",
            "18:12 there is no upstream `bleu`",
            "19:24 expected a length of time, as in \"5s\", or \"0\" for none",
            "19:47 expected a length of time, as in \"5s\", or \"0\" for none",
            "21:8 the listener name `postgres` is taken",
            "23:31 the filter `audit` is attached twice",
            "23:40 there is no filter `tenant`",
            "24:1 this listener can never reach an upstream",
            "25:8 `Other` cannot be a name",
            "26:11 another listener has the address `0.0.0.0:5432`",
        ]
    );
}

#[test]
fn a_slip_in_the_syntax_does_not_hide_the_rest_nor_echo() {
    let text = "workers = two\n[filters.f]\nsource = \"f\" on-error = \"pass\"\n[[listeners]]\nname = x\nadress = \":1\"\ntimeouts = { idle = 5s }\nupstream = \"none\"\n";
    let said = refused(text);
    let said: Vec<String> = said.split("\n\n").map(headline).collect();
    assert_eq!(
        said,
        [
            "1:11 invalid boolean",
            "3:14 unexpected key or value",
            "5:8 string values must be quoted",
            "6:1 unknown key `adress`",
            "7:21 string values must be quoted",
        ]
    );
}

/// `LINE:COLUMN what is wrong`
fn headline(problem: &str) -> String {
    let mut lines = problem.lines();
    let what = lines.next().unwrap().trim_start_matches("error: ");
    let place = lines.next().unwrap().trim_start().trim_start_matches("--> proxy.toml:");
    format!("{place} {what}")
}
