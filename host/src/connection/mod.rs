//! The journey of a connection. Each stage is a module of its own, and its type can only be made from the one before.
//!
//! ```text
//! listener     accept              -> Accepted   { socket, client, listener, filters }
//! proxy_header read PROXY v1, v2   -> Identified { the client for whom a proxy came, what it said }
//! limit        wait its turn       -> Admission
//! detect       look, decrypt       -> Inspected  { what it is, its route, bytes already read }
//! route        rules, then filters -> Routed     { upstream, bytes already read, watching filters }
//! upstream     pick, dial          -> Connected  { both sockets }
//! relay        move the bytes      -> Transfer   { per direction: copied, spliced, filtered bytes }
//! outcome      close and record    -> Outcome    { stage x cause x side } -> log, observers
//! ```

mod close;
mod live;
mod notes;
mod record;
mod stages;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

pub use crate::outcome::{Cause, Outcome, Stage};
pub use live::{Here, Live, Query, Relaying, Shown, Traced};
pub use notes::{Answer, Asked, Began, Choice, Doing, Looked, Note, Tried, micros_since};
pub use stages::{Accepted, Routed};

use crate::detect::{self, Inspected};
use crate::listener::Counted;
use crate::proxy_header::{self, Identified};
use crate::worker::Worker;
use crate::{limit, relay, route, upstream};
use record::Record;

/// Serves one connection from its first byte to its last. It is `counted` until its outcome is recorded.
pub async fn serve(worker: Rc<Worker>, mut accepted: Box<Accepted>, counted: Counted) {
    poll_fn(|cx| {
        accepted.here.begins(cx.waker());
        Poll::Ready(())
    })
    .await;
    let mut record = Record::of(&mut accepted);
    let outcome = journey(&worker, accepted, &mut record).await;
    record.finish(outcome);
    drop(counted);
}

/// The first stages are boxed: what they need is given back when they are over, and an idle connection is nearly nothing but
/// its relay.
async fn journey(worker: &Worker, accepted: Box<Accepted>, record: &mut Record) -> Outcome {
    let identified = match accepted.listener.proxy_protocol.is_some() {
        false => Identified::as_accepted(accepted),
        true => match Box::pin(proxy_header::identify(worker, accepted)).await {
            Ok(identified) => identified,
            Err(outcome) => return outcome,
        },
    };
    record.identified(&identified);
    record.here().identified(&identified);
    let _admitted = match identified.0.listener.limiters.is_empty() {
        true => Vec::new(),
        false => match Box::pin(limit::admit(worker, &identified, record.here())).await {
            Ok(admitted) => admitted,
            Err(outcome) => return outcome,
        },
    };
    record.admitted();
    record.here().inspects();
    let inspected = match identified.0.listener.inspects() {
        false => Inspected::unseen(identified),
        true => match Box::pin(detect::inspect(worker, identified, record.here())).await {
            Ok(inspected) => inspected,
            Err(outcome) => return outcome,
        },
    };
    record.inspected(inspected.route);
    record.here().inspected();
    let routed = match Box::pin(route::choose(worker, inspected, record.here())).await {
        Ok(routed) => routed,
        Err(outcome) => return outcome,
    };
    record.routed(&routed);
    record.here().routed(&routed);
    let mut connected = match Box::pin(upstream::connect(worker, routed, record.here())).await {
        Ok(connected) => connected,
        Err(outcome) => return outcome,
    };
    record.connected(&connected);
    record.here().connected(&connected);
    let every = record.every();
    let transfer = relay::run(worker, &mut connected, every, record).await;
    record.transferred(&connected, &transfer);
    connected.judge(&transfer);
    close::close(connected, transfer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<F>(_: impl Fn(Rc<Worker>, Box<Accepted>, Counted) -> F) -> usize {
        size_of::<F>()
    }

    /// It is most of what an idle connection costs, and one careless local variable across a wait doubles it.
    #[test]
    fn the_future_of_a_connection_is_small() {
        let size = size_of_future(serve);
        assert!(size <= 1440, "{size} bytes");
    }
}
