//! A connection that is not there: what a proxy would ask a filter about it, and what would come of the answers.
//!
//! Routers are asked as in [`route::dialogue`](crate::route), watchers by the same [`Chain`]. What is missing is sockets: bytes
//! come when somebody says so, and what would be sent is kept.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::defaults;
use crate::detect::{Found, Sight};
use crate::filter::{
    Attribute, Attributes, Chain, Decision, Ended, Facts, Group, Groups, Passed, Refused, Role, Stop, Totals, Trial,
    Value, Verdict, View, Window,
};
use crate::flow::Direction;
use crate::route::{MOST_EXCHANGES, WINDOW, check_options};
use crate::words::count;

/// What is known of a connection when it begins.
#[derive(Debug, Clone)]
pub struct Scene {
    pub client: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
    pub listener: String,
    pub attributes: BTreeMap<String, Value>,
    /// Where there are none, a router may choose any name.
    pub upstreams: Vec<String>,
    /// A router that asks for TLS gets it: what comes then is what is decrypted.
    pub tls: bool,
    /// Filters know what the client's first bytes say, too: "protocol", "tls.sni".
    pub detects: bool,
}

/// One connection with one filter.
pub struct Play<'a> {
    trial: &'a Trial,
    scene: &'a Scene,
    facts: Arc<Facts>,
    state: State,
    passed: Passed,
    /// Of each direction.
    finished: [bool; 2],
    told: Told,
}

enum State {
    Routing(Box<Routing>),
    /// `None` where nobody watches any more.
    Relaying(Option<Box<Chain>>),
    Over,
}

struct Routing {
    window: Window,
    /// What the window has no room for.
    behind: Vec<u8>,
    /// Nothing comes behind that.
    ends: bool,
    /// How many bytes it must have before the router is asked again.
    wanted: usize,
    sight: Option<Sight>,
    found: Option<Found>,
}

/// Everything that has come of it so far.
#[derive(Debug, Default)]
pub struct Told {
    pub choice: Choice,
    pub options: Vec<Attribute>,
    pub refused: Option<Refused>,
    /// The filter has failed, or the play makes no sense: why.
    pub failure: Option<String>,
    pub to_upstream: Vec<u8>,
    pub to_client: Vec<u8>,
    /// How many bytes inspectors and transformers were shown, up and down.
    pub shown: [u64; 2],
    /// What was asked and answered, in order: for people.
    pub answers: Vec<Answer>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Choice {
    /// There is no router, or it refused.
    #[default]
    None,
    Passes,
    Waits,
    Upstream(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub role: Role,
    pub text: String,
}

/// The upstreams that a filter can ask about.
#[derive(Debug, Default)]
pub struct Upstreams(pub Vec<Group>);

#[derive(Debug)]
struct Known(BTreeMap<String, Value>);

impl<'a> Play<'a> {
    /// A connection begins.
    pub fn begin(trial: &'a Trial, scene: &'a Scene) -> Self {
        let facts = Facts::new(1, scene.client, scene.local, scene.listener.as_str().into());
        facts.learn(Arc::new(Known(scene.attributes.clone())));
        facts.offer_tls(scene.tls);
        let mut play = Self {
            trial,
            scene,
            facts: Arc::new(facts),
            state: State::Relaying(None),
            passed: Passed::default(),
            finished: [false; 2],
            told: Told::default(),
        };
        if trial.generation().is_router() {
            play.told.choice = Choice::Waits;
            play.state = State::Routing(Box::new(Routing::new(scene.detects)));
            play.ask();
        } else {
            play.open(Vec::new(), false);
        }
        play
    }

    /// Bytes arrive.
    pub fn bytes(&mut self, direction: Direction, bytes: &[u8]) {
        if self.finished[direction as usize] {
            return self
                .fail("more bytes come behind the end of their direction: take one or the other out of the play");
        }
        match (&mut self.state, direction) {
            (State::Routing(routing), Direction::Up) => {
                routing.behind.extend_from_slice(bytes);
                routing.refill();
                self.ask();
            }
            (State::Routing(_), Direction::Down) => self.fail(TOO_EARLY),
            (State::Relaying(_), _) => self.feed(direction, bytes, false),
            (State::Over, _) => {}
        }
    }

    /// The peer that sends in this direction has finished.
    pub fn finish(&mut self, direction: Direction) {
        if std::mem::replace(&mut self.finished[direction as usize], true) {
            return;
        }
        match (&mut self.state, direction) {
            (State::Routing(routing), Direction::Up) => {
                routing.ends = true;
                routing.refill();
                self.ask();
            }
            (State::Routing(_), Direction::Down) => self.fail(TOO_EARLY),
            (State::Relaying(_), _) => self.feed(direction, &[], true),
            (State::Over, _) => {}
        }
    }

    /// The time for choosing an upstream is over. Only a router notices.
    pub fn time_out(&mut self) {
        if let State::Routing(routing) = &mut self.state {
            routing.window.timed_out = true;
            self.ask();
        }
    }

    /// No more bytes can be held for the choice of an upstream. Only a router notices.
    pub fn fill(&mut self) {
        if let State::Routing(routing) = &mut self.state {
            routing.window.full = true;
            self.ask();
        }
    }

    /// Time passes.
    pub fn wait(&self, time: Duration) {
        self.trial.advance(time);
    }

    /// An observer hears of these.
    pub fn closed(&self, batch: Vec<Ended>) {
        if self.trial.generation().is_observer() {
            self.trial.closed(batch);
        }
    }

    /// Everything so far.
    pub fn told(&self) -> &Told {
        &self.told
    }

    pub fn annotations(&self) -> Vec<Attribute> {
        self.facts.annotations()
    }

    /// Whether the filter never sees a direction again.
    pub fn is_detached(&self, direction: Direction) -> bool {
        match &self.state {
            State::Relaying(Some(chain)) => chain.view(direction) == View::Nothing,
            State::Relaying(None) => true,
            State::Routing(_) | State::Over => !watches(self.trial),
        }
    }

    /// Asks the router, if there is as much as it waits for, until it waits for more or has decided.
    fn ask(&mut self) {
        while let State::Routing(routing) = &mut self.state
            && routing.may_be_asked()
        {
            routing.look(&self.facts);
            let decision = self.trial.route(&self.facts, &routing.window);
            let wants_tls = self.facts.take_request_for_tls();
            match decision {
                Err(stop) => self.stop(stop, Role::Router),
                Ok(Decision::Exchange { consume, reply }) => self.exchange(consume, &reply, wants_tls),
                Ok(_) if wants_tls => {
                    self.fail("it asked for TLS, and answered with something else than an exchange");
                }
                Ok(Decision::Need(_)) if routing.is_last() => {
                    self.decide(Choice::Passes, "passes: there will be no more");
                }
                Ok(Decision::Need(more)) => {
                    routing.need(more);
                    self.answer(Role::Router, format!("needs {} more", count(more, "byte")));
                }
                Ok(Decision::Pass) => self.decide(Choice::Passes, "passes: the configuration decides"),
                Ok(Decision::Route { upstream, options }) => self.choose(upstream, options),
            }
        }
    }

    fn exchange(&mut self, consume: usize, reply: &[u8], wants_tls: bool) {
        let State::Routing(routing) = &mut self.state else {
            return;
        };
        let there = routing.window.bytes.len();
        if consume > there {
            return self.fail(&format!("it consumed {consume} bytes of the {there} that there are"));
        }
        if routing.window.round >= MOST_EXCHANGES {
            return self.fail(&format!(
                "it had {MOST_EXCHANGES} exchanges with the client and wants another"
            ));
        }
        routing.window.bytes.drain(..consume);
        routing.window.full = false;
        routing.window.round += 1;
        routing.wanted = 0;
        routing.refill();
        self.told.to_client.extend_from_slice(reply);
        let (consumed, replied) = (count(consume, "byte"), count(reply.len(), "byte"));
        let tls = if wants_tls { ", and goes on with TLS" } else { "" };
        self.answer(
            Role::Router,
            format!("takes {consumed} and replies with {replied}{tls}"),
        );
        if wants_tls {
            self.secure();
        }
    }

    /// What comes from here on is what is decrypted; and there is no TLS in it to be had.
    fn secure(&mut self) {
        self.facts.offer_tls(false);
        if let State::Routing(routing) = &mut self.state {
            routing.sight = self.scene.detects.then(sight);
        }
    }

    fn choose(&mut self, upstream: String, options: Vec<Attribute>) {
        let known = &self.scene.upstreams;
        if !known.is_empty() && !known.contains(&upstream) {
            return self.fail(&format!(
                "it chose the upstream \"{upstream}\", which the configuration does not have: there are {}",
                known.join(", ")
            ));
        }
        if let Err(complaint) = check_options(&options) {
            return self.fail(&complaint);
        }
        let text = format!("routes to \"{upstream}\"");
        self.told.options = options;
        self.decide(Choice::Upstream(upstream), &text);
    }

    /// The router has decided: whoever watches sees what it has left, first.
    fn decide(&mut self, choice: Choice, text: &str) {
        self.answer(Role::Router, text.to_owned());
        self.told.choice = choice;
        if let State::Routing(routing) = std::mem::replace(&mut self.state, State::Over) {
            let mut bytes = routing.window.bytes;
            bytes.extend(routing.behind);
            self.open(bytes, self.finished[0]);
        }
    }

    fn open(&mut self, bytes: Vec<u8>, finished: bool) {
        match self.trial.open(&self.facts) {
            Ok(chain) => self.state = State::Relaying(chain),
            Err(stop) => return self.stop(stop, Role::Inspector),
        }
        if !bytes.is_empty() || finished {
            self.feed(Direction::Up, &bytes, finished);
        }
    }

    fn feed(&mut self, direction: Direction, bytes: &[u8], finished: bool) {
        let State::Relaying(chain) = &mut self.state else {
            return;
        };
        let Some(watching) = chain else {
            return self.send(direction, bytes);
        };
        let before = self.trial.totals();
        let fed = watching.feed(self.trial.instances(), direction, bytes, finished, &mut self.passed);
        if watching.is_done() {
            *chain = None;
        }
        let after = self.trial.totals();
        self.told.shown[direction as usize] += after.shown - before.shown;
        let passed = std::mem::take(&mut self.passed);
        self.send(direction, passed.onward(direction, bytes));
        self.send(direction.other(), passed.back(direction));
        self.passed = passed;
        for answer in verdicts(&before, &after) {
            self.told.answers.push(answer);
        }
        if let Err(stop) = fed {
            self.stop(stop, Role::Inspector);
        }
    }

    fn send(&mut self, direction: Direction, bytes: &[u8]) {
        match direction {
            Direction::Up => self.told.to_upstream.extend_from_slice(bytes),
            Direction::Down => self.told.to_client.extend_from_slice(bytes),
        }
    }

    fn stop(&mut self, stop: Stop, role: Role) {
        self.state = State::Over;
        match stop {
            Stop::Refused(refused) => {
                if role == Role::Router {
                    self.told.choice = Choice::None;
                    self.answer(role, "refuses".to_owned());
                }
                self.told.refused = Some(*refused);
            }
            // Why is in what was heard of it.
            Stop::Failed { .. } => self.told.failure = Some("it failed".to_owned()),
        }
    }

    fn fail(&mut self, why: &str) {
        self.state = State::Over;
        self.told.failure = Some(why.to_owned());
    }

    fn answer(&mut self, role: Role, text: String) {
        self.told.answers.push(Answer { role, text });
    }
}

const TOO_EARLY: &str = "an upstream says nothing before the router has chosen it: what it sends comes too early in the play, or \
                         the router waits for too long";

impl Routing {
    fn new(detects: bool) -> Self {
        Self {
            window: Window {
                bytes: Vec::new(),
                round: 0,
                finished: false,
                timed_out: false,
                full: false,
            },
            behind: Vec::new(),
            ends: false,
            wanted: 0,
            sight: detects.then(sight),
            found: None,
        }
    }

    fn may_be_asked(&self) -> bool {
        self.window.bytes.len() >= self.wanted || self.is_last()
    }

    /// There will be no more bytes.
    fn is_last(&self) -> bool {
        self.window.finished || self.window.timed_out || self.window.full
    }

    fn need(&mut self, more: usize) {
        let there = self.window.bytes.len();
        self.wanted = there.saturating_add(more.max(1));
        self.window.full |= there >= WINDOW;
    }

    fn refill(&mut self) {
        let room = WINDOW.saturating_sub(self.window.bytes.len()).min(self.behind.len());
        self.window.bytes.extend(self.behind.drain(..room));
        self.window.finished = self.ends && self.behind.is_empty();
    }

    /// Lets the filter know what the window says of the connection.
    fn look(&mut self, facts: &Facts) {
        let Some(sight) = &mut self.sight else { return };
        sight.look(&self.window.bytes);
        let found = sight.found(&self.window.bytes);
        if found != self.found {
            self.found.clone_from(&found);
            found.into_iter().for_each(|found| facts.learn(Arc::new(found)));
        }
    }
}

fn sight() -> Sight {
    Sight::new(defaults::DETECTION, true)
}

fn watches(trial: &Trial) -> bool {
    [Role::Inspector, Role::Transformer]
        .into_iter()
        .any(|role| trial.generation().has_role(role))
}

/// What the watchers have answered in between, by what is counted of them.
fn verdicts(before: &Totals, after: &Totals) -> Vec<Answer> {
    let mut answers = Vec::new();
    for role in [Role::Inspector, Role::Transformer] {
        for verdict in Verdict::ALL {
            let count = |totals: &Totals| totals.verdicts[role as usize][verdict as usize];
            let times = count(after) - count(before);
            if times > 0 {
                let often = if times > 1 {
                    format!(", {times} times")
                } else {
                    String::new()
                };
                let text = format!("{}{often}", verdict.name());
                answers.push(Answer { role, text });
            }
        }
    }
    answers
}

impl Groups for Upstreams {
    fn get(&self, name: &str) -> Option<Group> {
        self.0.iter().find(|group| group.name == name).cloned()
    }

    fn all(&self) -> Vec<Group> {
        self.0.clone()
    }
}

impl Attributes for Known {
    fn attribute(&self, key: &str) -> Option<Value> {
        self.0.get(key).cloned()
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            client: Some(SocketAddr::from(([192, 0, 2, 1], 40000))),
            local: Some(SocketAddr::from(([198, 51, 100, 1], 443))),
            listener: "test".to_owned(),
            attributes: BTreeMap::new(),
            upstreams: Vec::new(),
            tls: false,
            detects: false,
        }
    }
}
