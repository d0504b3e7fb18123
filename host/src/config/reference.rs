//! What lies in a registry, as a person types it: `oci://registry.example/team/redis-guard:1.2`.

use std::fmt;
use std::str::FromStr;

use crate::digest::{Digest, DigestError};

/// A repository of a registry: all versions of one filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Repository {
    registry: String,
    path: String,
}

/// One version of it: by a tag, which may come to mean another one, by a digest, which never does, or by both. Then the
/// digest decides, and the tag is for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    pub repository: Repository,
    pub version: Version,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Version {
    Tag(String),
    Digest { tag: Option<String>, digest: Digest },
}

/// The scheme that tells a reference from the path of a file.
pub const SCHEME: &str = "oci://";

impl Repository {
    /// `host` or `host:port`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// What follows the host: `team/redis-guard`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The last part of the path: what the filter in it is called.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// `host/path`, without the scheme.
    pub fn bare(&self) -> String {
        format!("{}/{}", self.registry, self.path)
    }

    /// From what stands behind the scheme.
    fn parse(text: &str) -> Result<Self, ReferenceError> {
        let (registry, path) = text
            .split_once('/')
            .ok_or_else(|| ReferenceError::NoRepository { found: text.to_owned() })?;
        let registry = registry_of(registry)?;
        if !is_path(path) {
            return Err(ReferenceError::Path { found: path.to_owned() });
        }
        Ok(Self {
            registry,
            path: path.to_owned(),
        })
    }
}

impl Reference {
    /// A tag that may come to mean another version.
    pub fn moving_tag(&self) -> Option<&str> {
        match &self.version {
            Version::Tag(tag) => Some(tag),
            Version::Digest { .. } => None,
        }
    }
}

impl FromStr for Repository {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let rest = text.strip_prefix(SCHEME).ok_or(ReferenceError::NoScheme)?;
        let path = rest.split_once('/').map_or("", |(_, path)| path);
        if path.contains([':', '@']) {
            return Err(ReferenceError::OneVersion);
        }
        Self::parse(rest)
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let rest = text.strip_prefix(SCHEME).ok_or(ReferenceError::NoScheme)?;
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (rest, None),
        };
        // A colon in front of the first slash belongs to the port.
        let path = rest.find('/').unwrap_or(rest.len());
        let (rest, tag) = match rest[path..].find(':') {
            Some(colon) => (&rest[..path + colon], Some(tag_of(&rest[path + colon + 1..])?)),
            None => (rest, None),
        };
        let repository = Repository::parse(rest)?;
        let version = match (tag, digest) {
            (tag, Some(digest)) => Version::Digest { tag, digest },
            (Some(tag), None) => Version::Tag(tag),
            (None, None) => return Err(ReferenceError::NoVersion { found: rest.to_owned() }),
        };
        Ok(Self { repository, version })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.registry, self.path)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repository, version } = self;
        match version {
            Version::Tag(tag) => write!(f, "{repository}:{tag}"),
            Version::Digest { tag: None, digest } => write!(f, "{repository}@{digest}"),
            Version::Digest { tag: Some(tag), digest } => write!(f, "{repository}:{tag}@{digest}"),
        }
    }
}

/// A host, in small letters, with or without a port.
pub fn registry_of(text: &str) -> Result<String, ReferenceError> {
    let wrong = || ReferenceError::Registry { found: text.to_owned() };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port =
        |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    if port.is_some_and(|port| !is_port(port)) {
        return Err(wrong());
    }
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_host = match v6 {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.len() <= 253 && host.split('.').all(is_label),
    };
    is_host.then(|| text.to_ascii_lowercase()).ok_or_else(wrong)
}

/// As the distribution specification has it: parts of small letters and digits, with single separators inside.
fn is_path(path: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        let bytes = part.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        let ends_in_words = ends.iter().all(|end| end.is_some_and(|byte| is_word(*byte)));
        let separators = part.split(|character: char| is_word(u8::try_from(character).unwrap_or(0)));
        let is_separator =
            |separator: &str| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-');
        ends_in_words && separators.into_iter().all(is_separator)
    };
    path.len() <= 255 && path.split('/').all(is_part)
}

fn tag_of(text: &str) -> Result<String, ReferenceError> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = text.bytes();
    let begins = bytes.next().is_some_and(is_word);
    if !begins || text.len() > 128 || !bytes.all(|byte| is_word(byte) || byte == b'.' || byte == b'-') {
        return Err(ReferenceError::Tag { found: text.to_owned() });
    }
    Ok(text.to_owned())
}

/// Why a text is no reference, or no repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error("expected `{SCHEME}HOST/REPOSITORY:TAG`, as in `{SCHEME}registry.example/team/redis-guard:1.2`")]
    NoScheme,
    #[error("`{}` names no repository: expected `{SCHEME}HOST/REPOSITORY`", .found.escape_debug())]
    NoRepository { found: String },
    #[error("`{}` is no registry: expected `HOST` or `HOST:PORT`", .found.escape_debug())]
    Registry { found: String },
    #[error("`{}` is no repository: expected a-z and 0-9 with single `.`, `_` or `-` between them, and `/` between parts", .found.escape_debug())]
    Path { found: String },
    #[error("`{}` is no tag: expected 1 to 128 of letters, digits, `_`, `.` and `-`, the first no `.` or `-`", .found.escape_debug())]
    Tag { found: String },
    #[error("this is no digest: {0}")]
    Digest(#[from] DigestError),
    #[error("it names no version: add a tag, as in `{SCHEME}{found}:1.2`, or `@sha256:...`")]
    NoVersion { found: String },
    #[error("this is one version of a repository: expected all of it, without a tag or a digest")]
    OneVersion,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn reference(text: &str) -> Reference {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_reference_is_written_as_it_was_typed() {
        for text in [
            "oci://registry.example/redis-guard:1.2",
            "oci://registry.example:5000/team-a/sub/redis-guard:v1.2.3_rc-1",
            "oci://localhost:5000/x:latest",
            "oci://127.0.0.1:5000/a.b/c__d/e--f:1",
            "oci://[::1]:5000/x:1",
            "oci://[2001:db8::1]/x:1",
            &format!("oci://registry.example/x@{DIGEST}"),
            &format!("oci://registry.example/x:1.2@{DIGEST}"),
        ] {
            assert_eq!(reference(text).to_string(), *text);
        }
    }

    #[test]
    fn the_parts_of_a_reference() {
        let typed = reference(&format!("oci://Registry.Example:443/team/guard:1.2@{DIGEST}"));
        assert_eq!(typed.repository.registry(), "registry.example:443");
        assert_eq!(typed.repository.path(), "team/guard");
        assert_eq!(typed.repository.name(), "guard");
        assert_eq!(typed.moving_tag(), None);
        assert_eq!(reference("oci://r/x:1").moving_tag(), Some("1"));
    }

    #[test]
    fn what_is_no_reference_is_told_what_was_expected() {
        for (text, said) in [
            ("registry.example/x:1", "expected `oci://HOST/REPOSITORY:TAG`"),
            ("https://registry.example/x:1", "expected `oci://HOST/REPOSITORY:TAG`"),
            ("oci://registry.example", "names no repository"),
            ("oci:///x:1", "`` is no registry"),
            ("oci://user:secret@registry.example/x:1", "no digest"),
            ("oci://registry.example:0/x:1", "is no registry"),
            ("oci://registry.example:+1/x:1", "is no registry"),
            ("oci://registry.example:65536/x:1", "is no registry"),
            ("oci://re gistry/x:1", "is no registry"),
            ("oci://[::1/x:1", "is no registry"),
            ("oci://-a.example/x:1", "is no registry"),
            ("oci://registry.example/:1", "`` is no repository"),
            ("oci://registry.example/Team/x:1", "`Team/x` is no repository"),
            ("oci://registry.example/team//x:1", "is no repository"),
            ("oci://registry.example/../x:1", "is no repository"),
            ("oci://registry.example/a..b:1", "is no repository"),
            ("oci://registry.example/é:1", "is no repository"),
            ("oci://registry.example/x:", "`` is no tag"),
            ("oci://registry.example/x:.1", "`.1` is no tag"),
            ("oci://registry.example/x:1:2", "`1:2` is no tag"),
            ("oci://registry.example/x:1/y", "`1/y` is no tag"),
            ("oci://registry.example/x@sha256:12", "no digest"),
            ("oci://registry.example/x@sha512:12", "no digest"),
            (
                "oci://registry.example/x",
                "add a tag, as in `oci://registry.example/x:1.2`",
            ),
        ] {
            let error = text.parse::<Reference>().expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn a_repository_has_no_version() {
        let repository: Repository = "oci://registry.example:5000/team/x".parse().unwrap();
        assert_eq!(repository.bare(), "registry.example:5000/team/x");
        for text in [
            "oci://registry.example/x:1",
            &format!("oci://registry.example/x@{DIGEST}"),
        ] {
            assert_eq!(text.parse::<Repository>(), Err(ReferenceError::OneVersion), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_it_accepts_it_writes_and_reads_again(text in "(oci://)?[a-zA-Z0-9:@/._\\[\\]é-]{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                proptest::prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
            }
        }
    }
}
