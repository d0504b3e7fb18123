//! Finds the first words of each command in what a client sends, as `networking.c` of Redis 7 does.
//!
//! ```text
//!            *COUNT\r\n      $LENGTH\r\n      bytes        2 more
//! Start ───► Count ────────► Length ────────► Payload ───► PayloadEnd ───► Length, or Start after the last
//!   │        zero or less: Start
//!   └──────► Inline ───► Start at \n
//! ```
//!
//! It keeps no bytes but those of a word that may still become one of the commands. Where Redis is lenient in a way
//! that no client needs, it is strict: then it does not matter how another server would read the same bytes.

use crate::command::{Command, MAX_WORDS};

pub(crate) struct Parser<'a> {
    refused: &'a [Command],
    longest_word: usize,
    state: State,
    /// Of the current command, as far as they may matter. One that is too long to matter is cut.
    words: Vec<Vec<u8>>,
    /// The last of them is not complete, and may still be one that matters.
    in_word: bool,
    /// Arguments of the current array that have not begun.
    arguments: u64,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Stop<'a> {
    Refused(&'a Command),
    Protocol(&'static str),
}

#[derive(Clone, Copy, Debug)]
enum State {
    Start,
    Inline(Inline),
    Count(Number),
    Dollar,
    Length(Number),
    Payload(u64),
    PayloadEnd(u64),
}

/// Where in a line: `sdssplitargs` of Redis 7, a byte at a time.
#[derive(Clone, Copy, Debug)]
enum Inline {
    Blank,
    Bare,
    Double,
    DoubleEscape,
    DoubleHex(Option<u8>),
    Single,
    SingleEscape,
    /// Behind a closing quote, which ends the word.
    Closed,
}

/// What a header has said so far.
#[derive(Clone, Copy, Debug, Default)]
struct Number {
    negative: bool,
    value: Option<u64>,
    ended: bool,
}

/// Redis does not look at the two bytes behind a payload.
const PAYLOAD_END: u64 = 2;

impl<'a> Parser<'a> {
    pub(crate) fn new(refused: &'a [Command]) -> Self {
        let longest_word = refused.iter().map(Command::longest_word).max().unwrap_or_default();
        Self {
            refused,
            longest_word,
            state: State::Start,
            words: Vec::new(),
            in_word: false,
            arguments: 0,
        }
    }

    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Result<(), Stop<'a>> {
        while let Some((&byte, rest)) = bytes.split_first() {
            match self.state {
                State::Payload(left) => {
                    let (here, behind) = bytes.split_at(usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len()));
                    let left = left - here.len() as u64;
                    self.extend_word(here);
                    self.state = State::Payload(left);
                    if left == 0 {
                        self.end_payload()?;
                    }
                    bytes = behind;
                    continue;
                }
                State::PayloadEnd(left) => self.payload_end(left - 1),
                State::Start => {
                    self.words.clear();
                    match byte {
                        b'*' => self.state = State::Count(Number::default()),
                        _ => self.inline(Inline::Blank, byte)?,
                    }
                }
                State::Inline(place) => self.inline(place, byte)?,
                State::Count(number) => self.count(number, byte)?,
                State::Dollar if byte == b'$' => self.state = State::Length(Number::default()),
                State::Dollar => return Err(Stop::Protocol("an argument without its length")),
                State::Length(number) => self.length(number, byte)?,
            }
            bytes = rest;
        }
        Ok(())
    }

    /// How many of the next bytes say nothing, and goes behind them.
    pub(crate) fn skip(&mut self) -> u64 {
        match self.state {
            State::Payload(left) if !self.in_word => {
                self.payload_end(0);
                left.saturating_add(PAYLOAD_END)
            }
            _ => 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.words.iter().map(Vec::len).sum()
    }

    fn count(&mut self, number: Number, byte: u8) -> Result<(), Stop<'a>> {
        let number = number
            .read(byte)
            .ok_or(Stop::Protocol("an array of an impossible length"))?;
        self.state = match number.value {
            Some(count) if byte == b'\n' && !number.negative && count > 0 => {
                self.arguments = count;
                State::Dollar
            }
            // Redis reads a command of no arguments, or of fewer, and does nothing.
            _ if byte == b'\n' => State::Start,
            _ => State::Count(number),
        };
        Ok(())
    }

    fn length(&mut self, number: Number, byte: u8) -> Result<(), Stop<'a>> {
        const IMPOSSIBLE: Stop<'static> = Stop::Protocol("an argument of an impossible length");
        let number = number.read(byte).filter(|number| !number.negative).ok_or(IMPOSSIBLE)?;
        self.state = State::Length(number);
        if byte == b'\n' {
            let length = number.value.ok_or(IMPOSSIBLE)?;
            self.arguments -= 1;
            self.begin_word();
            self.in_word &= length <= self.longest_word as u64;
            self.state = State::Payload(length);
            if length == 0 {
                self.end_payload()?;
            }
        }
        Ok(())
    }

    fn end_payload(&mut self) -> Result<(), Stop<'a>> {
        self.state = State::PayloadEnd(PAYLOAD_END);
        self.end_word()
    }

    fn payload_end(&mut self, left: u64) {
        self.state = match left {
            0 if self.arguments > 0 => State::Dollar,
            0 => State::Start,
            left => State::PayloadEnd(left),
        };
    }

    fn inline(&mut self, place: Inline, byte: u8) -> Result<(), Stop<'a>> {
        const UNBALANCED: Stop<'static> = Stop::Protocol("an inline command with unbalanced quotes");
        if byte == 0 {
            // Redis looks for the end of the line with strchr, and never finds one behind this.
            return Err(Stop::Protocol("an inline command with a null byte"));
        }
        if byte == b'\n' {
            self.state = State::Start;
            return match place {
                Inline::Blank | Inline::Closed => Ok(()),
                Inline::Bare => self.end_word(),
                _ => Err(UNBALANCED),
            };
        }
        let next = match (place, byte) {
            (Inline::Blank, _) if is_space(byte) => Inline::Blank,
            (Inline::Blank, _) => {
                self.begin_word();
                return self.inline(Inline::Bare, byte);
            }
            (Inline::Bare, b' ' | b'\t' | b'\r') => {
                self.end_word()?;
                Inline::Blank
            }
            (Inline::Bare, b'"') => Inline::Double,
            (Inline::Bare, b'\'') => Inline::Single,
            (Inline::Double, b'"') | (Inline::Single, b'\'') => {
                self.end_word()?;
                Inline::Closed
            }
            (Inline::Double, b'\\') => Inline::DoubleEscape,
            (Inline::DoubleEscape, b'x') => Inline::DoubleHex(None),
            (Inline::DoubleEscape, _) => {
                self.extend_word(&[unescape(byte)]);
                Inline::Double
            }
            (Inline::DoubleHex(None), _) if byte.is_ascii_hexdigit() => Inline::DoubleHex(Some(byte)),
            (Inline::DoubleHex(Some(first)), _) if byte.is_ascii_hexdigit() => {
                self.extend_word(&[hex_digit(first) << 4 | hex_digit(byte)]);
                Inline::Double
            }
            (Inline::DoubleHex(first), _) => {
                // No hexadecimal after all: then the x was an escaped letter.
                self.extend_word(b"x");
                self.extend_word(first.as_slice());
                return self.inline(Inline::Double, byte);
            }
            (Inline::Single, b'\\') => Inline::SingleEscape,
            (Inline::SingleEscape, b'\'') => {
                self.extend_word(b"'");
                Inline::Single
            }
            (Inline::SingleEscape, _) => {
                self.extend_word(b"\\");
                return self.inline(Inline::Single, byte);
            }
            (Inline::Closed, _) if is_space(byte) => Inline::Blank,
            (Inline::Closed, _) => return Err(UNBALANCED),
            (Inline::Bare | Inline::Double | Inline::Single, _) => {
                self.extend_word(&[byte]);
                place
            }
        };
        self.state = State::Inline(next);
        Ok(())
    }

    fn begin_word(&mut self) {
        self.in_word = self.words.len() < MAX_WORDS;
        if self.in_word {
            self.words.push(Vec::new());
        }
    }

    /// One byte more than the longest word that matters is enough to tell that this one does not.
    fn extend_word(&mut self, bytes: &[u8]) {
        if self.in_word
            && let Some(word) = self.words.last_mut()
        {
            let room = self.longest_word + 1 - word.len();
            word.extend(&bytes[..bytes.len().min(room)]);
        }
    }

    fn end_word(&mut self) -> Result<(), Stop<'a>> {
        if !self.in_word {
            return Ok(());
        }
        self.in_word = false;
        match self.refused.iter().find(|command| command.is(&self.words)) {
            Some(command) => Err(Stop::Refused(command)),
            None => Ok(()),
        }
    }
}

impl Number {
    /// As strict as `string2ll`: no plus, no leading zeros, no minus zero. None where this byte makes it no number.
    fn read(mut self, byte: u8) -> Option<Self> {
        match (byte, self.value) {
            (b'\n', Some(_)) if self.ended => {}
            _ if self.ended => return None,
            (b'\r', Some(_)) => self.ended = true,
            (b'-', None) if !self.negative => self.negative = true,
            (b'0', None) if !self.negative => self.value = Some(0),
            (b'1'..=b'9', None) => self.value = Some(u64::from(byte - b'0')),
            (b'0'..=b'9', Some(value)) if value > 0 => {
                let value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
                self.value = Some(value).filter(|&value| value <= i64::MAX as u64);
                self.value?;
            }
            _ => return None,
        }
        Some(self)
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// `isspace` of the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
