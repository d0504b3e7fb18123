//! What is on the screen.

use std::time::Duration;

use super::super::look::View;
use super::super::picture::Picture;
use super::*;

#[test]
fn it_says_who_is_asked_how_it_is_and_the_most_important_of_each_view() {
    let lines = drawn(&seen(), &mut Look::default(), 120, 40, Instant::now());
    let text = lines.join("\n");
    for expected in [
        concat!(
            "spliceway ",
            env!("CARGO_PKG_VERSION"),
            "  serving  pid 4711  up 1h 0m  unix:/run/spliceway/admin.sock"
        ),
        "12 open  25.0/s accepted  2 workers  late by 1.2ms",
        "BYTES/S       ALL   COPIED   SPLICED  FILTERED    SO FAR    peak 46.0 MiB/s",
        "up        1.0 MiB  1.0 KiB   1.0 MiB       0 B   1.0 MiB",
        "down     45.0 MiB      0 B  45.0 MiB       0 B  45.0 MiB",
        " 1 Overview  2 Listeners  3 Upstreams  4 Filters  5 Connections  6 Recent  7 Errors",
        "app       1 of 2 up     4  10.0.0.2:5432 down",
        "connect.refused.upstream",
        "server is down upstream=app server=10.0.0.2:5432",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    // The course: one bar, the highest, at the right end.
    assert!(lines[3].ends_with('█') && lines[4].ends_with('█'), "{text}");
    assert!(lines[39].starts_with("q quit  ? help"), "{text}");
}

#[test]
fn each_view_has_its_key_and_its_figures() {
    let seen = seen();
    for (key, view, expected) in [
        (
            '2',
            View::Listeners,
            [
                "front",
                "5.0",
                "93",
                "relay.finished.client 90, connect.refused.upstream 3",
            ],
        ),
        ('3', View::Upstreams, ["10.0.0.1:5432", "up", "10.0.0.2:5432", "down"]),
        ('4', View::Filters, ["200", "2.5", "7.9", "0.1%"]),
        ('5', View::Connections, ["77", "198.51.100.7:50111", "500 B", "guard 3"]),
        ('6', View::Recent, ["76", "connect.refused.upstream", "2s", "1s"]),
        (
            '7',
            View::Errors,
            ["warn  2023-11-14T22:13:19.000Z  2s ago", "  server is down", "", ""],
        ),
    ] {
        let mut look = Look::default();
        assert!(!press(&mut look, KeyCode::Char(key)));
        assert_eq!(look.view(), view);
        let text = drawn(&seen, &mut look, 160, 24, Instant::now()).join("\n");
        for expected in expected {
            assert!(text.contains(expected), "{view:?}: {expected}\n{text}");
        }
    }
}

#[test]
fn it_is_read_at_forty_columns_and_twelve_lines() {
    let mut look = Look::default();
    let lines = drawn(&seen(), &mut look, 40, 12, Instant::now());
    assert_eq!(lines[1], "12 open  up 1.0 MiB/s  down 45.0 MiB/s");
    assert_eq!(lines[2], " 1 Overview  2 3 4 5 6 7");
    assert_eq!(lines[3], "UPSTREAM  SERVERS    OPEN  NOT UP");
    press(&mut look, KeyCode::Char('3'));
    let lines = drawn(&seen(), &mut look, 40, 12, Instant::now());
    assert_eq!(
        lines[3..6].join("\n").split_whitespace().collect::<Vec<_>>()[..4],
        ["UPSTREAM", "SERVER", "STATE", "OPEN"]
    );
    assert!(lines[5].contains("down"), "{lines:?}");
}

#[test]
fn trouble_is_told_above_the_last_picture_and_goes_with_the_next() {
    let mut seen = seen();
    let taken = Instant::now();
    seen.take(Err("cannot ask a proxy at unix:/x: refused".to_owned()), taken);
    let later = taken + Duration::from_secs(12);
    let text = drawn(&seen, &mut Look::default(), 120, 40, later).join("\n");
    assert!(
        text.contains("NO ANSWER (this is from 12s ago): cannot ask a proxy at unix:/x: refused"),
        "{text}"
    );
    assert!(text.contains("pid 4711"), "{text}");
    seen.take(overview(3).map(Box::new), later);
    assert!(
        !drawn(&seen, &mut Look::default(), 120, 40, later)
            .join("\n")
            .contains("NO ANSWER")
    );

    let mut never = Seen::of(&"127.0.0.1:1".parse().unwrap());
    assert!(
        drawn(&never, &mut Look::default(), 80, 24, later)
            .join("\n")
            .contains("waiting for an answer")
    );
    never.take(Err("nobody is there ".repeat(20)), later);
    let text = drawn(&never, &mut Look::default(), 80, 24, later).join("\n");
    assert!(
        text.contains("127.0.0.1:1\nNO ANSWER: nobody") && text.matches("nobody").count() == 20,
        "{text}"
    );
}

#[test]
fn lists_are_scrolled_to_their_end_and_no_further() {
    let mut many = said(1);
    let server = many["upstreams"][0]["servers"][0].clone();
    let numbered = (0..100).map(|number| {
        let mut server = server.clone();
        server["address"] = json!(format!("10.0.0.{number}:1"));
        server
    });
    many["upstreams"][0]["servers"] = numbered.collect();
    let mut seen = seen();
    seen.take(read(&many.to_string()).map(Box::new), Instant::now());
    let mut look = Look::default();
    press(&mut look, KeyCode::Char('3'));
    let screen = |look: &mut Look| drawn(&seen, look, 80, 24, Instant::now());
    let lines = screen(&mut look);
    assert!(
        lines[8].contains("10.0.0.0:1") && lines[23].ends_with("by name, 1 to 15 of 100"),
        "{lines:#?}"
    );
    for (key, first) in [
        (KeyCode::Down, 2),
        (KeyCode::PageDown, 17),
        (KeyCode::Up, 16),
        (KeyCode::End, 86),
        (KeyCode::PageDown, 86),
        (KeyCode::PageUp, 71),
        (KeyCode::Home, 1),
        (KeyCode::Up, 1),
    ] {
        press(&mut look, key);
        let last = screen(&mut look)[23].clone();
        assert!(
            last.ends_with(&format!("{first} to {} of 100", first + 14)),
            "{key:?}: {last}"
        );
    }
    // Another order, and another view, begin at the top.
    press(&mut look, KeyCode::End);
    press(&mut look, KeyCode::Char('s'));
    assert!(screen(&mut look)[23].ends_with("worst first, 1 to 15 of 100"));
}

#[test]
fn keys_end_pause_help_and_turn() {
    let mut look = Look::default();
    for key in [KeyCode::Char('q'), KeyCode::Esc] {
        assert!(press(&mut Look::default(), key));
    }
    assert!(look.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    press(&mut look, KeyCode::Char('?'));
    let text = drawn(&seen(), &mut look, 80, 24, Instant::now()).join("\n");
    assert!(
        text.contains("a page down") && text.contains("q, Esc, Ctrl-C"),
        "{text}"
    );
    assert!(!press(&mut look, KeyCode::Esc), "it ends the help");
    press(&mut look, KeyCode::Char('p'));
    assert!(look.paused && drawn(&seen(), &mut look, 80, 24, Instant::now())[23].starts_with(" PAUSED "));
    press(&mut look, KeyCode::BackTab);
    assert_eq!(look.view(), View::Errors);
    press(&mut look, KeyCode::Tab);
    assert_eq!(look.view(), View::Overview);
}

#[test]
fn without_colours_there_are_none() {
    for (no_color, coloured) in [(None, true), (Some("1"), false), (Some(""), true)] {
        let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
        let paint = Paint::allowed(no_color.map(Into::into));
        terminal
            .draw(|frame| draw(frame, &seen(), &mut Look::default(), paint, Instant::now()))
            .unwrap();
        let cells = terminal.backend().buffer().content();
        assert_eq!(
            cells.iter().any(|cell| cell.fg != ratatui::style::Color::Reset),
            coloured
        );
        assert!(cells.iter().all(|cell| cell.bg == ratatui::style::Color::Reset));
    }
}

#[test]
fn as_text_everything_is_there_whole() {
    let text = Picture::after(Some(&overview(0).unwrap()), overview(1).unwrap()).text();
    for expected in [
        "12 open  25.0/s accepted  2 workers  late by 1.2ms\n",
        "WORKER  DELAY   SEEN  PIPES\n     0  120us  300ms      1\n",
        "relay.finished.client 90, connect.refused.upstream 3\n",
        "/etc/spliceway/guard.wasm\n",
        "\nSLOWEST  CLIENT",
        "2023-11-14T22:13:19.000Z  warn    2s  server is down upstream=app server=10.0.0.2:5432\n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
}
