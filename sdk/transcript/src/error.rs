use std::fmt;
use std::path::{Path, PathBuf};

/// Why transcripts cannot be read: everything that was found, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    problems: Vec<Problem>,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The file, or the directory.
    pub file: PathBuf,
    /// Counted from 1. None where the file itself is the problem.
    pub line: Option<usize>,
    /// What was found, and what was expected.
    pub text: String,
}

impl Error {
    /// All of them, in the order of the files.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub(crate) fn of_file(file: &Path, text: String) -> Self {
        Self::from(vec![Problem {
            file: file.to_owned(),
            line: None,
            text,
        }])
    }
}

impl From<Vec<Problem>> for Error {
    fn from(problems: Vec<Problem>) -> Self {
        Self { problems }
    }
}

impl From<Error> for Vec<Problem> {
    fn from(error: Error) -> Self {
        error.problems
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.text),
            None => write!(f, "{}: {}", self.file.display(), self.text),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.problems.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Error {}
