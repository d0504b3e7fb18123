//! Options of sockets that are one int, for those that rustix has not.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// # Errors
/// What setsockopt(2) says.
pub(super) fn set_int(
    socket: &impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the kernel reads as many bytes of `value` as are said, and it lives until the kernel has answered.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    match answer {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether an option that is on or off is on; not where it cannot be told.
pub(super) fn is_set(socket: &impl AsFd, level: libc::c_int, option: libc::c_int) -> bool {
    let mut value: libc::c_int = 0;
    let mut length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the kernel writes no more than `length` bytes, which `value` has room for.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    answer == 0 && value != 0
}
