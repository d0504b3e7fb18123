//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng), in little-endian order. Each function adds one whole block, so what
//! has been written up to the end of any block is a file that can be read.

use std::time::Duration;

/// What a comment may be long: an option says its length in 16 bits, and nobody reads more.
const LONGEST_COMMENT: usize = 4 << 10;

/// Packets begin with their IP header, of either version (LINKTYPE_RAW).
const RAW_IP: u16 = 101;

/// Times are told in 10^-9 seconds.
const NANOSECONDS: u8 = 9;

mod kind {
    pub const SECTION: u32 = 0x0A0D_0D0A;
    pub const INTERFACE: u32 = 1;
    pub const STATISTICS: u32 = 5;
    pub const PACKET: u32 = 6;
}

mod option {
    pub const END: u16 = 0;
    pub const COMMENT: u16 = 1;
    pub const SECTION_APPLICATION: u16 = 4;
    pub const INTERFACE_NAME: u16 = 2;
    pub const INTERFACE_DESCRIPTION: u16 = 3;
    pub const INTERFACE_RESOLUTION: u16 = 9;
    pub const PACKET_FLAGS: u16 = 2;
    pub const PACKET_LOST: u16 = 4;
    pub const STATISTICS_BEGAN: u16 = 2;
    pub const STATISTICS_ENDED: u16 = 3;
    pub const STATISTICS_RECEIVED: u16 = 4;
    pub const STATISTICS_LOST: u16 = 5;
}

/// One packet, which may be kept in part.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// The number of its interface, in the order in which they were written, from 0.
    pub interface: u32,
    /// Since 1970.
    pub time: Duration,
    /// What is kept of it, in two parts: headers, and what follows.
    pub headers: &'a [u8],
    pub payload: &'a [u8],
    /// How long it was.
    pub length: usize,
    /// Sent to us, and not by us.
    pub inbound: bool,
    pub comments: &'a [&'a str],
    /// Packets that are missing on this interface, in front of this one.
    pub lost: u64,
}

/// What became of an interface, at the end of a file.
#[derive(Debug, Clone, Copy)]
pub struct Statistics {
    pub interface: u32,
    /// Since 1970.
    pub began: Duration,
    pub ended: Duration,
    /// Packets that are there, and that are missing.
    pub received: u64,
    pub lost: u64,
}

/// What a file begins with.
pub fn section(out: &mut Vec<u8>, application: &str, comment: &str) {
    block(out, kind::SECTION, |out| {
        word(out, 0x1A2B_3C4D);
        out.extend_from_slice(&1_u16.to_le_bytes());
        out.extend_from_slice(&0_u16.to_le_bytes());
        // Its length is not known yet.
        out.extend_from_slice(&(-1_i64).to_le_bytes());
        text(out, option::COMMENT, comment);
        text(out, option::SECTION_APPLICATION, application);
        end(out);
    });
}

/// An interface, before its first packet.
pub fn interface(out: &mut Vec<u8>, name: &str, description: &str) {
    block(out, kind::INTERFACE, |out| {
        out.extend_from_slice(&RAW_IP.to_le_bytes());
        out.extend_from_slice(&0_u16.to_le_bytes());
        // No limit: how much is kept is another for each connection.
        word(out, 0);
        text(out, option::INTERFACE_NAME, name);
        text(out, option::INTERFACE_DESCRIPTION, description);
        value(out, option::INTERFACE_RESOLUTION, &[NANOSECONDS]);
        end(out);
    });
}

pub fn packet(out: &mut Vec<u8>, packet: &Packet<'_>) {
    block(out, kind::PACKET, |out| {
        word(out, packet.interface);
        time(out, packet.time);
        word(out, short(packet.headers.len() + packet.payload.len()));
        word(out, short(packet.length));
        out.extend_from_slice(packet.headers);
        out.extend_from_slice(packet.payload);
        pad(out, packet.headers.len() + packet.payload.len());
        for comment in packet.comments {
            text(out, option::COMMENT, comment);
        }
        let direction: u32 = if packet.inbound { 1 } else { 2 };
        value(out, option::PACKET_FLAGS, &direction.to_le_bytes());
        if packet.lost > 0 {
            value(out, option::PACKET_LOST, &packet.lost.to_le_bytes());
        }
        end(out);
    });
}

pub fn statistics(out: &mut Vec<u8>, statistics: &Statistics) {
    block(out, kind::STATISTICS, |out| {
        word(out, statistics.interface);
        time(out, statistics.ended);
        for (code, at) in [
            (option::STATISTICS_BEGAN, statistics.began),
            (option::STATISTICS_ENDED, statistics.ended),
        ] {
            let mut bytes = Vec::with_capacity(8);
            time(&mut bytes, at);
            value(out, code, &bytes);
        }
        value(out, option::STATISTICS_RECEIVED, &statistics.received.to_le_bytes());
        value(out, option::STATISTICS_LOST, &statistics.lost.to_le_bytes());
        end(out);
    });
}

/// Its length stands before and behind it, so that it can be read in both directions.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    word(out, kind);
    word(out, 0);
    body(out);
    let length = short(out.len() + 4 - begin);
    word(out, length);
    out[begin + 4..begin + 8].copy_from_slice(&length.to_le_bytes());
}

fn text(out: &mut Vec<u8>, code: u16, text: &str) {
    let end = text.floor_char_boundary(LONGEST_COMMENT);
    value(out, code, &text.as_bytes()[..end]);
}

/// An option. None of ours is as long as its length could not say.
fn value(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(value);
    pad(out, value.len());
}

fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(&option::END.to_le_bytes());
    out.extend_from_slice(&0_u16.to_le_bytes());
}

/// The upper half comes first, whatever the order of bytes is.
fn time(out: &mut Vec<u8>, time: Duration) {
    let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    word(out, (nanoseconds >> 32) as u32);
    word(out, nanoseconds as u32);
}

fn word(out: &mut Vec<u8>, word: u32) {
    out.extend_from_slice(&word.to_le_bytes());
}

/// To the next multiple of four.
fn pad(out: &mut Vec<u8>, length: usize) {
    out.resize(out.len() + length.next_multiple_of(4) - length, 0);
}

fn short(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(super) mod tests;
