use super::*;
use crate::PerDirection;

fn case(given: &str, expect: &str) -> Case {
    let text = format!("[[case]]\nname = \"x\"\ngiven = {given}\nexpect = {expect}");
    crate::parse("x.toml".as_ref(), &text)
        .unwrap_or_else(|error| panic!("{error}"))
        .cases
        .remove(0)
}

fn mismatches(expect: &str, observed: &Observed) -> Vec<String> {
    judge(&case("{}", expect), observed)
        .iter()
        .map(Mismatch::to_string)
        .collect()
}

fn refused(reason: &str, forwarded: &str) -> Observed {
    Observed {
        refusal: Some(Refusal {
            reason: reason.to_owned(),
            ending: Ending::Graceful,
            reply: b"-ERR\r\n".to_vec(),
        }),
        to_upstream: forwarded.into(),
        ..Observed::default()
    }
}

#[test]
fn what_is_not_named_is_not_checked() {
    let observed = Observed {
        decision: Decision::Upstream("blue".to_owned()),
        to_upstream: b"abc".to_vec(),
        logs: vec!["x".to_owned()],
        ..Observed::default()
    };
    assert_eq!(mismatches("{}", &observed), [""; 0]);
    assert_eq!(mismatches("{}", &refused("too bad", "")), ["refused: \"too bad\""]);
}

#[test]
fn a_failure_never_passes() {
    let observed = Observed {
        failure: Some("it trapped".to_owned()),
        ..refused("no", "")
    };
    assert_eq!(
        mismatches("{ refused = \"no\" }", &observed),
        ["the filter failed: it trapped"]
    );
}

#[test]
fn a_refusal_is_judged_by_its_reason_its_ending_and_its_reply() {
    let observed = refused("the command FLUSHALL", "ab");
    let expect = r#"{ refused = "FLUSH", ending = "graceful", reply = "-ERR\r\n", upstream-receives = "abc" }"#;
    assert_eq!(mismatches(expect, &observed), [""; 0]);
    assert_eq!(
        mismatches("{ refused = \"GET\" }", &observed),
        ["refused for another reason: expected \"GET\", came \"the command FLUSHALL\""]
    );
    assert_eq!(
        mismatches("{ refused = \"GET\" }", &Observed::default()),
        ["not refused: expected a refusal with \"GET\""]
    );
    assert_eq!(
        mismatches("{ refused = \"FLUSH\", ending = \"reset\", reply = \"x\" }", &observed),
        [
            "the ending: expected reset, came graceful",
            "the reply: expected \"x\", came \"-ERR\\r\\n\""
        ]
    );
    assert_eq!(
        mismatches("{ refused = \"FLUSH\", upstream-receives = \"a\" }", &observed),
        ["the upstream receives more than that, or something else, before the refusal: expected \"a\", came \"ab\""]
    );
}

#[test]
fn a_router_is_judged_by_what_it_decides() {
    let mut observed = Observed {
        decision: Decision::Upstream("blue".to_owned()),
        ..Observed::default()
    };
    observed
        .options
        .insert("server".to_owned(), Value::Address(([10, 0, 0, 1], 80).into()));
    let expect = r#"{ upstream = "blue", options = { server = "10.0.0.1:80" } }"#;
    assert_eq!(mismatches(expect, &observed), [""; 0]);
    assert_eq!(
        mismatches(
            "{ upstream = \"green\", options = { server = 1, hash-key = \"k\" } }",
            &observed
        ),
        [
            "the router: expected that it chooses \"green\", and it chooses \"blue\"",
            "the option hash-key: expected \"k\", came none",
            "the option server: expected 1, came 10.0.0.1:80"
        ]
    );
    assert_eq!(
        mismatches("{ passes = true }", &observed),
        ["the router: expected that it passes, and it chooses \"blue\""]
    );
    observed.decision = Decision::Waits;
    assert_eq!(mismatches("{ waits = true }", &observed), [""; 0]);
    observed.decision = Decision::Upstream("red".to_owned());
    let unknown = judge(&case("{ upstreams = [\"blue\", \"green\"] }", "{}"), &observed);
    assert_eq!(
        unknown[0].to_string(),
        "the router chooses \"red\", and the upstreams given are blue, green"
    );
}

#[test]
fn a_configuration_is_judged_by_whether_it_is_refused() {
    let observed = Observed {
        config_refused: Some("refuse: names no command".to_owned()),
        ..Observed::default()
    };
    assert_eq!(mismatches("{ config-refused = \"no command\" }", &observed), [""; 0]);
    assert_eq!(
        mismatches("{ upstream = \"blue\" }", &observed),
        ["the configuration is refused: refuse: names no command"]
    );
    assert_eq!(
        mismatches("{ config-refused = \"x\" }", &Observed::default()),
        ["the configuration is accepted: expected it to be refused with \"x\""]
    );
    assert!(mismatches("{ config-refused = \"x\" }", &observed)[0].contains("for another reason"));
}

#[test]
fn traces_and_what_was_shown_are_judged() {
    let mut observed = Observed {
        shown: PerDirection { up: 7, down: 0 },
        detached: PerDirection { up: false, down: true },
        logs: vec!["refused command=GET".to_owned()],
        ..Observed::default()
    };
    observed
        .annotations
        .insert("pg.user".to_owned(), Value::Bytes(b"alice".to_vec()));
    observed.metrics.insert("refused_total".to_owned(), 1.0);
    let expect = r#"{ annotations = { "pg.user" = "alice" }, metrics = { refused_total = 1, other = 0 }, logs = ["command=GET"],
        sees = { up = 7, down = 0 }, detached = ["down"] }"#;
    assert_eq!(mismatches(expect, &observed), [""; 0]);
    let expect = r#"{ annotations = { "pg.user" = "bob" }, metrics = { refused_total = 2 }, logs = ["FLUSHALL"],
        sees = { up = 6 }, detached = ["up"] }"#;
    assert_eq!(
        mismatches(expect, &observed),
        [
            "the annotation pg.user: expected \"bob\", came hex 616c696365",
            "the metric refused_total: expected 2, came 1",
            "no log record has \"FLUSHALL\"; logged: refused command=GET",
            "it sees 7 bytes of up: expected 6 at the most",
            "it still watches up: expected it to have detached"
        ]
    );
}

#[test]
fn long_bytes_are_shown_from_where_they_part() {
    let expect = "{ upstream-receives = { repeat = \"x\", times = 1000 } }";
    let observed = Observed {
        to_upstream: [vec![b'x'; 500], vec![b'y'; 500]].concat(),
        ..Observed::default()
    };
    let mismatch = &mismatches(expect, &observed)[0];
    assert!(mismatch.starts_with("the upstream receives: the same for 500 bytes; from byte 460 on expected \"xxx"));
    assert!(mismatch.ends_with("yyy\" and 460 bytes more"), "{mismatch}");
    assert!(mismatch.len() < 400);
}
