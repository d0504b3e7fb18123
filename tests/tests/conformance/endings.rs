//! How connections end: a FIN says that everything has been said, a RST that it has not. Neither may be taken for the other.

use std::thread;
use std::time::Duration;

use spliceway_tests::Peer;
use spliceway_tests::bytes::pattern;

use super::Behaviour;
use super::behaviour::{USUAL, behaviours};
use super::exchange::{at_once, say_all, say_all_and_reset, say_all_both_ways};
use super::scene::{Scene, Way};

behaviours! {
    a_fin_comes_after_everything_before_it_and_the_other_direction_goes_on: Behaviour {
        what: "A FIN is passed on after everything before it was delivered, and the other direction goes on with \
               all that it has still to say.",
        source: "RFC 9293 3.6: closing is an operation on one direction; sozu#1290",
        ..USUAL
    };
    what_was_sent_before_a_close_reaches_a_slow_reader: Behaviour {
        what: "Bytes in flight, then a close: a slow reader still gets all of them, and then the FIN.",
        source: "RFC 9293 3.6; sozu#1290 (closed before it was flushed)",
        ..USUAL
    };
    a_fin_may_come_after_any_number_of_bytes: Behaviour {
        what: "So many bytes and a FIN arrive as so many bytes and a FIN, around every size of buffer and pipe.",
        source: "RFC 9293 3.6",
        ..USUAL
    };
    an_answer_may_come_long_after_the_question_was_finished: Behaviour {
        what: "Who has finished sending is given the time to get the answer.",
        source: "haproxy#136: a FIN is not an abort; Traefik cuts after 100 ms",
        ..USUAL
    };
    both_may_finish_at_the_same_time: Behaviour {
        what: "Two FINs that cross: each arrives after the bytes before it.",
        source: "RFC 9293 3.6, case 3: both close simultaneously",
        ..USUAL
    };
    a_connection_may_end_without_a_byte: Behaviour {
        what: "A connection on which nothing is said ends like any other, from either side.",
        source: "RFC 9293 3.6",
        ways: &[Way::Copy, Way::Filtered, Way::Transformed],
        ..USUAL
    };
    a_reset_is_passed_on_as_a_reset: Behaviour {
        what: "A RST in the middle of a stream is a RST on the other side, not an end that looks complete.",
        source: "RFC 9293 3.5.3; envoy#44148, envoy#46519",
        ..USUAL
    };
    a_reset_may_come_after_any_number_of_bytes: Behaviour {
        what: "So many bytes and a RST arrive as no more than so many bytes, and a RST.",
        source: "RFC 9293 3.5.3",
        ..USUAL
    };
    a_reset_in_the_middle_of_bulk_cuts_both_directions: Behaviour {
        what: "A RST while both directions are full of bytes is a RST for the other side.",
        source: "RFC 9293 3.5.3; envoy#44148",
        ..USUAL
    };
    a_reset_under_a_stream_of_bytes_is_a_reset: Behaviour {
        what: "Who resets while bytes stream towards him has not finished, whichever of the proxy's calls the kernel tells.",
        source: "RFC 9293 3.5.3; Linux tells of a RST once, and not at all where splice(2) had moved a part by then",
        ..USUAL
    };
    a_reset_in_the_middle_of_an_answer_cuts_it_off: Behaviour {
        what: "A RST in the middle of an answer reaches the one who has already finished asking.",
        source: "RFC 9293 3.5.3; envoy#46519",
        ..USUAL
    };
    a_reset_after_a_complete_stream_spares_what_is_on_its_way: Behaviour {
        what: "A RST after a complete stream is not passed on while the other side has yet to read that stream.",
        source: "RFC 1122 4.2.2.13; envoy#45267 (the RST dropped a buffered response)",
        ..USUAL
    };
    a_reset_after_a_complete_stream_spares_what_the_proxy_has_yet_to_read: Behaviour {
        what: "The same where the end of the stream has reached the proxy, which has yet to read it for want of room.",
        source: "RFC 1122 4.2.2.13; envoy#45267",
        ..USUAL
    };
    a_question_that_nobody_read_does_not_undo_the_answer: Behaviour {
        what: "A server that answers, finishes and closes with a question unread: its RST does not undo the answer.",
        source: "RFC 1122 4.2.2.13, RFC 2525 2.17: unread data turn a close into a RST",
        ..USUAL
    };
    a_question_that_comes_too_late_does_not_undo_the_answer: Behaviour {
        what: "A server that has closed answers what comes then with a RST, which does not undo what it said before.",
        source: "RFC 1122 4.2.2.13",
        ..USUAL
    };
    an_answer_that_a_late_question_cuts_off_does_not_look_complete: Behaviour {
        what: "Where that RST comes before everything was through, the other side does not get a FIN after a part of it.",
        source: "RFC 1122 4.2.2.13: the RST is there \"to show that data was lost\"",
        ..USUAL
    };
    who_writes_to_a_peer_that_has_gone_is_told: Behaviour {
        what: "Who goes on writing to a peer that has closed is refused, and it is recorded who had gone.",
        source: "RFC 1122 4.2.2.13",
        ..USUAL
    };
}

const MIB: usize = 1 << 20;

/// Around the sizes where something changes: nothing, a page, a packet of the loopback, the copy buffer, a pipe.
const SIZES: [usize; 12] = [
    0,
    1,
    4095,
    16 << 10,
    (64 << 10) - 1,
    64 << 10,
    (64 << 10) + 1,
    MIB - 1,
    MIB,
    MIB + 1,
    2 * MIB,
    3 * MIB + 7,
];

/// A reader that looks away for longer than a proxy waits for the end of a connection before it closes it.
const LATE: Duration = Duration::from_millis(1500);

fn a_fin_comes_after_everything_before_it_and_the_other_direction_goes_on(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open();
    let (sent, answer) = (pattern(1, 6 * MIB), pattern(2, 5 * MIB));
    say_all(&mut actor, &sent, &mut other).is_whole(&sent);
    say_all(&mut other, &answer, &mut actor).is_whole(&answer);
    scene
        .ends(&talk, "relay.finished.ACTOR")
        .moved(sent.len(), answer.len());
}

fn what_was_sent_before_a_close_reaches_a_slow_reader(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open_narrow();
    let sent = pattern(1, 2 * MIB);
    let ((), heard) = at_once(
        || {
            actor.send(&sent);
            drop(actor);
        },
        || other.hear_out_slowly(16 << 10, Duration::from_millis(1)),
    );
    heard.is_whole(&sent);
    drop(other);
    scene.ends(&talk, "relay.finished.ACTOR").moved(sent.len(), 0);
}

fn a_fin_may_come_after_any_number_of_bytes(scene: &Scene) {
    for size in SIZES {
        let (mut actor, mut other, talk) = scene.open();
        let sent = pattern(1, size);
        say_all(&mut actor, &sent, &mut other).is_whole(&sent);
        other.half_close();
        actor.hears_fin();
        scene.ends(&talk, "relay.finished.ACTOR").moved(size, 0);
    }
}

fn an_answer_may_come_long_after_the_question_was_finished(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open();
    let answer = pattern(2, MIB);
    actor.send(b"question");
    actor.half_close();
    other.hear_out().is_whole(b"question");
    // The scene itself: a server that thinks.
    thread::sleep(Duration::from_millis(700));
    say_all(&mut other, &answer, &mut actor).is_whole(&answer);
    scene.ends(&talk, "relay.finished.ACTOR").moved(8, answer.len());
}

fn both_may_finish_at_the_same_time(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open();
    let (one, two) = (pattern(1, MIB), pattern(2, 2 * MIB));
    let heard = say_all_both_ways((&mut actor, &one), (&mut other, &two));
    heard.0.is_whole(&two);
    heard.1.is_whole(&one);
    scene.ends(&talk, "relay.finished.*").moved(one.len(), two.len());
}

fn a_connection_may_end_without_a_byte(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.connect();
    actor.half_close();
    other.hears_fin();
    other.half_close();
    actor.hears_fin();
    scene.ends(&talk, "relay.finished.ACTOR").moved(0, 0);

    let (actor, mut other, talk) = scene.connect();
    drop(actor);
    other.hears_fin();
    drop(other);
    scene.ends(&talk, "relay.finished.ACTOR").moved(0, 0);
}

fn a_reset_is_passed_on_as_a_reset(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open();
    actor.send(b"half a quest");
    other.expect(b"half a quest");
    actor.reset();
    other.hear_out().is_cut_off(b"");
    scene.ends(&talk, "relay.reset.ACTOR").moved(12, 0);
}

fn a_reset_may_come_after_any_number_of_bytes(scene: &Scene) {
    for size in SIZES {
        let (actor, mut other, talk) = scene.open();
        let sent = pattern(1, size);
        say_all_and_reset(actor, &sent, &mut other).is_cut_off(&sent);
        scene.ends(&talk, "relay.reset.ACTOR");
    }
}

fn a_reset_in_the_middle_of_bulk_cuts_both_directions(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open();
    let all = pattern(1, 32 * MIB);
    let sent = actor.send_until_blocked(&all);
    // Blocked as well, so that it is its reading which meets the RST: the kernel tells of it once.
    other.send_until_blocked(&pattern(2, 32 * MIB));
    actor.reset();
    other.hear_out().is_cut_off(&all[..sent]);
    scene.ends(&talk, "relay.reset.ACTOR");
}

fn a_reset_under_a_stream_of_bytes_is_a_reset(scene: &Scene) {
    let stream = pattern(2, 8 * MIB);
    // Each time at another moment of the stream.
    for round in 1..=64 {
        let (mut actor, mut other, talk) = scene.open();
        actor.send(b"part of an answer");
        let mut sender = other.another();
        at_once(
            || while sender.try_send(&stream).is_ok() {},
            || {
                actor.receive(round * (64 << 10));
                actor.reset();
            },
        );
        other.hear_out().is_cut_off(b"part of an answer");
        scene.ends(&talk, "relay.reset.ACTOR");
    }
}

fn a_reset_in_the_middle_of_an_answer_cuts_it_off(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open();
    other.send(b"question");
    other.half_close();
    actor.hear_out().is_whole(b"question");
    let answer = pattern(1, 2 * MIB);
    say_all_and_reset(actor, &answer, &mut other).is_cut_off(&answer);
    scene.ends(&talk, "relay.reset.ACTOR");
}

fn a_reset_after_a_complete_stream_spares_what_is_on_its_way(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open_narrow();
    // More than the witness has room for, less than the proxy's kernel takes for it.
    let sent = pattern(1, MIB / 2);
    actor.send(&sent);
    actor.half_close();
    actor.wait_until_delivered();
    actor.reset();
    other.send(b"a question that nobody will read");
    thread::sleep(LATE);
    other.hear_out().is_whole(&sent);
    scene.ends(&talk, "relay.reset.ACTOR");
}

fn a_reset_after_a_complete_stream_spares_what_the_proxy_has_yet_to_read(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open_narrow();
    let all = pattern(1, 32 * MIB);
    // Let go of at once: a socket lives for as long as anybody has it.
    let sent = actor.send_until_unread(&all, &scene.proxys_end(&actor));
    actor.half_close();
    actor.wait_until_delivered();
    actor.reset();
    thread::sleep(LATE);
    other.hear_out().is_whole(&all[..sent]);
    drop(other);
    scene.ends(&talk, "relay.*").moved(sent, 0);
}

fn a_question_that_nobody_read_does_not_undo_the_answer(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open_narrow();
    let answer = pattern(1, MIB / 2);
    actor.send(&answer);
    actor.half_close();
    actor.wait_until_delivered();
    other.send(b"a question that nobody will read");
    actor.wait_until_readable();
    drop(actor);
    thread::sleep(LATE);
    other.hear_out().is_whole(&answer);
    drop(other);
    scene.ends(&talk, "relay.reset.ACTOR");
}

fn a_question_that_comes_too_late_does_not_undo_the_answer(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open_narrow();
    let answer = pattern(1, MIB / 2);
    actor.send(&answer);
    actor.half_close();
    actor.wait_until_delivered();
    drop(actor);
    ask_twice(&mut other);
    other.hear_out().is_whole(&answer);
    drop(other);
    scene.ends(&talk, "relay.reset.ACTOR");
}

fn an_answer_that_a_late_question_cuts_off_does_not_look_complete(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open_narrow();
    let all = pattern(1, 32 * MIB);
    let sent = actor.send_until_blocked(&all);
    // What it has sent is not through yet, so the RST with which its kernel answers the question takes it along.
    drop(actor);
    ask_twice(&mut other);
    other.hear_out().is_cut_off(&all[..sent]);
    scene.ends(&talk, "relay.reset.ACTOR");
}

/// The first question is answered with the RST that the second one meets.
fn ask_twice(peer: &mut Peer) {
    for _ in 0..2 {
        peer.try_send(b"a question that comes too late").ok();
        thread::sleep(LATE / 2);
    }
}

fn who_writes_to_a_peer_that_has_gone_is_told(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open();
    actor.send(b"bye");
    drop(actor);
    other.hear_out().is_whole(b"bye");
    other.send_until_refused();
    scene.ends(&talk, "relay.reset.ACTOR");
}
