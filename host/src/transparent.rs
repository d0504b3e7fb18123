//! Connections that were on their way to somebody else and were led here: where they were to go, and that none goes round in
//! circles.
//!
//! A circle is noticed where it closes. A connection whose destination is a place where we listen would come back to us; and one
//! that comes from a socket of ours has done so.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::config::{Transparent, may_be};
use crate::connection::{Accepted, Cause, Outcome, Stage};
use crate::filter::{Attributes, Value};
use crate::flow::Side;
use crate::sys::{self, Begun, Coarse, Manner, Peer, Stream, is_local};
use crate::upstream::Upstream;

/// What a connection has of its beginning when a server is connected to.
#[derive(Debug)]
pub struct Through {
    /// What it is known by while it lives, once it has begun to connect.
    dialled: RefCell<Option<Dialled>>,
    /// Where it goes, whatever servers there are.
    pub destination: Option<SocketAddr>,
    /// Whose address it comes from.
    pub client: Option<IpAddr>,
    own: Arc<Own>,
}

/// Which sockets are ours, of a whole process.
#[derive(Debug, Default)]
pub struct Own {
    /// Where we listen.
    places: ArcSwap<Vec<SocketAddr>>,
    /// Where connections come from that might come back to us, while they live. Two to different servers may come from the same
    /// port.
    dialled: Mutex<HashMap<SocketAddr, u32>>,
    /// How many those are.
    count: AtomicUsize,
    complained: Mutex<Option<Coarse>>,
}

/// A connection of ours, for as long as this lives.
#[derive(Debug)]
struct Dialled {
    own: Arc<Own>,
    from: Option<SocketAddr>,
}

/// The attribute.
#[derive(Debug)]
struct OriginalDestination(SocketAddr);

/// What filters, and the access log, ask for it by.
pub const ATTRIBUTE: &str = "original-destination";

/// How long it is not said again that connections were turned away: there is one for each that goes round.
const SAID: Duration = Duration::from_secs(60);

/// Where a connection was to go; `None` where the kernel does not know.
pub fn destination(how: Transparent, socket: &Stream) -> Option<SocketAddr> {
    match how {
        Transparent::Redirect => socket.redirected_from(),
        Transparent::Tproxy => socket.local(),
    }
}

/// Refuses what comes from ourselves.
///
/// # Errors
/// The outcome of the connection.
pub fn admit(accepted: &Accepted) -> Result<(), Outcome> {
    let own = &accepted.listener.own;
    let Some(client) = accepted.client.filter(|client| own.is_dialled(*client)) else {
        return Ok(());
    };
    if own.may_complain() {
        let listener = &accepted.listener.name;
        tracing::warn!(%listener, %client, "a connection of our own has come back to us: it goes round in circles");
    }
    accepted.socket.reset_on_close();
    Err(Outcome::new(Stage::Accept, Cause::Loop, Side::Client))
}

/// Filters and the access log may ask where it was to go.
pub fn learn(accepted: &Accepted) {
    if let (Some(destination), Some(facts)) = (accepted.destination, &accepted.facts) {
        facts.learn(Arc::new(OriginalDestination(destination)));
    }
}

/// What is to be known of a connection to this upstream; `None`: nothing.
///
/// # Errors
/// Why there can be no connection.
pub fn through(accepted: &Accepted, upstream: &Upstream) -> Result<Option<Through>, Cause> {
    let terms = upstream.terms();
    let allowed = terms.config.original_destination.as_deref();
    let as_client = terms.config.as_client;
    if allowed.is_none() && !as_client && accepted.listener.transparent.is_none() {
        return Ok(None);
    }
    let own = &accepted.listener.own;
    let destination = match allowed {
        Some(allowed) => Some(check(own, accepted.destination, |destination| {
            may_be(allowed, destination)
        })?),
        None => None,
    };
    let client = match as_client {
        true => Some(accepted.client.ok_or(Cause::NoSource)?.ip()),
        false => None,
    };
    Ok(Some(Through {
        dialled: RefCell::default(),
        destination,
        client,
        own: Arc::clone(own),
    }))
}

fn check(
    own: &Own,
    destination: Option<SocketAddr>,
    is_allowed: impl Fn(SocketAddr) -> bool,
) -> Result<SocketAddr, Cause> {
    match destination {
        None => Err(Cause::NoDestination),
        Some(destination) if own.is_where_we_listen(destination) => Err(Cause::Loop),
        Some(destination) if !is_allowed(destination) => Err(Cause::NotAllowed),
        Some(destination) => Ok(destination),
    }
}

/// Says why a connection is turned away.
pub fn complain(accepted: &Accepted, cause: Cause) {
    let (listener, client) = (&accepted.listener.name, accepted.client.map(tracing::field::display));
    let destination = accepted.destination.map(tracing::field::display);
    let why = match cause {
        Cause::NoDestination => "it is not known where it was to go: it was not redirected",
        Cause::Loop => "it was to go to where we listen: it was not redirected, or would go round in circles",
        Cause::NotAllowed => "its upstream's `original-destination` has not where it was to go",
        _ => "it has no address of a client's, which its upstream's `source` asks for",
    };
    match accepted.listener.own.may_complain() {
        true => tracing::warn!(%listener, client, destination, why, "a connection was turned away"),
        false => tracing::debug!(%listener, client, destination, why, "a connection was turned away"),
    }
}

impl Through {
    /// Whether no connection that was made for anybody will do.
    pub fn is_for_one(&self) -> bool {
        self.destination.is_some() || self.client.is_some()
    }

    /// Whether a server that would see the client's address is ourselves.
    pub fn comes_back(&self, server: &Peer) -> bool {
        let is_ours = |server| self.own.is_where_we_listen(server);
        self.client.is_some() && server.address().is_some_and(is_ours)
    }

    /// Begins to connect, and keeps in mind where from for as long as the connection lives, or until it tries elsewhere.
    ///
    /// # Errors
    /// As those of [`sys::begin`].
    pub fn begin(&self, peer: &Peer, manner: Manner<'_>) -> io::Result<Begun> {
        let (begun, dialled) = self.own.dial(|| sys::begin(peer, manner), Begun::local)?;
        self.dialled.replace(Some(dialled));
        Ok(begun)
    }
}

impl Own {
    /// From now on these are the places where we listen.
    pub fn listens_at(&self, places: impl Iterator<Item = SocketAddr>) {
        self.places.store(Arc::new(places.collect()));
    }

    /// Whether what is sent there comes to us.
    pub fn is_where_we_listen(&self, destination: SocketAddr) -> bool {
        let comes_to = |place: &SocketAddr| {
            let same_port = place.port() == destination.port();
            same_port
                && (place.ip().to_canonical() == destination.ip()
                    || place.ip().is_unspecified() && is_local(destination.ip()))
        };
        self.places.load().iter().any(comes_to)
    }

    /// Whether a connection from there is one of ours.
    fn is_dialled(&self, from: SocketAddr) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.dialled().contains_key(&from)
    }

    /// Connects, and keeps in mind where from. Whoever asks meanwhile waits: what comes back to us may be accepted before we
    /// know where it came from.
    fn dial<T>(
        self: &Arc<Self>,
        begin: impl FnOnce() -> io::Result<T>,
        from: impl FnOnce(&T) -> Option<SocketAddr>,
    ) -> io::Result<(T, Dialled)> {
        // Counted first, or somebody might not ask.
        let mut ours = Dialled::new(self);
        let mut dialled = self.dialled();
        let begun = begin()?;
        ours.from = from(&begun);
        if let Some(from) = ours.from {
            *dialled.entry(from).or_default() += 1;
        }
        drop(dialled);
        Ok((begun, ours))
    }

    fn may_complain(&self) -> bool {
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Coarse::now();
        let may = complained.is_none_or(|last| now.since(last) >= SAID);
        if may {
            *complained = Some(now);
        }
        may
    }

    fn dialled(&self) -> MutexGuard<'_, HashMap<SocketAddr, u32>> {
        self.dialled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dialled {
    fn new(own: &Arc<Own>) -> Self {
        own.count.fetch_add(1, Ordering::Release);
        Self {
            own: Arc::clone(own),
            from: None,
        }
    }
}

impl Drop for Dialled {
    fn drop(&mut self) {
        if let Some(from) = self.from {
            let mut dialled = self.own.dialled();
            let left = dialled.get(&from).copied().unwrap_or(0).saturating_sub(1);
            match left {
                0 => _ = dialled.remove(&from),
                left => _ = dialled.insert(from, left),
            }
        }
        self.own.count.fetch_sub(1, Ordering::Release);
    }
}

impl Attributes for OriginalDestination {
    fn attribute(&self, key: &str) -> Option<Value> {
        (key == ATTRIBUTE).then_some(Value::Address(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn where_we_listen_is_an_address_or_all_of_this_machine() {
        let own = Own::default();
        let places = ["192.0.2.1:80", "0.0.0.0:443", "[::]:8443"].map(address);
        own.listens_at(places.into_iter());
        for (destination, ours) in [
            ("192.0.2.1:80", true),
            ("192.0.2.2:80", false),
            ("127.0.0.1:443", true),
            ("127.0.0.1:444", false),
            ("192.0.2.1:443", false),
            ("[::1]:8443", true),
            ("127.0.0.1:8443", true),
        ] {
            assert_eq!(own.is_where_we_listen(address(destination)), ours, "{destination}");
        }
    }

    #[test]
    fn what_we_have_dialled_is_known_until_it_ends() {
        let own = Arc::new(Own::default());
        let from = address("127.0.0.1:1000");
        let dial = || own.dial(|| Ok(()), |()| Some(from)).unwrap().1;
        assert!(!own.is_dialled(from));
        let (first, second) = (dial(), dial());
        drop(first);
        assert!(own.is_dialled(from) && !own.is_dialled(address("127.0.0.1:1001")));
        drop(second);
        assert!(!own.is_dialled(from));
        let failed = own.dial(|| Err::<(), _>(io::Error::other("no")), |()| Some(from));
        assert!(failed.is_err() && !own.is_dialled(from));
        assert_eq!(own.count.load(Ordering::Relaxed), 0);
        let nowhere = own.dial(|| Ok(()), |()| None).unwrap();
        drop(nowhere);
        assert!(own.dialled().is_empty());
    }

    #[test]
    fn a_destination_is_known_not_ours_and_allowed() {
        let own = Own::default();
        own.listens_at([address("192.0.2.1:80")].into_iter());
        let checked = |destination: Option<&str>| check(&own, destination.map(address), |to| to.port() != 25);
        assert_eq!(checked(None), Err(Cause::NoDestination));
        assert_eq!(checked(Some("192.0.2.1:80")), Err(Cause::Loop));
        assert_eq!(checked(Some("192.0.2.2:25")), Err(Cause::NotAllowed));
        assert_eq!(checked(Some("192.0.2.2:80")), Ok(address("192.0.2.2:80")));
    }
}
