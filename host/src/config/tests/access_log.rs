//! `[access-log]`

use std::path::PathBuf;

use super::super::{AccessLogConfig, LogField, LogFormat};
use super::{LEAST, accepted, with_listener};

#[test]
fn its_table_alone_is_enough() {
    let config = accepted(&format!("access-log = {{}}\n{LEAST}"));
    assert_eq!(
        config.access_log,
        Some(AccessLogConfig {
            file: None,
            format: LogFormat::Json,
            open: false,
            every: None,
        })
    );
}

#[test]
fn it_goes_to_standard_output_or_to_a_file() {
    for (typed, meant) in [
        ("-", None),
        ("./-", Some("/etc/spliceway/./-")),
        ("logs/access.log", Some("/etc/spliceway/logs/access.log")),
        ("/var/log/access.log", Some("/var/log/access.log")),
    ] {
        let config = accepted(&format!("access-log.file = '{typed}'\n{LEAST}"));
        assert_eq!(config.access_log.unwrap().file, meant.map(PathBuf::from), "{typed}");
    }
}

#[test]
fn it_goes_nowhere() {
    with_listener(
        r#"
[access-log]
file = ""
"#,
        r#"
error: this is no path of a file
 --> proxy.toml:2:8
  |
2 | file = ""
  |        ^^ expected a path, as in "access.log", or "-" for standard output
"#,
    );
}

#[test]
fn open_is_no_word() {
    with_listener(
        r#"
[access-log]
open = "yes"
"#,
        r#"
error: expected true or false
 --> proxy.toml:2:8
  |
2 | open = "yes"
  |        ^^^^^ this is a string
"#,
    );
}

#[test]
fn a_line_more_often_than_each_second() {
    with_listener(
        r#"
[access-log]
every = "500ms"
"#,
        r#"
error: 500ms is out of range
 --> proxy.toml:2:9
  |
2 | every = "500ms"
  |         ^^^^^^^ expected 1s to 24h
"#,
    );
}

#[test]
fn a_format_of_the_wrong_type() {
    with_listener(
        r#"
[access-log]
format = ["time", "client"]
"#,
        r#"
error: expected "json" or a template, as in "{time} {client} {outcome}"
 --> proxy.toml:2:10
  |
2 | format = ["time", "client"]
  |          ^^^^^^^^^^^^^^^^^^ this is an array
"#,
    );
}

#[test]
fn a_format_that_is_nearly_json() {
    with_listener(
        r#"
[access-log]
format = "JSON"
"#,
        r#"
error: expected "json" or a template, as in "{time} {client} {outcome}"
 --> proxy.toml:2:10
  |
2 | format = "JSON"
  |          ^^^^^^ did you mean `json`?
"#,
    );
}

#[test]
fn a_template_of_text_alone() {
    with_listener(
        r#"
[access-log]
format = "{{time}} client"
"#,
        r#"
error: expected "json" or a template, as in "{time} {client} {outcome}"
 --> proxy.toml:2:10
  |
2 | format = "{{time}} client"
  |          ^^^^^^^^^^^^^^^^^ this has no placeholder
"#,
    );
}

#[test]
fn every_slip_in_a_template_is_underlined() {
    with_listener(
        r#"
[access-log]
format = "é {tiem} {up-copied} } {client"
"#,
        r#"
error: unknown placeholder `{tiem}`
 --> proxy.toml:2:13
  |
2 | format = "é {tiem} {up-copied} } {client"
  |             ^^^^^^ did you mean `{time}`?

error: unknown placeholder `{up-copied}`
 --> proxy.toml:2:20
  |
2 | format = "é {tiem} {up-copied} } {client"
  |                    ^^^^^^^^^^^ did you mean `{up_copied}`?

error: this closes no placeholder
 --> proxy.toml:2:32
  |
2 | format = "é {tiem} {up-copied} } {client"
  |                                ^ a brace that is meant as such is `}}`

error: this placeholder is never closed
 --> proxy.toml:2:34
  |
2 | format = "é {tiem} {up-copied} } {client"
  |                                  ^ expected a `}` after the name; a brace that is meant as such is `{{`
"#,
    );
}

#[test]
fn a_slip_behind_an_escape_underlines_the_string() {
    with_listener(
        r#"
[access-log]
format = "\t{tiem}"
"#,
        r#"
error: unknown placeholder `{tiem}`
 --> proxy.toml:2:10
  |
2 | format = "\t{tiem}"
  |          ^^^^^^^^^^ did you mean `{time}`?
"#,
    );
}

#[test]
fn a_placeholder_like_no_other_or_none() {
    let known: Vec<String> = LogField::ALL
        .iter()
        .map(|field| format!("`{}`", field.name()))
        .collect();
    let known = known.join(", ");
    with_listener(
        r#"
[access-log]
format = "{user} {}"
"#,
        &format!(
            r#"
error: unknown placeholder `{{user}}`
 --> proxy.toml:2:11
  |
2 | format = "{{user}} {{}}"
  |           ^^^^^^
  |
  = note: known placeholders: {known}

error: this placeholder has no name
 --> proxy.toml:2:18
  |
2 | format = "{{user}} {{}}"
  |                  ^^
  |
  = note: known placeholders: {known}
"#
        ),
    );
}
