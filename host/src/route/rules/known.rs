//! What routes are chosen by.

use std::net::{IpAddr, SocketAddr};

use crate::protocol::Protocol;
use crate::proxy_header::Tlvs;

/// What is known of a connection so far.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Canonical: an IPv4 address is one also where it came to a socket of IPv6. `None`: it came by a unix socket.
    pub client: Option<IpAddr>,
    /// Where it was to go before it was led here, canonical as well; `None`: that is not known.
    pub destination: Option<SocketAddr>,
    /// Of the PROXY header; `None`: there was none.
    pub tlvs: Option<&'a Tlvs>,
    /// Of the client's certificate, as in RFC 4514.
    pub subject: Option<&'a str>,
    /// What the client has sent first; where it was decrypted, what that was.
    pub first: First<'a>,
    /// How far it has come with TLS.
    pub tls: Tls<'a>,
    /// There will be no more bytes: the client has finished, its time is over, or it has sent all that is looked at.
    pub over: bool,
}

/// What a client has sent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First<'a> {
    /// These.
    Bytes(&'a [u8]),
    /// They are gone.
    Gone {
        /// How many there were.
        bytes: usize,
        /// What they were; `None`: no protocol that is known.
        protocol: Option<Protocol>,
    },
}

/// Names are normalised, as `detect::normalised` does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls<'a> {
    /// This may become a ClientHello: it is not whole.
    Unknown,
    /// This is something else, or no ClientHello that can be read.
    Absent,
    /// The client has asked for TLS, and it is not us who answers.
    Hello {
        /// That it asks for.
        name: Option<&'a str>,
        /// What it offers of ALPN.
        offered: &'a [String],
    },
    /// It was decrypted.
    Established {
        /// That was asked for.
        name: Option<&'a str>,
        /// What was negotiated by ALPN.
        alpn: Option<&'a str>,
    },
}

impl<'a> Known<'a> {
    /// Whether the ClientHello is not there yet, and may still come.
    pub(super) fn hello_may_come(&self) -> bool {
        self.tls == Tls::Unknown && !self.over
    }

    /// What the client asks for in TLS, if it does, as far as is known.
    pub(super) fn server_name(&self) -> Option<&'a str> {
        match self.tls {
            Tls::Hello { name, .. } | Tls::Established { name, .. } => name,
            Tls::Unknown | Tls::Absent => None,
        }
    }
}

impl First<'_> {
    /// How many bytes.
    pub fn len(self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Gone { bytes, .. } => bytes,
        }
    }

    /// Whether it has sent nothing.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}
