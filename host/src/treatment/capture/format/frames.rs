//! Made-up packets: what two peers have said to each other as TCP/IP would have carried it.
//!
//! Nothing of it was on a wire. The addresses, the bytes, their order and the ends are the real ones; handshakes,
//! acknowledgements and sequence numbers are such as programs that read captures expect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use etherparse::{IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, TcpHeader, TcpOptionElement};
use smallvec::SmallVec;

/// What one packet carries at the most. With its headers it fits the 65 535 bytes that IP can say.
pub const SEGMENT: usize = 65_000;

/// Unacknowledged bytes, after which the other side acknowledges: programs that read captures keep a list of segments that are
/// not, and go through it at each packet.
const ACKNOWLEDGED: u32 = 256 << 10;

/// With the largest scale that there is (RFC 7323, section 2.2), no window is ever full.
const WINDOW: u16 = u16::MAX;
const SCALE: u8 = 14;

const HOPS: u8 = 64;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// For a peer that has no address: one that nobody else has.
const PORT: u16 = u16::MAX;

/// Who sends a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Who has connected.
    Initiator,
    Responder,
}

/// A packet. Of what it carries, `payload` is kept.
#[derive(Debug)]
pub struct Frame<'a> {
    pub from: End,
    pub headers: SmallVec<[u8; 128]>,
    pub payload: &'a [u8],
    /// How long it was.
    pub length: usize,
}

/// Both directions of one TCP connection.
#[derive(Debug)]
pub struct Conversation {
    addresses: [SocketAddr; 2],
    /// The sequence number of the next byte of each end.
    next: [u32; 2],
    /// What the other end has acknowledged of it.
    acknowledged: [u32; 2],
}

impl End {
    pub fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }
}

impl Conversation {
    /// Between two addresses of one family. `first` are the sequence numbers that they begin with.
    pub fn new(addresses: [SocketAddr; 2], first: [u32; 2]) -> Self {
        Self {
            addresses,
            next: first,
            acknowledged: first,
        }
    }

    /// The three packets that it begins with.
    pub fn open(&mut self, emit: &mut impl FnMut(Frame<'_>)) {
        self.emit(End::Initiator, SYN, &[], 0, emit);
        self.emit(End::Responder, SYN | ACK, &[], 0, emit);
        self.acknowledge(End::Initiator, emit);
    }

    /// `length` bytes, of which the first ones are `kept`.
    pub fn say(&mut self, from: End, kept: &[u8], length: usize, emit: &mut impl FnMut(Frame<'_>)) {
        let mut at = 0;
        while at < length {
            let size = (length - at).min(SEGMENT);
            let piece = kept.get(at..).unwrap_or_default();
            let piece = &piece[..piece.len().min(size)];
            self.emit(from, PSH | ACK, piece, size, emit);
            at += size;
            let unacknowledged = self.next[from as usize].wrapping_sub(self.acknowledged[from as usize]);
            if unacknowledged >= ACKNOWLEDGED {
                self.acknowledge(from.other(), emit);
            }
        }
    }

    /// So many bytes are missing.
    pub fn skip(&mut self, from: End, bytes: u64) {
        // All that is told of a position is its lowest 32 bits.
        let next = &mut self.next[from as usize];
        *next = next.wrapping_add(bytes as u32);
    }

    pub fn finish(&mut self, from: End, emit: &mut impl FnMut(Frame<'_>)) {
        self.emit(from, FIN | ACK, &[], 0, emit);
    }

    pub fn reset(&mut self, from: End, emit: &mut impl FnMut(Frame<'_>)) {
        self.emit(from, RST | ACK, &[], 0, emit);
    }

    pub fn acknowledge(&mut self, from: End, emit: &mut impl FnMut(Frame<'_>)) {
        self.emit(from, ACK, &[], 0, emit);
    }

    /// Who has something to acknowledge, where one of them has: nobody acknowledges the same twice without a reason.
    pub fn owing(&self) -> End {
        match self.next[0] == self.acknowledged[0] {
            true => End::Initiator,
            false => End::Responder,
        }
    }

    fn emit(&mut self, from: End, flags: u8, payload: &[u8], size: usize, emit: &mut impl FnMut(Frame<'_>)) {
        let tcp = self.tcp(from, flags);
        let to = from.other();
        let [source, destination] = [from, to].map(|end| self.addresses[end as usize].ip());
        let headers = headers(source, destination, tcp, payload, size);
        let length = headers.len() + size;
        emit(Frame {
            from,
            headers,
            payload,
            length,
        });
        let ends = u32::from(flags & (SYN | FIN) != 0);
        let next = &mut self.next[from as usize];
        *next = next.wrapping_add(size as u32).wrapping_add(ends);
        if flags & ACK != 0 {
            self.acknowledged[to as usize] = self.next[to as usize];
        }
    }

    /// Whoever acknowledges has received all that the other end has sent.
    fn tcp(&self, from: End, flags: u8) -> TcpHeader {
        let [source, destination] = [from, from.other()].map(|end| self.addresses[end as usize].port());
        let mut tcp = TcpHeader::new(source, destination, self.next[from as usize], WINDOW);
        tcp.syn = flags & SYN != 0;
        tcp.fin = flags & FIN != 0;
        tcp.rst = flags & RST != 0;
        tcp.psh = flags & PSH != 0;
        tcp.ack = flags & ACK != 0;
        if tcp.ack {
            tcp.acknowledgment_number = self.next[from.other() as usize];
        }
        if tcp.syn {
            let options = [
                TcpOptionElement::MaximumSegmentSize(SEGMENT as u16),
                TcpOptionElement::Noop,
                TcpOptionElement::WindowScale(SCALE),
            ];
            // There is room for ten times as many.
            let _ = tcp.set_options(&options);
        }
        tcp
    }
}

/// Those of a packet with `size` bytes, of which `kept` is there. A packet that is not whole has no checksum that anybody
/// could check.
fn headers(source: IpAddr, destination: IpAddr, mut tcp: TcpHeader, kept: &[u8], size: usize) -> SmallVec<[u8; 128]> {
    let mut headers = SmallVec::new();
    let length = (tcp.header_len() + size) as u16;
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (source, destination) = (source.octets(), destination.octets());
            if let Ok(mut ip) = Ipv4Header::new(length, HOPS, IpNumber::TCP, source, destination) {
                ip.header_checksum = ip.calc_header_checksum();
                headers.extend_from_slice(&ip.to_bytes());
                tcp.checksum = tcp.calc_checksum_ipv4(&ip, kept).unwrap_or_default();
            }
        }
        (source, destination) => {
            let ip = Ipv6Header {
                traffic_class: 0,
                flow_label: Ipv6FlowLabel::ZERO,
                payload_length: length,
                next_header: IpNumber::TCP,
                hop_limit: HOPS,
                source: six(source).octets(),
                destination: six(destination).octets(),
            };
            headers.extend_from_slice(&ip.to_bytes());
            tcp.checksum = tcp.calc_checksum_ipv6(&ip, kept).unwrap_or_default();
        }
    }
    headers.extend_from_slice(&tcp.to_bytes());
    headers
}

/// Between whom packets of a connection go: addresses of one family. Who has none, on a unix socket, gets one of the machine's
/// own; `number` is the connection's.
pub fn addresses(initiator: Option<SocketAddr>, responder: Option<SocketAddr>, number: u64) -> [SocketAddr; 2] {
    let ours = initiator
        .or(responder)
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |known| match known {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    // Those below are servers' ports, by which programs guess what is spoken.
    const FIRST: u16 = 1024;
    let port = FIRST + (number % u64::from(PORT - FIRST)) as u16;
    let initiator = initiator.unwrap_or_else(|| SocketAddr::new(ours, port));
    let responder = responder.unwrap_or_else(|| SocketAddr::new(ours, PORT));
    match initiator.is_ipv4() == responder.is_ipv4() {
        true => [initiator, responder],
        false => [initiator, responder].map(|address| SocketAddr::new(six(address.ip()).into(), address.port())),
    }
}

fn six(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// What the first byte of each end is counted from. Two connections between the same ports begin elsewhere, or the second would
/// be read as the first one's, sent again.
pub fn first_numbers(flow: u64, leg: u64) -> [u32; 2] {
    const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
    let spread = (flow * 4 + leg).wrapping_mul(SPREAD);
    [(spread >> 32) as u32, spread as u32]
}

#[cfg(test)]
mod tests;
