//! What the kernel knows of a TCP connection (TCP_INFO, tcp(7)).

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpInfo {
    /// The smoothed round-trip time, as RFC 6298 estimates it.
    pub rtt: Duration,
    /// Segments that were sent again, in all.
    pub retransmits: u32,
}

/// `None` on a unix socket.
pub fn tcp_info(fd: impl AsFd) -> Option<TcpInfo> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: `info` has room for `length` bytes, and the kernel writes no more than that.
    let answer = unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if answer != 0 {
        return None;
    }
    // SAFETY: it consists of integers, for which zeroes are valid where an older kernel wrote less than all.
    let info = unsafe { info.assume_init() };
    Some(TcpInfo {
        rtt: Duration::from_micros(info.tcpi_rtt.into()),
        retransmits: info.tcpi_total_retrans,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_tcp_connection_has_a_round_trip_time_and_a_unix_socket_has_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let info = tcp_info(&client).unwrap();
        assert!(info.rtt > Duration::ZERO);
        assert_eq!(info.retransmits, 0);
        assert_eq!(tcp_info(UnixStream::pair().unwrap().0), None);
    }
}
