//! Which mirrors a connection is to have. Decided once, when its upstream is chosen: a copy that begins in the middle of a
//! stream is of no use.

use std::sync::Arc;

use super::tally::Said;
use crate::config::{Directions, MirrorConfig, ProxyOut};
use crate::flow::Direction;
use crate::treatment::Subject;
use crate::treatment::measure::is_drawn;
use crate::upstream::{Upstream, Wish, key_of};
use crate::worker::Worker;

/// A mirror that a connection is to have.
#[derive(Debug)]
pub struct Planned {
    pub upstream: Arc<Upstream>,
    pub wish: Wish,
    /// What its server is told before all else.
    pub header: Option<Box<[u8]>>,
    /// Each has a connection of its own.
    pub directions: &'static [Direction],
    /// How many bytes it may be behind.
    pub lag: usize,
    /// Whether replies to what goes up are compared with the primary's.
    pub compare: bool,
}

/// How many mirrors one connection has, whoever asks for them.
const MOST: usize = 4;

/// An upstream that a filter or an operator has named, and that there is not.
static UNKNOWN: Said = Said::new();

/// Those that its listener, its route, its upstream, its filter and operators ask for: one for each other upstream. `header` is
/// what a server is told that wants to be told so.
pub fn plan(worker: &Worker, subject: &Subject<'_>, header: impl Fn(&ProxyOut) -> Box<[u8]>) -> Vec<Planned> {
    let mut planned: Vec<Planned> = Vec::new();
    let mut add = |config: &MirrorConfig| {
        if planned.len() >= MOST || !is_drawn(config.share, config.seed, subject.id) {
            return;
        }
        let Some(upstream) = subject.listener.upstreams.find(&config.upstream) else {
            if UNKNOWN.may_say() {
                tracing::warn!(
                    connection = subject.id,
                    upstream = config.upstream,
                    "there is no upstream to mirror to"
                );
            }
            return;
        };
        let is_there = planned.iter().any(|other| Arc::ptr_eq(&other.upstream, &upstream));
        // A write that arrives twice at one server is no copy.
        if is_there || std::ptr::eq(&*upstream, subject.upstream) {
            return;
        }
        let key = subject.client.filter(|_| upstream.hashes());
        let told = upstream.terms().config.proxy_protocol.as_ref().map(&header);
        planned.push(Planned {
            wish: Wish {
                key: key.map(|client| key_of(client.ip())),
                server: None,
            },
            header: told,
            directions: directions(config.directions),
            lag: config.lag,
            compare: config.compare,
            upstream,
        });
    };
    for regimen in subject.regimens(worker) {
        regimen.config().mirrors.iter().for_each(&mut add);
    }
    if let Some(name) = subject.prescribed.and_then(|prescribed| prescribed.mirror.as_deref()) {
        add(&MirrorConfig::new(name));
    }
    planned
}

fn directions(directions: Directions) -> &'static [Direction] {
    match directions {
        Directions::Up => &[Direction::Up],
        Directions::Down => &[Direction::Down],
        Directions::Both => &[Direction::Up, Direction::Down],
    }
}
