//! Where the next peek begins.

use std::io;
use std::os::fd::AsFd;

use super::option::set_int;

/// Lets a recv with MSG_PEEK begin behind so many bytes, and the one after it behind those that it saw; -1: at the first byte,
/// each time (SO_PEEK_OFF, socket(7)).
///
/// # Errors
/// EOPNOTSUPP where the kernel cannot do it for this kind of socket: for TCP before Linux 6.9.
pub(super) fn set_peek_offset(fd: &impl AsFd, offset: libc::c_int) -> io::Result<()> {
    set_int(fd, libc::SOL_SOCKET, libc::SO_PEEK_OFF, offset)
}
