//! A new crate: a filter with each role that is asked for, which builds, and is tested by its own transcripts.
//!
//! The files are in `host/templates`. Each role's file is a list of pieces, `//= NAME` and what follows it, which take their
//! places in the `{{...}}` of the other files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::filter::Role;

/// What is wanted of a new crate.
pub struct Wanted<'a> {
    pub name: &'a str,
    /// Where it is made; not there yet, or empty.
    pub directory: &'a Path,
    pub roles: &'a [Role],
    pub sdk: Sdk,
}

/// Where the crate finds the SDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sdk {
    /// On crates.io.
    Published,
    /// In this directory.
    Directory(PathBuf),
}

const CARGO: &str = include_str!("../../templates/Cargo.toml");
const CARGO_CONFIG: &str = include_str!("../../templates/cargo-config.toml");
const GITIGNORE: &str = include_str!("../../templates/gitignore");
const LIB: &str = include_str!("../../templates/lib.rs");
const README: &str = include_str!("../../templates/README.md");

/// In the version of this program: they are released together.
const PUBLISHED: &str = concat!(
    "\"",
    env!("CARGO_PKG_VERSION_MAJOR"),
    ".",
    env!("CARGO_PKG_VERSION_MINOR"),
    "\""
);

/// The name of a crate that becomes part of metrics, and of files.
const LONGEST_NAME: usize = 40;

type Pieces = BTreeMap<&'static str, &'static str>;

/// Writes the crate, and says which files it has.
///
/// # Errors
/// The name is no crate's, something is there already, or it cannot be written.
pub fn write(wanted: &Wanted<'_>) -> anyhow::Result<Vec<PathBuf>> {
    check_name(wanted.name)?;
    let both = [Role::Inspector, Role::Transformer]
        .iter()
        .all(|role| wanted.roles.contains(role));
    ensure!(
        !both,
        "a filter that transforms bytes sees them, and can refuse: leave out the role `inspector`, or make two filters"
    );
    let directory = wanted.directory;
    let is_empty = !directory.exists() || fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none());
    ensure!(
        is_empty,
        "{} is there already, and is not empty: choose another name, or another --path",
        directory.display()
    );
    let files = files(wanted);
    for (path, text) in &files {
        let path = directory.join(path);
        let folder = path.parent().unwrap_or(directory);
        fs::create_dir_all(folder).with_context(|| format!("cannot make the directory {}", folder.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    format(&directory.join("src/lib.rs"));
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// How long lines are depends on the name. Where there is no rustfmt, nobody asks for it either.
fn format(file: &Path) {
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.args(["--edition", "2024"]).arg(file);
    let _ = rustfmt
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// The SDK's directory: the one that is named, or that of a checkout of Spliceway in which `from` lies.
pub fn find_sdk(named: Option<PathBuf>, from: &Path) -> anyhow::Result<Sdk> {
    if let Some(named) = named {
        let directory = named
            .canonicalize()
            .with_context(|| format!("cannot find the SDK in {}", named.display()))?;
        ensure!(
            is_sdk(&directory),
            "{} is not the SDK: expected the directory `sdk` of a checkout of Spliceway, whose Cargo.toml says `name = \
             \"spliceway-sdk\"`",
            named.display()
        );
        return Ok(Sdk::Directory(directory));
    }
    let from = from.canonicalize().unwrap_or_else(|_| from.to_owned());
    let checkout = from.ancestors().map(|above| above.join("sdk")).find(|sdk| is_sdk(sdk));
    Ok(checkout.map_or(Sdk::Published, Sdk::Directory))
}

fn is_sdk(directory: &Path) -> bool {
    let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap_or_default();
    manifest.lines().any(|line| line == "name = \"spliceway-sdk\"")
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !begins || name.len() > LONGEST_NAME || !name.chars().all(good) || name.ends_with('-') || name.contains("--") {
        bail!(
            "`{name}` is no name for a filter: expected up to {LONGEST_NAME} lower-case letters, digits and hyphens, a letter \
             first, as in `redis-guard`"
        );
    }
    ensure!(
        !matches!(
            name,
            "test" | "core" | "std" | "alloc" | "serde" | "schemars" | "spliceway-sdk"
        ),
        "`{name}` is the name of a crate that every filter uses: choose another one"
    );
    Ok(())
}

fn files(wanted: &Wanted<'_>) -> Vec<(PathBuf, String)> {
    let roles: Vec<(Role, Pieces)> = wanted.roles.iter().map(|role| (*role, pieces(of(*role)))).collect();
    let words = words(wanted, &roles);
    let fill = |text: &str| filled(text, &words);
    let mut files = vec![
        ("Cargo.toml".into(), fill(CARGO)),
        (".cargo/config.toml".into(), CARGO_CONFIG.to_owned()),
        (".gitignore".into(), GITIGNORE.to_owned()),
        ("README.md".into(), fill(README)),
        ("src/lib.rs".into(), fill(LIB)),
    ];
    for (role, pieces) in &roles {
        let path = PathBuf::from(format!("transcripts/{}.toml", role.name()));
        files.push((path, fill(piece(pieces, "transcripts"))));
    }
    files
}

fn of(role: Role) -> &'static str {
    match role {
        Role::Router => include_str!("../../templates/router.rs"),
        Role::Inspector => include_str!("../../templates/inspector.rs"),
        Role::Transformer => include_str!("../../templates/transformer.rs"),
        Role::Observer => include_str!("../../templates/observer.rs"),
    }
}

fn pieces(text: &'static str) -> Pieces {
    let parts = text.split("//= ").skip(1);
    parts.filter_map(|part| part.split_once('\n')).collect()
}

fn piece(pieces: &Pieces, name: &str) -> &'static str {
    pieces.get(name).copied().unwrap_or_default()
}

/// What stands for each `{{...}}`.
fn words(wanted: &Wanted<'_>, roles: &[(Role, Pieces)]) -> BTreeMap<&'static str, String> {
    // Each once: two roles may use the same.
    let all = |name: &str| {
        let mut lines: Vec<&str> = Vec::new();
        for (_, pieces) in roles {
            let text = piece(pieces, name);
            if !text.is_empty() && !lines.contains(&text) {
                lines.push(text);
            }
        }
        lines
    };
    let apart = |name: &str| all(name).iter().map(|text| format!("{text}\n")).collect::<String>();
    let what = all("purpose")
        .iter()
        .map(|text| text.trim())
        .collect::<Vec<_>>()
        .join(", ");
    let metrics: Vec<&str> = all("metrics").iter().map(|text| text.trim()).collect();
    BTreeMap::from([
        ("name", wanted.name.to_owned()),
        ("snake", wanted.name.replace('-', "_")),
        ("type", type_name(wanted.name)),
        ("sdk", sdk(&wanted.sdk)),
        ("file", format!("target/filters/{}.wasm", wanted.name)),
        ("purpose", capitalised(&what) + "."),
        ("what", what),
        ("std", apart("std")),
        ("uses", all("uses").concat()),
        ("fields", all("fields").concat()),
        ("statics", apart("statics")),
        ("checks", all("checks").concat()),
        ("metrics", metrics_function(&metrics)),
        ("roles", apart("role")),
        ("exports", all("export").concat()),
        ("play", all("play").iter().map(|text| text.trim()).collect()),
        ("try", all("try").concat().trim_end().to_owned()),
        ("config", config(&all("config"))),
        ("keys", all("keys").concat()),
    ])
}

/// With what stands for each `{{...}}` in its place, also in what was put there.
fn filled(text: &str, words: &BTreeMap<&'static str, String>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{")
        && let Some((word, after)) = behind.split_once("}}")
    {
        filled.push_str(before);
        if let Some(value) = words.get(word) {
            filled.push_str(&self::filled(value, words));
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

fn sdk(sdk: &Sdk) -> String {
    match sdk {
        Sdk::Published => PUBLISHED.to_owned(),
        Sdk::Directory(directory) => {
            let path = toml::Value::String(directory.display().to_string());
            format!("{{ path = {path} }}")
        }
    }
}

/// `redis-guard` is a `RedisGuard`.
fn type_name(name: &str) -> String {
    name.split('-').map(capitalised).collect()
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn metrics_function(metrics: &[&str]) -> String {
    if metrics.is_empty() {
        return String::new();
    }
    let metrics = metrics.join(", ");
    format!(
        "
    /// They exist before the first connection.
    fn metrics() -> Vec<&'static dyn Metric> {{
        vec![{metrics}]
    }}
"
    )
}

/// The roles' configurations as one.
fn config(configs: &[&str]) -> String {
    let inside = |text: &&str| Some(text.trim().strip_prefix("config = { ")?.strip_suffix(" }")?.to_owned());
    let keys: Vec<String> = configs.iter().filter_map(inside).collect();
    format!("config = {{ {} }}", keys.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(roles: &[Role]) -> Vec<(PathBuf, String)> {
        files(&Wanted {
            name: "my-filter",
            directory: Path::new("nowhere"),
            roles,
            sdk: Sdk::Published,
        })
    }

    #[test]
    fn nothing_is_left_to_be_filled_in_whatever_the_roles_are() {
        let all = Role::ALL;
        for roles in [
            &all[..1],
            &all[1..2],
            &all[2..3],
            &all[3..],
            &[Role::Router, Role::Inspector, Role::Observer],
        ] {
            for (path, text) in made(roles) {
                let path = path.display();
                assert!(!text.contains("{{") && !text.contains("//= "), "{path}\n{text}");
                assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{path}\n{text}");
            }
        }
    }

    #[test]
    fn the_manifest_is_what_cargo_reads() {
        let files = made(&[Role::Router]);
        let manifest: toml::Table = files[0].1.parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("my-filter"));
        assert_eq!(manifest["dependencies"]["spliceway-sdk"].as_str(), Some("0.1"));
        for path in ["transcripts/router.toml", ".cargo/config.toml"] {
            let (_, text) = files.iter().find(|(known, _)| known == Path::new(path)).unwrap();
            text.parse::<toml::Table>().unwrap();
        }
    }

    #[test]
    fn a_name_is_a_crate_s_and_a_file_s() {
        for good in ["a", "redis-guard", "x509"] {
            check_name(good).unwrap();
        }
        for bad in [
            "",
            "-a",
            "a-",
            "a--b",
            "A",
            "a_b",
            "../a",
            "1a",
            "test",
            "é",
            &"a".repeat(41),
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_there_is_not_written_over() {
        let directory = tempfile::TempDir::new().unwrap();
        let wanted = Wanted {
            name: "my-filter",
            directory: directory.path(),
            roles: &[Role::Observer],
            sdk: Sdk::Published,
        };
        write(&wanted).unwrap();
        let error = write(&wanted).unwrap_err().to_string();
        assert!(error.contains("is there already"), "{error}");
    }

    #[test]
    fn the_sdk_of_a_checkout_is_found_from_anywhere_in_it() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let sdk = here.parent().unwrap().join("sdk").canonicalize().unwrap();
        assert_eq!(find_sdk(None, &here.join("src")).unwrap(), Sdk::Directory(sdk.clone()));
        assert_eq!(find_sdk(None, Path::new("/")).unwrap(), Sdk::Published);
        assert!(find_sdk(Some(sdk), Path::new("/")).is_ok());
        assert!(find_sdk(Some(here.into()), Path::new("/")).is_err());
    }
}
