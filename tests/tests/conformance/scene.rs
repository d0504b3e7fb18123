//! What a scene is played with: a proxy, an upstream, and connections between them.

use std::fmt;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::Signal;
use spliceway_tests::bytes::pattern;
use spliceway_tests::network::{self, Network, Place};
use spliceway_tests::ports::Port;
use spliceway_tests::rivals::{Rival, RivalTimeouts};
use spliceway_tests::{Client, Peer, Proxy, Transfer, Upstream, artifacts};

use super::behaviour::Behaviour;
use super::exchange::at_once;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Upstream,
}

/// How Spliceway is made to move the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It gets no descriptor for a pipe.
    Copy,
    /// Bulk has gone both ways before the scene begins.
    Splice,
    /// An inspector is shown everything.
    Filtered,
    /// A transformer is given everything, and gives it back as it was.
    Transformed,
}

/// The proxy that is put to the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Spliceway(Way),
    Nginx { half_close: bool },
    Haproxy,
}

/// What the proxy connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    Listening,
    /// Nobody listens there.
    Refusing,
    /// SYNs are dropped, until the scene has it otherwise.
    Unanswering,
    /// No route leads there.
    Unreachable,
}

/// What the proxy is told; `None` is its default, which is longer than any scene.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub connect: Option<Duration>,
    pub first_byte: Option<Duration>,
    pub idle: Option<Duration>,
    pub half_closed: Option<Duration>,
    pub stall: Option<Duration>,
    pub lifetime: Option<Duration>,
    /// Silence before the first probe and between probes, and how many go unanswered.
    pub keepalive: Option<(Duration, Duration, u32)>,
    pub user_timeout: Option<Duration>,
}

/// One proxy, and one upstream behind it, for one case of one behaviour.
pub struct Scene {
    /// Who has the leading part; the other one is the witness.
    pub acts: Side,
    subject: Subject,
    proxy: Running,
    upstream: Upstream,
    network: Option<Network>,
    /// Reserved, where nobody is to listen.
    _port: Option<Port>,
}

enum Running {
    Spliceway(Box<Proxy>),
    Rival(Rival),
}

/// A connection, to ask about its end.
pub struct Talk {
    /// The client's address, by which the log names it.
    client: String,
    /// How many connections from that address have ended before: a port comes round again after a reset.
    earlier: usize,
    /// What went each way before the scene began.
    before: u64,
}

/// How the proxy recorded the end; nothing where it is not ours.
pub struct Recorded<'a> {
    scene: &'a Scene,
    before: u64,
    transfer: Option<Transfer>,
}

/// What makes Spliceway splice: far more than fills its buffer.
const BULK: usize = 2 << 20;

/// A TCP connection to the broadcast address is answered by the kernel itself: "network is unreachable".
const NOWHERE: &str = "255.255.255.255:9";

/// How long a rival may keep a scene waiting. It is asked far more than it can do, and each answer it owes costs this.
const PATIENCE_WITH_RIVALS: Duration = Duration::from_secs(4);

impl Scene {
    pub fn set(subject: Subject, acts: Side, behaviour: &Behaviour) -> Self {
        let network = behaviour.network.map(|loss| {
            let network = Network::lay().unwrap_or_else(|reason| panic!("{reason}"));
            // The proxy is started here; the peers are made where they belong.
            network.enter(Place::Proxy);
            network.lose(loss);
            network
        });
        let (mut upstream, mut port) = (listening(network.as_ref()), None);
        let towards = match behaviour.towards {
            Towards::Listening => upstream.address().to_owned(),
            Towards::Refusing => {
                let (reserved, address) = Upstream::refusing();
                port = Some(reserved);
                address
            }
            Towards::Unanswering => {
                upstream = Upstream::unanswering();
                upstream.address().to_owned()
            }
            Towards::Unreachable => NOWHERE.to_owned(),
        };
        let from = network.as_ref().map_or("127.0.0.1", |_| network::PROXY);
        let timeouts = &behaviour.timeouts;
        let proxy = match subject {
            Subject::Spliceway(way) => Running::Spliceway(Box::new(spliceway(way, from, &towards, timeouts))),
            Subject::Nginx { half_close } => {
                Running::Rival(Rival::nginx(from, &towards, half_close, timeouts.for_rivals()))
            }
            Subject::Haproxy => Running::Rival(Rival::haproxy(from, &towards, timeouts.for_rivals())),
        };
        Self {
            acts,
            subject,
            proxy,
            upstream,
            network,
            _port: port,
        }
    }

    /// A new connection that moves bytes in the way of this case: the actor, the witness, and what to ask about it later.
    pub fn open(&self) -> (Peer, Peer, Talk) {
        let (mut actor, mut other, mut talk) = self.connect();
        talk.before = self.warm_up(&mut actor, &mut other);
        (actor, other, talk)
    }

    /// The same, with a witness whose window is narrow.
    pub fn open_narrow(&self) -> (Peer, Peer, Talk) {
        if self.acts == Side::Client {
            self.upstream.narrow();
        }
        let client = match self.acts {
            Side::Client => self.client(),
            Side::Upstream => self.mannered(Client::connect_narrow(&self.address())),
        };
        let (mut actor, mut other, mut talk) = self.join(client);
        talk.before = self.warm_up(&mut actor, &mut other);
        (actor, other, talk)
    }

    /// The same, with no byte moved yet.
    pub fn connect(&self) -> (Peer, Peer, Talk) {
        self.join(self.client())
    }

    /// A client on its way to an upstream that may not be there.
    pub fn client(&self) -> Peer {
        // What an earlier connection was denied, the next one has to have first.
        if let (Running::Spliceway(proxy), Subject::Spliceway(Way::Copy)) = (&self.proxy, self.subject) {
            proxy.allow_new_descriptors();
        }
        self.client_as_it_is()
    }

    /// The same, whatever the proxy is denied.
    pub fn client_as_it_is(&self) -> Peer {
        let address = self.address();
        let client = match &self.network {
            Some(network) => network.at(Place::Client, || Client::connect(address)),
            None => Client::connect(address),
        };
        self.mannered(client)
    }

    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("this behaviour has a network")
    }

    /// From now on nobody hears from the actor any more.
    pub fn silence_the_actor(&self) {
        self.network().silence(match self.acts {
            Side::Client => Place::Client,
            Side::Upstream => Place::Upstream,
        });
    }

    /// Waits until the connection has reached the upstream.
    pub fn join(&self, client: Peer) -> (Peer, Peer, Talk) {
        let upstream = self.mannered(self.upstream.accept());
        if let (Running::Spliceway(proxy), Subject::Spliceway(Way::Copy)) = (&self.proxy, self.subject) {
            proxy.forbid_new_descriptors();
        }
        let talk = self.talk(&client);
        match self.acts {
            Side::Client => (client, upstream, talk),
            Side::Upstream => (upstream, client, talk),
        }
    }

    pub fn talk(&self, client: &Peer) -> Talk {
        let client = client.local().to_owned();
        let earlier = self
            .spliceway()
            .map_or(0, |proxy| proxy.all_ended_from(&client, 0).len());
        Talk {
            client,
            earlier,
            before: 0,
        }
    }

    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Stops the proxy and lets it go on, while the kernel goes on with its connections.
    pub fn signal(&self, signal: Signal) {
        match &self.proxy {
            Running::Spliceway(proxy) => proxy.signal(signal),
            Running::Rival(rival) => rival.signal(signal),
        }
    }

    /// The proxy's end of its connection with that peer.
    #[track_caller]
    pub fn proxys_end(&self, peer: &Peer) -> OwnedFd {
        let socket = match &self.proxy {
            Running::Spliceway(proxy) => proxy.socket_with(peer),
            Running::Rival(rival) => rival.socket_with(peer),
        };
        socket.expect("this user may look into its own processes")
    }

    /// Ours, where it is ours.
    pub fn spliceway(&self) -> Option<&Proxy> {
        match &self.proxy {
            Running::Spliceway(proxy) => Some(proxy),
            Running::Rival(_) => None,
        }
    }

    /// So many bytes that this case moves them in its own way, in a scene that has nothing else to show it.
    pub fn typical(&self) -> usize {
        match self.subject {
            Subject::Spliceway(Way::Splice) => BULK,
            Subject::Spliceway(_) | Subject::Nginx { .. } | Subject::Haproxy => 10_000,
        }
    }

    /// The proxy has recorded the end once, like this: `relay.reset.ACTOR`, `relay.finished.*`; the star is anything.
    #[track_caller]
    pub fn ends(&self, talk: &Talk, outcome: &str) -> Recorded<'_> {
        let transfer = self.spliceway().map(|proxy| {
            let mut ended = proxy.all_ended_from(&talk.client, talk.earlier + 1);
            assert_eq!(ended.len(), talk.earlier + 1, "one connection has one end");
            let transfer = ended.pop().expect("it has ended");
            self.check_outcome(&transfer.outcome, outcome);
            self.check_way(&transfer);
            transfer
        });
        Recorded {
            scene: self,
            before: talk.before,
            transfer,
        }
    }

    fn address(&self) -> String {
        match &self.proxy {
            Running::Spliceway(proxy) => proxy.address().to_owned(),
            Running::Rival(rival) => rival.address().to_owned(),
        }
    }

    fn mannered(&self, peer: Peer) -> Peer {
        if self.spliceway().is_none() {
            peer.deadline(PATIENCE_WITH_RIVALS);
        }
        peer
    }

    /// Bytes both ways, so that the case is what it is called. Returns how many each way.
    fn warm_up(&self, one: &mut Peer, two: &mut Peer) -> u64 {
        let (rounds, count) = match self.subject {
            Subject::Spliceway(Way::Splice) => (8, BULK / 8),
            Subject::Spliceway(_) | Subject::Nginx { .. } | Subject::Haproxy => (1, 2),
        };
        let bytes = pattern(0, count);
        // By rounds: the kernel makes a receive buffer as large as what came at a stretch, and scenes have to fill it.
        for _ in 0..2 * rounds {
            let ((), got) = at_once(|| one.send(&bytes), || two.receive(count));
            assert!(got == bytes, "the first bytes arrived");
            std::mem::swap(one, two);
        }
        (rounds * count) as u64
    }

    #[track_caller]
    fn check_outcome(&self, got: &str, expected: &str) {
        let (actor, other) = match self.acts {
            Side::Client => ("client", "upstream"),
            Side::Upstream => ("upstream", "client"),
        };
        let expected = expected.replace("ACTOR", actor).replace("OTHER", other);
        let fits = match expected.split_once('*') {
            Some((beginning, end)) => got.starts_with(beginning) && got.ends_with(end),
            None => got == expected,
        };
        assert!(fits, "recorded as {got}, not as {expected}");
    }

    #[track_caller]
    fn check_way(&self, transfer: &Transfer) {
        let total = transfer.up() + transfer.down();
        let spliced = transfer.up_spliced + transfer.down_spliced;
        let filtered = transfer.up_filtered + transfer.down_filtered;
        let right = match self.subject {
            Subject::Spliceway(Way::Copy) => spliced == 0 && filtered == 0,
            Subject::Spliceway(Way::Splice) => spliced > 0 && filtered == 0,
            Subject::Spliceway(Way::Filtered | Way::Transformed) => filtered == total,
            Subject::Nginx { .. } | Subject::Haproxy => true,
        };
        assert!(right, "the bytes went another way: {transfer:?}");
    }
}

impl Recorded<'_> {
    /// So many bytes were moved from the actor, and from the witness, in the scene.
    #[track_caller]
    pub fn moved(&self, from_actor: usize, from_other: usize) {
        let Some(transfer) = &self.transfer else { return };
        let (actor, other) = match self.scene.acts {
            Side::Client => (transfer.up(), transfer.down()),
            Side::Upstream => (transfer.down(), transfer.up()),
        };
        assert_eq!(
            (actor - self.before, other - self.before),
            (from_actor as u64, from_other as u64),
            "bytes from the one who acts, and from the other: {transfer:?}"
        );
    }
}

impl Timeouts {
    pub const NONE: Self = Self {
        connect: None,
        first_byte: None,
        idle: None,
        half_closed: None,
        stall: None,
        lifetime: None,
        keepalive: None,
        user_timeout: None,
    };

    fn for_rivals(&self) -> RivalTimeouts {
        RivalTimeouts {
            connect: self.connect,
            idle: self.idle,
            half_closed: self.half_closed,
        }
    }

    fn in_toml(&self) -> String {
        let named = [
            ("connect", self.connect),
            ("first-byte", self.first_byte),
            ("idle", self.idle),
            ("half-closed", self.half_closed),
            ("stall", self.stall),
            ("lifetime", self.lifetime),
        ];
        let given = named
            .iter()
            .filter_map(|(name, time)| Some(format!("{name} = \"{}ms\"", (*time)?.as_millis())));
        given.collect::<Vec<_>>().join(", ")
    }
}

impl Timeouts {
    fn vigilance_in_toml(&self) -> String {
        let keepalive = self.keepalive.map(|(idle, interval, count)| {
            let (idle, interval) = (idle.as_secs(), interval.as_secs());
            format!("keepalive = {{ idle = \"{idle}s\", interval = \"{interval}s\", count = {count} }}\n")
        });
        let user_timeout = self
            .user_timeout
            .map(|time| format!("user-timeout = \"{}ms\"\n", time.as_millis()));
        keepalive.unwrap_or_default() + &user_timeout.unwrap_or_default()
    }
}

impl Subject {
    /// Whether it has a setting for everything that is to be set.
    pub fn has(self, timeouts: &Timeouts) -> bool {
        let only_ours = timeouts.first_byte.is_some() || timeouts.stall.is_some() || timeouts.lifetime.is_some();
        // The others have these, in other words than ours.
        let only_ours = only_ours || timeouts.keepalive.is_some() || timeouts.user_timeout.is_some();
        match self {
            Self::Spliceway(_) => true,
            Self::Nginx { .. } => !only_ours && timeouts.half_closed.is_none(),
            Self::Haproxy => !only_ours,
        }
    }
}

fn listening(network: Option<&Network>) -> Upstream {
    match network {
        Some(network) => {
            let address: IpAddr = network::UPSTREAM.parse().expect("an address");
            network.at(Place::Upstream, || Upstream::listen_at(address))
        }
        None => Upstream::listen(),
    }
}

fn spliceway(way: Way, from: &str, upstream: &str, timeouts: &Timeouts) -> Proxy {
    let guest = match way {
        Way::Copy | Way::Splice => None,
        Way::Filtered => Some("inspector-pass"),
        Way::Transformed => Some("transformer-pass"),
    };
    let (definition, mention) = guest.map_or((String::new(), ""), |guest| {
        let guest = artifacts::guest(guest).display().to_string();
        let definition = format!("[filters.all]\nsource = {guest:?}\n");
        (definition, "filters = [\"all\"]\n")
    });
    let vigilance = timeouts.vigilance_in_toml();
    // One worker: a case is one connection at a time.
    Proxy::run(&format!(
        "workers = 1\n{definition}[upstreams.only]\nservers = [\"{upstream}\"]\n{vigilance}\
         [[listeners]]\nname = \"front\"\naddress = \"{from}:0\"\nupstream = \"only\"\n{mention}{vigilance}\
         timeouts = {{ {} }}\n",
        timeouts.in_toml()
    ))
    .start()
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spliceway(Way::Copy) => "copy",
            Self::Spliceway(Way::Splice) => "splice",
            Self::Spliceway(Way::Filtered) => "filtered",
            Self::Spliceway(Way::Transformed) => "transformed",
            Self::Nginx { half_close: true } => "nginx",
            Self::Nginx { half_close: false } => "nginx, its default",
            Self::Haproxy => "HAProxy",
        })
    }
}
