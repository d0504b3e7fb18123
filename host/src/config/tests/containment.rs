//! What a filter may use, and what it may import: `limits`, `at-budget`, `retire` and `grants` of a filter.

use super::super::{AtBudget, FilterConfig, Grant, Retire, defaults};
use super::{LEAST, accepted, seconds, with_listener};

fn filter(keys: &str) -> FilterConfig {
    let mut config = accepted(&format!("{LEAST}\n[filters.f]\nsource = 'f.wasm'\n{keys}"));
    config.filters.remove(0)
}

#[test]
fn everything_of_ours_is_granted_and_nothing_of_wasi_unless_it_is_said() {
    let default = filter("");
    assert_eq!(default.grants, defaults::GRANTS);
    assert_eq!(default.grants.len(), 6);
    assert!(!default.grants.contains(&Grant::WasiClocks) && !default.grants.contains(&Grant::WasiRandom));
    assert_eq!(filter("grants = []").grants, []);
    assert_eq!(filter("grants = ['wasi-random']").grants, [Grant::WasiRandom]);
}

#[test]
fn an_instance_that_is_shared_has_a_watermark_and_no_other_end() {
    let default = filter("");
    assert_eq!(default.at_budget, AtBudget::Share);
    assert_eq!(default.retire, defaults::RETIRE);
    assert_eq!(default.retire.watermark(16 << 20), 12 << 20);
    let retire = filter("retire = { age = '1h' }").retire;
    assert_eq!(
        retire,
        Retire {
            age: Some(seconds(3600)),
            ..defaults::RETIRE
        }
    );
    assert_eq!(filter("retire = { age = 0 }").retire, defaults::RETIRE);
    let retire = filter("retire = { memory = '1MiB' }\nlimits.memory = '1MiB'").retire;
    assert_eq!(retire.watermark(1 << 20), 1 << 20);
}

#[test]
fn a_limit_may_be_none_at_all() {
    let keys = "limits = { log-lines = 0, metrics = 0, store-entries = 0, store-bytes = 0 }";
    let limits = filter(keys).limits;
    assert_eq!((limits.log_lines, limits.metrics), (0, 0));
    assert_eq!((limits.store_entries, limits.store_bytes), (0, 0));
}

#[test]
fn limits_out_of_range() {
    with_listener(
        r#"
[filters.f]
source = "f.wasm"
limits = { output = "8MiB", log-lines = -1, metrics = 1025, store-entries = 10000001, store-bytes = "2GiB" }
"#,
        r#"
error: 8MiB is out of range
 --> proxy.toml:3:21
  |
3 | limits = { output = "8MiB", log-lines = -1, metrics = 1025, store-entries = 10000001, store-bytes = "2GiB" }
  |                     ^^^^^^ expected 1KiB to 4MiB

error: -1 is out of range
 --> proxy.toml:3:41
  |
3 | limits = { output = "8MiB", log-lines = -1, metrics = 1025, store-entries = 10000001, store-bytes = "2GiB" }
  |                                         ^^ expected 0 to 1000000

error: 1025 is out of range
 --> proxy.toml:3:55
  |
3 | limits = { output = "8MiB", log-lines = -1, metrics = 1025, store-entries = 10000001, store-bytes = "2GiB" }
  |                                                       ^^^^ expected 0 to 1024

error: 10000001 is out of range
 --> proxy.toml:3:77
  |
3 | limits = { output = "8MiB", log-lines = -1, metrics = 1025, store-entries = 10000001, store-bytes = "2GiB" }
  |                                                                             ^^^^^^^^ expected 0 to 10000000

error: 2GiB is out of range
 --> proxy.toml:3:101
  |
3 | limits = { output = "8MiB", log-lines = -1, metrics = 1025, store-entries = 10000001, store-bytes = "2GiB" }
  |                                                                                                     ^^^^^^ expected 0B to 1GiB
"#,
    );
}

#[test]
fn a_grant_that_there_is_not() {
    with_listener(
        r#"
[filters.f]
source = "f.wasm"
grants = ["log", "wasi-sockets", "stor"]
"#,
        r#"
error: unknown value `wasi-sockets`
 --> proxy.toml:3:18
  |
3 | grants = ["log", "wasi-sockets", "stor"]
  |                  ^^^^^^^^^^^^^^ did you mean `wasi-clocks`?
  |
  = note: known values: `connection`, `environment`, `log`, `metrics`, `store`, `upstreams`, `wasi-clocks`, `wasi-random`

error: unknown value `stor`
 --> proxy.toml:3:34
  |
3 | grants = ["log", "wasi-sockets", "stor"]
  |                                  ^^^^^^ did you mean `store`?
  |
  = note: known values: `connection`, `environment`, `log`, `metrics`, `store`, `upstreams`, `wasi-clocks`, `wasi-random`
"#,
    );
}

#[test]
fn a_grant_that_is_there_twice() {
    with_listener(
        r#"
[filters.f]
source = "f.wasm"
grants = ["log", "store", "log"]
"#,
        r#"
error: `log` is granted already
 --> proxy.toml:3:27
  |
3 | grants = ["log", "store", "log"]
  |           -----           ^^^^^ and here again
  |           |
  |           first here
"#,
    );
}

#[test]
fn an_instance_that_is_never_retired() {
    with_listener(
        r#"
[filters.f]
source = "f.wasm"
limits = { memory = "1MiB" }
retire = { sessions = 0, memory = "2MiB" }
at-budget = "wait"
"#,
        r#"
error: 0 is out of range
 --> proxy.toml:4:23
  |
4 | retire = { sessions = 0, memory = "2MiB" }
  |                       ^ expected 1 to 1000000000000

error: no instance gets as much memory
 --> proxy.toml:4:35
  |
4 | retire = { sessions = 0, memory = "2MiB" }
  |                                   ^^^^^^ expected at most 1MiB, the `limits.memory` of this filter

error: unknown value `wait`
 --> proxy.toml:5:13
  |
5 | at-budget = "wait"
  |             ^^^^^^
  |
  = note: known values: `share`, `refuse`
"#,
    );
}
