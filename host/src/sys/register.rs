//! Descriptors on a runtime's epoll.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// Must be called on the thread whose runtime will wait for the descriptor.
pub(super) fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and refers to the same description until it is dropped, and the `AsyncFd` owns it.
    let registered = unsafe { AsyncFd::register(fd) };
    registered.map_err(io::Error::from)
}
