//! Where the next peek begins.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Lets a recv with MSG_PEEK begin behind so many bytes, and the one after it behind those that it saw; -1: at the first byte,
/// each time (SO_PEEK_OFF, socket(7)).
///
/// # Errors
/// EOPNOTSUPP where the kernel cannot do it for this kind of socket: for TCP before Linux 6.9.
pub(super) fn set_peek_offset(fd: &impl AsFd, offset: libc::c_int) -> io::Result<()> {
    // SAFETY: the option is an int, and the kernel reads just that much of `offset`, which lives until it has answered.
    let answer = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEEK_OFF,
            (&raw const offset).cast(),
            size_of_val(&offset) as libc::socklen_t,
        )
    };
    match answer {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
