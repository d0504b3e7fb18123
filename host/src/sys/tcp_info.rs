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
    let info = ask(fd)?;
    Some(TcpInfo {
        rtt: Duration::from_micros(info.tcpi_rtt.into()),
        retransmits: info.tcpi_total_retrans,
    })
}

/// How many connections wait to be accepted from a listening socket: what the kernel says in this field of such a one
/// (tcp_get_info). `None` on a unix socket.
pub(super) fn accept_queue(fd: impl AsFd) -> Option<usize> {
    ask(fd)?.tcpi_unacked.try_into().ok()
}

/// What a connection has received since it was made, a FIN being one more, and how many bytes of that are still to be read.
/// `None` on a unix socket.
pub(super) fn received(fd: impl AsFd) -> Option<(u64, u64)> {
    let received = ask(&fd)?.tcpi_bytes_received;
    Some((received, count(fd, libc::FIONREAD)?.into()))
}

/// Bytes that were written to a socket and have not reached the peer's kernel.
pub(super) fn queued(fd: impl AsFd) -> Option<u32> {
    // SIOCOUTQ, for a socket.
    count(fd, libc::TIOCOUTQ)
}

/// Asks for a number of bytes.
fn count(fd: impl AsFd, request: libc::Ioctl) -> Option<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: each of the two requests that are made above writes one int.
    let answer = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), request, &raw mut bytes) };
    u32::try_from(bytes).ok().filter(|_| answer == 0)
}

fn ask(fd: impl AsFd) -> Option<libc::tcp_info> {
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
    // SAFETY: it consists of integers, for which zeroes are valid where an older kernel wrote less than all.
    (answer == 0).then(|| unsafe { info.assume_init() })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
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

    #[test]
    fn a_fin_is_one_more_than_the_bytes_and_a_reset_is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (client, listener.accept().unwrap().0)
        };
        let (mut client, server) = connect();
        client.write_all(b"four").unwrap();
        assert_eq!(server.peek(&mut [0; 8]).unwrap(), 4);
        assert_eq!(received(&server), Some((4, 4)));
        drop(client);
        assert_eq!((&server).read(&mut [0; 4]).unwrap(), 4);
        assert_eq!((&server).read(&mut [0; 4]).unwrap(), 0);
        assert_eq!(received(&server), Some((5, 0)));

        let (mut client, server) = connect();
        client.write_all(b"four").unwrap();
        rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
        drop(client);
        assert_eq!(received(&server), Some((4, 4)));
        assert_eq!(received(UnixStream::pair().unwrap().0), None);
    }

    #[test]
    fn a_listening_socket_knows_how_many_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(accept_queue(&listener), Some(0));
        let address = listener.local_addr().unwrap();
        let _clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        assert_eq!(accept_queue(&listener), Some(3));
        listener.accept().unwrap();
        assert_eq!(accept_queue(&listener), Some(2));
        assert_eq!(accept_queue(UnixStream::pair().unwrap().0), None);
    }
}
