//! A proxy that is none answers, goes away, and comes back.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::super::once;
use super::super::seen::{Answer, PATH};
use super::super::watch::{Happening, happenings};
use super::*;
use crate::cli::ask::Asker;

const OFTEN: Duration = Duration::from_millis(10);

#[test]
fn it_asks_on_while_nobody_is_there_and_sees_who_comes_and_goes() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("admin.sock");
    let happenings = happenings(asker(&socket), OFTEN).unwrap();
    let next = |accepts: &dyn Fn(&Answer) -> bool| {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            for happening in happenings.next() {
                match happening {
                    Happening::Answer(answer) if accepts(&answer) => return answer,
                    Happening::Answer(_) => {}
                    _ => panic!("nobody pressed a key"),
                }
            }
            assert!(Instant::now() < until, "no such answer");
        }
    };
    let trouble = next(&|_| true).unwrap_err();
    assert!(
        trouble.contains("cannot ask a proxy at unix:") && trouble.contains("is it running"),
        "{trouble}"
    );

    let ask_twice = serve(&socket, vec![ok(0), ok(1)]);
    let first = next(&|answer| answer.is_ok()).unwrap();
    let second = next(&|answer| answer.is_ok()).unwrap();
    assert_eq!(second.at_ms - first.at_ms, 1000);
    assert_eq!(ask_twice.join().unwrap(), vec![format!("GET {PATH} HTTP/1.1"); 2]);

    next(&|answer| answer.is_err()).unwrap_err();
    std::fs::remove_file(&socket).unwrap();
    let newer = (200, r#"{"status": {"version": "9.9.9"}}"#.to_owned());
    let older = (
        404,
        r#"{"error": "there is nothing at this path", "hint": "ask otherwise"}"#.to_owned(),
    );
    let closed = (401, r#"{"error": "the token is missing", "hint": "say it"}"#.to_owned());
    serve(&socket, vec![newer, older, closed]);
    for expected in [
        "its version is 9.9.9, and this is",
        "it has no /v1/overview; its version is an older one",
        "the token is missing; say it",
    ] {
        next(&|answer| matches!(answer, Err(why) if why.contains(expected))).unwrap_err();
    }
}

#[test]
fn once_prints_the_rates_between_two_answers() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("admin.sock");
    assert!(once(&asker(&socket), OFTEN).unwrap_err().contains("cannot ask a proxy"));
    serve(&socket, vec![ok(0), ok(1)]);
    let text = once(&asker(&socket), OFTEN).unwrap();
    assert!(text.contains("25.0/s accepted"), "{text}");
}

fn asker(socket: &Path) -> Asker {
    Asker::new(format!("unix:{}", socket.display()).parse().unwrap(), None).unwrap()
}

fn ok(second: u64) -> (u16, String) {
    (200, said(second).to_string())
}

/// Gives these answers, each to a connection of its own, and ends; what it was asked.
fn serve(socket: &Path, answers: Vec<(u16, String)>) -> thread::JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        let asked = answers.into_iter().map(|(status, body)| {
            let (stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(&stream).lines().map(Result::unwrap);
            let first = lines.next().unwrap();
            lines.find(String::is_empty).unwrap();
            let length = body.len();
            write!(&stream, "HTTP/1.1 {status} \r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
            first
        });
        asked.collect()
    })
}
