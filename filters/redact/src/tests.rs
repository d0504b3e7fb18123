use spliceway_sdk::testing::{self, Json, Scene, json};

use super::*;

#[test]
fn transcripts() {
    testing::Transcripts::of("transcripts").transformer::<Session>().play();
}

/// However it is cut, it is masked in the same way.
#[track_caller]
fn masked(patterns: &Json, text: impl AsRef<[u8]>) -> String {
    let scene = Scene::new()
        .config(json!({"patterns": patterns, "mask": "#"}))
        .down(&text)
        .finish(Direction::Down);
    let masked = |scene: Scene| String::from_utf8_lossy(&scene.transform::<Session>().to_client).into_owned();
    let whole = masked(scene.clone());
    for scene in scene.cuts() {
        assert_eq!(masked(scene), whole);
    }
    assert_eq!(whole.len(), String::from_utf8_lossy(text.as_ref()).len(), "{whole}");
    whole
}

#[test]
fn cards_are_masked_whatever_is_between_their_groups() {
    let card = |text: &str| masked(&json!(["card"]), text);
    assert_eq!(card("4111111111111111"), "################");
    assert_eq!(card("<4111 1111 1111 1111>"), "<###################>");
    assert_eq!(card("a4111-1111-1111-1111b"), "a###################b");
    assert_eq!(
        card("3782 822463 10005 and 4222222222222"),
        "################# and #############"
    );
    assert_eq!(card("4111 1111 1111 1111 12 2027"), "################### 12 2027");
    assert_eq!(card("12 4111 1111 1111 1111"), "12 ###################");
    assert_eq!(card("4111 1111 1111 1111 - "), "################### - ");
}

#[test]
fn what_is_no_card_is_left_alone() {
    for text in [
        "4111111111111112",
        "41111111111111111",
        "4111  1111 1111 1111",
        "4111.1111.1111.1111",
        "411111111111",
        "99999999999999999999999999999999999999999999999999",
        "4111 1111 1111 111",
        "1 - 2 - 3",
        "",
    ] {
        assert_eq!(masked(&json!(["card"]), text), text);
    }
}

#[test]
fn addresses_are_masked() {
    let email = |text: &str| masked(&json!(["email"]), text);
    assert_eq!(email("write to alice@example.com."), "write to #################.");
    assert_eq!(
        email("<a.b+c@mail.example.co.uk>,x@y.zz"),
        "<########################>,######"
    );
    assert_eq!(email("a@b.cc--- "), "######--- ");
    for text in [
        "alice@",
        "@example.com",
        "alice@localhost",
        "alice at example.com",
        "a@b.c",
        "a@.com",
        "a@b.1x",
        "a@@b.cc",
        "a@b@",
    ] {
        assert_eq!(email(text), text);
    }
    let long = format!("{}@example.com", "x".repeat(65));
    assert_eq!(email(&long), long);
    let longest = format!("{}@{}.example", "x".repeat(64), "y".repeat(245));
    assert_eq!(email(&longest), "#".repeat(longest.len()));
}

#[test]
fn what_follows_a_text_is_masked() {
    let bearer = |text: &str| masked(&json!(["bearer"]), text);
    assert_eq!(
        bearer("authorization: bearer abc.def-ghi\r\nHost: x"),
        "authorization: bearer ###########\r\nHost: x"
    );
    assert_eq!(bearer("Bearer \r\nBEARER x"), "Bearer \r\nBEARER #");
    let token = format!("Bearer {}\n", "t".repeat(100_000));
    assert_eq!(bearer_once(&token), format!("Bearer {}\n", "#".repeat(100_000)));
    let password = json!([{"after": {"text": "password=", "until": "&"}}]);
    assert_eq!(
        masked(&password, "PassWord=a b&x=1&password=\r\npassword="),
        "PassWord=###&x=1&password=\r\npassword="
    );
}

fn bearer_once(text: &str) -> String {
    let scene = Scene::new()
        .config(json!({"patterns": ["bearer"], "mask": "#"}))
        .down(text);
    String::from_utf8(scene.transform::<Session>().to_client).unwrap()
}

#[test]
fn shapes_are_masked() {
    let shape = |shape: &str, text: &str| masked(&json!([{"shape": shape}]), text);
    assert_eq!(
        shape("AKIA[A-Z0-9]{4}", "xAKIA12BCD AKIA12B AKIA12bC"),
        "x########D AKIA12B AKIA12bC"
    );
    assert_eq!(
        shape(r"\d{3}-?\d{2}", "123-45 12345 123--45 1234"),
        "###### ##### 123--45 1234"
    );
    assert_eq!(
        shape("sk-[a-z]{3,}", "sk-ab sk-abc sk-abcdef!"),
        "sk-ab ###### #########!"
    );
    assert_eq!(shape("ab{1,3}", "abbbb a ab"), "####b a ##");
    assert_eq!(shape(r"\[[^\]]{1,9}\]", "[] [x] [xxxxxxxxxx]"), "[] ### [xxxxxxxxxx]");
    assert_eq!(shape("a?b", "b ab aab"), "# ## a##");
    assert_eq!(shape("[a-]{2}", "a- --b"), "## ##b");
    assert_eq!(shape("aab", "aaab"), "a###");
}

#[test]
fn the_longer_of_two_matches_counts() {
    let patterns = json!([{"text": "abc"}, {"shape": "abcde"}, {"text": "cdefg"}]);
    assert_eq!(masked(&patterns, "abcdefg"), "#####fg");
    assert_eq!(masked(&patterns, "abcdxABCcdefg"), "###dx########");
    assert_eq!(masked(&patterns, "abcd"), "###d");
}

#[test]
fn little_waits_and_not_for_long() {
    let patterns =
        ["card", "email", "bearer"].map(|name| testing::config::<Redact>(&json!({"patterns": [name]})).unwrap());
    for config in &patterns {
        for text in ["1 ", "a", "a@a.", "bearer x", "4111-"] {
            let mut scanner = Scanner::new(&config.patterns, b'*');
            for round in 0..2000 {
                scanner.scan(text.as_bytes().to_vec(), false);
                assert!(scanner.waiting() <= pattern::LONGEST, "{text} {round}");
            }
        }
        let mut scanner = Scanner::new(&config.patterns, b'*');
        scanner.scan(b"a line of text\r\n".to_vec(), false);
        assert_eq!(scanner.waiting(), 0);
    }
}

/// Bytes of few kinds, so that beginnings of matches are everywhere.
#[test]
fn random_texts_are_masked_in_the_same_way_however_they_are_cut() {
    let patterns =
        json!(["card", "email", "bearer", {"text": "aab"}, {"shape": "a?b{1,3}@1{2,}"}, {"after": {"text": "1-"}}]);
    let config: &'static Redact = Box::leak(Box::new(testing::config(&json!({"patterns": patterns})).unwrap()));
    let mut random = 7_u64;
    let mut next = |below: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    for _ in 0..2000 {
        let text: Vec<u8> = (0..next(60)).map(|_| b"ab1@.- 4\n\xff"[next(10)]).collect();
        let whole = Scanner::new(&config.patterns, b'*').scan(text.clone(), true);
        let mut scanner = Scanner::new(&config.patterns, b'*');
        let (mut bytes, mut matches, mut from) = (Vec::new(), 0, 0);
        while from < text.len() {
            let to = (from + 1 + next(5)).min(text.len());
            let masked = scanner.scan(text[from..to].to_vec(), false);
            bytes.extend(masked.bytes);
            matches += masked.matches;
            from = to;
        }
        let masked = scanner.scan(Vec::new(), true);
        bytes.extend(masked.bytes);
        assert_eq!(bytes, whole.bytes, "{}", text.escape_ascii());
        assert_eq!(matches + masked.matches, whole.matches);
        assert_eq!(bytes.len(), text.len());
    }
}

#[test]
fn a_bad_configuration_says_where() {
    let error = |json| testing::config::<Redact>(&json).unwrap_err();
    let pattern = |pattern: Json| testing::config::<Redact>(&json!({"patterns": [pattern]})).unwrap_err();
    assert_eq!(error(json!({"patterns": []})), "patterns: there is none");
    assert_eq!(
        error(json!({"patterns": vec!["card"; 33]})),
        "patterns: 33 are more than 32"
    );
    assert_eq!(
        error(json!({"patterns": ["card"], "mask": "ä"})),
        "mask: 'ä' is not a printable ASCII character"
    );
    assert!(error(json!({"patterns": ["cards"]})).contains("unknown variant `cards`"));
    assert_eq!(pattern(json!({"text": ""})), "patterns[0]: text: it is empty");
    assert_eq!(
        pattern(json!({"after": {"text": "x".repeat(129)}})),
        "patterns[0]: after.text: longer than 128 bytes"
    );
    assert_eq!(
        pattern(json!({"after": {"text": "x", "until": "ä"}})),
        "patterns[0]: until: \"ä\" is not ASCII"
    );
    for (shape, expected) in [
        ("", "nothing at all would match"),
        ("a?", "nothing at all would match"),
        ("ä", "it is not ASCII"),
        ("a{1,}b", "\"{n,}\" is only for the end of a shape"),
        ("a*", "* means nothing there: write \\* for the character"),
        ("(a)", "( means nothing there: write \\( for the character"),
        ("[a", "a [ without its ]"),
        ("[]", "[] has nothing in it"),
        ("[z-a]", "[z-a] goes backwards"),
        ("a{0}", "a { is for numbers: {4}, {2,6} or {20,}"),
        ("a{3,2}", "a { is for numbers: {4}, {2,6} or {20,}"),
        ("a{x}", "a { is for numbers: {4}, {2,6} or {20,}"),
        ("a{", "a { is for numbers: {4}, {2,6} or {20,}"),
        ("a{100}b{28}", "it may be longer than 127 bytes"),
        ("\\", "it ends with a \\"),
        ("\\s", "\\s means nothing"),
    ] {
        let error = pattern(json!({"shape": shape}));
        assert_eq!(error, format!("patterns[0]: shape: {shape:?}: {expected}"));
    }
}

#[test]
fn schema() {
    testing::assert_schema::<Redact>(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json"));
}
