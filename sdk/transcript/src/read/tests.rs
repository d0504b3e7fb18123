use super::*;

fn read(text: &str) -> Transcript {
    parse(Path::new("dir/x.toml"), text).unwrap_or_else(|error| panic!("{error}"))
}

/// Without the name of the file.
fn errors(text: &str) -> Vec<String> {
    let error = parse(Path::new("dir/x.toml"), text).expect_err("an error");
    let without_file = |problem: &Problem| problem.to_string().replace("dir/x.toml:", "");
    error.problems().iter().map(without_file).collect()
}

/// One whose third line is this.
fn errors_of(line: &str) -> Vec<String> {
    errors(&format!("[[case]]\nname = \"x\"\n{line}\nexpect = {{}}"))
}

#[test]
fn a_case_overrides_what_its_file_gives_key_by_key() {
    let transcript = read(
        r#"
[given]
config = { refuse = ["FLUSHALL"], share = 0.5 }
client = "192.0.2.7:1"
listener = "redis"
attributes = { "tls.sni" = "a.example", n = 7, yes = true, "proxy.tlv.ea" = { hex = "01 02" }, to = { address = "[::1]:1" } }
upstreams = { blue = { servers = 2, healthy = 1 }, green = { servers = 3 } }

[[case]]
name = "as the file says"
expect = {}

[[case]]
name = "otherwise"
given = { client = "unix", local = "[2001:db8::1]:443", attributes = {}, upstreams = ["red"], tls = true, store = 1, config = 7 }
expect = {}

[[case]]
name = "a table"
[case.given]
listener = "other"
[case.expect]
waits = true
"#,
    );
    let [first, second, third] = transcript.cases.as_slice() else {
        panic!()
    };
    assert_eq!(
        (first.name.as_str(), first.line, second.line, third.line),
        ("as the file says", 9, 13, 18)
    );
    let given = &first.given;
    assert_eq!(given.config, serde_json::json!({"refuse": ["FLUSHALL"], "share": 0.5}));
    assert_eq!(given.client, Some(([192, 0, 2, 7], 1).into()));
    assert_eq!(given.local, Given::default().local);
    assert_eq!(given.listener, "redis");
    assert_eq!(given.attributes["proxy.tlv.ea"], Value::Bytes(vec![1, 2]));
    assert_eq!(given.attributes["n"], Value::Integer(7));
    assert_eq!(given.attributes["to"], Value::Address("[::1]:1".parse().unwrap()));
    assert_eq!(given.upstreams["blue"], Upstream { servers: 2, healthy: 1 });
    assert_eq!(given.upstreams["green"], Upstream { servers: 3, healthy: 3 });
    assert!(!given.tls && given.store == 1024 && first.cut);

    let given = &second.given;
    assert_eq!(
        (given.client, given.local),
        (None, Some("[2001:db8::1]:443".parse().unwrap()))
    );
    assert_eq!(given.config, 7);
    assert!(given.attributes.is_empty() && given.tls && given.store == 1 && given.listener == "redis");
    assert_eq!(given.upstreams.keys().collect::<Vec<_>>(), ["red"]);
    assert!(third.expect.waits && third.given.listener == "other" && third.given.client == first.given.client);
}

#[test]
fn every_step_can_be_written() {
    let transcript = read(
        r##"
[[case]]
name = "all"
play = [
  { up = "a\r\n" }, { up = [{ hex = "00" }, "b"] }, { up-hex = "16 03" }, { up-repeat = "x", times = 3 },
  { down = "c" }, { down-hex = "ff" }, { down-repeat = { hex = "00" }, times = 2 },
  { finish = "up" }, { finish = "both" }, { time-out = true }, { full = true }, { wait = "1500us" },
  { closed = { outcome = "relay.finished.client", bytes-up = 1, spliced-down = 2, duration = "2s", upstream = "blue", server = "10.0.0.1:1" } },
  { closed = [{ outcome = "a", attributes = { k = "v" } }, { outcome = "b", connection = 9, client = "192.0.2.9:9", listener = "l" }] },
]
expect = {}
"##,
    );
    use Direction::{Down, Up};
    let play = &transcript.cases[0].play;
    let bytes = |direction, bytes: &[u8]| Step::Bytes(direction, bytes.to_vec());
    assert_eq!(
        play[..13],
        [
            bytes(Up, b"a\r\n"),
            bytes(Up, b"\0b"),
            bytes(Up, b"\x16\x03"),
            bytes(Up, b"xxx"),
            bytes(Down, b"c"),
            bytes(Down, b"\xff"),
            bytes(Down, b"\0\0"),
            Step::Finish(Up),
            Step::Finish(Up),
            Step::Finish(Down),
            Step::TimeOut,
            Step::Full,
            Step::Wait(Duration::from_micros(1500)),
        ]
    );
    let [Step::Closed(one), Step::Closed(two)] = &play[13..] else {
        panic!("{play:?}")
    };
    assert_eq!((one[0].up.copied, one[0].down.spliced, one[0].connection), (1, 2, 1));
    assert_eq!(
        (one[0].listener.as_str(), one[0].client),
        ("test", Given::default().client)
    );
    assert_eq!((one[0].duration, &one[0].attributes), (Duration::from_secs(2), &None));
    assert_eq!(two[0].attributes.as_ref().unwrap()["k"], Value::Text("v".to_owned()));
    assert_eq!(
        (two[1].connection, two[1].client),
        (9, Some(([192, 0, 2, 9], 9).into()))
    );
}

#[test]
fn every_expectation_can_be_written() {
    let transcript = read(
        r#"
[[case]]
name = "all"
cut = false
[case.expect]
upstream = "blue"
options = { server = "10.0.0.1:1", idle-timeout-ms = 5 }
refused = "no"
ending = "reset"
reply = { hex = "00" }
upstream-receives = "a"
client-receives = ["b", { repeat = "c", times = 2 }]
annotations = { "pg.user" = "alice" }
metrics = { refused_total = 1, share = 0.5 }
logs = ["text"]
sees = { up = 100 }
detached = ["up", "down"]
"#,
    );
    let case = &transcript.cases[0];
    let expect = &case.expect;
    assert!(!case.cut);
    assert_eq!(expect.upstream.as_deref(), Some("blue"));
    assert_eq!(expect.options["idle-timeout-ms"], Value::Integer(5));
    assert_eq!(
        (expect.refused.as_deref(), expect.ending),
        (Some("no"), Some(Ending::Reset))
    );
    assert_eq!(expect.reply.as_deref(), Some(&b"\0"[..]));
    assert_eq!(expect.client_receives.as_deref(), Some(&b"bcc"[..]));
    assert_eq!(expect.metrics["share"], 0.5);
    assert_eq!((expect.sees.up, expect.sees.down), (Some(100), None));
    assert_eq!(expect.detached, [Direction::Up, Direction::Down]);
    let configuration = read("[[case]]\nname = \"x\"\nexpect = { config-refused = \"no\" }");
    assert_eq!(configuration.cases[0].expect.config_refused.as_deref(), Some("no"));
}

#[test]
fn an_unknown_key_is_refused_where_it_stands() {
    let unknown = errors_of("plya = []");
    assert_eq!(
        unknown,
        ["3: unknown field `plya`, expected one of `name`, `given`, `play`, `expect`, `cut`"]
    );
    assert!(errors_of("play = [\n  {up = \"a\"},\n  { upp = \"a\" }]")[0].starts_with("5: unknown field `upp`"));
    assert!(errors("\n[givne]")[0].starts_with("2: unknown field `givne`"));
    assert!(errors_of("given = { clinet = \"x\" }")[0].starts_with("3: unknown field `clinet`"));
    assert!(errors("[[case]]\nname = \"x\"\nexpect = { refuse = \"x\" }")[0].starts_with("3: unknown field `refuse`"));
    assert!(errors("[[case]]\nname = \"x\"\n")[0].contains("missing field `expect`"));
    assert!(errors("[[case]\nname")[0].starts_with("1: "));
}

#[test]
fn everything_that_is_wrong_with_a_file_is_said_at_once() {
    let all = errors(
        r#"[given]
client = "nobody"

[[case]]
name = "a"
play = [{ up = 7 }, { wait = "soon" },
  { up = "a", down = "b" },
  {},
  { full = false },
  { up-repeat = "x" },
  { up = "x", times = 2 },
  { up-file = "none.bin" },
]
expect = { reply = "x" }

[[case]]
name = "a"
given = { client = "192.0.2.1:1", attributes = { a = [] } }
expect = { upstream = "blue", waits = true }
"#,
    );
    let expected = [
        "2: client: \"nobody\" is not an address and a port, as in \"192.0.2.1:40000\", nor \"unix\"",
        "6: 7 is not bytes: expected",
        "6: \"soon\" is no time: expected a whole number and us, ms, s, m or h",
        "7: a step is one thing, and this one is 2: expected up, down",
        "8: a step is one thing, and this one is 0: expected",
        "9: full happens or is not there: expected full = true",
        "10: a repetition without its number: expected times = 9",
        "11: times: only up-repeat and down-repeat have a number",
        "12: dir/none.bin cannot be read: ",
        "14: ending and reply are of a refusal: expected refused",
        "18: attributes.a: [] is no value: expected",
        "19: a router decides one thing: expected only one of",
        "16: the case of line 4 has the name \"a\" already",
    ];
    assert_eq!(all.len(), expected.len(), "{all:#?}");
    for (came, expected) in all.iter().zip(expected) {
        assert!(came.starts_with(expected), "{came}\n{expected}");
    }
}

#[test]
fn what_can_never_be_played_is_refused() {
    assert_eq!(
        errors(""),
        ["1: there is no case: expected [[case]] with a name, a play and what to expect"]
    );
    assert_eq!(
        errors("[[case]]\nname = \" \"\nexpect = {}"),
        ["2: a case without a name: expected a sentence"]
    );
    let config = errors("[[case]]\nname = \"x\"\nplay = [{ up = \"a\" }]\nexpect = { config-refused = \"x\" }");
    assert_eq!(
        config,
        ["4: config-refused: a filter that refuses its configuration plays nothing"]
    );
    let more = errors("[[case]]\nname = \"x\"\nexpect = { config-refused = \"x\", client-receives = \"y\" }");
    assert_eq!(
        more,
        ["3: config-refused: nothing else comes of a filter that refuses its configuration"]
    );
    for time in [
        "",
        "1",
        "s",
        "-1s",
        "1.5s",
        "99999999999999999999s",
        "9999999999999999h",
    ] {
        assert!(
            errors_of(&format!("play = [{{ wait = \"{time}\" }}]"))[0].contains("is no time"),
            "{time}"
        );
    }
}

#[test]
fn a_directory_gives_its_files_in_order_and_says_what_is_wrong_with_all_of_them() {
    let directory = std::env::temp_dir().join(format!("spliceway-transcript-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
    let empty = load(&directory).unwrap_err().to_string();
    assert!(
        empty.ends_with("has no transcript: expected files called NAME.toml"),
        "{empty}"
    );
    write("hello.bin", "\u{1}hello");
    write(
        "b.toml",
        "[[case]]\nname = \"b\"\nplay = [{ up-file = \"hello.bin\" }]\nexpect = {}",
    );
    write("a.toml", "[[case]]\nname = \"a\"\nexpect = {}");
    write("README.md", "no transcript");
    let transcripts = load(&directory).unwrap();
    assert_eq!(
        transcripts
            .iter()
            .map(|one| one.cases[0].name.as_str())
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(
        transcripts[1].cases[0].play,
        [Step::Bytes(Direction::Up, b"\x01hello".to_vec())]
    );
    assert_eq!(load(&directory.join("a.toml")).unwrap().len(), 1);
    write("a.toml", "x");
    write("b.toml", "y");
    assert_eq!(load(&directory).unwrap_err().problems().len(), 2);
    fs::remove_dir_all(&directory).unwrap();
    assert!(load(&directory).unwrap_err().to_string().contains("cannot be read"));
}
