//! So many connections at once, in the order in which they came. How many there may be can change while some are there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sys::Coarse;
use crate::worker::Worker;

pub(super) struct Places {
    free: Arc<Semaphore>,
    size: Mutex<Size>,
}

struct Size {
    most: u32,
    /// Places that are taken and not to be free again, since there are to be fewer.
    excess: u32,
}

/// One connection's place, for as long as this lives.
pub(super) struct Place {
    places: Arc<Places>,
    /// Always there until it is dropped.
    permit: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(super) fn new(most: u32) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most as usize)),
            size: Mutex::new(Size { most, excess: 0 }),
        }
    }

    /// Whoever has a place keeps it. Where there are to be fewer than are taken, none is free before so many are given back.
    pub(super) fn resize(&self, most: u32) {
        let mut size = self.size();
        if let Some(more) = most.checked_sub(size.most) {
            let owed = more.min(size.excess);
            size.excess -= owed;
            self.free.add_permits((more - owed) as usize);
        } else {
            let fewer = size.most - most;
            let were_free = self.free.forget_permits(fewer as usize);
            size.excess += fewer.saturating_sub(u32::try_from(were_free).unwrap_or(u32::MAX));
        }
        size.most = most;
    }

    /// `None` where there is none until the deadline.
    pub(super) async fn take(self: &Arc<Self>, worker: &Worker, deadline: Coarse) -> Option<Place> {
        if let Some(place) = self.take_now() {
            return Some(place);
        }
        let turn = Arc::clone(&self.free).acquire_owned();
        let permit = worker.timers().before(deadline, turn).await.ok()?.ok()?;
        Some(self.place(permit))
    }

    fn take_now(self: &Arc<Self>) -> Option<Place> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(self.place(permit))
    }

    fn place(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Place {
        Place {
            places: Arc::clone(self),
            permit: Some(permit),
        }
    }

    fn size(&self) -> MutexGuard<'_, Size> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let mut size = self.places.size();
        match size.excess.checked_sub(1) {
            Some(left) => {
                size.excess = left;
                permit.forget();
            }
            // While nobody changes how many there are.
            None => drop(permit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(places: &Places) -> usize {
        places.free.available_permits()
    }

    #[test]
    fn those_who_are_there_count_when_there_are_to_be_more_or_fewer() {
        let places = Arc::new(Places::new(3));
        let mut taken: Vec<_> = (0..3).filter_map(|_| places.take_now()).collect();
        assert!(places.take_now().is_none());
        places.resize(5);
        taken.push(places.take_now().unwrap());
        assert_eq!(free(&places), 1);

        places.resize(2);
        assert_eq!(free(&places), 0);
        for left in [3, 2] {
            taken.truncate(left);
            assert!(places.take_now().is_none(), "{left} are there");
        }
        taken.truncate(1);
        taken.push(places.take_now().unwrap());
        assert!(places.take_now().is_none());
        taken.clear();
        assert_eq!(free(&places), 2);
    }

    #[test]
    fn what_was_to_be_fewer_may_be_more_again() {
        let places = Arc::new(Places::new(4));
        let taken: Vec<_> = (0..4).filter_map(|_| places.take_now()).collect();
        places.resize(1);
        places.resize(3);
        assert!(places.take_now().is_none());
        places.resize(5);
        assert_eq!(free(&places), 1);
        drop(taken);
        assert_eq!(free(&places), 5);
    }

    #[test]
    fn all_that_a_number_can_be_can_be_asked_for() {
        let places = Places::new(u32::MAX);
        places.resize(1);
        assert_eq!(free(&places), 1);
        places.resize(u32::MAX);
        assert_eq!(free(&places), u32::MAX as usize);
    }
}
