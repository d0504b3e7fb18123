//! `[[trust]]`

use std::path::{Path, PathBuf};

use super::given::{apart, path};
use crate::config::diagnostics::{Problem, Problems, Reported, all};
use crate::config::reader::Given;
use crate::config::reference::{Repository, SCHEME, registry_of};
use crate::config::{KeySource, Scope, TrustConfig, file};
use crate::signature::PublicKey;

pub fn trust(given: Given<file::Trust>, directory: &Path, problems: &mut Problems) -> Result<TrustConfig, Reported> {
    let (typed, _) = apart(given.0?);
    let scope = scope(typed.repository, typed.path, directory, problems);
    let keys = keys(typed.keys, directory, problems);
    Ok(TrustConfig {
        scope: scope?,
        keys: keys?,
    })
}

fn scope(
    by_repository: Option<Given<String>>,
    by_path: Option<Given<String>>,
    directory: &Path,
    problems: &mut Problems,
) -> Result<Scope, Reported> {
    match (by_repository, by_path) {
        (Some(repository), None) => prefix(repository, problems).map(Scope::Repository),
        (None, Some(path)) => folder(path, directory, problems).map(Scope::Path),
        (Some(repository), Some(path)) => {
            let (_, first) = apart(repository.0?);
            let (_, second) = apart(path.0?);
            let problem = Problem::at(second, "a table is about repositories or about files")
                .label("expected only one of `repository` and `path`")
                .related(first, "`repository` is here");
            Err(problems.report(problem))
        }
        (None, None) => unreachable!("the reader asks for one of them"),
    }
}

/// `HOST`, or `HOST/PATH`; a slash at the end says no more, since parts are whole either way.
fn prefix(given: Given<String>, problems: &mut Problems) -> Result<String, Reported> {
    let (typed, span) = apart(given.0?);
    let bare = typed.strip_prefix(SCHEME).unwrap_or(&typed);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    let parsed = match bare.contains('/') {
        true => format!("{SCHEME}{bare}")
            .parse::<Repository>()
            .map(|prefix| prefix.bare()),
        false => registry_of(bare),
    };
    parsed.map_err(|error| {
        let problem = Problem::at(span, "expected a registry, or the beginning of its repositories");
        problems.report(problem.label(format!("{error}; as in \"registry.example/team-a\"")))
    })
}

fn folder(given: Given<String>, directory: &Path, problems: &mut Problems) -> Result<PathBuf, Reported> {
    let (typed, span) = apart(given.0?);
    path(&typed, span, "a path, as in \"filters/\"", directory, problems)
}

fn keys(
    given: Given<Vec<Given<String>>>,
    directory: &Path,
    problems: &mut Problems,
) -> Result<Vec<KeySource>, Reported> {
    let (typed, span) = apart(given.0?);
    if typed.is_empty() {
        let problem = Problem::at(span, "no filter could have the signature of none");
        return Err(problems.report(problem.label("expected at least one key, as `spliceway filter keygen` prints it")));
    }
    all(typed.into_iter().map(|given| key(given, directory, problems)))
}

fn key(given: Given<String>, directory: &Path, problems: &mut Problems) -> Result<KeySource, Reported> {
    let (typed, span) = apart(given.0?);
    if PublicKey::looks_like_one(&typed) {
        return typed.parse().map(KeySource::Given).map_err(|error| {
            let problem = Problem::at(span, "this is no public key");
            problems.report(problem.label(format!("{error}")))
        });
    }
    let expected = "a key (`RW...` or PEM), or the path of a file with one";
    path(&typed, span, expected, directory, problems).map(KeySource::File)
}
