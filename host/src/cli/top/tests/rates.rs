//! What follows from two answers, and how tables fit.

use super::super::columns::{Want, cut, fit, wrapped};
use super::super::draw::shares;
use super::super::picture::Picture;
use super::super::seen::parse;
use super::*;
use crate::admin::said::Bytes;

#[test]
fn rates_are_between_two_answers_of_one_process() {
    let (before, now) = (overview(0).unwrap(), overview(2).unwrap());
    let picture = Picture::after(Some(&before), now);
    let rates = picture.rates.as_ref().unwrap();
    assert_eq!(rates.accepted, 25.0);
    let Bytes {
        copied,
        spliced,
        filtered,
    } = rates.up;
    assert_eq!((copied, spliced, filtered), (1 << 10, 1 << 20, 0));
    assert_eq!(rates.ended["front"], 5.0);
    assert_eq!((rates.moved(77), rates.moved(5)), (Some((500, 5000)), Some((0, 0))));
    let cost = rates.cost("guard", 3).unwrap();
    assert_eq!((cost.calls, cost.each), (200.0, Some(2.5)));
    assert!((cost.share - 0.0005).abs() < 1e-9, "{cost:?}");
    assert_eq!(
        (rates.cost("guard", 4), rates.cost("other", 3), rates.moved(1)),
        (None, None, None)
    );
}

#[test]
fn another_process_and_the_same_moment_have_no_rates() {
    let before = overview(1).unwrap();
    assert!(Picture::after(None, overview(1).unwrap()).rates.is_none());
    for second in [0, 1] {
        assert!(Picture::after(Some(&before), overview(second).unwrap()).rates.is_none());
    }
    let mut another = said(2);
    another["status"]["pid"] = json!(4712);
    let another = parse(&another.to_string()).unwrap();
    assert!(Picture::after(Some(&before), another).rates.is_none());
}

#[test]
fn an_answer_that_cannot_be_read_says_which_version_it_is_of() {
    let mut newer = said(0);
    newer["status"]["version"] = json!("9.0.0\u{1b}[2J");
    newer["traffic"] = json!("all of it");
    let error = read(&newer.to_string()).unwrap_err();
    assert!(error.contains("9.0.0\\u{1b}[2J, and this is"), "{error}");
    for nonsense in ["", "[]", "{}", "<html>"] {
        let error = read(nonsense).unwrap_err();
        assert!(error.contains("cannot be read") && error.contains("another"), "{error}");
    }
}

#[test]
fn what_others_have_written_is_harmless_and_not_endless() {
    let mut hostile = said(0);
    hostile["errors"][0]["text"] = json!("\u{1b}]0;owned\u{7}\r\n".repeat(1000));
    hostile["listeners"][0]["outcomes"] = json!({ "a\u{202e}b": 1 });
    let overview = read(&hostile.to_string()).unwrap();
    let text = &overview.errors[0].text;
    assert!(
        text.starts_with("\\u{1b}]0;owned\\u{7}\\r\\n") && text.ends_with('…'),
        "{text}"
    );
    assert!(text.len() < 20_000 && !text.contains(char::is_control));
    assert!(overview.listeners[0].outcomes.contains_key("a\\u{202e}b"));
}

#[test]
fn columns_go_by_rank_and_the_widest_texts_are_cut() {
    let wants = [
        Want::new(20, 10, 0),
        Want::new(5, 5, 0),
        Want::new(30, 10, 1),
        Want::new(4, 4, 2),
    ];
    for (room, widths) in [
        (100, [Some(20), Some(5), Some(30), Some(4)]),
        (55, [Some(20), Some(5), Some(20), Some(4)]),
        (45, [Some(15), Some(5), Some(15), Some(4)]),
        (34, [Some(12), Some(5), Some(13), None]),
        (20, [Some(13), Some(5), None, None]),
        (12, [Some(12), None, None, None]),
        (7, [Some(7), None, None, None]),
        (0, [Some(0), None, None, None]),
    ] {
        let found = fit(&wants, room);
        let total = |widths: &[Option<usize>]| widths.iter().flatten().sum::<usize>();
        assert_eq!(
            found.iter().map(Option::is_some).collect::<Vec<_>>(),
            widths.map(|it| it.is_some()),
            "{room}"
        );
        assert_eq!(total(&found), total(&widths), "{room}: {found:?}");
    }
}

#[test]
fn texts_are_cut_and_wrapped_by_the_columns_that_they_take() {
    for (text, width, shown) in [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("日本語", 4, "日…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ] {
        assert_eq!(cut(text, width), shown);
    }
    assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
    assert_eq!(wrapped("abcdefgh ij", 5), ["abcde", "fgh", "ij"]);
    assert_eq!(wrapped("日本", 1), ["日", "本"]);
    assert_eq!(wrapped("", 5), [""]);
}

#[test]
fn rows_are_shared_by_those_who_want_them() {
    assert_eq!(shares(&[3, 1, 50], 1, 12), [3, 1, 5]);
    assert_eq!(shares(&[9, 9, 9], 1, 4), [1, 1, 0]);
    assert_eq!(shares(&[2, 2], 2, 100), [2, 2]);
    assert_eq!(shares(&[2], 1, 1), [0]);
}
