//! How a connection is ended from our side without losing what was sent last.
//!
//! Closing a socket that has unread bytes, or that receives some afterwards, sends RST (RFC 1122, 4.2.2.13; RFC 2525, 2.17),
//! and the RST may overtake what the peer should still have read. So: FIN, then read and drop until the peer has finished.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::channel::Channel;
use crate::sys::Stream;
use crate::worker::Worker;

/// How long a peer may take to finish. Longer than a round trip to anywhere, short enough that one which does not read holds
/// nothing for long.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Says the end, and waits for the peer's.
pub async fn end(worker: &Worker, channel: &Channel) {
    end_with(worker, channel, &[]).await;
}

/// The same after `last` words.
pub async fn end_with(worker: &Worker, channel: &Channel, last: &[u8]) {
    let ended = async {
        let _ = channel.send_all(last).await;
        let _ = poll_fn(|cx| channel.poll_finish(cx, false)).await;
        poll_fn(|cx| poll_discard(cx, worker, channel.stream())).await;
    };
    let _ = worker.timers().within(Some(PATIENCE), ended).await;
}

/// Reads and drops what `stream` sends, until its end.
pub fn poll_discard(cx: &mut Context<'_>, worker: &Worker, stream: &Stream) -> Poll<()> {
    let mut buffer = worker.buffer();
    while let Poll::Ready(read) = stream.poll_recv(cx, &mut buffer) {
        if !matches!(read, Ok(1..)) {
            return Poll::Ready(());
        }
    }
    Poll::Pending
}
