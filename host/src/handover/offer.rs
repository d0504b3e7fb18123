//! What this process has for the one that takes its place.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use super::Described;
use crate::config::ListenAddress;
use crate::sys::distinct;

/// The sockets of one listener. While it is open, so are they, whoever else has closed his handles. Clones are the same.
#[derive(Debug, Clone)]
pub struct Offer {
    described: Described,
    sockets: Arc<Mutex<Vec<OwnedFd>>>,
}

impl Offer {
    /// Of the handles that `whom` was given for that address.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn new(whom: &str, asked: &ListenAddress, handles: &[OwnedFd]) -> io::Result<Self> {
        Ok(Self {
            described: Described {
                name: whom.to_owned(),
                asked: asked.to_string(),
            },
            sockets: Arc::new(Mutex::new(distinct(handles)?)),
        })
    }

    /// Whoever keeps it keeps its sockets from being closed: to be called when nobody is to connect to this process any more.
    pub fn close(&self) {
        self.lock().clear();
    }

    /// Each of its sockets, with what there is to say of it. What cannot be had, since there are no descriptors left, is an
    /// error: a part of the sockets is worse than none.
    pub fn sockets(&self) -> io::Result<Vec<(Described, OwnedFd)>> {
        let sockets = self.lock();
        let handle = |socket: &OwnedFd| Ok((self.described.clone(), socket.try_clone()?));
        sockets.iter().map(handle).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<OwnedFd>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
