//! What this process was given and has not asked for yet.
//!
//! In a place that the whole process shares, since that is what descriptors are: whoever binds an address looks here first.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::net::{AddressFamily, SocketAddrUnix, getsockname, sockopt};

use crate::config::ListenAddress;

/// Begins the name of a socket that we have given to be kept. A listener's name begins with a letter or a digit.
const KEPT: &str = "_";

/// Bytes of such a name (sd_pid_notify_with_fds(3)).
const LONGEST_NAME: usize = 255;

static INHERITED: Mutex<Vec<Inherited>> = Mutex::new(Vec::new());

/// A listening socket, and whose it was.
#[derive(Debug)]
pub struct Inherited {
    pub socket: OwnedFd,
    /// What the one before called its user, or the name that a service manager gave it.
    pub name: String,
    /// What the one before was asked to listen on; `None`: there is no process before, but a service manager.
    pub asked: Option<String>,
}

/// Keeps sockets until somebody asks for them.
pub fn inherit(sockets: impl IntoIterator<Item = Inherited>) {
    inherited().extend(sockets);
}

/// The sockets for that user and address, `resolved` being what the address leads to where it is one of TCP. None is the rule.
pub fn take(whom: &str, asked: &ListenAddress, resolved: Option<SocketAddr>) -> Vec<OwnedFd> {
    let mut inherited = inherited();
    let taken = |fits: &dyn Fn(&Inherited) -> bool, from: &mut Vec<Inherited>| -> Vec<OwnedFd> {
        from.extract_if(.., |one| fits(one)).map(|one| one.socket).collect()
    };
    let sockets = taken(&|one| one.is_at(whom, asked, resolved), &mut inherited);
    match sockets.is_empty() {
        true => taken(&|one| one.is_called(whom), &mut inherited),
        false => sockets,
    }
}

/// Closes what nobody has asked for, and says what it was called: its clients are refused from now on.
pub fn discard_rest() -> Vec<String> {
    let discarded = std::mem::take(&mut *inherited());
    discarded.into_iter().map(|one| one.name).collect()
}

/// What a service manager is to call a socket that it keeps. There may be neither colons in it nor anything that is not ASCII.
pub fn name_of_kept(asked: &str) -> String {
    let allowed = |c: char| match c {
        ':' => '_',
        ' '..='~' => c,
        _ => '?',
    };
    let mut name: String = KEPT.chars().chain(asked.chars().map(allowed)).collect();
    name.truncate(LONGEST_NAME);
    name
}

/// Whether something is called so.
pub fn is_name_of_kept(name: &str) -> bool {
    name.starts_with(KEPT)
}

fn inherited() -> MutexGuard<'static, Vec<Inherited>> {
    INHERITED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inherited {
    /// Whether it is one that a service manager has kept for us.
    fn is_kept(&self, asked: &ListenAddress) -> bool {
        self.asked.is_none() && self.name == name_of_kept(&asked.to_string())
    }

    fn is_at(&self, whom: &str, asked: &ListenAddress, resolved: Option<SocketAddr>) -> bool {
        let said_the_same = self.asked.as_deref() == Some(&*asked.to_string());
        match (asked, resolved) {
            // A file that is gone, or another's by now, leads nobody to the socket.
            (ListenAddress::Unix(path), _) => {
                let is_it = said_the_same || self.is_kept(asked) || self.path().as_ref() == Some(path);
                is_it && path.exists()
            }
            // Whichever port it was.
            (_, Some(address)) if address.port() == 0 => said_the_same && self.name == whom,
            (_, Some(address)) => self.address() == Some(address),
            (_, None) => false,
        }
    }

    /// Whether a service manager means it for that listener, wherever it listens: FileDescriptorName (systemd.socket(5)).
    fn is_called(&self, whom: &str) -> bool {
        let name = whom.split('"').nth(1).unwrap_or(whom);
        self.asked.is_none() && self.name == name
    }

    fn address(&self) -> Option<SocketAddr> {
        getsockname(&self.socket).ok()?.try_into().ok()
    }

    /// Where a service manager has bound it. Our own are bound beside their place and moved there.
    fn path(&self) -> Option<PathBuf> {
        if sockopt::socket_domain(&self.socket).ok()? != AddressFamily::UNIX {
            return None;
        }
        let name = getsockname(&self.socket).ok()?;
        let name = SocketAddrUnix::try_from(name).ok()?;
        let path = name.path()?;
        Some(OsStr::from_bytes(path.to_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn inherited(socket: impl Into<OwnedFd>, name: &str, asked: Option<&str>) -> Inherited {
        Inherited {
            socket: socket.into(),
            name: name.to_owned(),
            asked: asked.map(str::to_owned),
        }
    }

    #[test]
    fn a_socket_is_found_by_its_address_whoever_had_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let one = inherited(listener, "listener \"old\"", Some("whatever"));
        assert!(one.is_at("listener \"new\"", &ListenAddress::Socket(address), Some(address)));
        let other = SocketAddr::new("127.0.0.2".parse().unwrap(), address.port());
        assert!(!one.is_at("listener \"old\"", &ListenAddress::Socket(other), Some(other)));
    }

    #[test]
    fn a_port_that_the_kernel_chose_is_found_by_who_had_it() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let one = inherited(TcpListener::bind(any).unwrap(), "listener \"a\"", Some("127.0.0.1:0"));
        assert!(one.is_at("listener \"a\"", &ListenAddress::Socket(any), Some(any)));
        assert!(!one.is_at("listener \"b\"", &ListenAddress::Socket(any), Some(any)));
    }

    #[test]
    fn a_socket_file_has_to_be_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let asked = ListenAddress::Unix(path.clone());
        let one = inherited(UnixListener::bind(&path).unwrap(), "unknown", None);
        assert!(one.is_at("listener \"a\"", &asked, None));
        // Ours are moved to their place once they are bound.
        let beside = UnixListener::bind(directory.path().join("beside")).unwrap();
        let kept = inherited(beside, &name_of_kept(&asked.to_string()), None);
        assert!(kept.is_at("listener \"a\"", &asked, None));
        std::fs::remove_file(&path).unwrap();
        assert!(!one.is_at("listener \"a\"", &asked, None));
    }

    #[test]
    fn a_kept_socket_has_a_name_that_the_service_manager_takes() {
        assert_eq!(name_of_kept("127.0.0.1:80"), "_127.0.0.1_80");
        assert_eq!(name_of_kept("[::]:80"), "_[__]_80");
        assert_eq!(name_of_kept("unix:/run/\u{e4}\n"), "_unix_/run/??");
        assert_eq!(name_of_kept(&"x".repeat(300)).len(), LONGEST_NAME);
    }

    #[test]
    fn a_service_manager_may_say_whose_it_is() {
        let one = inherited(TcpListener::bind("127.0.0.1:0").unwrap(), "front", None);
        assert!(one.is_called("listener \"front\""));
        assert!(!one.is_called("listener \"back\""));
        let ours = inherited(TcpListener::bind("127.0.0.1:0").unwrap(), "front", Some("127.0.0.1:0"));
        assert!(!ours.is_called("listener \"front\""));
    }
}
