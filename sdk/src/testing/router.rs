use super::Host;
use super::host::take_request_for_tls;
use super::scene::{Scene, Step, pass_time};
use crate::{Connection, Decision, Direction, Router, Window};

const EXCHANGES: u32 = 16;

/// What came of asking a router.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Routed {
    /// The last answer. `Need` where the scene ended before the bytes came that the router waits for.
    pub decision: Decision,
    /// What exchanges sent to the client.
    pub replies: Vec<u8>,
    /// How many exchanges there were.
    pub exchanges: u32,
    /// Whether the client went on with TLS after one of them.
    pub tls: bool,
    /// What the exchanges left, for the upstream.
    pub window: Vec<u8>,
    /// What the router annotated, logged, stored and counted.
    pub host: Host,
}

impl Scene {
    /// Asks a router, first with an empty window, until it has decided. Panics where the router breaks the contract.
    #[track_caller]
    pub fn route<R: Router>(&self) -> Routed {
        let (mut routed, host) = self.run(true, |router: &R| {
            let route = |window: &Window, connection: &Connection| router.route(window, connection);
            let mut routing = Routing::begin(&route);
            for step in &self.steps {
                routing.step(step);
            }
            routing.asked
        });
        routed.host = host;
        routed
    }
}

/// [`Router::route`] of a configuration.
pub(super) type Route<'a> = dyn Fn(&Window, &Connection) -> Decision + 'a;

/// A router that is being asked.
pub(super) struct Routing<'a> {
    route: &'a Route<'a>,
    pub(super) window: Window,
    missing: Option<usize>,
    pub(super) asked: Routed,
}

impl<'a> Routing<'a> {
    pub(super) fn begin(route: &'a Route<'a>) -> Self {
        let asked = Routed {
            decision: Decision::Pass,
            replies: Vec::new(),
            exchanges: 0,
            tls: false,
            window: Vec::new(),
            host: Host::default(),
        };
        let mut routing = Self {
            route,
            window: Window::default(),
            missing: Some(0),
            asked,
        };
        routing.ask();
        routing
    }

    /// Whether it will not be asked again.
    pub(super) fn is_over(&self) -> bool {
        self.missing.is_none()
    }

    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::Bytes(Direction::Up, bytes) => {
                self.window.bytes.extend(bytes);
                self.missing = self.missing.map(|missing| missing.saturating_sub(bytes.len()));
            }
            Step::Bytes(Direction::Down, _) | Step::Finish(Direction::Down) => {
                panic!("an upstream says nothing before a router has chosen it")
            }
            Step::Finish(Direction::Up) => self.window.finished = true,
            Step::TimeOut => self.window.timed_out = true,
            Step::Fill => self.window.full = true,
            Step::Wait(_) => pass_time(step),
        }
        self.ask();
        self.asked.window.clone_from(&self.window.bytes);
    }

    fn ask(&mut self) {
        while let Some(missing) = self.missing
            && (missing == 0 || self.window.is_last())
        {
            self.asked.decision = (self.route)(&self.window, &Connection::current());
            let tls = take_request_for_tls();
            let exchanges = matches!(self.asked.decision, Decision::Exchange { .. });
            assert!(
                exchanges || !tls,
                "TLS was asked for, and not exchanged for: {:?}",
                self.asked.decision
            );
            self.asked.tls |= tls;
            self.missing = match self.asked.decision.clone() {
                Decision::Need(_) if self.window.is_last() => {
                    self.asked.decision = Decision::Pass;
                    None
                }
                // To need nothing would be to be asked the same for ever.
                Decision::Need(more) => Some(more.max(1)),
                Decision::Exchange { consume, reply } => {
                    self.exchange(consume, &reply);
                    Some(0)
                }
                Decision::Pass | Decision::Route(_) | Decision::Refuse(_) => None,
            };
        }
    }

    fn exchange(&mut self, consume: usize, reply: &[u8]) {
        let there = self.window.bytes.len();
        assert!(consume <= there, "an exchange drops {consume} bytes of {there}");
        assert!(self.window.round < EXCHANGES, "more than {EXCHANGES} exchanges");
        self.window.bytes.drain(..consume);
        self.window.round += 1;
        self.asked.exchanges = self.window.round;
        self.asked.replies.extend(reply);
    }
}
