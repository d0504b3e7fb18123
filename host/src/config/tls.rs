//! TLS as it is meant, on either side.

use std::path::PathBuf;
use std::time::Duration;

use super::Pattern;

/// A listener that decrypts.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsIn {
    /// At least one. The first that is for the name which the client asks for; where none is, the first of all.
    pub certificates: Vec<CertificateFiles>,
    /// A client that asks for a name which no certificate is for is turned away, and so is one that asks for none.
    pub strict: bool,
    pub start: TlsStart,
    /// Names whose connections are passed on as they are, encrypted.
    pub passthrough: Vec<Pattern>,
    /// `None`: clients are not asked for certificates.
    pub client_auth: Option<ClientAuth>,
    /// In the order of preference; none is: nothing is negotiated.
    pub alpn: Vec<String>,
    pub min_version: TlsVersion,
    /// From the client's first byte (of TLS) to the end of the handshake.
    pub timeout: Duration,
    /// How many may be in their handshakes at once, on all workers together; 1 to 1 000 000.
    pub handshakes: u32,
}

/// When it is decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsStart {
    /// Clients begin with TLS.
    #[default]
    AtOnce,
    /// Those that begin with TLS get it; others go on as they are, and a filter may ask for it.
    Detect,
    /// When a filter asks for it: the client has asked in its own protocol (STARTTLS).
    OnRequest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The certificate, and those between it and its root.
    pub chain: PathBuf,
    /// May be the same file.
    pub key: PathBuf,
}

/// Clients show certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAuth {
    /// The certificates of those who sign them: a PEM file.
    pub authorities: PathBuf,
    /// Without one there is no service.
    pub required: bool,
    /// A PEM file of lists of those that are revoked.
    pub revocations: Option<PathBuf>,
}

/// An upstream whose servers are spoken to in TLS.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsOut {
    /// Whether a server has to prove who it is.
    pub verify: bool,
    /// The name that is asked for, and that its certificate has to be for; `None`: the host of its address.
    pub name: Option<String>,
    /// The certificates of those who sign theirs: a PEM file; `None`: whom the system trusts.
    pub authorities: Option<PathBuf>,
    /// Our own, for servers that ask for one.
    pub certificate: Option<CertificateFiles>,
    /// What is offered; none is: what has been negotiated with the client, if anything.
    pub alpn: Vec<String>,
    pub min_version: TlsVersion,
}
