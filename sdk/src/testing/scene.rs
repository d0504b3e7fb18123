use std::net::SocketAddr;
use std::time::Duration;

use super::Host;
use super::host;
use crate::upstreams::Upstream;
use crate::{Config, Direction, Value};

/// A connection, told from its first byte to its last. The methods that add to it can be chained.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    pub(super) host: Host,
    config: serde_json::Value,
    pub(super) steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Bytes(Direction, Vec<u8>),
    Finish(Direction),
    TimeOut,
    Fill,
    Wait(Duration),
}

impl Scene {
    /// A client at 192.0.2.1:40000, a listener called "test", no configuration, and nothing sent yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the operator configured: see [`json!`](super::json).
    #[must_use]
    pub fn config(mut self, config: serde_json::Value) -> Self {
        self.config = config;
        self
    }

    /// What an earlier scene left: its store, clock and metrics.
    #[must_use]
    pub fn host(mut self, host: Host) -> Self {
        self.host = host;
        self
    }

    /// The client's address.
    #[must_use]
    #[track_caller]
    pub fn client(mut self, address: &str) -> Self {
        self.host.client = Some(socket_address(address));
        self
    }

    /// The address that the client connected to.
    #[must_use]
    #[track_caller]
    pub fn local(mut self, address: &str) -> Self {
        self.host.local = Some(socket_address(address));
        self
    }

    /// A unix socket: there are no addresses.
    #[must_use]
    pub fn unix(mut self) -> Self {
        self.host.client = None;
        self.host.local = None;
        self
    }

    /// The listener's name.
    #[must_use]
    pub fn listener(mut self, name: &str) -> Self {
        self.host.listener = name.to_owned();
        self
    }

    /// What the proxy, or an earlier filter, knows.
    #[must_use]
    pub fn attribute(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.host.attributes.insert(key.to_owned(), value.into());
        self
    }

    /// A listener that has certificates, so that a router can [start TLS](crate::Connection::start_tls). What the scene's client
    /// sends is what is decrypted.
    #[must_use]
    pub fn offer_tls(mut self) -> Self {
        self.host.tls_offered = true;
        self
    }

    /// An upstream of the configuration.
    #[must_use]
    pub fn upstream(mut self, name: &str, servers: u32, healthy: u32) -> Self {
        self.host
            .upstreams
            .push(Upstream::new(name.to_owned(), servers, healthy, 0));
        self
    }

    /// How many entries the store has room for.
    #[must_use]
    pub fn store_entries(mut self, entries: usize) -> Self {
        self.host.entries = entries;
        self
    }

    /// The client sends.
    #[must_use]
    pub fn up(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Bytes(Direction::Up, bytes.as_ref().to_vec()))
    }

    /// The upstream sends.
    #[must_use]
    pub fn down(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Bytes(Direction::Down, bytes.as_ref().to_vec()))
    }

    /// The peer that sends in this direction has finished.
    #[must_use]
    pub fn finish(self, direction: Direction) -> Self {
        self.then(Step::Finish(direction))
    }

    /// The time for choosing an upstream is over. Only a router notices.
    #[must_use]
    pub fn time_out(self) -> Self {
        self.then(Step::TimeOut)
    }

    /// The proxy can hold no more bytes for the choice of an upstream. Only a router notices.
    #[must_use]
    pub fn fill(self) -> Self {
        self.then(Step::Fill)
    }

    /// Time passes.
    #[must_use]
    pub fn wait(self, time: Duration) -> Self {
        self.then(Step::Wait(time))
    }

    /// This scene; then, for each place inside of its bytes, the scene with a cut there; then the scene in single bytes.
    /// What a filter makes of a connection should be the same in all.
    pub fn cuts(&self) -> impl Iterator<Item = Self> + '_ {
        let in_two = self.steps.iter().enumerate().flat_map(move |(step, what)| {
            let places = if let Step::Bytes(_, bytes) = what {
                1..bytes.len()
            } else {
                0..0
            };
            places.map(move |place| self.cut(step, place))
        });
        [self.clone()].into_iter().chain(in_two).chain([self.single_bytes()])
    }

    fn cut(&self, step: usize, place: usize) -> Self {
        let mut scene = self.clone();
        if let Step::Bytes(direction, bytes) = &mut scene.steps[step] {
            let rest = Step::Bytes(*direction, bytes.split_off(place));
            scene.steps.insert(step + 1, rest);
        }
        scene
    }

    fn single_bytes(&self) -> Self {
        let steps = self.steps.iter().flat_map(|step| match step {
            Step::Bytes(direction, bytes) => bytes.iter().map(|&byte| Step::Bytes(*direction, vec![byte])).collect(),
            other => vec![other.clone()],
        });
        Self {
            steps: steps.collect(),
            ..self.clone()
        }
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Loads the configuration, as an instance does before anything else, and gives the steps to `play`.
    #[track_caller]
    pub(super) fn run<C: Config, T>(&self, in_connection: bool, play: impl FnOnce(&'static C) -> T) -> (T, Host) {
        let config = match super::config::<C>(&self.config) {
            Ok(config) => Box::leak(Box::new(config)),
            Err(reason) => panic!("the configuration is refused: {reason}"),
        };
        self.host.clone().run(in_connection, || play(config))
    }
}

/// What happens outside of any role.
pub(super) fn pass_time(step: &Step) {
    if let Step::Wait(time) = step {
        host::advance(*time);
    }
}

#[track_caller]
fn socket_address(address: &str) -> SocketAddr {
    address
        .parse()
        .unwrap_or_else(|_| panic!("{address:?} is not an address and a port"))
}
