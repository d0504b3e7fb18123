//! What clients of TLS begin with, put together by hand, or as real ones have said it.

use std::fs;

use crate::artifacts;

/// The ClientHello of a client that could speak TLS 1.2.
#[derive(Clone, Debug, Default)]
pub struct Hello {
    extensions: Vec<u8>,
}

impl Hello {
    /// Of a client that asks for no name.
    pub fn nameless() -> Self {
        Self::default()
    }

    pub fn of(name: &str) -> Self {
        Self::nameless().with(0, &after_u16(&[&[0][..], &after_u16(name.as_bytes())].concat()))
    }

    /// Offers these by ALPN; nothing, where there are none.
    #[must_use]
    pub fn offering(self, protocols: &[&str]) -> Self {
        if protocols.is_empty() {
            return self;
        }
        let one = |name: &&str| [&[name.len() as u8][..], name.as_bytes()].concat();
        let names: Vec<u8> = protocols.iter().flat_map(one).collect();
        self.with(16, &after_u16(&names))
    }

    /// Longer, so that the message has so many bytes: the padding of RFC 7685.
    ///
    /// # Panics
    ///
    /// Where it is as long already.
    #[must_use]
    pub fn padded_to(self, length: usize) -> Self {
        let head = 4;
        let missing = length.checked_sub(self.message().len() + head);
        self.with(21, &vec![0; missing.expect("it is shorter than that")])
    }

    #[must_use]
    pub fn with(mut self, kind: u16, data: &[u8]) -> Self {
        self.extensions.extend(kind.to_be_bytes());
        self.extensions.extend(after_u16(data));
        self
    }

    /// The handshake message, without records.
    pub fn message(&self) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([5; 32]);
        body.extend([0]);
        body.extend(after_u16(&[0xc0, 0x2f]));
        body.extend([1, 0]);
        body.extend(after_u16(&self.extensions));
        let length = (body.len() as u32).to_be_bytes();
        [&[1][..], &length[1..], &body].concat()
    }

    /// In one record.
    pub fn bytes(&self) -> Vec<u8> {
        record(&self.message())
    }
}

/// What a real client has sent: a file of the project's corpus.
#[track_caller]
pub fn recorded(client: &str) -> Vec<u8> {
    let file = format!("host/src/detect/hello/corpus/{client}.bin");
    fs::read(artifacts::workspace().join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// One record of the handshake.
pub fn record(payload: &[u8]) -> Vec<u8> {
    [&[22, 3, 1][..], &after_u16(payload)].concat()
}

/// The message in records of so many bytes each.
pub fn in_records(message: &[u8], each: usize) -> Vec<u8> {
    message.chunks(each).flat_map(record).collect()
}

/// What is in a stream of records.
pub fn message_of(mut stream: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = stream {
        let (payload, rest) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        message.extend(payload);
        stream = rest;
    }
    message
}

fn after_u16(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}
