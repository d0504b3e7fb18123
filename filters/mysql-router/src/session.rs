//! Stands between a client that was greeted by the router and its server, until they have agreed.

use std::mem;

use spliceway_sdk::prelude::*;

use crate::MysqlRouter;
use crate::greeting::{self, Greeting};
use crate::packet::{self, ERR, HEADER, OK, Read};
use crate::response::{self, Message};

pub(crate) enum Session {
    /// For the client's response, and the server's greeting.
    Meeting { up: Vec<u8>, down: Vec<u8> },
    /// Each direction on its way to the other side, with other numbers.
    Met { up: Numbers, down: Numbers },
}

impl Transformer for Session {
    type Config = MysqlRouter;

    fn open(_config: &'static MysqlRouter, _connection: &Connection) -> Self {
        Self::Meeting {
            up: Vec::new(),
            down: Vec::new(),
        }
    }

    fn on_bytes(&mut self, chunk: Chunk, _connection: &Connection) -> Output {
        let Self::Meeting { up, down } = self else {
            return self.pass(chunk.direction, chunk.bytes);
        };
        match chunk.direction {
            Direction::Up => up.extend(chunk.bytes),
            Direction::Down => down.extend(chunk.bytes),
        }
        let (up, down) = (mem::take(up), mem::take(down));
        match meet(&up, &down) {
            Ok(Some(met)) => self.begin(met, up, down, chunk.direction),
            Ok(None) if chunk.finished => Output::refuse("it ended before client and server had met"),
            Ok(None) => {
                *self = Self::Meeting { up, down };
                Output::default()
            }
            Err(refusal) => Output::refuse(refusal),
        }
    }
}

/// What there is to do when both have spoken.
struct Met {
    /// The client's response, as the server is to have it.
    response: Vec<u8>,
    ahead: u8,
    /// So many bytes of the client's, and of the server's, are done with.
    taken: [usize; 2],
}

/// Of an error of the server's. MySQL cuts its messages to these.
const LONGEST_WORDS: usize = 512;

fn meet(up: &[u8], down: &[u8]) -> Result<Option<Met>, Refusal> {
    let (Read::Whole(answer), Read::Whole(greeting)) = (packet::read(up)?, packet::read(down)?) else {
        return Ok(None);
    };
    let Message::Response(response) = response::read(answer.payload)? else {
        return Err("a request for TLS behind the choice of a server".into());
    };
    let refuse = |code: u16, state: &str, reason: &str| {
        let reply = packet::error(answer.sequence, code, state, reason);
        Err(Refusal::new(reason).reply(reply))
    };
    match greeting::read(greeting.payload) {
        Some(Greeting::Capabilities(server)) => match response.for_server(server) {
            Ok(payload) => Ok(Some(Met {
                response: packet::write(1, &payload),
                ahead: answer.sequence.saturating_sub(1),
                taken: [answer.length(), greeting.length()],
            })),
            Err(reason) => refuse(1043, "08S01", &reason),
        },
        // In its own words, as an answer to the client.
        Some(Greeting::Error) => {
            let words = &greeting.payload[..greeting.payload.len().min(LONGEST_WORDS)];
            let reply = packet::write(answer.sequence.wrapping_add(1), words);
            Err(Refusal::new("the server refused the connection").reply(reply))
        }
        None => refuse(1043, "08S01", "the server does not speak MySQL"),
    }
}

impl Session {
    fn begin(&mut self, met: Met, mut up: Vec<u8>, mut down: Vec<u8>, direction: Direction) -> Output {
        *self = Self::Met {
            up: Numbers::new(met.ahead.wrapping_neg()),
            down: Numbers::new(met.ahead),
        };
        let [answered, greeted] = met.taken;
        // Nobody should have said more by now. Who has gets it passed on.
        let (more_up, more_down) = (up.split_off(answered), down.split_off(greeted));
        let up = self.pass(Direction::Up, more_up);
        let down = self.pass(Direction::Down, more_down);
        Output {
            to_upstream: [met.response, up.to_upstream].concat(),
            to_client: down.to_client,
            next: match direction {
                Direction::Up => up.next,
                Direction::Down => down.next,
            },
        }
    }

    fn pass(&mut self, direction: Direction, mut bytes: Vec<u8>) -> Output {
        if let Self::Met { up, down } = self {
            let is_over = match direction {
                Direction::Up => up.change(&mut bytes, is_command),
                Direction::Down => down.change(&mut bytes, ends_authentication),
            };
            if is_over {
                return Output::forward(direction, bytes).detach();
            }
        }
        Output::forward(direction, bytes)
    }
}

/// A command begins anew, and so the client has been told that it may.
fn is_command(sequence: u8, _first: Option<u8>) -> bool {
    sequence == 0
}

fn ends_authentication(_sequence: u8, first: Option<u8>) -> bool {
    matches!(first, Some(OK | ERR))
}

/// Changes the sequence of each packet, until one of them is the last of its kind.
pub(crate) struct Numbers {
    change: u8,
    /// Bytes of the header that came, and what they have said.
    header: usize,
    length: u32,
    sequence: u8,
    /// Bytes of the payload that are to come.
    left: u32,
    is_over: bool,
}

impl Numbers {
    fn new(change: u8) -> Self {
        Self {
            change,
            header: 0,
            length: 0,
            sequence: 0,
            left: 0,
            // Where nothing is to be changed, nothing is to be looked at.
            is_over: change == 0,
        }
    }

    /// `last` says of a sequence, and then of a first byte, that what follows is not ours. True where it was said.
    fn change(&mut self, bytes: &mut [u8], last: fn(u8, Option<u8>) -> bool) -> bool {
        let mut at = 0;
        while at < bytes.len() && !self.is_over {
            if self.left > 0 {
                let begins = self.left == self.length;
                self.is_over = begins && last(self.sequence, Some(bytes[at]));
                let passed = self.left.min((bytes.len() - at) as u32);
                self.left -= passed;
                at += passed as usize;
                continue;
            }
            self.read_header(&mut bytes[at], last);
            at += 1;
        }
        self.is_over
    }

    fn read_header(&mut self, byte: &mut u8, last: fn(u8, Option<u8>) -> bool) {
        if self.header < HEADER - 1 {
            self.length = self.length >> 8 | u32::from(*byte) << 16;
            self.header += 1;
            return;
        }
        self.sequence = *byte;
        self.is_over = last(self.sequence, None);
        if !self.is_over {
            *byte = byte.wrapping_add(self.change);
        }
        self.left = self.length;
        self.header = 0;
    }
}
