//! Where a connection comes from, when that is not left to the system.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use rustix::io::Errno;

use super::option::set_int;

/// Binds a socket to an address of this machine's, whose port the kernel chooses when it connects.
///
/// Bound without IP_BIND_ADDRESS_NO_PORT (ip(7)), a port would be reserved here and now, for connections to anywhere: 28 000
/// of them in all. This way each server may have as many.
///
/// # Errors
/// EADDRNOTAVAIL: the address is not this machine's. The rest is in bind(2).
pub(super) fn bind_to(socket: impl AsFd, source: IpAddr) -> io::Result<()> {
    // IPv6 sockets take the option at this level, too.
    set_int(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
    rustix::net::bind(socket, &SocketAddr::new(source, 0)).map_err(Errno::into)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use rustix::net::{AddressFamily, SocketType, getsockname, socket};

    use super::*;

    #[test]
    fn the_port_is_chosen_when_it_connects() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind_to(&fd, "127.0.0.9".parse().unwrap()).unwrap();
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
        let error = bind_to(&fd, "192.0.2.1".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }
}
