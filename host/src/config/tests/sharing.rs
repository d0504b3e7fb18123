//! Where filters come from, and whose signatures they have: `source` and `pull`, `registries`, `trust`.

use std::path::PathBuf;

use super::super::{KeySource, Pull, Registries, Scope, Source};
use super::{COMPLETE, LEAST, accepted, alone, seconds, with_listener};

fn source_and_pull(typed: &str) -> (String, Pull) {
    let filter = accepted(&format!("{LEAST}\n[filters.f]\n{typed}")).filters.remove(0);
    (filter.source.to_string(), filter.pull)
}

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn a_filter_comes_from_a_file_or_from_a_registry() {
    for (typed, source, pull) in [
        ("source = 'f.wasm'", "/etc/spliceway/f.wasm", Pull::IfAbsent),
        ("source = 'oci:f.wasm'", "/etc/spliceway/oci:f.wasm", Pull::IfAbsent),
        ("source = 'oci://R.example/f:1'", "oci://r.example/f:1", Pull::IfAbsent),
        (
            "source = 'oci://r.example/f:1'\npull = 'if-absent'",
            "oci://r.example/f:1",
            Pull::IfAbsent,
        ),
        (
            "source = 'oci://r.example/f:1'\npull = 'always'",
            "oci://r.example/f:1",
            Pull::Always,
        ),
        (
            "source = 'oci://r.example/f:1'\npull = { every = '1h 30m' }",
            "oci://r.example/f:1",
            Pull::Every(seconds(5400)),
        ),
    ] {
        assert_eq!(source_and_pull(typed), (source.to_owned(), pull), "{typed}");
    }
    let pinned = format!("oci://r.example/f:1@{DIGEST}");
    let (source, pull) = source_and_pull(&format!("source = '{pinned}'\npull = 'if-absent'"));
    assert_eq!((source, pull), (pinned, Pull::IfAbsent));
}

#[test]
fn what_a_complete_file_says_of_registries_and_trust() {
    let config = accepted(COMPLETE);
    assert_eq!(
        config.registries,
        Registries {
            cache: Some(PathBuf::from("/etc/spliceway/pulled")),
            insecure: vec!["registry.internal:5000".to_owned()],
            authorities: Some(PathBuf::from("/etc/spliceway/registry-ca.pem")),
        }
    );
    let [team, ours] = &config.trust[..] else {
        panic!("{:?}", config.trust)
    };
    assert_eq!(team.scope, Scope::Repository("registry.example/team-a".to_owned()));
    let [KeySource::Given(key), KeySource::File(file)] = &team.keys[..] else {
        panic!("{:?}", team.keys)
    };
    assert_eq!(key.id(), "E7620F1842B4E81F");
    assert_eq!(file, &PathBuf::from("/etc/spliceway/keys/team-a.pub"));
    assert_eq!(ours.scope, Scope::Path(PathBuf::from("/etc/spliceway/filters/")));
    assert!(matches!(config.filters[2].source, Source::Oci(_)));
}

#[test]
fn what_was_expected_of_a_source() {
    with_listener(
        r#"
[filters.a]
source = "https://registry.example/a.wasm"
[filters.b]
source = "oci://registry.example/b"
[filters.c]
source = "oci://registry.example/B:1"
"#,
        r#"
error: a filter comes from a file or from a registry
 --> proxy.toml:2:10
  |
2 | source = "https://registry.example/a.wasm"
  |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected a path, as in "filters/router.wasm", or `oci://HOST/REPOSITORY:TAG`

error: this is no reference to a filter in a registry
 --> proxy.toml:4:10
  |
4 | source = "oci://registry.example/b"
  |          ^^^^^^^^^^^^^^^^^^^^^^^^^^ it names no version: add a tag, as in `oci://registry.example/b:1.2`, or `@sha256:...`

error: this is no reference to a filter in a registry
 --> proxy.toml:6:10
  |
6 | source = "oci://registry.example/B:1"
  |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^ `B` is no repository: expected a-z and 0-9 with single `.`, `_` or `-` between them, and `/` between parts
"#,
    );
}

#[test]
fn pull_is_about_tags() {
    with_listener(
        &format!(
            r#"
[filters.a]
source = "a.wasm"
pull = "always"
[filters.b]
source = "oci://r.example/b@{DIGEST}"
pull = {{ every = "5m" }}
[filters.c]
source = "oci://r.example/c:1"
pull = "alway"
[filters.d]
source = "oci://r.example/d:1"
pull = {{ every = "1ms" }}
"#
        ),
        r#"
error: this filter is a file, which is not pulled: it is loaded when it changes
 --> proxy.toml:3:8
  |
3 | pull = "always"
  |        ^^^^^^^^ remove this, or name the filter by `oci://HOST/REPOSITORY:TAG`

error: this filter is named by its digest, which never means another one
 --> proxy.toml:6:8
  |
6 | pull = { every = "5m" }
  |        ^^^^^^^^^^^^^^^^ remove this, or name the filter by `oci://HOST/REPOSITORY:TAG`

error: unknown value `alway`
 --> proxy.toml:9:8
  |
9 | pull = "alway"
  |        ^^^^^^^ did you mean `always`?
  |
  = note: known values: `if-absent`, `always`

error: 1ms is out of range
  --> proxy.toml:12:18
   |
12 | pull = { every = "1ms" }
   |                  ^^^^^ expected 1s to 168h
"#,
    );
}

#[test]
fn a_rule_of_trust_is_about_something_and_has_keys() {
    with_listener(
        r#"
[[trust]]
keys = ["a.pub"]
[[trust]]
repository = "registry.example/a"
path = "filters/"
keys = []
[[trust]]
repository = "registry.example/A"
keys = ["RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFOA", "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GF=="]
[registries]
insecure = ["http://registry"]
"#,
        r#"
error: neither `repository` nor `path`
 --> proxy.toml:1:1
  |
1 | [[trust]]
  | ^^^^^^^^^ expected `repository = ...` or `path = ...` in this table

error: a table is about repositories or about files
 --> proxy.toml:5:8
  |
4 | repository = "registry.example/a"
  |              -------------------- `repository` is here
5 | path = "filters/"
  |        ^^^^^^^^^^ expected only one of `repository` and `path`

error: no filter could have the signature of none
 --> proxy.toml:6:8
  |
6 | keys = []
  |        ^^ expected at least one key, as `spliceway filter keygen` prints it

error: expected a registry, or the beginning of its repositories
 --> proxy.toml:8:14
  |
8 | repository = "registry.example/A"
  |              ^^^^^^^^^^^^^^^^^^^^ `A` is no repository: expected a-z and 0-9 with single `.`, `_` or `-` between them, and `/` between parts; as in "registry.example/team-a"

error: this is no public key
 --> proxy.toml:9:69
  |
9 | keys = ["RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFOA", "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GF=="]
  |                                                                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected a key of minisign's, as `spliceway filter keygen` prints it (`RW` and 54 more), or PEM

error: `http://registry` is no registry
  --> proxy.toml:11:13
   |
11 | insecure = ["http://registry"]
   |             ^^^^^^^^^^^^^^^^^ expected `HOST` or `HOST:PORT`, as in "registry.internal:5000"
"#,
    );
}

#[test]
fn a_secret_key_is_not_typed_into_a_configuration() {
    let text = "[[trust]]\nrepository = 'r.example'\nkeys = ['''\n-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n''']";
    let problems = super::refused(&format!("{text}\n{LEAST}"));
    assert!(problems.contains("this is no public key"), "{problems}");
    alone(
        &format!("{LEAST}\ntrust = 1"),
        r#"
error: expected an array
 --> proxy.toml:3:9
  |
3 | trust = 1
  |         ^ this is an integer
  |
  = help: write `[1]`
"#,
    );
}
