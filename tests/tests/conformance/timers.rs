//! Time: what happens when nothing does. Each timeout works the same whichever way the bytes go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use spliceway_tests::End;
use spliceway_tests::bytes::pattern;

use super::Behaviour;
use super::behaviour::{USUAL, behaviours};
use super::exchange::at_once;
use super::scene::{Scene, Side, Timeouts};

behaviours! {
    an_idle_connection_is_finished_on_both_sides: Behaviour {
        what: "A connection on which nothing moves any more is ended with a FIN on both sides, after bulk as well.",
        source: "envoy#8705; Go's io.Copy, whose splice cannot have this",
        acts: &[Side::Client],
        timeouts: Timeouts { idle: SHORT, ..Timeouts::NONE },
        ..USUAL
    };
    bytes_in_one_direction_keep_a_connection_from_being_idle: Behaviour {
        what: "A byte now and then in either direction keeps both directions open.",
        source: "Envoy: \"no bytes sent or received on either\"; gobetween ends one-way downloads",
        timeouts: Timeouts { idle: LONG, ..Timeouts::NONE },
        ..USUAL
    };
    a_half_closed_connection_is_given_less_time: Behaviour {
        what: "Once one side has finished, silence ends the connection after a time of its own, with a FIN.",
        source: "HAProxy's client-fin; istio#43297, linkerd2#8033 (leaks behind a conntrack of 60 s)",
        timeouts: Timeouts { half_closed: SHORT, ..Timeouts::NONE },
        ..USUAL
    };
    an_answer_that_goes_on_keeps_a_half_closed_connection: Behaviour {
        what: "That time counts from the last byte of the answer, not from the end of the question.",
        source: "HAProxy's client-fin is inactivity; Traefik's deadline is absolute",
        timeouts: Timeouts { half_closed: LONG, ..Timeouts::NONE },
        ..USUAL
    };
    an_upstream_that_says_nothing_is_given_up: Behaviour {
        what: "An upstream that says nothing from the beginning is given up after a time of its own, with a FIN to both.",
        source: "ours: no RFC asks for it",
        acts: &[Side::Client],
        timeouts: Timeouts { first_byte: SHORT, ..Timeouts::NONE },
        ..USUAL
    };
    an_upstream_that_has_spoken_may_be_silent: Behaviour {
        what: "One byte of the upstream's, and that time no longer counts.",
        source: "ours: no RFC asks for it",
        acts: &[Side::Client],
        timeouts: Timeouts { first_byte: SHORT, ..Timeouts::NONE },
        ..USUAL
    };
    a_peer_that_takes_nothing_of_what_it_is_owed_is_given_up: Behaviour {
        what: "A peer whose window stays closed while bytes wait for it is given up, with a RST to both: bytes are lost.",
        source: "RFC 9293 3.8.6.1 lets it hold the connection for ever, RFC 6429 lets us end it",
        timeouts: Timeouts { stall: LONG, ..Timeouts::NONE },
        ..USUAL
    };
    a_slow_reader_is_not_given_up: Behaviour {
        what: "A peer that takes a little now and then is not one that takes nothing.",
        source: "RFC 6429 3",
        timeouts: Timeouts { stall: LONG, ..Timeouts::NONE },
        ..USUAL
    };
    a_lifetime_ends_after_everything_owed_was_delivered: Behaviour {
        what: "At the end of its lifetime a busy connection is ended with a FIN to both, and none of the bytes that were \
               taken from one is kept from the other.",
        source: "Envoy's max_connection_duration; RFC 9293 3.6",
        timeouts: Timeouts { lifetime: LONG, ..Timeouts::NONE },
        ..USUAL
    };
    a_lifetime_that_ends_with_bytes_undelivered_ends_with_a_reset: Behaviour {
        what: "Where nobody takes what is owed, the end is a RST: bytes are lost, and a FIN would deny it.",
        source: "RFC 1122 4.2.2.13: the RST is there \"to show that data was lost\"",
        timeouts: Timeouts { lifetime: LONGER, ..Timeouts::NONE },
        ..USUAL
    };
    a_reset_behind_a_blocked_direction_is_noticed: Behaviour {
        what: "Who resets while the proxy cannot pass on what it has from him is noticed all the same, within seconds.",
        source: "RFC 9293 3.5.3; a proxy that does not read does not see it",
        ..USUAL
    };
}

/// Long enough for what a scene does meanwhile on a machine that has other things to do.
const SHORT: Option<Duration> = Some(Duration::from_secs(1));
const LONG: Option<Duration> = Some(Duration::from_secs(2));
const LONGER: Option<Duration> = Some(Duration::from_secs(3));

/// Between two signs of life: eight of them are longer than [`LONG`].
const NOW_AND_THEN: Duration = Duration::from_millis(300);

const MIB: usize = 1 << 20;

fn an_idle_connection_is_finished_on_both_sides(scene: &Scene) {
    let begun = Instant::now();
    let (mut actor, mut other, talk) = scene.open();
    let (actor, other) = at_once(|| actor.hear_out(), || other.hear_out());
    actor.is_whole(b"");
    other.is_whole(b"");
    not_before(begun, SHORT);
    scene.ends(&talk, "relay.idle-timeout.proxy").moved(0, 0);
}

fn bytes_in_one_direction_keep_a_connection_from_being_idle(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open();
    for _ in 0..8 {
        actor.send(b".");
        other.expect(b".");
        // The scene itself: longer in all than the timeout.
        thread::sleep(NOW_AND_THEN);
    }
    let (actor, other) = at_once(|| actor.hear_out(), || other.hear_out());
    actor.is_whole(b"");
    other.is_whole(b"");
    scene.ends(&talk, "relay.idle-timeout.proxy").moved(8, 0);
}

fn a_half_closed_connection_is_given_less_time(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open();
    let begun = Instant::now();
    actor.send(b"question");
    actor.half_close();
    other.hear_out().is_whole(b"question");
    actor.hears_fin();
    not_before(begun, SHORT);
    scene.ends(&talk, "relay.half-closed-timeout.proxy").moved(8, 0);
}

fn an_answer_that_goes_on_keeps_a_half_closed_connection(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open();
    actor.send(b"question");
    actor.half_close();
    other.hear_out().is_whole(b"question");
    for _ in 0..8 {
        other.send(b".");
        actor.expect(b".");
        // The scene itself: longer in all than the timeout.
        thread::sleep(NOW_AND_THEN);
    }
    drop(other);
    actor.hears_fin();
    scene.ends(&talk, "relay.finished.ACTOR").moved(8, 8);
}

fn an_upstream_that_says_nothing_is_given_up(scene: &Scene) {
    let begun = Instant::now();
    let (mut client, mut server, talk) = scene.connect();
    let question = pattern(1, scene.typical());
    let ((), heard) = at_once(|| client.send(&question), || server.hear_out());
    heard.is_whole(&question);
    client.hears_fin();
    not_before(begun, SHORT);
    scene
        .ends(&talk, "relay.first-byte-timeout.upstream")
        .moved(question.len(), 0);
}

fn an_upstream_that_has_spoken_may_be_silent(scene: &Scene) {
    let (mut client, mut server, talk) = scene.open();
    // The scene itself: longer than the timeout.
    client.expect_silence(Duration::from_millis(1500));
    client.send(b"still there?");
    client.half_close();
    server.hear_out().is_whole(b"still there?");
    drop(server);
    client.hears_fin();
    scene.ends(&talk, "relay.finished.client").moved(12, 0);
}

fn a_peer_that_takes_nothing_of_what_it_is_owed_is_given_up(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open_narrow();
    let all = pattern(1, 48 * MIB);
    let sent = actor.send_until_blocked(&all);
    assert!(
        actor.hear_out().end == End::Reset,
        "a FIN for the one whose bytes are lost"
    );
    other.hear_out().is_cut_off(&all[..sent]);
    scene.ends(&talk, "relay.stalled.OTHER");
}

fn a_slow_reader_is_not_given_up(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open_narrow();
    let sent = pattern(1, 6 * MIB);
    let ((), heard) = at_once(
        || {
            actor.send(&sent);
            actor.half_close();
        },
        || {
            // The scene itself: longer in all than the timeout.
            let mut begun = Vec::new();
            for _ in 0..30 {
                begun.extend(other.receive(16 << 10));
                thread::sleep(Duration::from_millis(100));
            }
            let mut heard = other.hear_out();
            heard.bytes.splice(0..0, begun);
            heard
        },
    );
    heard.is_whole(&sent);
    drop(other);
    actor.hears_fin();
    scene.ends(&talk, "relay.finished.ACTOR").moved(sent.len(), 0);
}

fn a_lifetime_ends_after_everything_owed_was_delivered(scene: &Scene) {
    let begun = Instant::now();
    let (mut actor, mut other, talk) = scene.open();
    let (mut sender, over) = (actor.another(), AtomicBool::new(false));
    let piece = pattern(1, MIB);
    let send = || {
        let mut pieces = 0;
        while !over.load(Ordering::Relaxed) && sender.try_send(&piece).is_ok() {
            pieces += 1;
        }
        pieces + 1
    };
    let hear = || {
        at_once(
            || {
                let heard = actor.hear_out();
                over.store(true, Ordering::Relaxed);
                heard
            },
            || other.hear_out(),
        )
    };
    let (pieces, (actor_heard, other_heard)) = at_once(send, hear);
    actor_heard.is_whole(b"");
    assert!(other_heard.end == End::Fin, "a RST at the end of a lifetime");
    let arrived = other_heard.bytes.len();
    assert!(arrived <= pieces * MIB, "no more than was sent");
    assert!(
        other_heard
            .bytes
            .chunks(MIB)
            .all(|chunk| *chunk == piece[..chunk.len()]),
        "none is lost in between"
    );
    // Up to a tenth shorter.
    not_before(begun, LONG.map(|lifetime| lifetime * 9 / 10));
    scene.ends(&talk, "relay.lifetime-over.proxy").moved(arrived, 0);
}

fn a_lifetime_that_ends_with_bytes_undelivered_ends_with_a_reset(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open_narrow();
    let all = pattern(1, 48 * MIB);
    let sent = actor.send_until_blocked(&all);
    scene.ends(&talk, "relay.lifetime-over.proxy");
    other.hear_out().is_cut_off(&all[..sent]);
}

fn a_reset_behind_a_blocked_direction_is_noticed(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open_narrow();
    let all = pattern(1, 48 * MIB);
    let sent = actor.send_until_blocked(&all);
    actor.reset();
    let begun = Instant::now();
    scene.ends(&talk, "relay.reset.ACTOR");
    assert!(begun.elapsed() < Duration::from_secs(3), "after {:?}", begun.elapsed());
    // Where nobody tells, there is nothing else to wait for.
    thread::sleep(Duration::from_secs(3).saturating_sub(begun.elapsed()));
    other.hear_out().is_cut_off(&all[..sent]);
}

#[track_caller]
fn not_before(begun: Instant, limit: Option<Duration>) {
    let (took, limit) = (begun.elapsed(), limit.unwrap_or_default());
    assert!(took >= limit, "it was over after {took:?}, before {limit:?}");
}
