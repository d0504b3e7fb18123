//! Finds the packets that matter in what a client sends.
//!
//! ```text
//!            kind, flags        length, 1 to 4 bytes       the part that matters         the rest
//! Header ───────────────► Header ──────────────────► Body ───────────────────► Skip ──────────────► Header
//! ```
//!
//! It keeps no bytes but those of the part that matters: of a CONNECT or a SUBSCRIBE all, of a PUBLISH the topic, of others
//! nothing.

use crate::connect::{Connect, Version};
use crate::reader::{Length, Reader};
use crate::topic::Filter;

#[derive(Debug, Default)]
pub(crate) struct Packets {
    state: State,
    /// The part that matters of the packet, as far as it came.
    body: Vec<u8>,
    /// Set by CONNECT.
    version: Option<Version>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Header(Option<u8>, Length),
    /// A packet of which `left` bytes are to come. `wanted` of all of its bytes matter, as far as is known.
    Body {
        first: u8,
        wanted: usize,
        left: u32,
    },
    Skip(u32),
}

impl Default for State {
    fn default() -> Self {
        Self::Header(None, Length::default())
    }
}

/// What a client does.
#[derive(Debug)]
pub(crate) enum Event {
    Connect(Connect),
    Publish(String),
    Subscribe(Vec<Filter>),
}

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const SUBSCRIBE: u8 = 8;

/// Of a CONNECT that matters all does, up to this: a will and a password may be long, and these are not.
const LONGEST: usize = 16 << 10;

/// A topic may have 65 535 bytes, and brokers allow a few hundred.
const LONGEST_TOPIC: usize = 1 << 10;

impl Packets {
    /// The next event in these bytes, which are taken as far as they were read. `None` where there is none in them.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Event>, &'static str> {
        loop {
            match self.state {
                State::Body { first, wanted, left } if self.body.len() == wanted => {
                    if let Some(event) = self.body(first, left)? {
                        return Ok(Some(event));
                    }
                }
                State::Body { first, wanted, left } => {
                    let taken = take(bytes, wanted - self.body.len());
                    if taken.is_empty() {
                        return Ok(None);
                    }
                    self.body.extend(taken);
                    let left = left - taken.len() as u32;
                    self.state = State::Body { first, wanted, left };
                }
                State::Skip(0) => self.state = State::default(),
                State::Skip(left) => {
                    let taken = take(bytes, left as usize);
                    if taken.is_empty() {
                        return Ok(None);
                    }
                    self.state = State::Skip(left - taken.len() as u32);
                }
                State::Header(first, length) => match take(bytes, 1) {
                    [] => return Ok(None),
                    [byte, ..] => self.header(first, length, *byte)?,
                },
            }
        }
    }

    /// How many of the next bytes say nothing, and goes behind them.
    pub(crate) fn skip(&mut self) -> u64 {
        match self.state {
            State::Skip(left) => {
                self.state = State::default();
                left.into()
            }
            _ => 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.body.capacity()
    }

    fn header(&mut self, first: Option<u8>, mut length: Length, byte: u8) -> Result<(), &'static str> {
        let Some(first) = first else {
            self.check_first(byte)?;
            self.state = State::Header(Some(byte), length);
            return Ok(());
        };
        self.state = match length.add(byte).ok_or("a packet of an impossible length")? {
            None => State::Header(Some(first), length),
            Some(left) => Self::begin(first, left)?,
        };
        Ok(())
    }

    /// What a client may send, in an order that it may send it in.
    fn check_first(&self, first: u8) -> Result<(), &'static str> {
        match (first >> 4, first & 0x0f, self.version) {
            (CONNECT, 0, None) => Ok(()),
            (_, _, None) => Err("not MQTT: a client begins with CONNECT"),
            (CONNECT, ..) => Err("a second CONNECT"),
            // The quality of service is 0, 1 or 2.
            (PUBLISH, flags, _) if flags & 0b0110 != 0b0110 => Ok(()),
            // PUBREL, SUBSCRIBE, UNSUBSCRIBE
            (6 | SUBSCRIBE | 10, 0b0010, _) => Ok(()),
            // PUBACK, PUBREC, PUBCOMP, PINGREQ, DISCONNECT
            (4 | 5 | 7 | 12 | 14, 0, _) => Ok(()),
            // AUTH
            (15, 0, Some(Version::V5)) => Ok(()),
            _ => Err("a packet that no client sends"),
        }
    }

    fn begin(first: u8, left: u32) -> Result<State, &'static str> {
        let all = left as usize;
        let wanted = match first >> 4 {
            CONNECT | SUBSCRIBE if all > LONGEST => return Err("a CONNECT or a SUBSCRIBE that is too long"),
            CONNECT | SUBSCRIBE => all,
            PUBLISH if all < 2 => return Err("a malformed PUBLISH"),
            // The length of the topic.
            PUBLISH => 2,
            _ => return Ok(State::Skip(left)),
        };
        Ok(State::Body { first, wanted, left })
    }

    /// Where as much of a packet is there as was wanted: then it has said what it does, or more is wanted.
    fn body(&mut self, first: u8, left: u32) -> Result<Option<Event>, &'static str> {
        let event = match first >> 4 {
            CONNECT => {
                let connect = Connect::read(&self.body)?;
                self.version = Some(connect.client.version);
                Some(Event::Connect(connect))
            }
            SUBSCRIBE => Some(self.subscribe()?),
            _ => match self.topic(left)? {
                Topic::Wants(wanted) => {
                    self.state = State::Body { first, wanted, left };
                    return Ok(None);
                }
                Topic::Is(topic) => Some(Event::Publish(topic)),
                Topic::Alias => None,
            },
        };
        self.body = Vec::new();
        self.state = State::Skip(left);
        Ok(event)
    }

    fn topic(&self, left: u32) -> Result<Topic, &'static str> {
        let mut reader = Reader(&self.body);
        let length: usize = reader.number().unwrap_or_default().into();
        if length > LONGEST_TOPIC {
            return Err("a topic that is too long");
        }
        if reader.0.len() < length {
            return if left as usize >= length - reader.0.len() {
                Ok(Topic::Wants(2 + length))
            } else {
                Err("a malformed PUBLISH")
            };
        }
        match Reader(&self.body).text() {
            // It stands for a topic that the client has published to before.
            Some("") if self.version == Some(Version::V5) => Ok(Topic::Alias),
            Some(topic) if !topic.is_empty() && !topic.contains(['+', '#']) => Ok(Topic::Is(topic.to_owned())),
            _ => Err("a topic that is none"),
        }
    }

    fn subscribe(&self) -> Result<Event, &'static str> {
        let filters = self.filters().filter(|filters| !filters.is_empty());
        filters.map(Event::Subscribe).ok_or("a malformed SUBSCRIBE")
    }

    fn filters(&self) -> Option<Vec<Filter>> {
        let mut reader = Reader(&self.body);
        let _packet = reader.number()?;
        if self.version == Some(Version::V5) {
            reader.skip_properties()?;
        }
        let mut filters = Vec::new();
        while !reader.is_empty() {
            filters.push(Filter::read(reader.text()?)?);
            let _options = reader.byte()?;
        }
        Some(filters)
    }
}

enum Topic {
    Is(String),
    /// Of version 5, a number instead of a topic.
    Alias,
    /// So many bytes of the packet.
    Wants(usize),
}

fn take<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(bytes.len().min(most));
    *bytes = rest;
    taken
}
