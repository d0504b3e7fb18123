//! Packets: three bytes of length, one of sequence, and so many bytes.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html>

pub(crate) const HEADER: usize = 4;

/// Of a packet before the session: a greeting has some hundred bytes, a response a few thousand with the attributes of its
/// client. It has to fit into what the proxy holds of a client.
pub(crate) const LONGEST: usize = (16 << 10) - HEADER;

#[derive(Debug, PartialEq)]
pub(crate) struct Packet<'a> {
    pub(crate) sequence: u8,
    pub(crate) payload: &'a [u8],
}

#[derive(Debug, PartialEq)]
pub(crate) enum Read<'a> {
    Whole(Packet<'a>),
    Partial { missing: usize },
}

/// From the front of these bytes.
pub(crate) fn read(bytes: &[u8]) -> Result<Read<'_>, &'static str> {
    let Some((&[low, middle, high, sequence], rest)) = bytes.split_first_chunk() else {
        return Ok(Read::Partial {
            missing: HEADER - bytes.len(),
        });
    };
    let length = u32::from_le_bytes([low, middle, high, 0]) as usize;
    if !(1..=LONGEST).contains(&length) {
        return Err("not MySQL: a packet of an impossible length");
    }
    Ok(match rest.get(..length) {
        Some(payload) => Read::Whole(Packet { sequence, payload }),
        None => Read::Partial {
            missing: length - rest.len(),
        },
    })
}

impl Packet<'_> {
    pub(crate) fn length(&self) -> usize {
        HEADER + self.payload.len()
    }
}

/// What is written is short: see `LONGEST`.
pub(crate) fn write(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let [low, middle, high, _] = (payload.len() as u32).to_le_bytes();
    [&[low, middle, high, sequence], payload].concat()
}

/// An ERR packet, in answer to the packet of this sequence.
pub(crate) fn error(sequence: u8, code: u16, state: &str, message: &str) -> Vec<u8> {
    let [low, high] = code.to_le_bytes();
    let payload = [&[ERR, low, high, b'#'], state.as_bytes(), message.as_bytes()].concat();
    write(sequence.wrapping_add(1), &payload)
}

/// What a packet of the server's begins with that ends the authentication.
pub(crate) const OK: u8 = 0x00;
pub(crate) const ERR: u8 = 0xff;

/// Takes fields from the front of a packet. `None` is a packet that ends too early.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// To the next null, which is taken, too.
    pub(crate) fn text(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|&byte| byte == 0)?;
        let text = self.take(end)?;
        self.byte()?;
        Some(text)
    }

    /// A length of one, three, four or nine bytes, and so many.
    pub(crate) fn counted(&mut self) -> Option<&'a [u8]> {
        let length = match self.byte()? {
            length @ ..=0xfa => u64::from(length),
            0xfc => u16::from_le_bytes(self.array()?).into(),
            0xfd => {
                let [low, middle, high] = self.array()?;
                u32::from_le_bytes([low, middle, high, 0]).into()
            }
            0xfe => u64::from_le_bytes(self.array()?),
            _ => return None,
        };
        self.take(usize::try_from(length).ok()?)
    }
}
