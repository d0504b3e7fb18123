//! How the bytes of one direction go at this moment, for who asks.

use super::{Copying, Lane, Path, Phase, SMALL_IN_A_ROW, WORTH_LEAVING};
use crate::channel::Channel;
use crate::filter::{Chain, View};
use crate::flow::Side;
use crate::observe::Moved;

/// What decides how the next bytes of a direction go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    pub moved: Moved,
    pub at: Where,
    /// What filters are shown of it: those that skip so little that it is not worth the way around see the next byte.
    pub view: View,
    /// Filters look at bytes in the socket, from where they are spliced.
    pub in_place: bool,
    /// With whom TLS is spoken: what is encrypted by us cannot be spliced.
    pub encrypted: [bool; 2],
    /// It is captured: what is has to be read.
    pub captured: bool,
    /// Bytes a second that it is held to.
    pub rate: Option<u64>,
}

/// How far a direction is, and how bytes go that no filter wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// Through the worker's buffer.
    Copies(Copying),
    /// Through a pipe, in the kernel.
    Splices,
    /// There will be no more of them: the source has finished.
    Ended,
    /// The sink takes nothing any more.
    Broken,
}

impl Way {
    pub fn is_encrypted(&self, with: Side) -> bool {
        self.encrypted[with as usize]
    }

    /// Whether the next bytes of bulk stay in the kernel.
    pub fn is_spliced(&self) -> bool {
        let is_free = match self.view {
            View::Nothing | View::After(_) => true,
            View::Next => self.in_place,
        };
        self.at == Where::Splices && is_free && self.encrypted == [false; 2] && !self.captured
    }
}

impl Lane {
    /// How it goes on, between these and with these filters.
    pub(in super::super) fn way(&self, client: &Channel, upstream: &Channel, filters: Option<&Chain>) -> Way {
        let at = match (&self.phase, &self.path) {
            (Phase::Broken(_), _) => Where::Broken,
            (Phase::Ended | Phase::Finishing | Phase::Closed, _) => Where::Ended,
            (Phase::Open, Path::Copy(why)) => Where::Copies(*why),
            (Phase::Open, Path::Splice { small, .. }) if *small >= SMALL_IN_A_ROW => Where::Copies(Copying::Small),
            (Phase::Open, Path::Splice { .. }) => Where::Splices,
        };
        let encrypted = [client, upstream].map(|channel| channel.session().is_some());
        let view = match filters.map_or(View::Nothing, |chain| chain.view(self.direction)) {
            View::After(unseen) if unseen < WORTH_LEAVING => View::Next,
            view => view,
        };
        let source = match self.direction.from() {
            Side::Client => client,
            Side::Upstream => upstream,
        };
        let captured = client.is_tapped() || upstream.is_tapped();
        let may_stay =
            filters.is_some_and(|chain| self.looks_in_place(chain)) && source.session().is_none() && !captured;
        Way {
            moved: self.moved,
            at,
            view,
            in_place: view == View::Next && may_stay,
            encrypted,
            captured,
            rate: self.course.as_ref().and_then(|course| course.rate()),
        }
    }
}
