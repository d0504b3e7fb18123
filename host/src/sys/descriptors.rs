//! Descriptors that this process began with.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The standard streams that can be replaced.
#[derive(Debug, Clone, Copy)]
pub enum Standard {
    Input,
    Error,
}

/// From now on the stream is that one, and what it was is closed.
pub fn replace(stream: Standard, by: impl AsFd) -> io::Result<()> {
    let number = match stream {
        Standard::Input => libc::STDIN_FILENO,
        Standard::Error => libc::STDERR_FILENO,
    };
    // SAFETY: nobody owns the standard streams: who uses them borrows them, and finds an open one before and after.
    match unsafe { libc::dup2(by.as_fd().as_raw_fd(), number) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A descriptor that whoever started this process has left in it for us (sd_listen_fds(3)). `None` where it is not open.
///
/// To be called once for each number, before anything else is opened: then nobody else owns it.
pub fn left_for_us(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: asking for the flags of a number that is no descriptor does no harm.
    let is_open = unsafe { libc::fcntl(number, libc::F_GETFD) } != -1;
    // SAFETY: it is open, and by the promise above nobody else owns it.
    is_open.then(|| unsafe { OwnedFd::from_raw_fd(number) })
}
