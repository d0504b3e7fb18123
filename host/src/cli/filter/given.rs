//! What most of the commands take: a filter's configuration, and what it may import.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value};

use crate::authoring::build::manifest;
use crate::authoring::dev::newer;
use crate::authoring::transcripts;
use crate::cli::say_error;
use crate::config::{self, FilterConfig, Grant};

#[derive(Debug, Default, Args)]
pub struct Given {
    /// The filter's configuration: JSON, or a file of TOML or JSON. Of a proxy's configuration file, what it says of this
    /// filter counts: its grants and limits, too
    #[arg(long, value_name = "JSON|FILE")]
    pub config: Option<String>,

    /// What the filter may import, with commas between; `none` for nothing [default: as in a proxy]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = grant)]
    pub grants: Option<Vec<Granted>>,
}

/// One of the names behind `--grants`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granted {
    Nothing,
    This(Grant),
}

impl Given {
    /// The configuration of the filter in that file.
    ///
    /// # Errors
    /// What is given is no configuration.
    pub fn filter(&self, file: &Path) -> Result<FilterConfig, String> {
        let mut filter = match &self.config {
            None => transcripts::config(file),
            Some(text) => read(text, file)?,
        };
        if let Some(granted) = &self.grants {
            let grants = granted.iter().filter_map(|granted| match granted {
                Granted::This(grant) => Some(*grant),
                Granted::Nothing => None,
            });
            filter.grants = grants.collect();
        }
        Ok(filter)
    }
}

fn grant(name: &str) -> Result<Granted, String> {
    if name == "none" {
        return Ok(Granted::Nothing);
    }
    let names = || Grant::ALL.map(Grant::name).join(", ");
    let known = Grant::ALL.into_iter().find(|grant| grant.name() == name);
    let known = known.ok_or_else(|| format!("expected some of {}; or none", names()))?;
    Ok(Granted::This(known))
}

fn read(text: &str, filter: &Path) -> Result<FilterConfig, String> {
    let plain = |config| FilterConfig {
        config,
        ..transcripts::config(filter)
    };
    if text.trim_start().starts_with(['{', '[']) || text.trim() == "null" {
        let json = serde_json::from_str(text).map_err(|error| format!("--config: this is no JSON: {error}"))?;
        return Ok(plain(json));
    }
    let path = Path::new(text);
    let content = fs::read_to_string(path).map_err(|error| {
        format!(
            "--config {text}: {error}; expected JSON, as in '{{ \"key\": 1 }}', or a file of TOML or JSON with what stands \
             behind `config =` in spliceway.toml"
        )
    })?;
    if path.extension().is_some_and(|extension| extension == "json") {
        let json = serde_json::from_str(&content).map_err(|error| format!("{text} is no JSON: {error}"))?;
        return Ok(plain(json));
    }
    let table: toml::Table = content.parse().map_err(|error| format!("{text} is no TOML: {error}"))?;
    if table.contains_key("filters") {
        return of_proxy(path, filter);
    }
    Ok(plain(to_json(toml::Value::Table(table))))
}

/// What a proxy's configuration says of this filter: by its file, or by its name, or since there is no other.
fn of_proxy(path: &Path, filter: &Path) -> Result<FilterConfig, String> {
    let config = config::load(path).map_err(|error| error.render(false))?;
    let full = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let (source, stem) = (full(filter), filter.file_stem().unwrap_or_default());
    let by_source = config
        .filters
        .iter()
        .find(|known| known.source.file().is_some_and(|file| full(file) == source));
    let by_name = || config.filters.iter().find(|known| *known.name == *stem);
    let only = || config.filters.first().filter(|_| config.filters.len() == 1);
    let Some(found) = by_source.or_else(by_name).or_else(only) else {
        return Err(format!(
            "{} has no filter with this file, and none of the name \"{}\"",
            path.display(),
            stem.display()
        ));
    };
    Ok(FilterConfig {
        source: filter.to_owned().into(),
        quarantine: None,
        canary: None,
        ..found.clone()
    })
}

/// As a proxy gives it to a filter: dates and times become strings.
pub fn to_json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(values) => values.into_iter().map(to_json).collect(),
        toml::Value::Table(table) => {
            let entries = table.into_iter().map(|(key, value)| (key, to_json(value)));
            Value::Object(Map::from_iter(entries))
        }
    }
}

/// The file of a component, or that of the crate in a directory, once it is built; where that was before the crate was last
/// changed, it is said.
///
/// # Errors
/// It is neither.
pub fn component(path: &Path) -> Result<PathBuf, String> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let manifest = manifest(path).map_err(|error| format!("{error:#}"))?;
    let file = manifest.component();
    if !file.is_file() {
        return Err(format!(
            "{} is not there: `spliceway filter build {}` makes it",
            file.display(),
            path.display()
        ));
    }
    if let Some(newer) = newer(path, manifest.target_directory(), &file) {
        say_error(&format!(
            "warning: {} is newer than {}, which is what this is about: `spliceway filter build {}` makes it anew",
            newer.display(),
            file.display(),
            path.display()
        ));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(text: &str) -> Result<FilterConfig, String> {
        let given = Given {
            config: Some(text.to_owned()),
            grants: None,
        };
        given.filter(Path::new("target/filters/guard.wasm"))
    }

    #[test]
    fn json_is_taken_as_it_is_and_a_file_by_its_kind() {
        assert_eq!(config(r#"{ "a": 1 }"#).unwrap().config, json!({ "a": 1 }));
        let directory = tempfile::TempDir::new().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            config(path.to_str().unwrap())
        };
        let toml = write("a.toml", "a = 1\nb = 2026-01-01").unwrap();
        assert_eq!(toml.config, json!({ "a": 1, "b": "2026-01-01" }));
        assert_eq!(write("a.json", "[1]").unwrap().config, json!([1]));
        assert!(write("b.toml", "a =").unwrap_err().contains("no TOML"));
        assert!(config("nowhere.toml").unwrap_err().contains("expected JSON"));
        assert!(config("{").unwrap_err().contains("no JSON"));
    }

    #[test]
    fn of_a_proxy_s_file_it_is_what_is_said_of_the_filter() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("spliceway.toml");
        let text = r#"
            [filters.other]
            source = "other.wasm"
            [filters.guard]
            source = "guard.wasm"
            config = { a = 1 }
            grants = ["log"]
            [upstreams.u]
            servers = ["127.0.0.1:1"]
            [[listeners]]
            name = "l"
            address = "127.0.0.1:0"
            filters = ["other", "guard"]
            upstream = "u"
        "#;
        fs::write(&path, text).unwrap();
        let found = config(path.to_str().unwrap()).unwrap();
        assert_eq!((found.config, found.grants), (json!({ "a": 1 }), vec![Grant::Log]));
        let given = Given {
            config: Some(path.display().to_string()),
            grants: None,
        };
        let error = given.filter(Path::new("third.wasm")).unwrap_err();
        assert!(error.contains("none of the name \"third\""), "{error}");
    }

    #[test]
    fn grants_are_names_or_none() {
        assert_eq!(grant("none"), Ok(Granted::Nothing));
        assert_eq!(grant("store"), Ok(Granted::This(Grant::Store)));
        assert!(grant("files").unwrap_err().contains("upstreams"));
    }
}
