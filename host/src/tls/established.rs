//! What a handshake has settled, for routes, filters and logs.

use rustls::{CommonState, HandshakeKind, ProtocolVersion};

use super::Subject;
use crate::filter::{Attributes, Value};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Established {
    version: &'static str,
    cipher: String,
    group: Option<String>,
    sni: Option<String>,
    alpn: Option<String>,
    resumed: bool,
    subject: Option<Box<Subject>>,
}

impl Established {
    /// On the side of a client, who has asked for `sni`. A certificate that the client has shown is verified by now.
    pub(super) fn with_client(state: &CommonState, sni: Option<String>) -> Self {
        let shown = state.peer_certificates().and_then(|certificates| certificates.first());
        Self {
            subject: shown.and_then(Subject::of).map(Box::new),
            ..Self::with_server(state, sni)
        }
    }

    /// On the side of a server, which was asked for `sni`.
    pub(super) fn with_server(state: &CommonState, sni: Option<String>) -> Self {
        let cipher = state.negotiated_cipher_suite().map(|suite| suite.suite());
        let group = state
            .negotiated_key_exchange_group()
            .map(rustls::crypto::SupportedKxGroup::name);
        let alpn = state
            .alpn_protocol()
            .map(|name| String::from_utf8_lossy(name).into_owned());
        Self {
            version: version(state.protocol_version()),
            cipher: cipher
                .map(|suite| registered(&format!("{suite:?}")))
                .unwrap_or_default(),
            group: group.map(|group| format!("{group:?}")),
            sni,
            alpn,
            resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
            subject: None,
        }
    }

    /// `TLSv1.3`
    pub fn version(&self) -> &'static str {
        self.version
    }

    /// Its name with IANA: `TLS_AES_128_GCM_SHA256`.
    pub fn cipher(&self) -> &str {
        &self.cipher
    }

    /// What the keys were agreed upon with: `X25519MLKEM768`. `None` where a session of TLS 1.2 was resumed.
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// The name that was asked for, in lower case.
    pub fn sni(&self) -> Option<&str> {
        self.sni.as_deref()
    }

    /// The protocol that both speak from here on.
    pub fn alpn(&self) -> Option<&str> {
        self.alpn.as_deref()
    }

    /// Whether it goes on from an earlier session, without certificates.
    #[cfg(test)]
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Who the client is, as its certificate says; from the session that it resumes, where it does. `None` where it has
    /// shown none, or was not asked for one.
    pub fn subject(&self) -> Option<&Subject> {
        self.subject.as_deref()
    }
}

impl Attributes for Established {
    fn attribute(&self, key: &str) -> Option<Value> {
        let text = |text: &str| Value::Text(text.to_owned());
        match key.strip_prefix("tls.")? {
            "version" => Some(text(self.version)),
            "cipher" => Some(text(&self.cipher)),
            "group" => self.group().map(text),
            "sni" => self.sni().map(text),
            "alpn" => self.alpn().map(text),
            "resumed" => Some(Value::Boolean(self.resumed)),
            other => self.subject()?.attribute(other.strip_prefix("client.")?),
        }
    }
}

fn version(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        // There are no others here.
        _ => "",
    }
}

/// rustls writes `TLS13_` where the registry has `TLS_`.
fn registered(cipher: &str) -> String {
    match cipher.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => cipher.to_owned(),
    }
}
