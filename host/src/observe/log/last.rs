//! The last lines at `warn` and `error`, for whoever asks what went wrong and does not have the log.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tracing::Level;

use super::{Format, Style};

/// As many as are read at a glance, none longer than a person reads.
const MOST: usize = 50;
const LONGEST: usize = 1 << 10;

/// As people read it, without a terminal that would obey.
pub(super) const STYLE: Style = Style {
    format: Format::Text,
    colours: false,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub at: SystemTime,
    pub level: Level,
    /// The message and its fields.
    pub text: String,
}

static LAST: Mutex<VecDeque<Line>> = Mutex::new(VecDeque::new());

/// The newest first.
pub fn last() -> Vec<Line> {
    lock().iter().rev().cloned().collect()
}

pub(super) fn is_kept(level: Level) -> bool {
    level <= Level::WARN
}

/// Nothing is done for a line of another level.
pub(super) fn keep(level: Level, write: impl FnOnce(&mut Vec<u8>)) {
    if !is_kept(level) {
        return;
    }
    let mut text = Vec::new();
    write(&mut text);
    let line = Line {
        at: SystemTime::now(),
        level,
        text: cut(&String::from_utf8_lossy(&text)),
    };
    push(&mut lock(), line);
}

fn push(lines: &mut VecDeque<Line>, line: Line) {
    if lines.len() == MOST {
        lines.pop_front();
    }
    lines.push_back(line);
}

fn cut(text: &str) -> String {
    match text.len() > LONGEST {
        true => format!("{}\u{2026}", &text[..text.floor_char_boundary(LONGEST)]),
        false => text.to_owned(),
    }
}

fn lock() -> MutexGuard<'static, VecDeque<Line>> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_lines_are_kept_and_none_that_is_longer() {
        let mut lines = VecDeque::new();
        for number in 0..1000 {
            let line = Line {
                at: SystemTime::UNIX_EPOCH,
                level: Level::WARN,
                text: number.to_string(),
            };
            push(&mut lines, line);
        }
        assert_eq!((lines.len(), &*lines[0].text, &*lines[49].text), (50, "950", "999"));
        let long = "ä".repeat(5000);
        assert_eq!(cut(&long).len(), LONGEST + "\u{2026}".len());
        assert_eq!(cut(&long[..LONGEST]), long[..LONGEST]);
    }

    #[test]
    fn warnings_and_errors_are_kept() {
        let kept = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG].map(is_kept);
        assert_eq!(kept, [true, true, false, false]);
    }
}
