//! One direction of a connection, in which matches are masked.
//!
//! Whether a match begins at a byte depends on the byte in front of it and on those behind it, and never on how they came:
//! where it cannot be told yet, this byte and what is behind it wait for more. A pattern can tell after `pattern::LONGEST`
//! bytes, so that no more than these ever wait.

use crate::bytes::ByteSet;
use crate::pattern::{Answer, Pattern};

pub(crate) struct Scanner<'a> {
    patterns: &'a [Pattern],
    /// Bytes that no pattern begins with are not looked at twice.
    first: ByteSet,
    mask: u8,
    /// They wait: the first of them may begin a match.
    waiting: Vec<u8>,
    /// The byte in front of them, as it was.
    previous: Option<u8>,
    /// In a match that goes on until one of these.
    until: Option<&'a ByteSet>,
}

/// As many bytes as there were.
#[derive(Default)]
pub(crate) struct Masked {
    pub(crate) bytes: Vec<u8>,
    pub(crate) matches: u64,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(patterns: &'a [Pattern], mask: u8) -> Self {
        let mut first = ByteSet::default();
        patterns.iter().for_each(|pattern| pattern.begins(&mut first));
        Self {
            patterns,
            first,
            mask,
            waiting: Vec::new(),
            previous: None,
            until: None,
        }
    }

    /// What goes on, of what waited and what came. All of it, where nothing more will come.
    pub(crate) fn scan(&mut self, came: Vec<u8>, finished: bool) -> Masked {
        let mut text = std::mem::take(&mut self.waiting);
        if text.is_empty() {
            text = came;
        } else {
            text.extend(came);
        }
        let (mut at, mut matches) = (0, 0);
        while at < text.len() {
            if let Some(until) = self.until {
                at += self.mask_run(&mut text[at..], until);
                continue;
            }
            let next = match self.answer(&text[at..], finished) {
                Answer::More => break,
                Answer::No => at + 1,
                Answer::Found(found) => {
                    matches += 1;
                    self.until = found.then;
                    self.previous = text.get(at + found.length - 1).copied();
                    text[at + found.keep..at + found.length].fill(self.mask);
                    at += found.length;
                    continue;
                }
            };
            self.previous = Some(text[at]);
            at = next;
        }
        self.waiting = text.split_off(at);
        Masked { bytes: text, matches }
    }

    /// How many bytes belong to the match that goes on.
    fn mask_run(&mut self, text: &mut [u8], until: &ByteSet) -> usize {
        let run = text.iter().position(|&byte| until.contains(byte));
        if run.is_some() {
            self.until = None;
        }
        let run = run.unwrap_or(text.len());
        if let Some(last) = run.checked_sub(1) {
            self.previous = Some(text[last]);
        }
        text[..run].fill(self.mask);
        run
    }

    /// Of all patterns: more, where one of them needs it; otherwise the longest match, of the first of those that are as long.
    fn answer(&self, text: &[u8], finished: bool) -> Answer<'a> {
        let mut answer = Answer::No;
        if !text.first().is_some_and(|&byte| self.first.contains(byte)) {
            return answer;
        }
        for pattern in self.patterns {
            match pattern.at(self.previous, text, finished) {
                Answer::No => {}
                Answer::More => return Answer::More,
                Answer::Found(found) => match &answer {
                    Answer::Found(longer) if longer.length >= found.length => {}
                    _ => answer = Answer::Found(found),
                },
            }
        }
        answer
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
