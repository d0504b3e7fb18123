//! What is known of a connection by what its client has sent so far.

use super::{Answer, Hello, HelloReader, Reading, begins};
use crate::config::Detection;
use crate::filter::{Attributes, Value};
use crate::protocol::Protocol;
use crate::route::rules::Tls;

/// Grows with the bytes: it is shown all of them each time, and looks at those alone that are new.
#[derive(Debug)]
pub struct Sight {
    reader: HelloReader,
    reading: Reading,
}

impl Sight {
    /// Of a client that has sent nothing.
    pub fn new(limits: Detection, with_ja4: bool) -> Self {
        Self {
            reader: HelloReader::new(limits, with_ja4),
            reading: Reading::NeedMore,
        }
    }

    pub fn look(&mut self, bytes: &[u8]) -> &Reading {
        if self.reading == Reading::NeedMore {
            self.reading = self.reader.read(bytes);
        }
        &self.reading
    }

    pub fn hello(&self) -> Option<&Hello> {
        match &self.reading {
            Reading::Hello(hello) => Some(hello),
            Reading::NeedMore | Reading::NotTls | Reading::Malformed(_) | Reading::TooLong => None,
        }
    }

    /// As routes are told of it.
    pub fn tls(&self) -> Tls<'_> {
        match &self.reading {
            Reading::NeedMore => Tls::Unknown,
            Reading::NotTls | Reading::Malformed(_) | Reading::TooLong => Tls::Absent,
            Reading::Hello(hello) => Tls::Hello {
                name: hello.server_name.as_deref(),
                offered: &hello.alpn,
            },
        }
    }

    /// As filters are told of it; `None` where nothing is known.
    pub fn found(&self, bytes: &[u8]) -> Option<Found> {
        let found = Found {
            protocol: speaks(bytes),
            hello: self.hello().cloned(),
        };
        (found.protocol.is_some() || found.hello.is_some()).then_some(found)
    }
}

/// Which protocol a client speaks that has sent `bytes` first.
pub fn speaks(bytes: &[u8]) -> Option<Protocol> {
    let spoken = |protocol: &&Protocol| begins(**protocol, bytes) == Answer::Yes;
    Protocol::ALL.iter().find(spoken).copied()
}

/// What a connection has turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub protocol: Option<Protocol>,
    /// Of TLS that is not decrypted, or not yet.
    pub hello: Option<Hello>,
}

impl Attributes for Found {
    fn attribute(&self, key: &str) -> Option<Value> {
        if key == "protocol" {
            return self.protocol.map(|protocol| Value::Text(protocol.name().to_owned()));
        }
        let hello = self.hello.as_ref()?;
        match key {
            "tls.sni" => hello.server_name.clone().map(Value::Text),
            "tls.alpn" if hello.alpn.is_empty() => None,
            "tls.alpn" => Some(Value::Text(hello.alpn.join(","))),
            "tls.ja4" => hello.ja4.clone().map(Value::Text),
            "tls.ech" => Some(Value::Boolean(hello.has_ech)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_known_by_its_attributes() {
        let hello = Hello {
            server_name: Some("a.example.com".to_owned()),
            alpn: vec!["h2".to_owned(), "http/1.1".to_owned()],
            has_ech: true,
            ..Hello::default()
        };
        let found = Found {
            protocol: Some(Protocol::Tls),
            hello: Some(hello),
        };
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        assert_eq!(found.attribute("protocol"), text("tls"));
        assert_eq!(found.attribute("tls.sni"), text("a.example.com"));
        assert_eq!(found.attribute("tls.alpn"), text("h2,http/1.1"));
        assert_eq!(found.attribute("tls.ech"), Some(Value::Boolean(true)));
        assert_eq!(found.attribute("tls.ja4"), None);
        assert_eq!(found.attribute("tls.version"), None);
    }

    #[test]
    fn nothing_is_known_of_silence_and_of_what_nobody_knows() {
        let mut sight = Sight::new(crate::config::defaults::DETECTION, false);
        sight.look(b"");
        assert_eq!(sight.found(b""), None);
        assert_eq!(sight.tls(), Tls::Unknown);
        sight.look(b"\xff\xff\xff\xff");
        assert_eq!(sight.found(b"\xff\xff\xff\xff"), None);
        assert_eq!(sight.tls(), Tls::Absent);
    }
}
