//! Becoming somebody else.

use std::io;

/// Gives every privilege of root's away, for good, on all threads: the calls of libc reach each of them, the system calls
/// behind them only the one that makes them (nptl(7)).
///
/// # Errors
/// EPERM: this process is not root. What was done by then stays done: the process is to end.
pub fn become_user(user: u32, group: u32, groups: &[u32]) -> io::Result<()> {
    let done = |answer: libc::c_int| match answer {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // Groups first, as only root may choose them.
    // SAFETY: the pointer and the length are those of a slice of gid_t, which the call only reads.
    done(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })?;
    // SAFETY: numbers go in and none comes out.
    done(unsafe { libc::setresgid(group, group, group) })?;
    // SAFETY: numbers go in and none comes out.
    done(unsafe { libc::setresuid(user, user, user) })
}
