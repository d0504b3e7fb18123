//! A network that loses packets, and peers that are gone without a word. Root alone can make one; others skip these.

use std::time::Duration;

use spliceway_tests::Peer;
use spliceway_tests::bytes::pattern;

use super::Behaviour;
use super::behaviour::{USUAL, behaviours};
use super::exchange::say_all_both_ways;
use super::scene::{Scene, Side, Talk, Timeouts};

behaviours! {
    lost_packets_cost_no_byte: Behaviour {
        what: "Where one packet in twenty is lost on each link, 16 MiB each way arrive whole.",
        source: "RFC 9293 3.8.1",
        acts: &[Side::Client],
        network: Some(5),
        ..USUAL
    };
    a_silent_peer_that_is_gone_is_noticed: Behaviour {
        what: "A peer that is gone without a word from an idle connection is noticed by keepalive, within the time that is \
               configured, and the other side gets a RST.",
        source: "RFC 9293 3.8.4; tcp(7), TCP_KEEPCNT",
        network: Some(0),
        timeouts: Timeouts { keepalive: KEEPALIVE, ..Timeouts::NONE },
        ..USUAL
    };
    a_silent_peer_that_is_there_is_kept: Behaviour {
        what: "A peer that only has nothing to say is kept, for longer than that.",
        source: "RFC 9293 3.8.4",
        acts: &[Side::Client],
        network: Some(0),
        timeouts: Timeouts { keepalive: KEEPALIVE, ..Timeouts::NONE },
        ..USUAL
    };
    a_peer_that_acknowledges_nothing_is_given_up: Behaviour {
        what: "A peer that is gone with bytes on their way to it is given up within the user timeout, and the other side \
               gets a RST.",
        source: "RFC 5482; linkerd2#13023, istio#33466 (15 minutes without it)",
        network: Some(0),
        timeouts: Timeouts { user_timeout: Some(Duration::from_secs(3)), ..Timeouts::NONE },
        ..USUAL
    };
}

/// Gone after three seconds.
const KEEPALIVE: Option<(Duration, Duration, u32)> = Some((Duration::from_secs(1), Duration::from_secs(1), 2));

/// Of three seconds, on a machine that has other things to do.
const SOON: Duration = Duration::from_secs(10);

const MIB: usize = 1 << 20;

fn lost_packets_cost_no_byte(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open();
    let (one, two) = (pattern(1, 16 * MIB), pattern(2, 16 * MIB));
    let heard = say_all_both_ways((&mut actor, &one), (&mut other, &two));
    heard.0.is_whole(&two);
    heard.1.is_whole(&one);
    scene.ends(&talk, "relay.finished.*").moved(one.len(), two.len());
    let lost = scene.network().lost();
    assert!(lost > 20, "only {lost} packets were lost");
}

fn a_silent_peer_that_is_gone_is_noticed(scene: &Scene) {
    let (_actor, mut other, talk) = scene.open();
    scene.silence_the_actor();
    is_noticed_soon(scene, &mut other, &talk);
}

fn a_silent_peer_that_is_there_is_kept(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.open();
    // The scene itself: longer than it takes to notice one that is gone.
    actor.expect_silence(Duration::from_secs(6));
    actor.send(b"still here");
    actor.half_close();
    other.hear_out().is_whole(b"still here");
    drop(other);
    actor.hears_fin();
    scene.ends(&talk, "relay.finished.ACTOR").moved(10, 0);
}

fn a_peer_that_acknowledges_nothing_is_given_up(scene: &Scene) {
    let (_actor, mut other, talk) = scene.open();
    scene.silence_the_actor();
    other.send(b"is anybody there?");
    is_noticed_soon(scene, &mut other, &talk);
}

fn is_noticed_soon(scene: &Scene, other: &mut Peer, talk: &Talk) {
    other.deadline(SOON);
    other.hear_out().is_cut_off(b"");
    scene.ends(talk, "relay.timeout.ACTOR");
}
