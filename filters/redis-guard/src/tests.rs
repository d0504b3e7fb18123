use spliceway_sdk::testing::{self, Inspected, Scene, json};

use super::*;

#[test]
fn refuses_a_command_however_it_is_written() {
    let encodings: [&[u8]; 19] = [
        b"*1\r\n$8\r\nFLUSHALL\r\n",
        b"*2\r\n$8\r\nflushALL\r\n$5\r\nASYNC\r\n",
        // Redis does nothing for these arrays, and goes on behind them.
        b"*0\r\n*-1\r\n*1\r\n$8\r\nFLUSHALL\r\n",
        // It does not look at the two bytes behind an argument.
        b"*1\r\n$4\r\nPINGxx*1\r\n$8\r\nFLUSHALL\r\n",
        b"*2\r\n$3\r\nGET\r\n$0\r\n\r\nFLUSHALL\r\n",
        b"FLUSHALL\r\n",
        b"FLUSHALL\n",
        b"\r\n\n \t\x0b\x0c flushall now\r\n",
        b"FLUSHALL\rx\r\n",
        b"\"FLUSHALL\"\r\n",
        b"'FLUSHALL'\r\n",
        b"FLUSH\"ALL\"\r\n",
        b"F'LUSHALL'\r\n",
        b"\"\\x46LUSH\\x41\\x4c\\x4C\"\r\n",
        b"\"\\FLUSH\\ALL\"\r\n",
        b"PING\r\n\"FLUSHALL\"\x0b\r\n",
        b"*2\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n",
        b"config 'set' dir /tmp\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$20\r\n01234567890123456789\r\nFLUSHALL\r\n",
    ];
    for bytes in encodings {
        for scene in guard().up(bytes).cuts() {
            let run = scene.inspect::<Session>();
            let reason = reason(&run).expect("refused");
            assert!(
                reason.starts_with("the command "),
                "{reason}: {:?}",
                bytes.escape_ascii().to_string()
            );
            assert_eq!(run.host.metric("redis_commands_refused_total"), Some(1.0));
            assert!(run.host.annotation("redis.refused").is_some());
        }
    }
}

#[test]
fn what_was_forwarded_holds_no_whole_command_that_is_refused() {
    let before = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    let refused = b"*1\r\n$8\r\nFLUSHALL\r\n";
    for scene in guard().up([&before[..], refused].concat()).cuts() {
        let run = scene.inspect::<Session>();
        assert!(run.up.forwarded.len() < before.len() + b"*1\r\n$8\r\nFLUSHALL".len());
    }
}

#[test]
fn forwards_everything_else() {
    let streams: [&[u8]; 12] = [
        b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$8\r\nFLUSHALL\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$20\r\n*1\r\n$8\r\nFLUSHALL\r\n\r\n\r\nPING\r\n",
        b"*2\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n",
        b"*1\r\n$6\r\nCONFIG\r\n*1\r\n$3\r\nSET\r\n",
        b"*1\r\n$0\r\n\r\nPING\r\n",
        b"*1\r\n$9\r\nFLUSHALL2\r\n",
        b"*1\r\n$1000\r\nFLUSH",
        b"SET k FLUSHALL\r\n",
        b"FLUSHALL2\r\nFLUSHAL\r\nL\r\n",
        b"\"FLUSH ALL\"\r\n'\\x46LUSHALL'\r\n\"\\x4\" FLUSHALL\r\n\"\\xZ\" x\r\n",
        b"echo 'it\\'s' \"a \\\"b\\\"\"\r\n",
        b"\r\n\r\n",
    ];
    for bytes in streams {
        for scene in guard().up(bytes).finish(Direction::Up).cuts() {
            let run = scene.inspect::<Session>();
            assert_eq!(reason(&run), None, "{:?}", bytes.escape_ascii().to_string());
            assert_eq!(run.up.forwarded, bytes);
        }
    }
}

#[test]
fn refuses_what_is_not_redis() {
    let streams: [(&[u8], &str); 17] = [
        (b"*x\r\n", "an array of an impossible length"),
        (b"*\r\n", "an array of an impossible length"),
        (b"*01\r\n", "an array of an impossible length"),
        (b"*-0\r\n", "an array of an impossible length"),
        (b"*+1\r\n", "an array of an impossible length"),
        (b"*1\n$4\r\nPING\r\n", "an array of an impossible length"),
        (b"*1\rx$4\r\nPING\r\n", "an array of an impossible length"),
        (b"*9223372036854775808\r\n", "an array of an impossible length"),
        (b"*1\r\nPING\r\n", "an argument without its length"),
        (b"*1\r\n\r\n", "an argument without its length"),
        (b"*1\r\n$-1\r\n", "an argument of an impossible length"),
        (
            b"*1\r\n$99999999999999999999\r\n",
            "an argument of an impossible length",
        ),
        (b"\"PING\r\n", "an inline command with unbalanced quotes"),
        (b"'PING'x\r\n", "an inline command with unbalanced quotes"),
        (b"'PING\\'\r\n", "an inline command with unbalanced quotes"),
        (b"\"\\x4\r\n", "an inline command with unbalanced quotes"),
        (b"PI\0NG\r\n", "an inline command with a null byte"),
    ];
    for (bytes, expected) in streams {
        for scene in guard().up(bytes).cuts() {
            let run = scene.inspect::<Session>();
            assert_eq!(reason(&run), Some(expected), "{:?}", bytes.escape_ascii().to_string());
        }
    }
}

#[test]
fn a_payload_goes_by_unseen() {
    let payload = vec![b'x'; 1 << 20];
    let set = [
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048576\r\n".as_slice(),
        &payload,
        b"\r\n",
    ]
    .concat();
    let run = guard()
        .up(&set)
        .up(b"PING\r\n")
        .up(b"FLUSHALL\r\n")
        .inspect::<Session>();
    assert_eq!(
        run.verdicts[0],
        (Direction::Up, Verdict::Skip(set.len() as u64 - 16 * 1024))
    );
    assert_eq!(run.up.shown, 16 * 1024 + b"PING\r\nFLUSHALL\r\n".len());
    assert_eq!(run.up.forwarded, [&set[..], b"PING\r\n"].concat());
    assert_eq!(reason(&run), Some("the command FLUSHALL is refused"));
}

#[test]
fn answers_are_never_shown() {
    let run = guard().down(b"+FLUSHALL\r\n").inspect::<Session>();
    assert_eq!(run.down.shown, 0);
    assert_eq!(run.down.forwarded, b"+FLUSHALL\r\n");
}

#[test]
fn a_long_line_is_not_kept() {
    let mut parser = Parser::new(Box::leak(Box::new([Command::try_from("GET".to_owned()).unwrap()])));
    parser.read(&vec![b'x'; 1 << 20]).unwrap();
    assert!(parser.kept() <= 4, "{}", parser.kept());
}

#[test]
fn a_bad_configuration_says_where() {
    let error = |json| testing::config::<RedisGuard>(&json).unwrap_err();
    assert_eq!(error(json!({"refuse": []})), "refuse: names no command");
    let words = error(json!({"refuse": ["GET", "CLIENT NO-EVICT ON"]}));
    assert_eq!(
        words,
        "refuse[1]: \"CLIENT NO-EVICT ON\" is neither a command nor a command and its first argument"
    );
}

#[test]
fn transcripts() {
    testing::Transcripts::of("transcripts").inspector::<Session>().play();
}

#[test]
fn schema() {
    testing::assert_schema::<RedisGuard>(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json"));
}

fn guard() -> Scene {
    Scene::new().config(json!({"refuse": ["FlushAll", "config set"]}))
}

fn reason(run: &Inspected) -> Option<&str> {
    run.refusal.as_ref().map(|refusal| refusal.reason.as_str())
}
