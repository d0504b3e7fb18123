use crate::pattern::{Answer, Found};

/// ISO/IEC 7812: a number has up to 19 digits, and the networks give none that is shorter than 13.
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// Digits in groups, with a space or a hyphen between them. The longest row of groups counts whose check digit is right, so that
/// the year of expiry behind a number does not hide it.
pub(crate) fn card(previous: Option<u8>, text: &[u8], last: bool) -> Answer<'static> {
    if previous.is_some_and(|byte| byte.is_ascii_digit()) {
        return Answer::No;
    }
    let mut digits = Vec::with_capacity(*DIGITS.end());
    let mut best = None;
    for (at, &byte) in text.iter().enumerate() {
        let Some(&next) = text.get(at + 1) else {
            return end_of_card(&mut digits, byte, text.len(), best, last);
        };
        match byte {
            b'0'..=b'9' if digits.len() == *DIGITS.end() => break,
            b'0'..=b'9' => {
                digits.push(byte);
                if !next.is_ascii_digit() && is_card(&digits) {
                    best = Some(at + 1);
                }
            }
            b' ' | b'-' if next.is_ascii_digit() => {}
            _ => break,
        }
    }
    best.map_or(Answer::No, found)
}

/// At the last byte that is there.
fn end_of_card(digits: &mut Vec<u8>, byte: u8, length: usize, best: Option<usize>, last: bool) -> Answer<'static> {
    let may_go_on = match byte {
        b'0'..=b'9' if digits.len() < *DIGITS.end() => {
            digits.push(byte);
            true
        }
        b' ' | b'-' => digits.len() < *DIGITS.end(),
        _ => false,
    };
    match best {
        _ if may_go_on && !last => Answer::More,
        _ if byte.is_ascii_digit() && may_go_on && is_card(digits) => found(length),
        Some(length) => found(length),
        None => Answer::No,
    }
}

fn is_card(digits: &[u8]) -> bool {
    DIGITS.contains(&digits.len()) && luhn(digits)
}

/// ISO/IEC 7812-1, annex B: of each second digit from the right, the digits of its double count.
fn luhn(digits: &[u8]) -> bool {
    let value = |(index, digit): (usize, &u8)| {
        let digit = u32::from(digit - b'0');
        if index % 2 == 0 {
            digit
        } else {
            digit * 2 / 10 + digit * 2 % 10
        }
    };
    digits
        .iter()
        .rev()
        .enumerate()
        .map(value)
        .sum::<u32>()
        .is_multiple_of(10)
}

/// RFC 5321, 4.5.3.1.
const LONGEST_LOCAL: usize = 64;
const LONGEST_DOMAIN: usize = 253;

/// A name, an `@`, and a domain of at least two labels, of which the last has letters alone.
pub(crate) fn email(previous: Option<u8>, text: &[u8], last: bool) -> Answer<'static> {
    if previous.is_some_and(is_local) {
        return Answer::No;
    }
    let Some(local) = run(text, LONGEST_LOCAL, is_local) else {
        return if last { Answer::No } else { Answer::More };
    };
    if text[local] != b'@' {
        return Answer::No;
    }
    let behind = &text[local + 1..];
    let domain = match run(behind, LONGEST_DOMAIN, is_domain) {
        Some(length) => &behind[..length],
        None if last => behind,
        None => return Answer::More,
    };
    // The full stop of a sentence is not the domain's.
    let end = domain
        .iter()
        .rposition(|byte| !b".-".contains(byte))
        .map_or(0, |at| at + 1);
    let domain = &domain[..end];
    let is_top = |label: &[u8]| label.len() >= 2 && label.iter().all(u8::is_ascii_alphabetic);
    match domain.iter().rposition(|&byte| byte == b'.') {
        Some(dot) if dot > 0 && is_top(&domain[dot + 1..]) => found(local + 1 + end),
        _ => Answer::No,
    }
}

fn found(length: usize) -> Answer<'static> {
    Answer::Found(Found::whole(length))
}

/// How many bytes are so, of as many as count; `None` where the text ends before one that is not.
fn run(text: &[u8], longest: usize, is: fn(u8) -> bool) -> Option<usize> {
    let counted = &text[..text.len().min(longest)];
    let end = counted.iter().position(|&byte| !is(byte));
    end.or_else(|| (text.len() > longest).then_some(longest))
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte)
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-'
}
