//! Shapes: characters and sets of them, one after the other, each with how often it comes.
//!
//! | | |
//! | --- | --- |
//! | `a` | the character, in this case; `\` in front of one that would mean something else |
//! | `[a-z_]`, `[^"]` | one of these, one of the others |
//! | `\d`, `\w` | a digit; a letter, a digit or `_` |
//! | `{4}`, `{2,6}`, `?` | how often: four times, two to six times, once or not at all |
//! | `{20,}` | at the end of a shape: twenty times and more |
//!
//! A shape becomes a row of places, of which some may be skipped. Which places a text can have reached is one number, a bit for
//! each: so a byte costs the same whatever the text is, and nothing is ever tried again.

use crate::bytes::ByteSet;
use crate::pattern::{Answer, Found, LONGEST};

#[derive(Debug)]
pub(crate) struct Shape {
    places: Vec<Place>,
    /// What ends a match that has come to its end: where it goes on for as long as it can.
    then: Option<ByteSet>,
}

#[derive(Clone, Debug)]
struct Place {
    set: ByteSet,
    may_be_skipped: bool,
}

/// The bits of a `u128`, but for the one behind the last place.
const MOST_PLACES: usize = 127;
const _: () = assert!(MOST_PLACES <= LONGEST);

impl Shape {
    pub(crate) fn begins(&self, first: &mut ByteSet) {
        let reached = self.skips(1);
        for (index, place) in self.places.iter().enumerate() {
            if reached >> index & 1 == 1 {
                (0..=u8::MAX)
                    .filter(|&byte| place.set.contains(byte))
                    .for_each(|byte| first.insert(byte));
            }
        }
    }

    pub(crate) fn at(&self, text: &[u8], last: bool) -> Answer<'_> {
        let end = 1_u128 << self.places.len();
        let mut reached = self.skips(1);
        let mut longest = None;
        for (at, &byte) in text.iter().enumerate() {
            reached = self.skips(self.step(reached, byte));
            if reached & end != 0 {
                longest = Some(at + 1);
            }
            let may_go_on = reached & !end != 0;
            if !may_go_on || (longest.is_some() && self.then.is_some()) {
                return self.answer(longest);
            }
        }
        if last { self.answer(longest) } else { Answer::More }
    }

    fn answer(&self, longest: Option<usize>) -> Answer<'_> {
        longest.map_or(Answer::No, |length| {
            Answer::Found(Found {
                then: self.then.as_ref(),
                ..Found::whole(length)
            })
        })
    }

    /// Bit n: in front of place n.
    fn step(&self, reached: u128, byte: u8) -> u128 {
        let mut next = 0;
        let mut left = reached & !(1 << self.places.len());
        while left != 0 {
            let index = left.trailing_zeros();
            left &= left - 1;
            if self.places[index as usize].set.contains(byte) {
                next |= 1 << (index + 1);
            }
        }
        next
    }

    fn skips(&self, mut reached: u128) -> u128 {
        for (index, place) in self.places.iter().enumerate() {
            if place.may_be_skipped && reached >> index & 1 == 1 {
                reached |= 1 << (index + 1);
            }
        }
        reached
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if !text.is_ascii() {
            return Err("it is not ASCII".into());
        }
        let mut parser = Parser { rest: text.as_bytes() };
        let mut shape = Self {
            places: Vec::new(),
            then: None,
        };
        while let Some(set) = parser.set()? {
            if shape.then.is_some() {
                return Err("\"{n,}\" is only for the end of a shape".into());
            }
            let (least, most) = parser.times()?;
            shape.then = most.is_none().then(|| set.complement());
            for number in 0..most.unwrap_or(least) {
                let may_be_skipped = number >= least;
                shape.places.push(Place { set, may_be_skipped });
            }
            if shape.places.len() > MOST_PLACES {
                return Err(format!("it may be longer than {MOST_PLACES} bytes"));
            }
        }
        if shape.places.iter().all(|place| place.may_be_skipped) {
            return Err("nothing at all would match".into());
        }
        Ok(shape)
    }
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl Parser<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn next_if(&mut self, wanted: u8) -> bool {
        let is_next = self.rest.first() == Some(&wanted);
        if is_next {
            self.rest = &self.rest[1..];
        }
        is_next
    }

    fn set(&mut self) -> Result<Option<ByteSet>, String> {
        let Some(byte) = self.next() else { return Ok(None) };
        let set = match byte {
            b'[' => self.brackets()?,
            b'\\' => self.escaped()?,
            b'{' | b'}' | b']' | b'?' | b'*' | b'+' | b'(' | b')' | b'|' | b'.' | b'^' | b'$' => {
                let byte = char::from(byte);
                return Err(format!("{byte} means nothing there: write \\{byte} for the character"));
            }
            byte => one(byte),
        };
        Ok(Some(set))
    }

    fn escaped(&mut self) -> Result<ByteSet, String> {
        let mut set = ByteSet::default();
        match self.next().ok_or("it ends with a \\")? {
            b'd' => set.insert_all(b'0'..=b'9'),
            b'w' => {
                (0..=u8::MAX)
                    .filter(u8::is_ascii_alphanumeric)
                    .for_each(|byte| set.insert(byte));
                set.insert(b'_');
            }
            byte if byte.is_ascii_alphanumeric() => return Err(format!("\\{} means nothing", char::from(byte))),
            byte => set.insert(byte),
        }
        Ok(set)
    }

    /// Behind the first bracket.
    fn brackets(&mut self) -> Result<ByteSet, String> {
        const UNCLOSED: &str = "a [ without its ]";
        let others = self.next_if(b'^');
        let mut set = ByteSet::default();
        loop {
            let first = match self.next().ok_or(UNCLOSED)? {
                b']' => break,
                b'\\' => self.next().ok_or(UNCLOSED)?,
                byte => byte,
            };
            let is_range = self.rest.first() == Some(&b'-') && self.rest.get(1).is_some_and(|&byte| byte != b']');
            if is_range {
                self.next();
                let last = self.next().ok_or(UNCLOSED)?;
                if last < first {
                    return Err(format!("[{}-{}] goes backwards", char::from(first), char::from(last)));
                }
                set.insert_all(first..=last);
            } else {
                set.insert(first);
            }
        }
        if set.is_empty() {
            return Err("[] has nothing in it".into());
        }
        Ok(if others { set.complement() } else { set })
    }

    /// At least, and at the most, where there is a most.
    fn times(&mut self) -> Result<(usize, Option<usize>), String> {
        if self.next_if(b'?') {
            return Ok((0, Some(1)));
        }
        if !self.next_if(b'{') {
            return Ok((1, Some(1)));
        }
        let unfit = || "a { is for numbers: {4}, {2,6} or {20,}".to_owned();
        let end = self.rest.iter().position(|&byte| byte == b'}').ok_or_else(unfit)?;
        let (inner, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<u8>().ok().map(usize::from);
        let mut numbers = inner.splitn(2, |&byte| byte == b',');
        let least = numbers.next().and_then(number).ok_or_else(unfit)?;
        match numbers.next() {
            None if least > 0 => Ok((least, Some(least))),
            Some(b"") if least > 0 => Ok((least, None)),
            Some(most) => match number(most) {
                Some(most) if most >= least && most > 0 => Ok((least, Some(most))),
                _ => Err(unfit()),
            },
            None => Err(unfit()),
        }
    }
}

fn one(byte: u8) -> ByteSet {
    let mut set = ByteSet::default();
    set.insert(byte);
    set
}
