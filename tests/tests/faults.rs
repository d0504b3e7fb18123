//! The kernel says no, at the worst moment: no byte is lost, and the connection goes on.
//!
//! strace gives the answers. What it cannot give is EAGAIN, since the edge that follows a real one would be missing, and short
//! transfers, since it does not transfer: full sockets and small pipes of `relay` and `conformance` make those.

use std::thread;

use spliceway_tests::bytes::pattern;
use spliceway_tests::{Client, Peer, Proxy, Trace, Upstream, skip};

/// Large enough to be spliced in many transfers, in both directions at once.
const BULK: usize = 24 << 20;

macro_rules! faults {
    ($($name:ident: $fault:literal,)*) => {
        $(
            #[test]
            fn $name() {
                survives($fault);
            }
        )*
    };
}

faults! {
    the_first_splice_is_refused: "splice:error=EINVAL:when=1",
    a_splice_out_of_a_full_pipe_is_refused: "splice:error=EINVAL:when=2",
    a_later_splice_is_refused: "splice:error=EINVAL:when=9",
    a_later_splice_out_of_a_full_pipe_is_refused: "splice:error=EINVAL:when=10",
    no_splice_is_allowed: "splice:error=ENOSYS:when=1+",
    splice_is_forbidden_in_the_middle: "splice:error=EOPNOTSUPP:when=12+",
    splices_are_interrupted: "splice:error=EINTR:when=1+3",
    there_is_no_pipe: "pipe2:error=EMFILE:when=1+",
    the_system_has_no_pipe_at_first: "pipe2:error=ENFILE:when=1",
    a_pipe_cannot_be_enlarged: "fcntl:error=EPERM:when=1+",
    reads_are_interrupted: "recvfrom:error=EINTR:when=2+3",
    writes_are_interrupted: "sendto:error=EINTR:when=2+3",
    waiting_is_interrupted: "epoll_wait:error=EINTR:when=1+2",
}

#[track_caller]
fn survives(fault: &str) {
    let upstream = Upstream::echo();
    let proxy = Proxy::forward(upstream.address()).workers(1).start();
    let Some(trace) = Trace::inject(&proxy, fault) else {
        skip!("strace is missing or may not attach here")
    };
    let client = Client::connect(proxy.address());
    let address = client.another();
    let bytes = pattern(7, BULK);

    let echoed = echo(client, &bytes);

    assert!(echoed == bytes, "{fault}: {} of {BULK} bytes came back", echoed.len());
    assert_eq!(proxy.ended(&address).outcome, "relay.finished.client");
    let injected = trace.finish().iter().filter(|line| line.contains("(INJECTED)")).count();
    assert!(injected > 0, "{fault}: the kernel was never asked");
}

fn echo(mut client: Peer, bytes: &[u8]) -> Vec<u8> {
    let mut reader = client.another();
    thread::scope(|scope| {
        let got = scope.spawn(move || reader.receive_all());
        client.send(bytes);
        client.half_close();
        got.join().expect("the reader does not panic")
    })
}
