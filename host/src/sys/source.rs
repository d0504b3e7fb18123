//! Where a connection comes from, when that is not left to the system.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::option::set_int;
use super::socket::transparent;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// An address of this machine's.
    Ours(IpAddr),
    /// Somebody else's. What is sent there has to come here.
    Clients(IpAddr),
}

/// Whether this machine has an address, on whichever interface: then a socket can be bound to it.
pub fn is_local(address: IpAddr) -> bool {
    let family = if address.is_ipv6() {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
    socket.is_ok_and(|socket| rustix::net::bind(&socket, &SocketAddr::new(address, 0)).is_ok())
}

/// Binds a socket to an address, whose port the kernel chooses when it connects.
///
/// Bound without IP_BIND_ADDRESS_NO_PORT (ip(7)), a port would be reserved here and now, for connections to anywhere: 28 000
/// of them in all. This way each server may have as many.
///
/// # Errors
/// EADDRNOTAVAIL: the address is not this machine's. EPERM: only who has CAP_NET_ADMIN connects as somebody else. The rest is in
/// bind(2).
pub(super) fn bind_to(socket: impl AsFd, source: Source) -> io::Result<()> {
    let source = match source {
        Source::Ours(source) => source,
        Source::Clients(client) => {
            transparent(&socket, true)?;
            client
        }
    };
    // IPv6 sockets take the option at this level, too.
    set_int(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
    rustix::net::bind(socket, &SocketAddr::new(source, 0)).map_err(Errno::into)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use rustix::net::{getsockname, socket};

    use super::*;

    #[test]
    fn the_port_is_chosen_when_it_connects() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind_to(&fd, Source::Ours("127.0.0.9".parse().unwrap())).unwrap();
        let bound: SocketAddr = getsockname(&fd).unwrap().try_into().unwrap();
        assert_eq!(bound, "127.0.0.9:0".parse().unwrap());
        rustix::net::connect(&fd, &listener.local_addr().unwrap()).unwrap();
        let stream = TcpStream::from(fd);
        assert_eq!(stream.local_addr().unwrap().ip().to_string(), "127.0.0.9");
        assert_ne!(stream.local_addr().unwrap().port(), 0);
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        let error = bind_to(&fd, Source::Ours("192.0.2.1".parse().unwrap())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn an_address_is_local_where_this_machine_has_it() {
        assert!(is_local([127, 0, 0, 9].into()) && is_local(std::net::Ipv6Addr::LOCALHOST.into()));
        assert!(!is_local([192, 0, 2, 1].into()));
    }
}
