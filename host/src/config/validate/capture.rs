//! `capture` of a `treatment`.

use std::path::PathBuf;

use super::given::{apart, count_or_default, in_range, or_default, timeout_or_default, word_or_default};
use crate::config::diagnostics::{Problem, Problems, Reported, Span};
use crate::config::percentage::Percentage;
use crate::config::reader::Given;
use crate::config::units::Size;
use crate::config::word::Word;
use crate::config::{CaptureConfig, CaptureFiles, CaptureOnly, defaults, file, ranges};

pub fn capture(typed: file::Capture, _: Span, problems: &mut Problems) -> Result<CaptureConfig, Reported> {
    let place = directory(typed.directory, problems);
    let format = word_or_default(typed.format);
    let legs = word_or_default(typed.legs);
    let snap = Size(defaults::CAPTURE_SNAP as u64);
    let snap = or_default(typed.snap, &ranges::CAPTURE_SNAP, snap, problems);
    let size = Size(defaults::CAPTURE_FILE_SIZE);
    let size = or_default(typed.file_size, &ranges::CAPTURE_FILE_SIZE, size, problems);
    let count = count_or_default(typed.files, &ranges::CAPTURE_FILES, defaults::CAPTURE_FILES, problems);
    let longest = timeout_or_default(typed.longest, &ranges::TIMEOUT, None, problems);
    let share = or_default(typed.share, &ranges::SHARE_OF_CONNECTIONS, Percentage(100), problems);
    let only = typed.only.map(Given::value).transpose();
    let only = only.map(|only| only.map(|Word(only)| only));
    let bytes = only.and_then(|only| bytes(typed.bytes, only, problems));
    Ok(CaptureConfig {
        files: CaptureFiles {
            directory: place?,
            format: format?,
            size: size?.0,
            count: count?,
        },
        legs: legs?,
        snap: usize::try_from(snap?.0).unwrap_or(usize::MAX),
        longest: longest?,
        bytes: bytes?,
        share: share?.0,
        only: only?,
    })
}

/// Operators and filters ask for captures, too, and there is no file then at whose directory a relative path could start.
fn directory(given: Given<String>, problems: &mut Problems) -> Result<PathBuf, Reported> {
    let (path, span) = apart(given.0?);
    if !path.starts_with('/') || path.contains('\0') {
        let problem = Problem::at(span, format!("`{}` is no absolute path", path.escape_debug()));
        return Err(problems.report(problem.label("expected a directory, as in \"/var/lib/spliceway/captures\"")));
    }
    Ok(PathBuf::from(path))
}

/// What is kept in memory is bounded.
fn bytes(
    given: Option<Given<Size>>,
    only: Option<CaptureOnly>,
    problems: &mut Problems,
) -> Result<Option<u64>, Reported> {
    let Some(given) = given else {
        return Ok(only.map(|CaptureOnly::Abnormal| defaults::CAPTURE_MEMORY));
    };
    let (bytes, span) = apart(given.0?);
    let range = match only {
        None => &ranges::CAPTURE_BYTES,
        Some(CaptureOnly::Abnormal) => &ranges::CAPTURE_MEMORY,
    };
    in_range(bytes, span, range, problems).map(|Size(bytes)| Some(bytes))
}
