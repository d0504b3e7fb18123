//! From a socket to a session, on either side.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ResolvesServerCert, UnbufferedServerConnection};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig};

use super::records::Records;
use super::session::Traffic;
use super::{Established, Session};
use crate::outcome::Cause;
use crate::sys::Stream;

/// Why there is no session. The alert that tells the peer, if there is one, is written as far as the socket has taken it.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The socket failed.
    #[error("{0}")]
    Io(io::Error),
    /// FIN came before the end of the handshake.
    #[error("the peer finished in the middle of the handshake")]
    Ended,
    /// The peer has refused, or is refused.
    #[error("{0}")]
    Tls(rustls::Error),
}

impl HandshakeError {
    /// As an outcome says it.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Io(error) => Cause::of(error),
            Self::Ended => Cause::Truncated,
            Self::Tls(_) => Cause::TlsFailed,
        }
    }
}

/// To those who know errors of sockets alone.
impl From<HandshakeError> for io::Error {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Io(error) => error,
            HandshakeError::Ended => Self::new(io::ErrorKind::UnexpectedEof, error),
            HandshakeError::Tls(_) => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

/// Answers a client. `seen` is what was read from the socket already, the first bytes of its ClientHello before all.
///
/// It takes as long as the client takes: whoever waits has to have a time for it.
pub async fn accept(socket: &Stream, mut seen: Vec<u8>, config: Arc<ServerConfig>) -> Result<Session, HandshakeError> {
    let asked = Arc::new(Asked {
        resolver: Arc::clone(&config.cert_resolver),
        name: OnceLock::new(),
    });
    let mut config = (*config).clone();
    config.cert_resolver = Arc::<Asked>::clone(&asked);
    let server = UnbufferedServerConnection::new(Arc::new(config)).map_err(HandshakeError::Tls)?;
    let mut traffic = Box::new(Traffic::new(Records::Server(server)));
    shake_hands(socket, &mut traffic, &mut seen).await?;
    let established = Established::with_client(traffic.records().common(), asked.name.get().cloned());
    Ok(Session::new(traffic, Arc::new(established)))
}

/// Speaks to a server first, whose certificate has to be for `name`.
///
/// The session begins when the server has proved who it is. In TLS 1.3 it may still refuse our certificate, or that we
/// have none: the first read says so then.
pub async fn connect(
    socket: &Stream,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<Session, HandshakeError> {
    let asked = match &name {
        ServerName::DnsName(name) if config.enable_sni => Some(name.as_ref().to_owned()),
        _ => None,
    };
    let client = UnbufferedClientConnection::new(config, name).map_err(HandshakeError::Tls)?;
    let mut traffic = Box::new(Traffic::new(Records::Client(client)));
    shake_hands(socket, &mut traffic, &mut []).await?;
    let established = Established::with_server(traffic.records().common(), asked);
    Ok(Session::new(traffic, Arc::new(established)))
}

/// Ends when bytes can go in both directions. What comes with the last of the handshake is kept for the session; what
/// our last part of it owes, the session writes.
async fn shake_hands(socket: &Stream, traffic: &mut Traffic, seen: &mut [u8]) -> Result<(), HandshakeError> {
    traffic.take_in(seen, &mut []);
    loop {
        if let Some(error) = traffic.failed() {
            let error = HandshakeError::Tls(error.clone());
            write_now(socket, traffic).await;
            return Err(error);
        }
        if !traffic.records().is_handshaking() {
            write_now(socket, traffic).await;
            return Ok(());
        }
        if traffic.has_ended() {
            return Err(HandshakeError::Ended);
        }
        poll_fn(|cx| traffic.poll_flush(cx, socket))
            .await
            .map_err(HandshakeError::Io)?;
        poll_fn(|cx| traffic.poll_receive(cx, socket, &mut []))
            .await
            .map_err(HandshakeError::Io)?;
    }
}

/// Writes what the socket takes, without waiting for it.
async fn write_now(socket: &Stream, traffic: &mut Traffic) {
    poll_fn(|cx| {
        let _ = traffic.poll_answer(cx, socket);
        Poll::Ready(())
    })
    .await;
}

/// Notes the name that one client asks for: rustls tells it to none but the resolver where its buffers are not used.
#[derive(Debug)]
struct Asked {
    resolver: Arc<dyn ResolvesServerCert>,
    name: OnceLock<String>,
}

impl ResolvesServerCert for Asked {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(name) = hello.server_name() {
            // The second hello, after HelloRetryRequest, asks for the same.
            let _ = self.name.set(name.to_owned());
        }
        self.resolver.resolve(hello)
    }
}
