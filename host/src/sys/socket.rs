//! Options that sockets are given besides what all have.

use std::fmt::{self, Display};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};
use socket2::SockRef;

use super::option::{is_set, set_int};
use crate::config::{ListenerSocket, SocketOptions, UpstreamSocket};

/// An option that a socket was not given.
#[derive(Debug)]
pub struct Refused {
    /// As it is typed.
    pub key: &'static str,
    pub value: String,
    pub why: Why,
}

#[derive(Debug)]
pub enum Why {
    Kernel(io::Error),
    /// The kernel has said nothing, and given less: so many bytes.
    Granted(u32),
}

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, why } = self;
        match why {
            Why::Kernel(error) => write!(f, "`{key} = {value}`: {error}"),
            Why::Granted(bytes) => write!(f, "`{key} = {value}`: the kernel gives {bytes} bytes"),
        }
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for io::Error {
    /// As the kernel has it, for those who tell errors apart.
    fn from(refused: Refused) -> Self {
        match refused.why {
            Why::Kernel(error) => error,
            Why::Granted(_) => Self::other(refused),
        }
    }
}

/// Tries them on a socket that nobody uses: what would be refused where they take the place of those `before`.
///
/// # Errors
/// There is no such socket to be had.
pub fn try_listening(is_ipv6: bool, before: &ListenerSocket, wanted: &ListenerSocket) -> io::Result<Vec<Refused>> {
    let socket = unused(is_ipv6)?;
    // Who is bound to an interface may not be free to leave it.
    let device = SocketOptions {
        device: before.options.device.clone(),
        ..SocketOptions::default()
    };
    change_options(&socket, &SocketOptions::default(), &device);
    Ok(change_listening(&socket, before, wanted))
}

/// Whether a socket could connect from the address of somebody else.
///
/// # Errors
/// It could not, or there is no socket to be had.
pub fn try_as_client() -> io::Result<()> {
    transparent(&unused(false)?, true)
}

/// The same of sockets that connect.
///
/// # Errors
/// There is no socket to be had.
pub fn try_connecting(wanted: &UpstreamSocket) -> io::Result<Vec<Refused>> {
    let socket = unused(false)?;
    let mut refused = change_connecting(&socket, wanted);
    refused.extend(too_small(&socket, &wanted.options));
    Ok(refused)
}

/// A socket that listens, or will, has those `before`, which new ones have by default, and is to have those that are `wanted`. Of
/// what is the same nothing is touched.
pub fn change_listening(socket: &impl AsFd, before: &ListenerSocket, wanted: &ListenerSocket) -> Vec<Refused> {
    let mut refused = change_options(socket, &before.options, &wanted.options);
    let mut set = |key, option, value: i32| {
        refused.extend(
            taken(
                key,
                || value.to_string(),
                set_int(socket, libc::IPPROTO_TCP, option, value),
            )
            .err(),
        );
    };
    if before.defer_accept != wanted.defer_accept {
        let seconds = wanted.defer_accept.map_or(0, |time| time.as_secs());
        set(
            "socket.defer-accept",
            libc::TCP_DEFER_ACCEPT,
            seconds.try_into().unwrap_or(i32::MAX),
        );
    }
    if before.fast_open != wanted.fast_open {
        set(
            "socket.fast-open",
            libc::TCP_FASTOPEN,
            wanted.fast_open.unwrap_or_default().into(),
        );
    }
    if before.is_transparent != wanted.is_transparent {
        let set = transparent(socket, wanted.is_transparent);
        refused.extend(taken("transparent", || "\"tproxy\"".to_owned(), set).err());
    }
    refused.extend(too_small(socket, &wanted.options));
    refused
}

/// A new socket that is to connect.
pub fn change_connecting(socket: &impl AsFd, wanted: &UpstreamSocket) -> Vec<Refused> {
    let mut refused = change_options(socket, &SocketOptions::default(), &wanted.options);
    if wanted.fast_open {
        let set = set_int(socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, 1);
        refused.extend(taken("socket.fast-open", || true.to_string(), set).err());
    }
    refused
}

fn change_options(socket: &impl AsFd, before: &SocketOptions, wanted: &SocketOptions) -> Vec<Refused> {
    let mut refused = Vec::new();
    let mut note = |taken: Result<(), Refused>| refused.extend(taken.err());
    if before.receive_buffer != wanted.receive_buffer {
        note(taken(
            "socket.receive-buffer",
            || bytes(wanted.receive_buffer),
            receive_buffer(socket, wanted),
        ));
    }
    if before.send_buffer != wanted.send_buffer {
        note(taken(
            "socket.send-buffer",
            || bytes(wanted.send_buffer),
            send_buffer(socket, wanted),
        ));
    }
    if before.congestion_control != wanted.congestion_control {
        let name = wanted.congestion_control.as_deref();
        note(taken(
            "socket.congestion-control",
            || text(name),
            congestion_control(socket, name),
        ));
    }
    if before.notsent_lowat != wanted.notsent_lowat {
        let lowat = wanted.notsent_lowat.unwrap_or(0);
        note(taken(
            "socket.notsent-lowat",
            || lowat.to_string(),
            SockRef::from(socket).set_tcp_notsent_lowat(lowat),
        ));
    }
    if before.dscp != wanted.dscp {
        let class = wanted.dscp.unwrap_or(0);
        note(taken("socket.dscp", || class.to_string(), dscp(socket, class)));
    }
    if before.mark != wanted.mark {
        let mark = wanted.mark.unwrap_or(0);
        note(taken("socket.mark", || mark.to_string(), self::mark(socket, mark)));
    }
    if before.device != wanted.device {
        let name = wanted.device.as_deref();
        note(taken("socket.device", || text(name), device(socket, name)));
    }
    if before.mss != wanted.mss {
        let mss = wanted.mss.unwrap_or(0);
        note(taken(
            "socket.mss",
            || mss.to_string(),
            SockRef::from(socket).set_tcp_mss(mss.into()),
        ));
    }
    if before.freebind != wanted.freebind {
        note(taken(
            "socket.freebind",
            || wanted.freebind.to_string(),
            freebind(socket, wanted.freebind),
        ));
    }
    refused
}

/// Without a wanted size, as of a new socket, and the kernel finds the size again (SO_BUF_LOCK, Linux 5.14).
fn receive_buffer(socket: &impl AsFd, wanted: &SocketOptions) -> io::Result<()> {
    match wanted.receive_buffer {
        Some(bytes) => sockopt::set_socket_recv_buffer_size(socket, bytes as usize)?,
        None => {
            let usual = sockopt::socket_recv_buffer_size(unused(false)?)?;
            sockopt::set_socket_recv_buffer_size(socket, usual / 2)?;
            unlock_buffers(socket, wanted)?;
        }
    }
    Ok(())
}

fn send_buffer(socket: &impl AsFd, wanted: &SocketOptions) -> io::Result<()> {
    match wanted.send_buffer {
        Some(bytes) => sockopt::set_socket_send_buffer_size(socket, bytes as usize)?,
        None => {
            let usual = sockopt::socket_send_buffer_size(unused(false)?)?;
            sockopt::set_socket_send_buffer_size(socket, usual / 2)?;
            unlock_buffers(socket, wanted)?;
        }
    }
    Ok(())
}

/// Only what is wanted stays as it was set (SOCK_SNDBUF_LOCK, SOCK_RCVBUF_LOCK).
fn unlock_buffers(socket: &impl AsFd, wanted: &SocketOptions) -> io::Result<()> {
    /// As in asm-generic/socket.h; libc has not got it.
    const SO_BUF_LOCK: libc::c_int = 72;
    let locked = i32::from(wanted.send_buffer.is_some()) | i32::from(wanted.receive_buffer.is_some()) << 1;
    set_int(socket, libc::SOL_SOCKET, SO_BUF_LOCK, locked)
}

/// What is so already is no matter of privileges: an inherited socket may have it from somebody who had them.
fn congestion_control(socket: &impl AsFd, name: Option<&str>) -> io::Result<()> {
    let usual = match name {
        Some(_) => String::new(),
        None => sockopt::tcp_congestion(unused(false)?)?,
    };
    let name = name.unwrap_or(&usual);
    match sockopt::set_tcp_congestion(socket, name) {
        Err(_) if sockopt::tcp_congestion(socket).is_ok_and(|has| has == name) => Ok(()),
        set => Ok(set?),
    }
}

fn mark(socket: &impl AsFd, mark: u32) -> io::Result<()> {
    let socket = SockRef::from(socket);
    match socket.set_mark(mark) {
        Err(_) if socket.mark().is_ok_and(|has| has == mark) => Ok(()),
        set => set,
    }
}

fn device(socket: &impl AsFd, name: Option<&str>) -> io::Result<()> {
    let socket = SockRef::from(socket);
    let name = name.map(str::as_bytes);
    match socket.bind_device(name) {
        Err(_) if socket.device().is_ok_and(|has| has.as_deref() == name) => Ok(()),
        set => set,
    }
}

/// A socket of IPv6 has connections of IPv4, too.
fn dscp(socket: &impl AsFd, class: u8) -> io::Result<()> {
    let byte = class << 2;
    sockopt::set_ip_tos(socket, byte)?;
    if is_ipv6(socket)? {
        sockopt::set_ipv6_tclass(socket, byte.into())?;
    }
    Ok(())
}

/// It may have addresses that are not this machine's (IP_TRANSPARENT, ip(7)).
pub(super) fn transparent(socket: &impl AsFd, may: bool) -> io::Result<()> {
    let (level, option) = match is_ipv6(socket)? {
        true => (libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT),
        false => (libc::IPPROTO_IP, libc::IP_TRANSPARENT),
    };
    match set_int(socket, level, option, may.into()) {
        // An inherited one may have it from somebody who might.
        Err(_) if may && is_set(socket, level, option) => Ok(()),
        set => set,
    }
}

fn freebind(socket: &impl AsFd, may: bool) -> io::Result<()> {
    match is_ipv6(socket)? {
        true => sockopt::set_ipv6_freebind(socket, may)?,
        false => sockopt::set_ip_freebind(socket, may)?,
    }
    Ok(())
}

/// The kernel gives less than is asked for without a word (net.core.rmem_max, net.core.wmem_max). It doubles what it gives.
fn too_small(socket: &impl AsFd, wanted: &SocketOptions) -> Vec<Refused> {
    let buffers = [
        (
            "socket.receive-buffer",
            wanted.receive_buffer,
            sockopt::socket_recv_buffer_size(socket),
        ),
        (
            "socket.send-buffer",
            wanted.send_buffer,
            sockopt::socket_send_buffer_size(socket),
        ),
    ];
    let too_small = buffers.into_iter().filter_map(|(key, asked, has)| {
        let (asked, granted) = (asked?, u32::try_from(has.ok()? / 2).ok()?);
        (granted < asked).then(|| Refused {
            key,
            value: bytes(Some(asked)),
            why: Why::Granted(granted),
        })
    });
    too_small.collect()
}

fn is_ipv6(socket: &impl AsFd) -> io::Result<bool> {
    Ok(sockopt::socket_domain(socket)? == AddressFamily::INET6)
}

/// To try something on, and to see what new ones have.
fn unused(is_ipv6: bool) -> io::Result<OwnedFd> {
    let family = if is_ipv6 {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    Ok(socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

fn taken(key: &'static str, value: impl FnOnce() -> String, set: io::Result<()>) -> Result<(), Refused> {
    set.map_err(|error| Refused {
        key,
        value: value(),
        why: Why::Kernel(error),
    })
}

fn bytes(size: Option<u32>) -> String {
    size.map_or_else(|| "as the system has it".to_owned(), |size| size.to_string())
}

fn text(name: Option<&str>) -> String {
    name.map_or_else(|| "as the system has it".to_owned(), |name| format!("\"{name}\""))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn everything() -> ListenerSocket {
        ListenerSocket {
            options: SocketOptions {
                receive_buffer: Some(64 << 10),
                send_buffer: Some(32 << 10),
                congestion_control: Some("reno".to_owned()),
                notsent_lowat: Some(16 << 10),
                dscp: Some(46),
                mark: None,
                device: Some("lo".to_owned()),
                mss: Some(1_000),
                freebind: true,
            },
            defer_accept: Some(Duration::from_secs(3)),
            fast_open: Some(16),
            is_transparent: false,
        }
    }

    /// What rustix and socket2 read back, of options that take no privileges.
    fn has(socket: &OwnedFd) -> (usize, usize, String, u32, u8, Option<Vec<u8>>) {
        (
            sockopt::socket_recv_buffer_size(socket).unwrap(),
            sockopt::socket_send_buffer_size(socket).unwrap(),
            sockopt::tcp_congestion(socket).unwrap(),
            SockRef::from(socket).tcp_notsent_lowat().unwrap(),
            sockopt::ip_tos(socket).unwrap(),
            SockRef::from(socket).device().unwrap(),
        )
    }

    #[test]
    fn a_socket_has_what_it_was_given_until_that_is_taken_back() {
        for is_ipv6 in [false, true] {
            let socket = unused(is_ipv6).unwrap();
            let usual = has(&socket);
            let refused = change_listening(&socket, &ListenerSocket::default(), &everything());
            assert!(refused.is_empty(), "{refused:?}");
            let given = (
                128 << 10,
                64 << 10,
                "reno".to_owned(),
                16 << 10,
                184,
                Some(b"lo".to_vec()),
            );
            assert_eq!(has(&socket), given);
            // To leave an interface takes a privilege.
            let mut without = ListenerSocket::default();
            without.options.device = Some("lo".to_owned());
            let refused = change_listening(&socket, &everything(), &without);
            assert!(refused.is_empty(), "{refused:?}");
            assert_eq!(
                has(&socket),
                (usual.0, usual.1, usual.2, usual.3, 0, Some(b"lo".to_vec()))
            );
        }
    }

    #[test]
    fn all_that_is_refused_is_told() {
        let mut wanted = everything();
        wanted.options.congestion_control = Some("no-such".to_owned());
        wanted.options.device = Some("no-such-device".to_owned());
        wanted.options.receive_buffer = Some(1 << 30);
        let refused = try_listening(false, &ListenerSocket::default(), &wanted).unwrap();
        let said: Vec<_> = refused.iter().map(ToString::to_string).collect();
        assert!(
            said[0].starts_with("`socket.congestion-control = \"no-such\"`: No such file"),
            "{said:?}"
        );
        assert!(
            said[1].starts_with("`socket.device = \"no-such-device\"`: No such device"),
            "{said:?}"
        );
        assert!(
            said[2].starts_with("`socket.receive-buffer = 1073741824`: the kernel gives"),
            "{said:?}"
        );
        assert_eq!(said.len(), 3);
    }
}
