//! `[access-log]`

use std::path::{Path, PathBuf};

use super::given::{apart, path, timeout_or_default};
use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::Given;
use crate::config::{AccessLogConfig, LogFormat, file, ranges};

pub fn access_log(
    typed: file::AccessLog,
    directory: &Path,
    problems: &mut Problems,
) -> Result<AccessLogConfig, Reported> {
    let file = typed.file.map_or(Ok(None), |given| target(given, directory, problems));
    let format = typed.format.map_or_else(|| Ok(LogFormat::default()), Given::value);
    let open = typed.open.map_or(Ok(false), Given::value);
    let every = timeout_or_default(typed.every, &ranges::LOG_EVERY, None, problems);
    Ok(AccessLogConfig {
        file: file?,
        format: format?,
        open: open?,
        every: every?,
    })
}

/// `-` is standard output, as for many a program; a file of that name is `./-`.
fn target(given: Given<String>, directory: &Path, problems: &mut Problems) -> Result<Option<PathBuf>, Reported> {
    let (file, span) = apart(given.0?);
    if file == "-" {
        return Ok(None);
    }
    let expected = "a path, as in \"access.log\", or \"-\" for standard output";
    path(&file, span, expected, directory, problems).map(Some)
}
