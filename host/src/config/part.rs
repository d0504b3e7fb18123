//! Parts of a configuration that come by themselves, in the words of a file, with its rules and its messages: what an operator
//! asks for while the process runs.

use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;
use toml::de::DeTable;

use super::diagnostics::{Problems, Reported};
use super::pattern::NamePattern;
use super::percentage::Percentage;
use super::reader::{Given, Read, read_entries};
use super::units::Period;
use super::validate::{self, server};
use super::{Limits, OnChange, Pattern, ServerConfig, Source, TreatmentConfig, file, ranges, syntax};

/// What messages call it.
const REQUEST: &str = "request";

/// A key of a file, and what stands there; null is: nothing.
pub type Key<'a> = (&'a str, Json);

/// One of an upstream's `servers`.
///
/// # Errors
/// All that is wrong with it.
pub fn server(keys: &[Key<'_>]) -> Result<ServerConfig, Problems> {
    part("server", &table(keys), server::one)
}

/// `limits`, of all listeners or of one.
///
/// # Errors
/// All that is wrong with them.
pub fn limits(keys: &[Key<'_>]) -> Result<Limits, Problems> {
    part("limits", &table(keys), |given: Given<file::Limits>, problems| {
        validate::limits::limits(given.value()?, problems)
    })
}

/// A name that clients ask for, as those of a route.
///
/// # Errors
/// It is none.
pub fn name_pattern(typed: &str) -> Result<Pattern, Problems> {
    text("sni", typed, |pattern: NamePattern| pattern.0)
}

/// `10%`.
///
/// # Errors
/// It is no share of a hundred.
pub fn share(typed: &str) -> Result<u32, Problems> {
    let typed = Json::from(typed).to_string();
    part("share", &typed, |given: Given<Percentage>, problems| {
        validate::given::within(given, &ranges::SHARE_OF_CONNECTIONS, problems).map(|share| share.0)
    })
}

/// A length of time, 1 ms to a year.
///
/// # Errors
/// It is none, or not in its range.
pub fn time(typed: &str) -> Result<Duration, Problems> {
    let typed = Json::from(typed).to_string();
    part("for", &typed, |given: Given<Period>, problems| {
        validate::given::within(given, &ranges::TIMEOUT, problems).map(|period| period.0)
    })
}

/// A `treatment`, as JSON has it.
///
/// # Errors
/// All that is wrong with it.
pub fn treatment(typed: &Json) -> Result<TreatmentConfig, Problems> {
    part("treatment", &inline(typed), |given, problems| {
        validate::treatment::treatment(Some(given), problems)
    })
}

/// A `treatment`, as a file has it, on one line.
///
/// # Errors
/// All that is wrong with it.
pub fn typed_treatment(typed: &str) -> Result<TreatmentConfig, Problems> {
    part("treatment", typed, |given, problems| {
        validate::treatment::treatment(Some(given), problems)
    })
}

/// The `source` of a filter. A relative path stays relative: nothing is known here that it could start at.
///
/// # Errors
/// It is no such thing.
pub fn source(typed: &str) -> Result<Source, Problems> {
    part("source", &Json::from(typed).to_string(), |given, problems| {
        validate::pull::source(given, Path::new(""), problems)
    })
}

/// What becomes of connections: `keep`, `kill`, or `drain:TIME`, which takes a table in a file.
///
/// # Errors
/// It is none of these.
pub fn on_change(typed: &str) -> Result<OnChange, Problems> {
    let typed = match typed.split_once(':') {
        Some(("drain", time)) => table(&[("drain", time.into())]),
        _ => Json::from(typed).to_string(),
    };
    part("on-change", &typed, |given, problems| {
        validate::on_change::on_change(Some(given), problems)
    })
}

fn text<T: Read, U>(key: &'static str, typed: &str, meaning: impl FnOnce(T) -> U) -> Result<U, Problems> {
    part(key, &Json::from(typed).to_string(), |given: Given<T>, _| {
        given.value().map(meaning)
    })
}

fn part<T: Read, U>(
    key: &'static str,
    typed: &str,
    validate: impl FnOnce(Given<T>, &mut Problems) -> Result<U, Reported>,
) -> Result<U, Problems> {
    let text = format!("{key} = {typed}");
    let mut problems = Problems::new(Path::new(REQUEST), &text);
    let (root, errors) = DeTable::parse_recoverable(&text);
    for problem in syntax::problems(&root, &errors, &text) {
        problems.report(problem);
    }
    let given = read_entries(root.get_ref(), None, &mut problems, |table| table.required(key));
    match validate(given, &mut problems) {
        Ok(part) if problems.is_empty() => Ok(part),
        _ => {
            problems.settle();
            Err(problems)
        }
    }
}

/// On one line. What JSON calls a text, a number or a boolean TOML calls so, too.
fn table(keys: &[Key<'_>]) -> String {
    let there = keys.iter().filter(|(_, value)| !value.is_null());
    let entries: Vec<_> = there.map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", entries.join(", "))
}

/// The same of what is nested. JSON's null is nowhere in TOML: such a key is left out.
fn inline(value: &Json) -> String {
    match value {
        Json::Object(entries) => {
            let there = entries.iter().filter(|(_, value)| !value.is_null());
            let entries: Vec<_> = there
                .map(|(key, value)| format!("{} = {}", Json::from(key.as_str()), inline(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Json::Array(items) => {
            let items: Vec<_> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{AtLimit, defaults};
    use super::*;

    #[test]
    fn a_server_is_what_it_is_in_a_file() {
        let given = server(&[
            ("address", "10.0.0.1:5432".into()),
            ("weight", 3.into()),
            ("max-connections", Json::Null),
            ("backup", true.into()),
        ]);
        let given = given.unwrap();
        assert_eq!(given.place.to_string(), "10.0.0.1:5432");
        assert_eq!((given.weight, given.max_connections, given.backup), (3, None, true));
    }

    #[test]
    fn what_is_wrong_is_said_as_of_a_file_and_all_of_it() {
        let wrong = server(&[("address", "10.0.0.1".into()), ("weight", 257.into())]).unwrap_err();
        let said = wrong.to_string();
        assert_eq!(wrong.count(), 2, "{said}");
        assert!(
            said.contains("the port is missing") && said.contains("expected 1 to 256"),
            "{said}"
        );
        assert!(said.contains("request:1:"), "{said}");
        // A text that would end what it stands in.
        for hostile in ["\"", "\" }\nx = \"", "\u{7f}", "a\0b", "'''", "\u{2028}"] {
            assert!(server(&[("address", hostile.into())]).is_err(), "{hostile:?}");
        }
    }

    #[test]
    fn limits_have_the_defaults_of_a_file() {
        assert_eq!(limits(&[]).unwrap(), defaults::LIMITS);
        let given = limits(&[("connections", 5.into()), ("at-limit", "queue(2s)".into())]).unwrap();
        assert_eq!((given.connections, given.rate), (Some(5), None));
        assert_eq!(given.at_limit, AtLimit::Queue(Duration::from_secs(2)));
        let said = limits(&[("rate", 0.into()), ("at-limit", "delya".into())])
            .unwrap_err()
            .to_string();
        assert!(
            said.contains("0 is out of range") && said.contains("did you mean `delay`?"),
            "{said}"
        );
    }

    #[test]
    fn connections_stay_end_or_have_their_time() {
        assert_eq!(on_change("keep").unwrap(), OnChange::Keep);
        assert_eq!(on_change("kill").unwrap(), OnChange::Kill);
        assert_eq!(
            on_change("drain:5m").unwrap(),
            OnChange::Drain(Duration::from_secs(300))
        );
        for wrong in ["", "drain", "drain:", "drain:x", "drain:0s", "kil"] {
            assert!(on_change(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_source_is_a_path_or_a_reference() {
        assert_eq!(source("/a/b.wasm").unwrap(), Source::File("/a/b.wasm".into()));
        assert!(matches!(
            source("oci://localhost:5000/guard:1").unwrap(),
            Source::Oci(_)
        ));
        assert!(source("https://example.com/guard.wasm").is_err() && source("").is_err());
    }
}
