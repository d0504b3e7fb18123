//! The journey of a connection. Each stage is a module of its own, and its type can only be made from the one before.
//!
//! ```text
//! listener     accept              -> Accepted   { socket, client, listener, filters }
//! proxy_header read PROXY v1, v2   -> Identified { the client for whom a proxy came, what it said }
//! limit        wait its turn       -> Admission
//! detect       look, decrypt       -> Inspected  { what it is, its route, bytes already read }
//! route        rules, then filters -> Routed     { upstream, bytes already read, watching filters }
//! treatment    what else is done   -> Courses    { per direction: how fast, how much }
//! upstream     pick, dial          -> Connected  { both sockets }
//! relay        move the bytes      -> Transfer   { per direction: copied, spliced, filtered bytes }
//! outcome      close and record    -> Outcome    { stage x cause x side } -> log, observers
//! ```

mod captured;
mod close;
mod live;
mod notes;
mod record;
mod stages;

use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::task::Poll;

pub use crate::outcome::{Cause, Outcome, Stage};
pub use live::{Here, Live, Past, Query, Relaying, Shown, Survey, Traced};
pub use notes::{Answer, Asked, Began, Choice, Doing, Looked, Note, Tried, micros_since};
pub use stages::{Accepted, Routed};

use crate::detect::{self, Inspected};
use crate::limit::Admission;
use crate::listener::Counted;
use crate::proxy_header::{self, Identified};
use crate::upstream::Connected;
use crate::worker::Worker;
use crate::{limit, linger, relay, route, transparent, treatment, upstream};
use record::Record;

/// Serves one connection from its first byte to its last. It is `counted` until its outcome is recorded.
pub async fn serve(worker: Rc<Worker>, mut accepted: Box<Accepted>, counted: Counted) {
    poll_fn(|cx| {
        accepted.here.begins(cx.waker());
        Poll::Ready(())
    })
    .await;
    worker.traffic().accepted();
    let mut record = Record::of(&mut accepted);
    record.may_be_captured(&worker, &accepted);
    let outcome = journey(&worker, accepted, &mut record).await;
    record.finish(outcome);
    drop(counted);
}

/// The way to a server is boxed: what it needs is given back when it is over, and an idle connection is nearly nothing but its
/// relay.
async fn journey(worker: &Rc<Worker>, accepted: Box<Accepted>, record: &mut Record) -> Outcome {
    let (mut connected, _admitted) = match Box::pin(reach(worker, accepted, record)).await {
        Ok(reached) => reached,
        Err(outcome) => return outcome,
    };
    let every = record.every();
    let transfer = relay::run(worker, &mut connected, every, record).await;
    record.transferred(&connected, &transfer);
    connected.judge(&transfer);
    close::close(connected, transfer)
}

/// Every stage until there are two sockets, and what the connection holds of its limits.
async fn reach(
    worker: &Rc<Worker>,
    accepted: Box<Accepted>,
    record: &mut Record,
) -> Result<(Connected, Box<[Admission]>), Outcome> {
    transparent::admit(&accepted)?;
    let identified = match accepted.listener.proxy_protocol.is_some() {
        false => Identified::as_accepted(accepted),
        true => proxy_header::identify(worker, accepted).await?,
    };
    transparent::learn(&identified.0);
    record.identified(&identified);
    record.here().identified(&identified);
    let admitted = match identified.0.listener.is_limited() {
        false => Box::default(),
        true => limit::admit(worker, &identified, record.here()).await?.into(),
    };
    record.admitted();
    record.here().inspects();
    let inspected = match identified.0.listener.inspects() {
        false => Inspected::unseen(identified),
        true => detect::inspect(worker, identified, record.here()).await?,
    };
    record.inspected(inspected.route);
    record.here().inspected();
    let mut routed = route::choose(worker, inspected, record.here()).await?;
    record.routed(&routed);
    record.here().routed(&routed);
    let measured = worker.measured();
    match treatment::begin(worker, &record.subject(&routed)) {
        Ok(courses) => routed.follow(courses),
        Err(refused) => return Err(turn_away(worker, &routed, refused).await),
    }
    record.will_be_captured(worker, &routed);
    let mut connected = upstream::connect(worker, routed, record.here()).await?;
    // From here on, its relay looks for other measures.
    if measured != worker.measured() {
        treat_anew(worker, record, &mut connected.routed);
        record.will_be_captured(worker, &connected.routed);
    }
    treatment::mirror::begin(worker, &mut connected);
    record.connected(&connected);
    record.is_captured(&connected);
    record.here().connected(&connected, record.connect());
    Ok((connected, admitted))
}

/// There are other measures than when it was routed.
fn treat_anew(worker: &Worker, record: &Record, routed: &mut Routed) {
    let before = routed
        .treatment
        .as_mut()
        .map(|treatment| mem::take(&mut treatment.courses));
    let courses = treatment::renew(worker, &record.subject(routed), before.unwrap_or_default());
    routed.follow(courses);
}

/// Closes a connection that a quota or a fault lets go no further.
async fn turn_away(worker: &Worker, routed: &Routed, refused: treatment::Refused) -> Outcome {
    let (cause, reset) = match refused {
        treatment::Refused::Quota => (Cause::QuotaOver, false),
        treatment::Refused::Fault { reset } => (Cause::Fault, reset),
    };
    match reset {
        true => routed.client.reset_on_close(),
        false => linger::end(worker, &routed.client).await,
    }
    Outcome::new(Stage::Route, cause, None)
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
        assert!(size <= 1280, "{size} bytes");
    }
}
