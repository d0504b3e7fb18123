//! From what has happened to connections to the bytes of a file.

mod frames;
mod lines;
mod packets;
mod pcapng;

use std::time::Duration;

use super::event::Event;
use crate::config::CaptureFormat;
use lines::Lines;
use packets::Packets;

/// What a file ends with is no longer.
pub const TRAILER: u64 = 1 << 10;

/// What the file that is written needs to know of each connection that it is about.
#[derive(Debug)]
pub enum Writer {
    Packets(Packets),
    Lines(Lines),
}

impl Writer {
    pub fn new(format: CaptureFormat) -> Self {
        match format {
            CaptureFormat::Pcapng => Self::Packets(Packets::default()),
            CaptureFormat::Text | CaptureFormat::Hex => Self::Lines(Lines::new(format)),
        }
    }

    /// What files of that format are called in the end.
    pub fn extension(format: CaptureFormat) -> &'static str {
        match format {
            CaptureFormat::Pcapng => "pcapng",
            CaptureFormat::Text => "log",
            CaptureFormat::Hex => "hex",
        }
    }

    /// What a file begins with.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Packets(packets) => packets.begin(out),
            Self::Lines(_) => {}
        }
    }

    /// More than an event takes in a file.
    pub fn most(&self, event: &Event) -> u64 {
        match self {
            Self::Packets(_) => Packets::most(event),
            Self::Lines(_) => Lines::most(event),
        }
    }

    /// Of a connection whose beginning was not written, nothing is.
    pub fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        match self {
            Self::Packets(packets) => packets.write(event, out),
            Self::Lines(lines) => lines.write(event, out),
        }
    }

    /// What a file ends with; not the connections that it is about.
    pub fn end(&self, now: Duration, out: &mut Vec<u8>) {
        match self {
            Self::Packets(packets) => packets.end(now, out),
            Self::Lines(_) => {}
        }
    }

    /// Whether the beginning of that connection was written.
    pub fn knows(&self, flow: u64) -> bool {
        match self {
            Self::Packets(packets) => packets.knows(flow),
            Self::Lines(lines) => lines.knows(flow),
        }
    }

    /// No more is written of those that were begun.
    pub fn forget_all(&mut self) {
        match self {
            Self::Packets(packets) => packets.forget_all(),
            Self::Lines(lines) => lines.forget_all(),
        }
    }
}
