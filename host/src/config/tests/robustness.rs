use std::path::Path;

use super::super::load::parse;
use super::COMPLETE;

/// What breaks parsers, arithmetic and underlines.
const PIECES: [&str; 34] = [
    "",
    " ",
    "\n",
    "\r\n",
    "\t",
    "\0",
    "\u{feff}",
    "é",
    "日本",
    "e\u{301}",
    "\u{202e}",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "\\",
    "\\u0000",
    "[",
    "[[",
    "]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "#",
    "-",
    "inf",
    "nan",
    "0x",
    "99999999999999999999",
    "1979-05-27",
    "true",
    "\"\\n\\u001b[31m\"",
];

#[test]
fn no_text_makes_it_panic() {
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..3_000 {
        let mut text = COMPLETE.to_owned();
        for _ in 0..random.usize(1..5) {
            mutate(&mut text, &mut random);
        }
        check(&text);
    }
}

#[test]
fn no_beginning_of_a_file_makes_it_panic() {
    for (end, _) in COMPLETE.char_indices() {
        check(&COMPLETE[..end]);
    }
}

#[test]
fn depth_is_limited() {
    for n in [70, 100, 100_000] {
        check(&format!("{}a = 1", "a.".repeat(n)));
        check(&format!("filters.f.config = {}{}", "[".repeat(n), "]".repeat(n)));
        check(&format!("filters.f.config = {}{}", "{ a = ".repeat(n), "}".repeat(n)));
    }
}

fn check(text: &str) {
    if let Err(problems) = parse(Path::new("proxy.toml"), text) {
        assert!(problems.count() > 0, "refused without a reason:\n{text}");
        let rendered = problems.render(false);
        assert!(!rendered.contains(['\0', '\u{1b}', '\u{202e}']), "{rendered:?}");
        problems.render(true);
    }
}

fn mutate(text: &mut String, random: &mut fastrand::Rng) {
    let mut place = || {
        let mut at = random.usize(..=text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (one, other) = (place(), place());
    let (start, end) = (one.min(other), one.max(other));
    match random.u8(..4) {
        0 => text.replace_range(start..end, ""),
        1 => text.insert_str(start, PIECES[random.usize(..PIECES.len())]),
        2 => text.replace_range(start..end, PIECES[random.usize(..PIECES.len())]),
        _ => {
            let copy = text[start..end].to_owned();
            let to = if random.bool() { start } else { end };
            text.insert_str(to, &copy);
        }
    }
}
