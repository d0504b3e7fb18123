use spliceway_sdk::testing::{self, Scene, json};

use super::*;

#[test]
fn transcripts() {
    testing::Transcripts::of("transcripts").inspector::<Session>().play();
}

#[test]
fn one_wrong_byte_is_a_verdict_and_lets_nobody_in_who_may_not() {
    let line = b"SSH-2.0-Go\r\n";
    for place in 0..line.len() {
        for byte in 0..=u8::MAX {
            let mut hostile = *line;
            hostile[place] = byte;
            let run = Scene::new()
                .config(json!({"allow": ["Go"]}))
                .up(hostile)
                .up("rest\n")
                .finish(Direction::Up)
                .inspect::<Session>();
            // A carriage return is no part of the version.
            let fine = hostile == *line || hostile == *b"SSH-2.0-Go\n\n";
            assert_eq!(run.refusal.is_none(), fine, "{}", hostile.escape_ascii());
        }
    }
}

#[test]
fn the_longest_line_is_255_bytes() {
    let refused = |line: &str| {
        let scene = Scene::new().config(json!({"refuse": ["Evil*"]})).up(line);
        scene.inspect::<Session>().refusal.map(|refusal| refusal.reason)
    };
    let line = |length: usize| format!("SSH-2.0-{}\r\n", "x".repeat(length - 10));
    assert_eq!(refused(&line(255)), None);
    let too_long = Some("the first line of the client is longer than SSH allows".to_owned());
    assert_eq!(refused(&line(256)), too_long);
    assert_eq!(refused(&line(100_000)), too_long);
}

#[test]
fn a_bad_configuration_says_where() {
    let error = |json| testing::config::<SshBanner>(&json).unwrap_err();
    assert!(error(json!({})).starts_with("neither allow nor refuse names a version"));
    assert_eq!(
        error(json!({"allow": [""]})),
        "allow[0]: an empty pattern matches nothing"
    );
    assert_eq!(
        error(json!({"refuse": ["x", "a*b"]})),
        "refuse[1]: a * can only be the first or the last of \"a*b\""
    );
}

#[test]
fn schema() {
    testing::assert_schema::<SshBanner>(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json"));
}
