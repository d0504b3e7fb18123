//! What becomes of connections of a kind, as it is meant.

use std::time::Duration;

use regex::Regex;

use super::{Destination, OnChange, TreatmentConfig, Trusted};
use crate::protocol::Protocol;

/// One of a listener's routes: the first one that matches decides. Each condition has to hold; a list that is not empty holds
/// where one of its members does, an empty one always.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteConfig {
    /// What logs and explanations call it. Where the file names none, its place there, counted from 0:
    /// `routes[2]` of the listener's own, `shared.routes[2]` of those of several listeners.
    pub name: String,
    /// The name that the client asks for in TLS.
    pub sni: Vec<Pattern>,
    /// What was negotiated where we decrypt, one of those that are offered where we do not.
    pub alpn: Vec<String>,
    /// What it begins with; what was decrypted, where we decrypt.
    pub protocol: Vec<Protocol>,
    /// Who it comes from; `None`: anybody.
    pub client: Option<Trusted>,
    /// Where it was to go, where the listener is transparent.
    pub destination: Vec<Destination>,
    /// What the PROXY header says.
    pub tlvs: Vec<TlvCondition>,
    /// The subject of the client's certificate, as in RFC 4514.
    pub subject: Vec<Pattern>,
    /// Where it leads.
    pub target: RouteTarget,
    /// Of the bytes of its connections.
    pub treatment: TreatmentConfig,
    /// What becomes of its connections when it is changed or removed.
    pub on_change: OnChange,
}

/// Holds where the header has a TLV of this type, with this value.
#[derive(Debug, Clone, PartialEq)]
pub struct TlvCondition {
    pub kind: u8,
    /// Matched against the value as text (what is no UTF-8 is replaced); of type 0xEA also against what follows its subtype.
    /// `None`: any.
    pub value: Option<Pattern>,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq)]
pub enum RouteTarget {
    /// Its name.
    Upstream(String),
    /// At least two, each with its share, 0 to 1 000; not all are 0.
    Split(Vec<(String, u32)>),
    /// Nowhere.
    Refuse(Refusal),
}

/// How a connection that a route refuses is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refusal {
    /// With the alert `unrecognized_name` where it begins with TLS (RFC 6066, section 3), then FIN.
    #[default]
    Alert,
    Fin,
    Rst,
}

/// What a name is compared with.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// In lower case where names are.
    Exactly(String),
    /// `*.example.com`: every name that ends in what is here, `.example.com`.
    Ending(String),
    /// `~text`: an expression that has to fit all of the name. Holds what was typed behind the `~`.
    Expression {
        /// Without the `~`.
        typed: String,
        /// With what makes it fit all of the name.
        compiled: Regex,
    },
}

impl Pattern {
    /// Names are normalised before.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exactly(exactly) => exactly == name,
            Self::Ending(ending) => name.len() > ending.len() && name.ends_with(ending.as_str()),
            Self::Expression { compiled, .. } => compiled.is_match(name),
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl std::fmt::Display for Pattern {
    /// As it was typed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(exactly) => f.write_str(exactly),
            Self::Ending(ending) => write!(f, "*{ending}"),
            Self::Expression { typed, .. } => write!(f, "~{typed}"),
        }
    }
}

/// How much of what clients send first is looked at, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detection {
    /// How long a client may take to say enough; 1 ms to 1 h.
    pub timeout: Duration,
    /// Bytes of what it says, 1 KiB to 64 KiB; the headers of TLS records are not counted.
    pub longest: usize,
    /// How many TLS records a ClientHello may be cut into, 1 to 65 536.
    pub records: u32,
}
