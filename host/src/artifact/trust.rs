//! Whether a filter may be loaded: the rules of `[[trust]]`.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::config::{KeySource, Scope, Source, TrustConfig};
use crate::signature::{Candidate, PublicKey, Refusal, Signature, Verified, ids, verify};

#[derive(Debug, Default)]
pub(super) struct Trust(pub Vec<TrustConfig>);

impl Trust {
    /// Nothing where no rule is about it, else who has signed.
    ///
    /// # Errors
    /// Nobody whose signature counts; or a key cannot be read, and then nobody's does.
    pub fn check(
        &self,
        source: &Source,
        candidate: Candidate<'_>,
        signatures: &[Signature],
    ) -> anyhow::Result<Option<Verified>> {
        let Some(rule) = self.rule(source) else { return Ok(None) };
        let keys = rule.keys.iter().map(load).collect::<anyhow::Result<Vec<PublicKey>>>()?;
        verify(candidate, signatures, &keys).map(Some).map_err(|refusal| {
            let scope = match &rule.scope {
                Scope::Repository(prefix) => format!("repository = \"{prefix}\""),
                Scope::Path(path) => format!("path = \"{}\"", path.display()),
            };
            let keys_wanted = match &keys[..] {
                [one] => format!("key {}", one.id()),
                several => format!("one of the keys {}", ids(several)),
            };
            let digest = candidate.digest;
            let next = next(&refusal, source);
            anyhow!("{digest} is not loaded: {refusal}. `[[trust]]` with `{scope}` expects a signature by {keys_wanted}: {next}")
        })
    }

    /// The one with the longest scope that it is in.
    fn rule(&self, source: &Source) -> Option<&TrustConfig> {
        let applying = self.0.iter().filter(|rule| applies(&rule.scope, source));
        applying.max_by_key(|rule| match &rule.scope {
            Scope::Repository(prefix) => prefix.len(),
            Scope::Path(path) => path.components().count(),
        })
    }

    /// The files of keys, which change like others.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let keys = self.0.iter().flat_map(|rule| &rule.keys);
        keys.filter_map(|key| match key {
            KeySource::File(path) => Some(path.as_path()),
            KeySource::Given(_) => None,
        })
    }
}

fn applies(scope: &Scope, source: &Source) -> bool {
    match (scope, source) {
        (Scope::Repository(prefix), Source::Oci(reference)) => {
            let repository = without_usual_port(&reference.repository.bare());
            let prefix = without_usual_port(prefix);
            let rest = repository.strip_prefix(prefix.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        // By the way that is typed, and by where it leads: a link from elsewhere needs a signature too, and one to elsewhere.
        (Scope::Path(scope), Source::File(file)) => {
            let (scopes, files) = (both(scope), both(file));
            files
                .iter()
                .any(|file| scopes.iter().any(|scope| file.starts_with(scope)))
        }
        (Scope::Repository(_), Source::File(_)) | (Scope::Path(_), Source::Oci(_)) => false,
    }
}

/// `registry.example:443` is `registry.example`, and nobody gets around a rule by typing it.
fn without_usual_port(bare: &str) -> String {
    let (registry, path) = bare.split_at(bare.find('/').unwrap_or(bare.len()));
    format!("{}{path}", registry.strip_suffix(":443").unwrap_or(registry))
}

fn both(path: &Path) -> Vec<PathBuf> {
    let typed = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real = path.canonicalize().ok();
    std::iter::once(typed).chain(real).collect()
}

fn load(key: &KeySource) -> anyhow::Result<PublicKey> {
    match key {
        KeySource::Given(key) => Ok(key.clone()),
        KeySource::File(path) => {
            let failed = || {
                format!(
                    "no signature counts without the key in {} (`[[trust]]`)",
                    path.display()
                )
            };
            let text = std::fs::read_to_string(path).with_context(failed)?;
            text.parse().with_context(failed)
        }
    }
}

/// What somebody would do about it.
fn next(refusal: &Refusal, source: &Source) -> String {
    match (refusal, source) {
        (Refusal::Unsigned | Refusal::Unreadable(_) | Refusal::OtherKey(_), Source::File(path)) => format!(
            "its owner signs it with `spliceway filter sign {}`, which writes {}",
            path.display(),
            super::signature_file(path).display()
        ),
        (Refusal::Unsigned | Refusal::Unreadable(_) | Refusal::OtherKey(_), Source::Oci(reference)) => {
            format!("its owner signs it with `spliceway filter sign {reference}`")
        }
        (Refusal::Forged(_), _) => "get it again from its owner, and find out who has changed it".to_owned(),
        (Refusal::Other { .. }, _) => "sign what it is, or load what was signed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::signature::{Pair, Password, SecretKey, Statement};

    fn rule(scope: Scope) -> (TrustConfig, Pair) {
        let pair = Pair::generate(Password::None).unwrap();
        let keys = vec![KeySource::Given(pair.public.parse().unwrap())];
        (TrustConfig { scope, keys }, pair)
    }

    fn repository(prefix: &str) -> Scope {
        Scope::Repository(prefix.to_owned())
    }

    fn oci(text: &str) -> Source {
        Source::Oci(text.parse().unwrap())
    }

    #[test]
    fn a_prefix_ends_where_a_part_does() {
        for (prefix, inside, outside) in [
            (
                "registry.example/team-a",
                "oci://registry.example/team-a/x:1",
                "oci://registry.example/team-ab/x:1",
            ),
            (
                "registry.example",
                "oci://registry.example/x:1",
                "oci://registry.example:5000/x:1",
            ),
            (
                "registry.example/a/x",
                "oci://registry.example/a/x:1",
                "oci://registry.example/a:1",
            ),
            (
                "registry.example/a",
                "oci://Registry.Example/a/b/c:1",
                "oci://other.example/registry.example/a:1",
            ),
            (
                "registry.example:443",
                "oci://registry.example/x:1",
                "oci://registry.example:4430/x:1",
            ),
            (
                "registry.example/a",
                "oci://registry.example:443/a/x:1",
                "oci://registry.example:443/b/x:1",
            ),
        ] {
            assert!(applies(&repository(prefix), &oci(inside)), "{prefix} {inside}");
            assert!(!applies(&repository(prefix), &oci(outside)), "{prefix} {outside}");
        }
    }

    #[test]
    fn the_longest_scope_counts_alone() {
        let (wide, _) = rule(repository("registry.example"));
        let (narrow, pair) = rule(repository("registry.example/team"));
        let trust = Trust(vec![narrow.clone(), wide.clone()]);
        assert_eq!(trust.rule(&oci("oci://registry.example/team/x:1")), Some(&narrow));
        assert_eq!(trust.rule(&oci("oci://registry.example/other/x:1")), Some(&wide));
        assert_eq!(trust.rule(&oci("oci://elsewhere.example/x:1")), None);

        let bytes = b"\0asm";
        let candidate = Candidate {
            name: "x",
            bytes,
            digest: Digest::of(bytes),
            manifest: None,
            contract: "0.1.0",
        };
        let statement = Statement {
            name: "x".to_owned(),
            version: None,
            digest: Digest::of(bytes),
            contract: None,
        };
        let secret = SecretKey::open(&pair.secret_file, || panic!("no password")).unwrap();
        let signatures = [secret.sign(bytes, &statement).unwrap()];
        let check = |source: &str| trust.check(&oci(source), candidate, &signatures);
        assert_eq!(check("oci://registry.example/team/x:1").unwrap().unwrap().key, pair.id);
        assert!(check("oci://elsewhere.example/x:1").unwrap().is_none());
        let error = check("oci://registry.example/other/x:1").unwrap_err().to_string();
        for part in [
            "signed by another key".to_owned(),
            pair.id.clone(),
            ids(&[wide.keys[0].clone()].map(|key| load(&key).unwrap())),
            "repository = \"registry.example\"".to_owned(),
            "spliceway filter sign oci://registry.example/other/x:1".to_owned(),
        ] {
            assert!(error.contains(&part), "{part} in {error}");
        }
    }

    #[test]
    fn a_file_is_below_a_path_by_its_name_and_by_where_it_leads() {
        let folder = tempfile::tempdir().unwrap();
        let (trusted, other) = (folder.path().join("filters"), folder.path().join("filters-old"));
        for path in [&trusted, &other] {
            std::fs::create_dir(path).unwrap();
            std::fs::write(path.join("x.wasm"), b"").unwrap();
        }
        let scope = Scope::Path(trusted.clone());
        let below = |path: PathBuf| applies(&scope, &Source::File(path));
        assert!(below(trusted.join("x.wasm")) && below(trusted.join("not/yet.wasm")));
        assert!(below(other.join("../filters/x.wasm")));
        assert!(!below(other.join("x.wasm")));
        std::os::unix::fs::symlink(trusted.join("x.wasm"), other.join("link.wasm")).unwrap();
        std::os::unix::fs::symlink(other.join("x.wasm"), trusted.join("link.wasm")).unwrap();
        assert!(below(other.join("link.wasm")) && below(trusted.join("link.wasm")));
    }

    #[test]
    fn without_its_key_nothing_is_trusted() {
        let trust = Trust(vec![TrustConfig {
            scope: repository("registry.example"),
            keys: vec![KeySource::File("/nowhere/team.pub".into())],
        }]);
        let candidate = Candidate {
            name: "x",
            bytes: b"",
            digest: Digest::of(b""),
            manifest: None,
            contract: "0.1.0",
        };
        let error = trust
            .check(&oci("oci://registry.example/x:1"), candidate, &[])
            .unwrap_err();
        assert!(error.to_string().contains("/nowhere/team.pub"), "{error}");
        assert_eq!(trust.files().count(), 1);
    }
}
