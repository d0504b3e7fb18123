//! Pressure: peers that do not read, that say a byte at a time, that say everything at once; and a proxy at its limits.

use std::time::{Duration, Instant};

use spliceway_tests::bytes::pattern;

use super::Behaviour;
use super::behaviour::{USUAL, behaviours};
use super::exchange::{at_once, say_all_both_ways};
use super::scene::{Scene, Side, Way};

behaviours! {
    a_window_that_opens_again_has_lost_nothing: Behaviour {
        what: "A peer that does not read for a while stops the one who sends, and then gets every byte.",
        source: "RFC 9293 3.8.6.1: a closed window keeps the connection open",
        ..USUAL
    };
    a_blocked_direction_does_not_hold_up_the_other: Behaviour {
        what: "Where one direction stands still, the other one goes on.",
        source: "RFC 9293 3.8.6: each direction has a window of its own",
        ..USUAL
    };
    bulk_arrives_whole_both_ways_at_once: Behaviour {
        what: "16 MiB each way at the same time arrive whole and in order.",
        source: "RFC 9293 1: a reliable, in-order byte stream",
        ..USUAL
    };
    a_byte_at_a_time_arrives_both_ways: Behaviour {
        what: "Thousands of messages of one byte both ways arrive whole, and promptly.",
        source: "RFC 9293 3.7.4: no delay that Nagle's algorithm would add",
        ..USUAL
    };
    a_byte_at_a_time_arrives_beside_bulk: Behaviour {
        what: "Small messages one way and bulk the other way do not wait for each other.",
        source: "RFC 9293 3.8.6",
        ..USUAL
    };
    the_last_bytes_of_bulk_do_not_wait_for_more: Behaviour {
        what: "The odd rest of a large message is sent at once, not held back in the hope of more.",
        source: "splice(2), SPLICE_F_MORE; haproxy#901 (200 ms stalls)",
        ..USUAL
    };
    a_client_that_comes_when_no_descriptor_is_left_is_served_later: Behaviour {
        what: "Without a free descriptor the proxy waits, uses next to no CPU time, and serves later who came meanwhile.",
        source: "accept(2), EMFILE; nginx and HAProxy pause their listeners",
        acts: &[Side::Client],
        ways: &[Way::Copy],
        rivals: false,
        ..USUAL
    };
}

const MIB: usize = 1 << 20;

fn a_window_that_opens_again_has_lost_nothing(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open_narrow();
    let all = pattern(1, 48 * MIB);
    let sent = actor.send_until_blocked(&all);
    assert!(
        sent < all.len(),
        "the proxy took everything for a peer that does not read"
    );
    let ((), heard) = at_once(|| actor.half_close(), || other.hear_out());
    heard.is_whole(&all[..sent]);
    drop(other);
    actor.hears_fin();
    scene.ends(&talk, "relay.finished.ACTOR").moved(sent, 0);
}

fn a_blocked_direction_does_not_hold_up_the_other(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open_narrow();
    let (all, answer) = (pattern(1, 48 * MIB), pattern(2, 4 * MIB));
    let sent = actor.send_until_blocked(&all);
    let ((), got) = at_once(|| other.send(&answer), || actor.receive(answer.len()));
    assert!(got == answer, "what came beside the blocked direction arrived");
    actor.half_close();
    other.hear_out().is_whole(&all[..sent]);
    drop(other);
    actor.hears_fin();
    scene.ends(&talk, "relay.finished.ACTOR").moved(sent, answer.len());
}

fn bulk_arrives_whole_both_ways_at_once(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open();
    let (one, two) = (pattern(1, 16 * MIB), pattern(2, 16 * MIB + 1));
    let heard = say_all_both_ways((&mut actor, &one), (&mut other, &two));
    heard.0.is_whole(&two);
    heard.1.is_whole(&one);
    scene.ends(&talk, "relay.finished.*").moved(one.len(), two.len());
}

fn a_byte_at_a_time_arrives_both_ways(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open();
    let (one, two) = (pattern(1, 3000), pattern(2, 3000));
    let (mut actor_sends, mut other_sends) = (actor.another(), other.another());
    let send = || at_once(|| actor_sends.dribble(&one), || other_sends.dribble(&two));
    let hear = || at_once(|| actor.receive(two.len()), || other.receive(one.len()));
    let (_, got) = at_once(send, hear);
    assert!(got == (two, one), "every byte arrived");
    actor.half_close();
    other.hears_fin();
    other.half_close();
    actor.hears_fin();
    scene.ends(&talk, "relay.finished.ACTOR").moved(3000, 3000);
}

fn a_byte_at_a_time_arrives_beside_bulk(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open();
    let (small, bulk) = (pattern(1, 1000), pattern(2, 8 * MIB));
    let (mut actor_sends, mut other_sends) = (actor.another(), other.another());
    let send = || {
        at_once(
            || actor_sends.dribble(&small),
            || {
                other_sends.send(&bulk);
                other_sends.half_close();
            },
        )
    };
    let hear = || at_once(|| actor.hear_out(), || other.receive(small.len()));
    let (_, (heard, got)) = at_once(send, hear);
    heard.is_whole(&bulk);
    assert!(got == small, "every byte arrived");
    actor.half_close();
    other.hears_fin();
    scene.ends(&talk, "relay.finished.OTHER").moved(small.len(), bulk.len());
}

fn the_last_bytes_of_bulk_do_not_wait_for_more(scene: &Scene) {
    const ROUNDS: usize = 21;
    let (mut actor, mut other, talk) = scene.open();
    // Odd in every unit that something might be gathered in.
    let message = pattern(1, (192 << 10) + 1);
    let mut took: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            let ((), got) = at_once(|| actor.send(&message), || other.receive(message.len()));
            assert!(got == message, "the message arrived");
            other.send(b"k");
            actor.expect(b"k");
            begun.elapsed()
        })
        .collect();
    took.sort_unstable();
    // Held back, each would take 40 ms (a delayed acknowledgement) or 200 ms (a corked socket); most take one or two.
    assert!(took[ROUNDS / 2] < Duration::from_millis(35), "{took:?}");
    actor.half_close();
    other.hears_fin();
    drop(other);
    scene
        .ends(&talk, "relay.finished.ACTOR")
        .moved(ROUNDS * message.len(), ROUNDS);
}

fn a_client_that_comes_when_no_descriptor_is_left_is_served_later(scene: &Scene) {
    let proxy = scene.spliceway().expect("nobody else is asked");
    proxy.forbid_new_descriptors();
    let mut early = scene.client_as_it_is();
    early.send(b"early");
    // The scene itself: a second in which nobody can be served. A proxy that tries again and again would use all of it.
    let before = proxy.cpu_time();
    assert!(
        !scene.upstream().waiting(Duration::from_secs(1)),
        "it had no descriptor for this"
    );
    let used = proxy.cpu_time() - before;
    assert!(
        used < Duration::from_millis(200),
        "{used:?} of CPU time in a second of waiting"
    );
    proxy.allow_new_descriptors();
    let (mut early, mut server, talk) = scene.join(early);
    server.expect(b"early");
    early.half_close();
    server.hears_fin();
    drop(server);
    scene.ends(&talk, "relay.finished.client").moved(5, 0);
}
