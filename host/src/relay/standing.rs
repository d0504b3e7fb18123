//! How a connection stands at this moment. Nothing of it is found out before it is asked for.

use super::lane::{Lane, Way};
use crate::channel::Channel;
use crate::filter::{Chain, Watcher};
use crate::observe::Moved;
use crate::upstream::Connected;

pub struct Standing<'a> {
    connected: &'a Connected,
    /// Up, and down.
    lanes: [&'a Lane; 2],
    filters: Option<&'a Chain>,
}

impl<'a> Standing<'a> {
    pub(super) fn new(connected: &'a Connected, lanes: [&'a Lane; 2], filters: Option<&'a Chain>) -> Self {
        Self {
            connected,
            lanes,
            filters,
        }
    }

    /// Up, and down.
    pub fn moved(&self) -> [Moved; 2] {
        self.lanes.map(Lane::moved)
    }

    /// Up, and down.
    pub fn ways(&self) -> [Way; 2] {
        self.lanes
            .map(|lane| lane.way(self.client(), self.upstream(), self.filters))
    }

    /// Filters that still watch, in their order.
    pub fn watchers(&self) -> Vec<Watcher> {
        self.filters.map(Chain::watchers).unwrap_or_default()
    }

    pub fn client(&self) -> &Channel {
        &self.connected.routed.client
    }

    pub fn upstream(&self) -> &Channel {
        &self.connected.socket
    }
}
