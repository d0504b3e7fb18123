//! Whatever the size, and whatever the answer.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::super::look::View;
use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn no_size_and_no_answer_is_too_much(
        (width, height) in (1u16..=200, 1u16..=60),
        answers in vec(prop_oneof![3 => any_overview().prop_map(Ok), 1 => ".{0,400}".prop_map(Err)], 0..4),
        keys in vec(any_key(), 0..6),
    ) {
        let mut seen = Seen::of(&"unix:/run/spliceway/admin.sock".parse().unwrap());
        let now = Instant::now();
        for answer in answers {
            seen.take(answer.and_then(|said| read(&said.to_string()).map(Box::new)), now);
        }
        for view in 0..View::ALL.len() {
            let mut look = Look::default();
            (0..view).for_each(|_| { press(&mut look, KeyCode::Tab); });
            for key in &keys {
                drawn(&seen, &mut look, width, height, now);
                press(&mut look, *key);
            }
            let lines = drawn(&seen, &mut look, width, height, now);
            prop_assert!(!lines.iter().any(|line| line.contains(char::is_control)));
        }
        if let Some(picture) = &seen.picture {
            prop_assert!(!picture.text().contains(|c: char| c.is_control() && c != '\n'));
        }
    }
}

fn any_key() -> impl Strategy<Value = KeyCode> {
    prop_oneof![
        any::<char>().prop_map(KeyCode::Char),
        Just(KeyCode::Down),
        Just(KeyCode::End),
        Just(KeyCode::PageDown),
        Just(KeyCode::PageUp),
        Just(KeyCode::Char('s')),
        Just(KeyCode::Char('?')),
    ]
}

/// Figures are often small, or as big as can be.
fn figure() -> impl Strategy<Value = Json> {
    prop_oneof![Just(0u64), 0..100u64, Just(u64::MAX), any::<u64>()].prop_map(Json::from)
}

fn small() -> impl Strategy<Value = Json> {
    any::<u32>().prop_map(Json::from)
}

fn text() -> impl Strategy<Value = Json> {
    prop_oneof!["[a-z]{1,12}", ".{0,40}", "(\\PC|\u{1b}|\u{202e}|日){0,30}"].prop_map(Json::from)
}

fn bytes() -> impl Strategy<Value = Json> {
    (figure(), figure(), figure())
        .prop_map(|(copied, spliced, filtered)| json!({ "copied": copied, "spliced": spliced, "filtered": filtered }))
}

fn counts() -> impl Strategy<Value = Json> {
    btree_map(".{0,20}", any::<u64>(), 0..4).prop_map(|counts| json!(counts))
}

fn list(of: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
    vec(of, 0..6).prop_map(Json::from)
}

fn status() -> impl Strategy<Value = Json> {
    (text(), 0..3u32, figure(), figure(), any::<bool>(), figure()).prop_map(
        |(version, pid, uptime, workers, draining, connections)| {
            json!({
                "version": version, "pid": pid, "uptime_ms": uptime, "workers": workers, "draining": draining,
                "connections": connections, "log_level": "info", "generations": {},
            })
        },
    )
}

fn listener() -> impl Strategy<Value = Json> {
    (
        text(),
        text(),
        list(text()),
        any::<bool>(),
        figure(),
        counts(),
        bytes(),
        bytes(),
    )
        .prop_map(|(name, address, filters, tls, connections, outcomes, up, down)| {
            json!({
                "name": name, "address": address, "upstream": address, "filters": filters, "routes": filters,
                "tls": tls, "connections": connections, "outcomes": outcomes, "up": up, "down": down,
            })
        })
}

fn server() -> impl Strategy<Value = Json> {
    let state = prop_oneof!["up", "down", "unknown", "ejected", "draining", "disabled"];
    (text(), state, small(), small(), any::<bool>(), figure(), figure()).prop_map(
        |(address, state, weight, most, backup, connections, ejected)| {
            json!({
                "address": address, "host": address, "state": state, "health": state, "weight": weight,
                "configured_weight": 1, "origin": "file", "backup": backup, "connections": connections, "max_connections": most,
                "transitions": connections, "ejected_ms": ejected,
            })
        },
    )
}

fn generation() -> impl Strategy<Value = Json> {
    (figure(), text(), figure(), figure(), figure(), figure()).prop_map(
        |(number, state, calls, busy, failures, bytes)| {
            json!({
                "number": number, "digest": state, "state": state, "calls": calls, "busy_us": busy,
                "failures": failures, "connections": calls, "shown_bytes": bytes, "skipped_bytes": bytes,
                "instances": busy, "memory_bytes": bytes,
            })
        },
    )
}

fn connection() -> impl Strategy<Value = Json> {
    (figure(), text(), text(), figure(), bytes(), bytes()).prop_map(|(id, name, client, age, up, down)| {
        json!({
            "id": id, "listener": name, "client": client, "age_ms": age, "stage": name, "upstream": name,
            "server": client, "route": name, "filters": [{ "filter": name, "generation": id }], "up": up, "down": down,
            "at_ms": age, "duration_ms": age, "outcome": name, "ok": false,
        })
    })
}

fn any_overview() -> impl Strategy<Value = Json> {
    let upstream = (text(), figure(), list(server()))
        .prop_map(|(name, open, servers)| json!({ "name": name, "connections": open, "servers": servers }));
    let filter = (text(), figure(), list(generation())).prop_map(|(name, generation, generations)| {
        json!({
            "name": name, "source": name, "generation": generation, "generations": generations, "transitions": {},
        })
    });
    let line =
        (figure(), text(), text()).prop_map(|(at, level, text)| json!({ "at_ms": at, "level": level, "text": text }));
    let worker = (figure(), figure(), figure())
        .prop_map(|(delay, silent, pipes)| json!({ "delay_us": delay, "silent_ms": silent, "pipes": pipes }));
    let traffic = (figure(), bytes(), bytes())
        .prop_map(|(accepted, up, down)| json!({ "accepted": accepted, "up": up, "down": down }));
    let lists = (list(worker), list(listener()), list(upstream), list(filter), list(line));
    let connections = (list(connection()), list(connection()), list(connection()));
    (figure(), status(), traffic, lists, connections).prop_map(
        |(at, status, traffic, (workers, listeners, upstreams, filters, errors), (biggest, slowest, recent))| {
            json!({
                "at_ms": at, "status": status, "traffic": traffic, "workers": workers, "listeners": listeners,
                "upstreams": upstreams, "servers": { "all": 3, "up": 1 }, "filters": filters, "biggest": biggest, "slowest": slowest, "recent": recent,
                "errors": errors,
            })
        },
    )
}
