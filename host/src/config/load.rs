//! From a path, or a text, to a configuration.

use std::path::Path;
use std::{fs, io};

use toml::de::DeTable;

use super::Config;
use super::diagnostics::Problems;
use super::file::File;
use super::syntax;
use super::validate::validate;

/// The configuration in the file at `path`.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    let shown = || path.display().to_string();
    let bytes = fs::read(path).map_err(|reason| LoadError::Unreadable { path: shown(), reason })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        LoadError::NotText {
            path: shown(),
            line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
        }
    })?;
    parse(path, &text).map_err(LoadError::Invalid)
}

/// The configuration in `text`. Nothing is read from `path`: it is what messages show, and its directory is where the
/// relative paths in the text start.
pub fn parse(path: &Path, text: &str) -> Result<Config, Problems> {
    let mut problems = Problems::new(path, text);
    let (root, errors) = DeTable::parse_recoverable(text);
    for problem in syntax::problems(&root, &errors, text) {
        problems.report(problem);
    }
    let file = File::read(root.get_ref(), &mut problems);
    let directory = path.parent().unwrap_or_else(|| Path::new(""));
    match validate(file, directory, &mut problems) {
        Ok(config) if problems.is_empty() => Ok(config),
        _ => {
            problems.settle();
            Err(problems)
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is not there, is a directory, belongs to somebody else ...
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's reason. Not the `source` of this error, whose one line says it already.
        reason: io::Error,
    },
    /// The file is in another encoding, or no text at all.
    #[error("cannot read {path}: line {line} is not UTF-8")]
    NotText {
        /// The file.
        path: String,
        /// The first such line.
        line: usize,
    },
    /// The file was read, and is wrong.
    #[error("{0}")]
    Invalid(Problems),
}

impl LoadError {
    /// As `Display`, in colour if asked for.
    pub fn render(&self, colour: bool) -> String {
        match self {
            Self::Invalid(problems) => problems.render(colour),
            _ => self.to_string(),
        }
    }
}
