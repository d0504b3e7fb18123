//! The end of a connection that had both of its sockets: FIN is not RST, and neither is lost.

use super::{Cause, Outcome, Stage};
use crate::channel::Channel;
use crate::filter::Stop;
use crate::flow::Side;
use crate::relay::{Ending, Limit, Transfer};
use crate::upstream::Connected;

/// Closes what is still open. A peer that failed is passed on to the other as a RST, unless that one has been sent the
/// complete stream: the RST would drop what it has not read yet.
pub(super) fn close(connected: Connected, transfer: Transfer) -> Outcome {
    let (client, upstream) = (&connected.routed.client, &connected.socket);
    let outcome = |cause, side| Outcome::new(Stage::Relay, cause, side);
    match transfer.ending {
        Ending::Finished { first } => match cut_off(client, upstream) {
            Some(side) => {
                tracing::debug!(connection = connected.routed.id, %side, "ended without close_notify");
                outcome(Cause::Truncated, Some(side))
            }
            None => outcome(Cause::Finished, Some(first)),
        },
        Ending::Failed { side, error } => {
            match side {
                Side::Client if !transfer.up_complete => upstream.reset_on_close(),
                Side::Upstream if !transfer.down_complete => client.reset_on_close(),
                Side::Client | Side::Upstream => {}
            }
            match (Cause::of(&error), cut_off(client, upstream)) {
                // OpenSSL complains with an alert of a stream that was cut off. It is not to blame.
                (Cause::TlsFailed, Some(other)) if other != side => outcome(Cause::Truncated, Some(other)),
                (cause, _) => outcome(cause, Some(side)),
            }
        }
        Ending::Expired(limit) => {
            // What is still owed is lost, and that must not look like an end. A stall resets both, and so does who kills it.
            let stalled = matches!(limit, Limit::Stalled(_) | Limit::Killed);
            if stalled || !transfer.down_complete {
                client.reset_on_close();
            }
            if stalled || !transfer.up_complete {
                upstream.reset_on_close();
            }
            expired(limit)
        }
        Ending::Cut { reset } => {
            if reset {
                client.reset_on_close();
                upstream.reset_on_close();
            }
            outcome(Cause::Fault, None)
        }
        Ending::Stopped(Stop::Refused(refused)) => {
            tracing::debug!(filter = %refused.filter, reason = refused.reason, "refused by a filter");
            if refused.reset {
                client.reset_on_close();
                upstream.reset_on_close();
            }
            outcome(Cause::FilterRefused, None)
        }
        Ending::Stopped(Stop::Failed { .. }) => {
            // Cut off in the middle: that must not look like an end.
            client.reset_on_close();
            upstream.reset_on_close();
            outcome(Cause::FilterFailed, None)
        }
    }
}

/// Whose stream ended without saying that it is whole. It was passed on as far as it came.
fn cut_off(client: &Channel, upstream: &Channel) -> Option<Side> {
    match (client.is_truncated(), upstream.is_truncated()) {
        (true, _) => Some(Side::Client),
        (false, true) => Some(Side::Upstream),
        (false, false) => None,
    }
}

fn expired(limit: Limit) -> Outcome {
    let (cause, side) = match limit {
        Limit::FirstByte => (Cause::FirstByteTimeout, Some(Side::Upstream)),
        Limit::Idle => (Cause::IdleTimeout, None),
        Limit::HalfClosed => (Cause::HalfClosedTimeout, None),
        Limit::Stalled(side) => (Cause::Stalled, Some(side)),
        Limit::Lifetime => (Cause::LifetimeOver, None),
        Limit::Drained => (Cause::Drained, None),
        Limit::DrainOver => (Cause::DrainOver, None),
        Limit::Quota => (Cause::QuotaOver, None),
        Limit::Killed => (Cause::Killed, None),
        Limit::ServerDown => (Cause::ServerDown, Some(Side::Upstream)),
        Limit::Reconfigured => (Cause::Reconfigured, None),
    };
    Outcome::new(Stage::Relay, cause, side)
}
