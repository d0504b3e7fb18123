//! What two peers do in most scenes.

use std::panic::resume_unwind;
use std::thread;

use spliceway_tests::{Heard, Peer};

/// One says all of it and finishes, while the other one hears it out.
pub fn say_all(from: &mut Peer, bytes: &[u8], to: &mut Peer) -> Heard {
    let say = || {
        from.send(bytes);
        from.half_close();
    };
    at_once(say, || to.hear_out()).1
}

/// One says all of it and throws the connection away, while the other one hears it out.
pub fn say_all_and_reset(mut from: Peer, bytes: &[u8], to: &mut Peer) -> Heard {
    let say = || {
        from.send(bytes);
        from.reset();
    };
    at_once(say, || to.hear_out()).1
}

/// Each says all of its own and finishes, while it hears the other one out. Returns what the first one heard, and the second.
pub fn say_all_both_ways(one: (&mut Peer, &[u8]), two: (&mut Peer, &[u8])) -> (Heard, Heard) {
    let (mut one_hears, mut two_hears) = (one.0.another(), two.0.another());
    let (heard_by_two, heard_by_one) = at_once(
        || say_all(one.0, one.1, &mut two_hears),
        || say_all(two.0, two.1, &mut one_hears),
    );
    (heard_by_one, heard_by_two)
}

/// Both at the same time: two peers that do not wait for each other.
pub fn at_once<A: Send, B>(one: impl FnOnce() -> A + Send, two: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let one = scope.spawn(one);
        let two = two();
        (one.join().unwrap_or_else(|panic| resume_unwind(panic)), two)
    })
}
