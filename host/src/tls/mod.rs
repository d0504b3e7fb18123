//! TLS on either side: rustls, between sockets and the relay.
//!
//! | file | what it is |
//! | --- | --- |
//! | `terminate` | a listener that decrypts: its certificates, whom it serves, how many handshakes go on |
//! | `originate` | an upstream that is spoken to in TLS: whom it trusts, what it shows |
//! | `handshake` | from a socket to a [`Session`], on either side |
//! | `session` | a socket whose bytes are encrypted: to be read, written and finished like one that is not |
//! | `records` | the same without the socket: rustls's state machine, from bytes to bytes |
//! | `certificate`, `files` | PEM files, and everything that can be wrong with them |
//! | `resolver` | which certificate a client gets |
//! | `established` | what a handshake has settled, for routes, filters and logs |
//! | `subject` | what the certificate of a client says of it |
//!
//! rustls is used without its buffers: bytes are received into one buffer of the thread's, decrypted in place, and
//! copied to where they are wanted; what is written is encrypted into the same buffer and goes from there to the
//! socket. So a session owns memory only for what is not whole yet, or not taken yet.

mod alert;
mod certificate;
mod established;
mod files;
mod handshake;
mod held;
mod originate;
mod records;
mod resolver;
mod scratch;
mod session;
mod subject;
mod terminate;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;

use crate::config::TlsVersion;

pub use alert::unrecognized_name;
pub use established::Established;
pub use handshake::{accept, connect};
pub use originate::Originator;
pub use session::Session;
pub use subject::Subject;
pub use terminate::Terminator;

/// What has files of certificates: they are read again when they change.
pub trait Certificates: Send + Sync {
    fn files(&self) -> Vec<PathBuf>;

    /// Tells whether something was new, and is used from now on.
    ///
    /// # Errors
    /// What is wrong with the files. Nothing has changed then.
    fn reload(&self) -> anyhow::Result<bool>;
}

/// For libraries that speak TLS by themselves and ask for nobody's opinion. The first one to say counts.
pub fn install_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn versions(least: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static NEWEST: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    match least {
        TlsVersion::V1_2 => rustls::ALL_VERSIONS,
        TlsVersion::V1_3 => NEWEST,
    }
}
