//! Connections as text: a line for each piece of what was said, as text or with a dump of its bytes below it.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::config::{CaptureFormat, CaptureLegs};
use crate::treatment::capture::event::{Event, Stream, What};

/// More than a line has beside its bytes.
const AROUND: usize = 8 << 10;

/// What a byte takes at the most: 16 of them are a line of 79 characters in a dump, and one is `\x00` in a text.
const PER_BYTE: usize = 6;

/// Bytes of a line of a dump.
const ROW: usize = 16;

#[derive(Debug)]
pub struct Lines {
    flows: HashMap<u64, Flow>,
    is_dump: bool,
}

#[derive(Debug)]
struct Flow {
    connection: u64,
    legs: CaptureLegs,
}

impl Lines {
    pub fn new(format: CaptureFormat) -> Self {
        Self {
            flows: HashMap::new(),
            is_dump: format == CaptureFormat::Hex,
        }
    }

    pub fn most(event: &Event) -> u64 {
        let bytes = match &event.what {
            What::Bytes { kept, .. } => kept.len(),
            What::Began(_) | What::Finished(_) | What::Reset(_) | What::Over { .. } => 0,
        };
        (AROUND + bytes * PER_BYTE) as u64
    }

    pub fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        if let What::Began(began) = &event.what {
            let flow = Flow {
                connection: began.connection,
                legs: began.legs,
            };
            line(out, event.time, &flow, &format!("began {}", began.about.escape_debug()));
            self.flows.insert(event.flow, flow);
            return;
        }
        let Some(flow) = self.flows.get(&event.flow) else {
            return;
        };
        match &event.what {
            What::Began(_) => {}
            What::Bytes {
                stream,
                at,
                length,
                kept,
            } if stream.is_of(flow.legs) => self.say(event.time, flow, *stream, (*at, *length, kept), out),
            What::Finished(stream) if stream.is_of(flow.legs) => {
                line(out, event.time, flow, &format!("{} finished", name(*stream)));
            }
            What::Reset(stream) if stream.is_of(flow.legs) => {
                line(out, event.time, flow, &format!("{} reset", name(*stream)));
            }
            What::Bytes { .. } | What::Finished(_) | What::Reset(_) => {}
            What::Over { how, .. } => {
                line(out, event.time, flow, &format!("over {}", how.escape_debug()));
                self.flows.remove(&event.flow);
            }
        }
    }

    pub fn knows(&self, flow: u64) -> bool {
        self.flows.contains_key(&flow)
    }

    pub fn forget_all(&mut self) {
        self.flows.clear();
    }

    fn say(&self, time: Duration, flow: &Flow, stream: Stream, bytes: (u64, usize, &[u8]), out: &mut Vec<u8>) {
        let (at, length, kept) = bytes;
        let mut said = format!("{} at={at} length={length}", name(stream));
        if kept.len() < length {
            let _ = write!(said, " kept={}", kept.len());
        }
        if !self.is_dump {
            let _ = write!(said, " \"{}\"", kept.escape_ascii());
        }
        line(out, time, flow, &said);
        if self.is_dump {
            dump(out, at, kept);
        }
    }
}

fn line(out: &mut Vec<u8>, time: Duration, flow: &Flow, said: &str) {
    let at = Timestamp::try_from(SystemTime::UNIX_EPOCH + time).unwrap_or_default();
    let line = format!("{at:.9} {} {said}\n", flow.connection);
    out.extend_from_slice(line.as_bytes());
}

/// Who says it, and to whom.
fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::FromClient => "client>proxy",
        Stream::ToClient => "proxy>client",
        Stream::FromUpstream => "upstream>proxy",
        Stream::ToUpstream => "proxy>upstream",
    }
}

/// As `hexdump -C` shows it.
fn dump(out: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let mut rows = String::new();
    for (number, row) in (0..).zip(bytes.chunks(ROW)) {
        let position = at + number * ROW as u64;
        let _ = write!(rows, "{position:08x} ");
        for place in 0..ROW {
            let gap = if place % 8 == 0 { " " } else { "" };
            let _ = match row.get(place) {
                Some(byte) => write!(rows, "{gap}{byte:02x} "),
                None => write!(rows, "{gap}   "),
            };
        }
        let shown = row.iter().map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        });
        let _ = writeln!(rows, " |{}|", shown.collect::<String>());
    }
    out.extend_from_slice(rows.as_bytes());
}

#[cfg(test)]
mod tests;
