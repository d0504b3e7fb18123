//! Pictures that are made up, drawn into a terminal that is none.

mod asked;
mod drawn;
mod rates;
mod sizes;

use std::time::Instant;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Cell;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value as Json, json};

use super::draw::draw;
use super::look::Look;
use super::paint::Paint;
use super::seen::{Seen, read};
use crate::admin::said::Overview;

/// What is on the screen, its lines without the blanks at their ends.
fn drawn(seen: &Seen, look: &mut Look, width: u16, height: u16, now: Instant) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw(frame, seen, look, Paint::allowed(None), now))
        .unwrap();
    let buffer = terminal.backend().buffer();
    let cells = buffer.content().chunks(width.into());
    cells
        .map(|line| line.iter().map(Cell::symbol).collect::<String>().trim_end().to_owned())
        .collect()
}

fn press(look: &mut Look, code: KeyCode) -> bool {
    look.press(KeyEvent::new(code, KeyModifiers::NONE))
}

/// Of a proxy that was asked twice, a second apart.
fn seen() -> Seen {
    let mut seen = Seen::of(&"unix:/run/spliceway/admin.sock".parse().unwrap());
    let now = Instant::now();
    seen.take(overview(0).map(Box::new), now);
    seen.take(overview(1).map(Box::new), now);
    assert_eq!(seen.trouble, None);
    seen
}

fn overview(second: u64) -> Result<Overview, String> {
    read(&said(second).to_string())
}

/// What a proxy answers in that second.
fn said(second: u64) -> Json {
    let bytes = |copied: u64, spliced: u64| json!({ "copied": copied, "spliced": spliced, "filtered": 0 });
    let connection = |id: u64, moved: u64| {
        json!({
            "id": id, "listener": "front", "client": "198.51.100.7:50111", "age_ms": 61_000 + second * 1000,
            "stage": "relay", "upstream": "app", "server": "10.0.0.1:5432", "route": "any",
            "filters": [{ "filter": "guard", "generation": 3 }],
            "up": bytes(moved, 0), "down": bytes(0, moved * 10),
        })
    };
    let server = |address: &str, state: &str| {
        json!({
            "address": address, "host": "10.0.0.1", "state": state, "health": state, "weight": 1,
            "configured_weight": 1, "origin": "file", "backup": false, "connections": 2, "transitions": 1,
        })
    };
    let now = 1_700_000_000_000 + second * 1000;
    json!({
        "at_ms": now,
        "status": {
            "version": env!("CARGO_PKG_VERSION"), "pid": 4711, "uptime_ms": 3_600_000 + second * 1000, "workers": 2,
            "draining": false, "connections": 12, "log_level": "info", "generations": { "guard": 3 },
        },
        "traffic": {
            "accepted": 100 + second * 25, "up": bytes(second << 10, second << 20), "down": bytes(0, (second * 45) << 20),
        },
        "workers": [
            { "delay_us": 120, "silent_ms": 300, "pipes": 1 },
            { "delay_us": 1_250, "silent_ms": 200, "pipes": 0 },
        ],
        "listeners": [{
            "name": "front", "address": "0.0.0.0:5432", "upstream": "app", "filters": ["guard"], "routes": ["any"],
            "tls": false, "connections": 88 + second * 5, "up": bytes(1024, 0), "down": bytes(0, 3 << 30),
            "outcomes": { "connect.refused.upstream": 3, "relay.finished.client": 85 + second * 5 },
        }],
        "servers": { "all": 2, "up": 1 },
        "upstreams": [{
            "name": "app", "connections": 4,
            "servers": [server("10.0.0.1:5432", "up"), server("10.0.0.2:5432", "down")],
        }],
        "filters": [{
            "name": "guard", "source": "/etc/spliceway/guard.wasm", "generation": 3, "transitions": {},
            "generations": [{
                "number": 3, "digest": "sha256:abc", "state": "stable", "calls": 1000 + second * 200,
                "busy_us": 9000 + second * 500, "failures": 2, "connections": 7, "shown_bytes": 4096,
                "skipped_bytes": 0, "instances": 2, "memory_bytes": 1 << 20,
            }],
        }],
        "biggest": [connection(77, 1000 + second * 500), connection(78, 10)],
        "slowest": [connection(5, 0)],
        "recent": [{
            "id": 76, "at_ms": now - 2000, "listener": "front", "client": "198.51.100.7:50110", "upstream": "app",
            "server": "10.0.0.2:5432", "duration_ms": 1500, "outcome": "connect.refused.upstream", "ok": false,
            "up": bytes(0, 0), "down": bytes(0, 0),
        }],
        "errors": [{ "at_ms": now - 2000, "level": "warn", "text": "server is down upstream=app server=10.0.0.2:5432" }],
    })
}
