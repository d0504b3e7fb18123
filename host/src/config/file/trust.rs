//! `[[trust]]`

use schemars::JsonSchema;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};

/// Whose signature a filter has to have. It applies to `repository` or to `path`, and to everything below it; where several
/// tables do, the longest counts and the others do not.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Trust {
    /// A registry, or the beginning of its repositories: `registry.example/team-a`.
    pub repository: Option<Given<String>>,
    /// A file, or a directory with filters. A relative path starts at the directory of this file.
    pub path: Option<Given<String>>,
    /// Public keys, of which one must have signed: minisign's (`RW...`), PEM (`-----BEGIN PUBLIC KEY-----`, ECDSA P-256, as
    /// cosign's), or the path of a file with one.
    #[schemars(length(min = 1))]
    pub keys: Given<Vec<Given<String>>>,
}

impl Read for Trust {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let expected = "a table, as in `[[trust]]`";
        read_table(value, expected, problems, |table| {
            let (repository, path) = table.either("repository", "path");
            Self {
                repository,
                path,
                keys: table.required("keys"),
            }
        })
    }
}
