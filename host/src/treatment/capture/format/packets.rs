//! Connections as packets: each leg is an interface, and a conversation of its own.

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use smallvec::SmallVec;

use super::frames::{Conversation, End, Frame, SEGMENT, addresses, first_numbers};
use super::pcapng::{self, Packet, Statistics};
use crate::config::CaptureLegs;
use crate::treatment::capture::event::{Began, Event, Stream, What};

/// More than what there is of an event that is not in a segment: comments, handshakes, interfaces.
const AROUND: usize = 32 << 10;

/// More than the block and the headers of a segment, and of an acknowledgement behind it.
const AROUND_A_SEGMENT: usize = 512;

const APPLICATION: &str = concat!("spliceway ", env!("CARGO_PKG_VERSION"));

const COMMENT: &str = "Packets, acknowledgements and sequence numbers are made up around what peers have sent. What came \
                       encrypted, and was decrypted by the proxy, is in the clear.";

/// The connections that are written, and the file that they are written to.
#[derive(Debug, Default)]
pub struct Packets {
    flows: HashMap<u64, Flow>,
    page: Page,
}

/// A file.
#[derive(Debug, Default)]
struct Page {
    /// Each is told of what it has to know, whatever was said in those before.
    number: u64,
    /// In the order in which it got them.
    interfaces: Vec<Interface>,
}

#[derive(Debug)]
struct Interface {
    leg: Leg,
    began: Duration,
    received: u64,
    lost: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leg {
    Client,
    Upstream,
    /// What was sent to either peer: what came out of filters.
    Filtered,
}

/// A connection.
#[derive(Debug)]
struct Flow {
    legs: CaptureLegs,
    talks: Vec<Talk>,
}

/// One leg of a connection.
#[derive(Debug)]
struct Talk {
    leg: Leg,
    conversation: Conversation,
    /// The position that the next byte of each end has in its stream.
    next: [u64; 2],
    /// What may be its last packet.
    held: Option<(Duration, End, Last)>,
    subject: Subject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Fin,
    Rst,
}

/// Which connection it is, for who reads: said in each file at its first packet there.
#[derive(Debug)]
struct Subject {
    about: Box<str>,
    said_in: u64,
}

/// What is remarkable about a packet.
#[derive(Debug, Default)]
struct Remark<'a> {
    comment: Option<&'a str>,
    lost: u64,
}

impl Packets {
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        self.page.number += 1;
        self.page.interfaces.clear();
        pcapng::section(out, APPLICATION, COMMENT);
    }

    pub fn most(event: &Event) -> u64 {
        let segments = match &event.what {
            What::Bytes { length, kept, .. } => length.div_ceil(SEGMENT) * AROUND_A_SEGMENT + kept.len(),
            What::Began(_) | What::Finished(_) | What::Reset(_) | What::Over { .. } => 0,
        };
        (AROUND + segments) as u64
    }

    pub fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        let Self { flows, page } = self;
        let time = event.time;
        match &event.what {
            What::Began(began) => _ = flows.insert(event.flow, Flow::open(event.flow, began, page, out)),
            What::Bytes {
                stream,
                at,
                length,
                kept,
            } => {
                if let Some((talk, from)) = find(flows, event.flow, *stream) {
                    talk.say(page, time, from, *at, (kept, *length), out);
                }
            }
            What::Finished(stream) => {
                if let Some((talk, from)) = find(flows, event.flow, *stream) {
                    talk.ends(page, (time, from, Last::Fin), out);
                }
            }
            What::Reset(stream) => {
                if let Some((talk, from)) = find(flows, event.flow, *stream) {
                    talk.ends(page, (time, from, Last::Rst), out);
                }
            }
            What::Over { how, at } => {
                let Some(flow) = flows.remove(&event.flow) else { return };
                for mut talk in flow.talks {
                    let at = positions(flow.legs, talk.leg, at);
                    talk.end(page, time, (how, at), out);
                }
            }
        }
    }

    pub fn end(&self, now: Duration, out: &mut Vec<u8>) {
        for (number, interface) in (0..).zip(&self.page.interfaces) {
            let statistics = Statistics {
                interface: number,
                began: interface.began,
                ended: now,
                received: interface.received,
                lost: interface.lost,
            };
            pcapng::statistics(out, &statistics);
        }
    }

    pub fn knows(&self, flow: u64) -> bool {
        self.flows.contains_key(&flow)
    }

    pub fn forget_all(&mut self) {
        self.flows.clear();
    }
}

/// Where bytes of that stream are said, and by whom.
fn find(flows: &mut HashMap<u64, Flow>, flow: u64, stream: Stream) -> Option<(&mut Talk, End)> {
    let flow = flows.get_mut(&flow)?;
    let (leg, from) = place(flow.legs, stream)?;
    let talk = flow.talks.iter_mut().find(|talk| talk.leg == leg)?;
    Some((talk, from))
}

fn place(legs: CaptureLegs, stream: Stream) -> Option<(Leg, End)> {
    if !stream.is_of(legs) {
        return None;
    }
    Some(match (legs, stream) {
        (CaptureLegs::Filtered, Stream::ToUpstream) => (Leg::Filtered, End::Initiator),
        (CaptureLegs::Filtered, _) => (Leg::Filtered, End::Responder),
        (_, Stream::FromClient) => (Leg::Client, End::Initiator),
        (_, Stream::ToClient) => (Leg::Client, End::Responder),
        (_, Stream::ToUpstream) => (Leg::Upstream, End::Initiator),
        (_, Stream::FromUpstream) => (Leg::Upstream, End::Responder),
    })
}

/// Of either end of a leg.
fn positions(legs: CaptureLegs, leg: Leg, at: &[u64; 4]) -> [u64; 2] {
    let mut positions = [0; 2];
    for stream in Stream::ALL {
        if let Some((of, end)) = place(legs, stream)
            && of == leg
        {
            positions[end as usize] = at[stream as usize];
        }
    }
    positions
}

impl Flow {
    fn open(number: u64, began: &Began, page: &mut Page, out: &mut Vec<u8>) -> Self {
        let legs = match began.legs {
            CaptureLegs::Both => &[Leg::Client, Leg::Upstream][..],
            CaptureLegs::Client => &[Leg::Client],
            CaptureLegs::Upstream => &[Leg::Upstream],
            CaptureLegs::Filtered => &[Leg::Filtered],
        };
        let talks = legs.iter().filter_map(|leg| {
            let (mut talk, time) = Talk::new(*leg, number, began)?;
            talk.open(page, time, out);
            Some(talk)
        });
        Self {
            legs: began.legs,
            talks: talks.collect(),
        }
    }
}

impl Talk {
    /// `None` where there is no such leg. With it, when it began.
    fn new(leg: Leg, number: u64, began: &Began) -> Option<(Self, Duration)> {
        let client = &began.client;
        let upstream = began.upstream.as_ref();
        let (time, [initiator, responder]) = match leg {
            Leg::Client => (client.time, client.addresses),
            Leg::Upstream => (upstream?.time, upstream?.addresses),
            Leg::Filtered => {
                let server = upstream.unwrap_or(client).addresses[1];
                (client.time, [client.addresses[0], server])
            }
        };
        let addresses = addresses(initiator, responder, began.connection);
        let talk = Self {
            leg,
            conversation: Conversation::new(addresses, first_numbers(number, leg as u64)),
            next: positions(began.legs, leg, &began.at),
            held: None,
            subject: Subject {
                about: began.about.clone(),
                said_in: 0,
            },
        };
        Some((talk, time))
    }

    fn open(&mut self, page: &mut Page, time: Duration, out: &mut Vec<u8>) {
        let Self {
            conversation,
            subject,
            leg,
            ..
        } = self;
        conversation.open(&mut |frame| page.packet(*leg, subject, time, &frame, Remark::default(), out));
    }

    /// Bytes that are not where the last ones ended have lost what is in between.
    fn say(
        &mut self,
        page: &mut Page,
        time: Duration,
        from: End,
        at: u64,
        (kept, length): (&[u8], usize),
        out: &mut Vec<u8>,
    ) {
        self.release(page, out);
        let missing = at.saturating_sub(self.next[from as usize]);
        self.next[from as usize] = at + length as u64;
        let Self {
            conversation,
            subject,
            leg,
            ..
        } = self;
        conversation.skip(from, missing);
        let lost = missing.div_ceil(SEGMENT as u64);
        let comment = (missing > 0)
            .then(|| format!("{missing} bytes are missing here: they came faster than they could be written"));
        let mut remark = Remark {
            comment: comment.as_deref(),
            lost,
        };
        conversation.say(from, kept, length, &mut |frame| {
            page.packet(*leg, subject, time, &frame, mem::take(&mut remark), out);
        });
    }

    /// An end may be the last packet of a leg: it is held back until there is another one, or it is known how the connection went.
    fn ends(&mut self, page: &mut Page, (time, from, last): (Duration, End, Last), out: &mut Vec<u8>) {
        self.release(page, out);
        self.held = Some((time, from, last));
    }

    /// There are more packets.
    fn release(&mut self, page: &mut Page, out: &mut Vec<u8>) {
        let Some((time, from, last)) = self.held.take() else {
            return;
        };
        let Self {
            conversation,
            subject,
            leg,
            ..
        } = self;
        let mut emit = |frame: Frame<'_>| page.packet(*leg, subject, time, &frame, Remark::default(), out);
        match last {
            Last::Rst => conversation.reset(from, &mut emit),
            Last::Fin => {
                conversation.finish(from, &mut emit);
                conversation.acknowledge(from.other(), &mut emit);
            }
        }
    }

    /// The last packet says how it went. Where nobody has ended the connection, it has nothing else to say.
    fn end(&mut self, page: &mut Page, time: Duration, (how, at): (&str, [u64; 2]), out: &mut Vec<u8>) {
        let mut lost = 0;
        for from in [End::Initiator, End::Responder] {
            let missing = at[from as usize].saturating_sub(self.next[from as usize]);
            self.conversation.skip(from, missing);
            lost += missing.div_ceil(SEGMENT as u64);
        }
        let Self {
            conversation,
            subject,
            leg,
            held,
            ..
        } = self;
        let time = held.as_ref().map_or(time, |(at, _, _)| *at);
        let mut emit = |frame: Frame<'_>| {
            let remark = Remark {
                comment: Some(how),
                lost,
            };
            page.packet(*leg, subject, time, &frame, remark, out);
        };
        match held.take() {
            Some((_, from, Last::Fin)) => conversation.finish(from, &mut emit),
            Some((_, from, Last::Rst)) => conversation.reset(from, &mut emit),
            None => conversation.acknowledge(conversation.owing(), &mut emit),
        }
    }
}

impl Page {
    fn packet(
        &mut self,
        leg: Leg,
        subject: &mut Subject,
        time: Duration,
        frame: &Frame<'_>,
        remark: Remark<'_>,
        out: &mut Vec<u8>,
    ) {
        let number = self.interface(leg, time, out);
        let interface = &mut self.interfaces[number];
        interface.received += 1;
        interface.lost += remark.lost;
        let is_named = mem::replace(&mut subject.said_in, self.number) == self.number;
        let comments = [(!is_named).then_some(&*subject.about), remark.comment];
        let comments: SmallVec<[&str; 2]> = comments.into_iter().flatten().collect();
        let packet = Packet {
            interface: short(number),
            time,
            headers: &frame.headers,
            payload: frame.payload,
            length: frame.length,
            inbound: leg.receives(frame.from),
            comments: &comments,
            lost: remark.lost,
        };
        pcapng::packet(out, &packet);
    }

    /// The place of the leg's interface, which the file gets when it is first needed.
    fn interface(&mut self, leg: Leg, time: Duration, out: &mut Vec<u8>) -> usize {
        let known = self.interfaces.iter().position(|interface| interface.leg == leg);
        known.unwrap_or_else(|| {
            let (name, description) = leg.name();
            pcapng::interface(out, name, description);
            self.interfaces.push(Interface {
                leg,
                began: time,
                received: 0,
                lost: 0,
            });
            self.interfaces.len() - 1
        })
    }
}

impl Leg {
    fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Client => ("client", "between clients and the proxy"),
            Self::Upstream => ("upstream", "between the proxy and servers"),
            Self::Filtered => (
                "filtered",
                "what was sent to servers and to clients, as it came out of filters",
            ),
        }
    }

    /// Whether what that end says comes to the proxy.
    fn receives(self, from: End) -> bool {
        match self {
            Self::Client => from == End::Initiator,
            Self::Upstream => from == End::Responder,
            Self::Filtered => false,
        }
    }
}

fn short(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
