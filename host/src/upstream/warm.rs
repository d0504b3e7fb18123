//! Connections that are made before they are asked for, so that a client does not wait for a round trip to its server.
//!
//! Each is used once, by one client. A worker has its own: a socket belongs to the runtime that it is registered with.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use super::connect::from_a_source;
use super::{Place, Upstream, Upstreams, Wish};
use crate::sys::Stream;

/// One worker's spare connections to all upstreams that want some.
#[derive(Default)]
pub struct Spares(RefCell<Vec<Rc<Shelf>>>);

struct Shelf {
    upstream: Arc<Upstream>,
    /// How many there are to be.
    wanted: usize,
    spares: RefCell<VecDeque<(Stream, Place)>>,
    filling: Cell<bool>,
}

/// How often spares are looked at that nobody has asked for: servers close connections on which nothing happens.
const LOOK: Duration = Duration::from_secs(1);

impl Spares {
    /// Begins to make this worker's part of them, one of so many. Must be called on the worker's thread.
    pub fn fill(&self, upstreams: &Upstreams, workers: usize) {
        for upstream in upstreams.all().iter() {
            let wanted = (upstream.terms().config.preconnect as usize).div_ceil(workers);
            if wanted > 0 {
                let shelf = Rc::new(Shelf {
                    upstream: Arc::clone(upstream),
                    wanted,
                    spares: RefCell::default(),
                    filling: Cell::new(false),
                });
                tokio::task::spawn_local(look_after(Rc::downgrade(&shelf)));
                self.0.borrow_mut().push(shelf);
            }
        }
    }

    /// One that is still good; its successor is being made.
    pub(super) fn take(&self, upstream: &Arc<Upstream>) -> Option<(Stream, Place)> {
        let shelves = self.0.borrow();
        let shelf = shelves.iter().find(|shelf| Arc::ptr_eq(&shelf.upstream, upstream))?;
        let taken = shelf.take();
        refill(shelf);
        taken
    }

    /// Closes all of them: nobody will ask any more.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

impl Shelf {
    fn take(&self) -> Option<(Stream, Place)> {
        loop {
            let (stream, place) = self.spares.borrow_mut().pop_front()?;
            if is_good(&stream, &place) {
                return Some((stream, place));
            }
        }
    }
}

/// Nothing has come, no end either: what a server says first is meant for somebody who is there, and may be too old by now.
fn is_good(stream: &Stream, place: &Place) -> bool {
    place.is_in_lineup() && stream.is_silent()
}

async fn look_after(shelf: Weak<Shelf>) {
    while let Some(shelf) = shelf.upgrade() {
        shelf
            .spares
            .borrow_mut()
            .retain(|(stream, place)| is_good(stream, place));
        refill(&shelf);
        drop(shelf);
        tokio::time::sleep(LOOK).await;
    }
}

/// Makes what is missing, one after the other. A server that does not answer is asked again at the next look, which is often
/// enough; it is nobody's failure, since nobody has asked for it.
fn refill(shelf: &Rc<Shelf>) {
    if shelf.filling.replace(true) {
        return;
    }
    let shelf = Rc::clone(shelf);
    tokio::task::spawn_local(async move {
        while shelf.spares.borrow().len() < shelf.wanted {
            let Some(place) = shelf.upstream.take_place(&Wish::default(), &[]) else {
                break;
            };
            let connecting = tokio::time::timeout(LOOK, from_a_source(&shelf.upstream, &place, None)).await;
            let Ok(Ok(stream)) = connecting else { break };
            stream.watch_over(&shelf.upstream.vigilance());
            shelf.spares.borrow_mut().push_back((stream, place));
        }
        shelf.filling.set(false);
    });
}
