//! A session with its socket, as most tests want it.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use crate::sys::Stream;
use crate::tls::handshake::HandshakeError;
use crate::tls::{self, Established};

pub(super) struct Session {
    stream: Stream,
    session: tls::Session,
}

/// A handshake's end, with the socket.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) socket: Stream,
    pub(super) error: HandshakeError,
}

pub(super) async fn accept(socket: Stream, seen: Vec<u8>, config: Arc<ServerConfig>) -> Result<Session, Failed> {
    with(tls::accept(&socket, seen, config).await, socket)
}

pub(super) async fn connect(
    socket: Stream,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<Session, Failed> {
    with(tls::connect(&socket, config, name).await, socket)
}

fn with(result: Result<tls::Session, HandshakeError>, stream: Stream) -> Result<Session, Failed> {
    match result {
        Ok(session) => Ok(Session { stream, session }),
        Err(error) => Err(Failed { socket: stream, error }),
    }
}

impl Session {
    pub(super) fn established(&self) -> &Arc<Established> {
        self.session.established()
    }

    pub(super) fn is_truncated(&self) -> bool {
        self.session.is_truncated()
    }

    pub(super) fn owed(&self) -> usize {
        self.session.owed()
    }

    pub(super) fn memory(&self) -> usize {
        self.session.memory()
    }

    pub(super) fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.session.poll_recv(&self.stream, cx, buffer)
    }

    pub(super) fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.session.poll_send(&self.stream, cx, bytes)
    }

    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.poll_flush(&self.stream, cx)
    }

    pub(super) fn poll_finish(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.poll_finish(&self.stream, cx)
    }

    pub(super) fn poll_finish_truncated(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.poll_finish_truncated(&self.stream, cx)
    }
}
