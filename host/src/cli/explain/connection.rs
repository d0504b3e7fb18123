//! From what is said of a connection to what its routes are chosen by, as the proxy itself would find it out.

use std::net::{IpAddr, SocketAddr};

use super::{Bytes, Said};
use crate::config::{ListenAddress, ListenerConfig, Pattern, TlsIn, TlsStart};
use crate::detect::{HelloReader, Reading, normalised};
use crate::proxy_header::Tlvs;
use crate::route::rules::{First, Known, Tls};
use crate::sys::canonical;

/// How a ClientHello begins that nobody has seen, for the condition on the protocol (RFC 8446, section 5.1).
const ASSUMED: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

/// What is known of a connection when its route is chosen.
#[derive(Debug)]
pub(super) struct Connection {
    client: Option<IpAddr>,
    destination: Option<SocketAddr>,
    tlvs: Option<Tlvs>,
    subject: Option<String>,
    bytes: Vec<u8>,
    tls: OwnTls,
    over: bool,
    pub(super) decrypted: Decrypted,
}

/// As `Tls`.
#[derive(Debug)]
enum OwnTls {
    Unknown,
    Absent,
    Hello(Asked),
    Established(Asked, Option<String>),
}

/// What a client asks for in TLS.
#[derive(Debug, Clone, Default)]
struct Asked {
    name: Option<String>,
    offered: Vec<String>,
}

/// What the listener does about TLS.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decrypted {
    /// It never decrypts.
    Never,
    /// It cannot be told yet.
    Unknown,
    Yes,
    /// When a filter asks for it, and here it is said that one has.
    OnRequest,
    /// Why not.
    No(String),
    /// There is no connection any more that could be routed: why.
    Failed(String),
}

/// How a connection begins.
enum Beginning {
    /// There is too little.
    Unknown,
    /// Of something else, or of TLS that cannot be read: why.
    Absent(String),
    Hello(Asked),
}

impl Connection {
    /// # Errors
    /// What is said contradicts itself, or the listener.
    pub(super) fn new(listener: &ListenerConfig, said: &Said) -> Result<Self, String> {
        check(listener, said)?;
        let sent = match &said.bytes {
            Some(Bytes::These(bytes)) => Some(bytes.as_slice()),
            _ => None,
        };
        let is_assumed = said.sni.is_some() || !said.alpn.is_empty();
        let beginning = if is_assumed {
            assumed(said)?
        } else {
            read(listener, sent.unwrap_or_default())
        };
        let (tls, decrypted) = match &listener.tls {
            None => (beginning.encrypted(), Decrypted::Never),
            Some(config) => decrypt(config, beginning, is_assumed, said.timed_out),
        };
        let bytes = match (&tls, sent, is_assumed) {
            (OwnTls::Established(..), Some(inside), true) => inside,
            // What was sent was the hello.
            (OwnTls::Established(..), _, _) => &[],
            (_, Some(_), true) => {
                return Err("--bytes says what the client asks for: leave --sni and --alpn out".to_owned());
            }
            (_, Some(sent), false) => sent,
            (_, None, true) => ASSUMED,
            (_, None, false) => &[],
        };
        let is_full = bytes.len() >= listener.detection.longest && !matches!(tls, OwnTls::Unknown);
        Ok(Self {
            client: said.client.map(|client| client.to_canonical()),
            destination: said.destination.map(canonical),
            tlvs: listener.proxy_protocol.as_ref().map(|_| tlvs(said)),
            subject: said.subject.clone(),
            bytes: bytes.to_vec(),
            tls,
            over: said.timed_out || is_full,
            decrypted,
        })
    }

    pub(super) fn known(&self) -> Known<'_> {
        Known {
            client: self.client,
            destination: self.destination,
            tlvs: self.tlvs.as_ref(),
            subject: self.subject.as_deref(),
            first: First::Bytes(&self.bytes),
            tls: match &self.tls {
                OwnTls::Unknown => Tls::Unknown,
                OwnTls::Absent => Tls::Absent,
                OwnTls::Hello(Asked { name, offered }) => Tls::Hello {
                    name: name.as_deref(),
                    offered,
                },
                OwnTls::Established(Asked { name, .. }, alpn) => Tls::Established {
                    name: name.as_deref(),
                    alpn: alpn.as_deref(),
                },
            },
            over: self.over,
        }
    }
}

/// What could never be is a slip.
fn check(listener: &ListenerConfig, said: &Said) -> Result<(), String> {
    let name = &listener.name;
    let by_client = listener.routes.iter().find(|route| route.client.is_some());
    if let Some(route) = by_client
        && said.client.is_none()
        && !matches!(listener.address, ListenAddress::Unix(_))
    {
        return Err(format!(
            "the route \"{}\" asks where clients come from: say --client",
            route.name
        ));
    }
    if said.destination.is_some() && listener.transparent.is_none() {
        return Err(format!(
            "--destination: clients of the listener \"{name}\" were to come here, it is not `transparent`"
        ));
    }
    if !said.tlvs.is_empty() && listener.proxy_protocol.is_none() {
        return Err(format!("--tlv: the listener \"{name}\" reads no PROXY headers"));
    }
    let asks_for_certificates = listener.tls.as_ref().is_some_and(|tls| tls.client_auth.is_some());
    if said.subject.is_some() && !asks_for_certificates {
        return Err(format!("--subject: the listener \"{name}\" asks for no certificates"));
    }
    Ok(())
}

fn assumed(said: &Said) -> Result<Beginning, String> {
    let normalise = |name: &String| {
        let wrong = || format!("--sni {name}: clients cannot ask for this, it is no name of a host");
        normalised(name.as_bytes()).ok_or_else(wrong)
    };
    Ok(Beginning::Hello(Asked {
        name: said.sni.as_ref().map(normalise).transpose()?,
        offered: said.alpn.clone(),
    }))
}

fn read(listener: &ListenerConfig, bytes: &[u8]) -> Beginning {
    match HelloReader::new(listener.detection, false).read(bytes) {
        _ if bytes.is_empty() => Beginning::Unknown,
        Reading::NeedMore => Beginning::Unknown,
        Reading::Hello(hello) => Beginning::Hello(Asked {
            name: hello.server_name,
            offered: hello.alpn,
        }),
        Reading::NotTls => Beginning::Absent("the client does not begin with TLS".to_owned()),
        Reading::Malformed(why) => Beginning::Absent(format!("the ClientHello is malformed: {why}")),
        Reading::TooLong => Beginning::Absent("the ClientHello is longer than is looked at".to_owned()),
    }
}

impl Beginning {
    /// As it is where nobody decrypts.
    fn encrypted(self) -> OwnTls {
        match self {
            Self::Unknown => OwnTls::Unknown,
            Self::Absent(_) => OwnTls::Absent,
            Self::Hello(asked) => OwnTls::Hello(asked),
        }
    }
}

fn decrypt(config: &TlsIn, beginning: Beginning, is_assumed: bool, timed_out: bool) -> (OwnTls, Decrypted) {
    let asked = match beginning {
        Beginning::Hello(asked) => asked,
        Beginning::Absent(why) if config.start == TlsStart::AtOnce => return (OwnTls::Absent, Decrypted::Failed(why)),
        Beginning::Absent(why) => return (OwnTls::Absent, Decrypted::No(why)),
        Beginning::Unknown if timed_out => {
            let why = "there is no ClientHello".to_owned();
            let failed = config.start == TlsStart::AtOnce;
            return (
                OwnTls::Unknown,
                if failed {
                    Decrypted::Failed(why)
                } else {
                    Decrypted::No(why)
                },
            );
        }
        Beginning::Unknown => return (OwnTls::Unknown, Decrypted::Unknown),
    };
    if let Some(pattern) = passed_through(config, asked.name.as_deref()) {
        let why = format!("\"{pattern}\" is passed through");
        return (OwnTls::Hello(asked), Decrypted::No(why));
    }
    if config.start == TlsStart::OnRequest && !is_assumed {
        return (
            OwnTls::Hello(asked),
            Decrypted::No("no filter has asked for it".to_owned()),
        );
    }
    if config.strict && asked.name.is_none() {
        let why = "the client asks for no name, and the listener is strict".to_owned();
        return (OwnTls::Hello(asked), Decrypted::Failed(why));
    }
    let negotiated = config.alpn.iter().find(|name| asked.offered.contains(name)).cloned();
    if negotiated.is_none() && !config.alpn.is_empty() && !asked.offered.is_empty() {
        let why = format!(
            "nothing that the client offers is one of alpn {}",
            config.alpn.join(", ")
        );
        return (OwnTls::Hello(asked), Decrypted::Failed(why));
    }
    let decrypted = match config.start {
        TlsStart::AtOnce | TlsStart::Detect => Decrypted::Yes,
        TlsStart::OnRequest => Decrypted::OnRequest,
    };
    (OwnTls::Established(asked, negotiated), decrypted)
}

fn passed_through<'a>(config: &'a TlsIn, name: Option<&str>) -> Option<&'a Pattern> {
    let name = name?;
    config.passthrough.iter().find(|pattern| pattern.matches(name))
}

fn tlvs(said: &Said) -> Tlvs {
    Tlvs::of_values(said.tlvs.iter().map(|(kind, value)| (*kind, value.as_bytes())))
}
