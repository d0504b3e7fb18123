//! What a server is told of the client whose connection it gets.

use std::net::SocketAddr;
use std::sync::LazyLock;

use super::tlv::{self, Tlvs};
use super::{binary, of_one_family, text};
use crate::config::{ProxyOut, ProxyVersion, SentTlv};
use crate::connection::Accepted;
use crate::filter::{Facts, Value};
use crate::tls::{Established, Subject};

/// The header for a server of an upstream. Addresses that were received are the ones that are passed on.
pub fn outgoing(protocol: &ProxyOut, accepted: &Accepted) -> Box<[u8]> {
    let proxied = accepted.proxied.as_deref();
    let local = match proxied {
        Some(proxied) => proxied.local,
        None => accepted.socket.local(),
    };
    let nothing = Tlvs::default();
    let established = accepted.socket.session().map(|session| &**session.established());
    let about = About {
        id: accepted.id,
        ends: accepted.client.zip(local),
        authority: attribute(accepted.facts.as_deref(), "tls.sni"),
        alpn: established
            .and_then(|established| established.alpn())
            .map(str::to_owned),
        ssl: established.map(ssl),
        received: proxied.map_or(&nothing, |proxied| &proxied.tlvs),
    };
    header(protocol, &about).into()
}

/// The header of a connection that is our own: it checks a server. Version 1 has no word for that, and some servers do not
/// take UNKNOWN, so it names the two ends of the connection itself, `own` and the server's (section 2.1).
pub fn local(version: ProxyVersion, own: Option<SocketAddr>, server: Option<SocketAddr>) -> Vec<u8> {
    match version {
        ProxyVersion::V1 => text::write(own.zip(server).map(|(own, server)| of_one_family(own, server))),
        ProxyVersion::V2 => binary::write_local(),
    }
}

/// What is known of a connection.
pub(super) struct About<'a> {
    pub(super) id: u64,
    /// `None` where one of them is a unix socket.
    pub(super) ends: Option<(SocketAddr, SocketAddr)>,
    pub(super) authority: Option<String>,
    /// What was negotiated.
    pub(super) alpn: Option<String>,
    /// Where it is we who decrypt.
    pub(super) ssl: Option<Vec<u8>>,
    /// What a header said that was received.
    pub(super) received: &'a Tlvs,
}

pub(super) fn header(protocol: &ProxyOut, about: &About<'_>) -> Vec<u8> {
    let ends = about
        .ends
        .map(|(source, destination)| of_one_family(source, destination));
    match protocol.version {
        ProxyVersion::V1 => text::write(ends),
        ProxyVersion::V2 => {
            let own = unique_id(about.id);
            let chosen = protocol.tlvs.iter().filter_map(|sent| {
                let (kind, known) = about.knows(*sent, &own)?;
                Some((kind, known?))
            });
            let is_chosen = |kind: u8| protocol.tlvs.iter().any(|sent| kind_of(*sent) == kind);
            let passed = about.received.each();
            let passed = passed.filter(|(kind, _)| protocol.pass.contains(kind) && !is_chosen(*kind));
            let with_checksum = protocol.tlvs.contains(&SentTlv::Crc32c);
            binary::write(ends, chosen.chain(passed), with_checksum)
        }
    }
}

impl About<'_> {
    /// What a header said that was received is nearer to the client than what we see ourselves.
    fn knows<'a>(&'a self, sent: SentTlv, own_id: &'a str) -> Option<(u8, Option<&'a [u8]>)> {
        let kind = kind_of(sent);
        let ours = match sent {
            SentTlv::Authority => self.authority.as_deref().map(str::as_bytes),
            SentTlv::Alpn => self.alpn.as_deref().map(str::as_bytes),
            SentTlv::UniqueId => Some(own_id.as_bytes()),
            SentTlv::Ssl => self.ssl.as_deref(),
            // It comes last, when all else is there to be summed up.
            SentTlv::Crc32c => return None,
        };
        Some((kind, self.received.first(kind).or(ours)))
    }
}

/// What the handshake with the client has settled.
fn ssl(established: &Established) -> Vec<u8> {
    let subject = established.subject();
    let inner = [
        (tlv::SSL_VERSION, Some(established.version())),
        (tlv::SSL_CN, subject.and_then(Subject::common_name)),
        (tlv::SSL_CIPHER, Some(established.cipher())),
        (tlv::SSL_GROUP, established.group()),
    ];
    let inner = inner
        .into_iter()
        .filter_map(|(kind, value)| Some((kind, value?.as_bytes())));
    tlv::write_ssl(subject.is_some(), inner)
}

fn kind_of(sent: SentTlv) -> u8 {
    match sent {
        SentTlv::Authority => tlv::AUTHORITY,
        SentTlv::Alpn => tlv::ALPN,
        SentTlv::Ssl => tlv::SSL,
        SentTlv::UniqueId => tlv::UNIQUE_ID,
        SentTlv::Crc32c => tlv::CRC32C,
    }
}

/// No other connection's, of this process or another: a name of the process, and the number that the logs know.
fn unique_id(id: u64) -> String {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| fastrand::u64(..));
    format!("{:016x}-{id}", *PROCESS)
}

fn attribute(facts: Option<&Facts>, key: &str) -> Option<String> {
    match facts?.attribute(key) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}
