//! How connections begin: the client may speak, finish or vanish before there is an upstream, and there may be none.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use spliceway_tests::bytes::pattern;

use super::Behaviour;
use super::behaviour::{USUAL, behaviours};
use super::exchange::{at_once, say_all};
use super::scene::{Scene, Side, Timeouts, Towards, Way};

behaviours! {
    the_server_may_speak_first: Behaviour {
        what: "A server that greets before it is asked is heard at once.",
        source: "linkerd2#3166 (10 s of silence), haproxy#3148",
        acts: &[Side::Upstream],
        ..USUAL
    };
    what_a_client_says_before_the_upstream_answers_arrives: Behaviour {
        what: "What a client sends while the upstream is still being connected to arrives first, and whole.",
        source: "RFC 9293 3.6",
        ..WAITING
    };
    a_fin_before_the_upstream_answers_is_not_an_abort: Behaviour {
        what: "A client that asks and finishes before the upstream has answered gets its answer.",
        source: "haproxy#136: \"it simply says it will not send anything else\"",
        ..WAITING
    };
    a_reset_before_the_upstream_answers_is_an_abort: Behaviour {
        what: "A client that resets while the upstream is being connected to is let go, and so is the upstream.",
        source: "RFC 9293 3.5.3; HAProxy's abortonclose",
        ways: &[Way::Copy, Way::Filtered, Way::Transformed],
        timeouts: Timeouts {
            connect: Some(Duration::from_secs(60)),
            ..Timeouts::NONE
        },
        ..WAITING
    };
    an_upstream_that_accepts_and_resets_is_passed_on_as_a_reset: Behaviour {
        what: "An upstream that accepts and resets before the proxy has seen that it accepted has reset the connection all \
               the same: the client gets a RST, not an empty answer.",
        source: "RFC 9293 3.5.3; connect(2) says ECONNRESET, not ECONNREFUSED",
        ways: &[Way::Copy, Way::Filtered, Way::Transformed],
        ..WAITING
    };
    a_client_of_a_refusing_upstream_is_told_at_once: Behaviour {
        what: "Where the upstream refuses, the client's connection is ended at once: with a FIN, or, where a question is \
               lost, with a RST.",
        source: "RFC 9293 3.5.2; RFC 1122 4.2.2.13",
        towards: Towards::Refusing,
        ..TOLD
    };
    a_client_of_an_unreachable_upstream_is_told_at_once: Behaviour {
        what: "The same where no route leads to the upstream.",
        source: "RFC 1122 4.2.3.9: destination unreachable",
        towards: Towards::Unreachable,
        ..TOLD
    };
    a_client_of_an_upstream_that_does_not_answer_is_told_in_time: Behaviour {
        what: "The same where nothing answers within the connect timeout.",
        source: "RFC 1122 4.2.3.5: SYNs go on for minutes; linkerd2#13023",
        towards: Towards::Unanswering,
        timeouts: Timeouts {
            connect: Some(Duration::from_millis(300)),
            ..Timeouts::NONE
        },
        ..TOLD
    };
}

const WAITING: Behaviour = Behaviour {
    acts: &[Side::Client],
    towards: Towards::Unanswering,
    ..USUAL
};

const TOLD: Behaviour = Behaviour {
    acts: &[Side::Client],
    ways: &[Way::Copy, Way::Filtered, Way::Transformed],
    ..USUAL
};

fn the_server_may_speak_first(scene: &Scene) {
    let (mut actor, mut other, talk) = scene.connect();
    let greeting = pattern(1, scene.typical());
    let ((), got) = at_once(|| actor.send(&greeting), || other.receive(greeting.len()));
    assert!(got == greeting, "the greeting arrived");
    other.send(b"hello");
    actor.expect(b"hello");
    actor.half_close();
    other.hears_fin();
    drop(other);
    actor.hears_fin();
    scene.ends(&talk, "relay.finished.ACTOR").moved(greeting.len(), 5);
}

fn what_a_client_says_before_the_upstream_answers_arrives(scene: &Scene) {
    let client = scene.client();
    let question = pattern(1, scene.typical());
    let mut sender = client.another();
    let ((), (mut client, mut server, talk)) = at_once(
        || sender.send(&question),
        || {
            scene.upstream().wait_until_dialled();
            scene.upstream().answer();
            scene.join(client)
        },
    );
    assert!(server.receive(question.len()) == question, "the question arrived");
    server.send(b"answer");
    client.expect(b"answer");
    client.half_close();
    server.hears_fin();
    drop(server);
    client.hears_fin();
    scene.ends(&talk, "relay.finished.ACTOR").moved(question.len(), 6);
}

fn a_fin_before_the_upstream_answers_is_not_an_abort(scene: &Scene) {
    let mut client = scene.client();
    client.send(b"question");
    client.half_close();
    scene.upstream().wait_until_dialled();
    scene.upstream().answer();
    let (mut client, mut server, talk) = scene.join(client);
    server.hear_out().is_whole(b"question");
    let answer = pattern(1, scene.typical());
    say_all(&mut server, &answer, &mut client).is_whole(&answer);
    scene.ends(&talk, "relay.finished.ACTOR").moved(8, answer.len());
}

fn a_reset_before_the_upstream_answers_is_an_abort(scene: &Scene) {
    let mut client = scene.client();
    let talk = scene.talk(&client);
    client.send(b"question");
    scene.upstream().wait_until_dialled();
    client.reset();
    scene.ends(&talk, "connect.reset.client");
    scene.upstream().answer();
    // The kernel would repeat its SYN after 1 s and 3 s.
    let comes = scene.upstream().waiting(Duration::from_millis(3500));
    assert!(!comes, "the upstream is connected to for a client that has gone");
}

fn an_upstream_that_accepts_and_resets_is_passed_on_as_a_reset(scene: &Scene) {
    let mut client = scene.client();
    let talk = scene.talk(&client);
    scene.upstream().wait_until_dialled();
    scene.signal(Signal::STOP);
    scene.upstream().answer();
    scene.upstream().accept().reset();
    scene.signal(Signal::CONT);
    client.hear_out().is_cut_off(b"");
    scene.ends(&talk, "*.reset.upstream").moved(0, 0);
}

fn a_client_of_a_refusing_upstream_is_told_at_once(scene: &Scene) {
    is_told(scene, "connect.refused.upstream");
}

fn a_client_of_an_unreachable_upstream_is_told_at_once(scene: &Scene) {
    is_told(scene, "connect.unreachable.upstream");
}

fn a_client_of_an_upstream_that_does_not_answer_is_told_in_time(scene: &Scene) {
    is_told(scene, "connect.timeout.upstream");
}

fn is_told(scene: &Scene, outcome: &str) {
    let begun = Instant::now();
    let mut silent = scene.client();
    let talk = scene.talk(&silent);
    silent.hears_fin();
    scene.ends(&talk, outcome).moved(0, 0);

    let mut asking = scene.client();
    let talk = scene.talk(&asking);
    // It may be told before it has asked.
    asking.try_send(b"question").ok();
    assert!(asking.hear_out().bytes.is_empty(), "nobody said anything");
    scene.ends(&talk, outcome).moved(0, 0);
    assert!(begun.elapsed() < Duration::from_secs(3), "after {:?}", begun.elapsed());
}
