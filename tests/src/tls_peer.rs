//! One end of a connection that speaks TLS, driven by hand: it says when to end, and hears how the other side ends.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustix::net::{RecvFlags, recv};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, Connection, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    ServerConnection, SignatureScheme,
};

use crate::Peer;
use crate::certificates::{Authority, Identity};

pub struct TlsPeer {
    peer: Peer,
    connection: Connection,
}

/// Everything that the other side said, and how it stopped.
#[derive(Debug, PartialEq, Eq)]
pub struct TlsHeard {
    pub bytes: Vec<u8>,
    pub end: TlsEnd,
}

#[derive(Debug, PartialEq, Eq)]
pub enum TlsEnd {
    /// With close_notify, and then FIN.
    Whole,
    /// With FIN alone.
    Truncated,
    /// With RST.
    Reset,
    /// With something that is an error to TLS: an alert, mostly.
    Failed(String),
}

/// A client that wants a server to be known by this authority.
pub fn trusting(authority: &Authority) -> ClientConfig {
    client_builder(authority).with_no_client_auth()
}

/// The same, with a certificate of its own.
pub fn trusting_as(authority: &Authority, own: &Identity) -> ClientConfig {
    client_builder(authority)
        .with_client_auth_cert(vec![own.certificate()], own.key())
        .expect("a certificate and its key")
}

/// A server that shows this.
pub fn showing(own: &Identity) -> ServerConfig {
    server_builder()
        .with_no_client_auth()
        .with_single_cert(vec![own.certificate()], own.key())
        .expect("a certificate and its key")
}

/// The same, and clients have to be known by this authority.
pub fn showing_to(own: &Identity, authority: &Authority) -> ServerConfig {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(authority)), Arc::new(default_provider())).build();
    server_builder()
        .with_client_cert_verifier(verifier.expect("an authority can be asked"))
        .with_single_cert(vec![own.certificate()], own.key())
        .expect("a certificate and its key")
}

fn client_builder(authority: &Authority) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider can do all of them")
        .with_root_certificates(roots(authority))
}

fn server_builder() -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider can do all of them")
}

fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.certificate())
        .expect("the certificate of an authority");
    roots
}

/// What a client says first: a ClientHello in its record.
pub fn client_hello(config: &Arc<ClientConfig>, name: &str) -> Vec<u8> {
    first_words(&mut new_client(config, name).expect("a configuration of the test's"))
}

fn first_words(connection: &mut ClientConnection) -> Vec<u8> {
    let mut words = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut words).expect("memory takes it");
    }
    words
}

fn new_client(config: &Arc<ClientConfig>, name: &str) -> io::Result<ClientConnection> {
    let name = ServerName::try_from(name.to_owned()).expect("a name of a host");
    ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)
}

/// Believes whatever a server shows: for whom it is the question what that is.
#[derive(Debug)]
pub struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

impl TlsPeer {
    /// The client's end, after its handshake.
    #[track_caller]
    pub fn client(peer: Peer, config: &Arc<ClientConfig>, name: &str) -> Self {
        Self::try_client(peer, config, name).unwrap_or_else(|error| panic!("the handshake with {name}: {error}"))
    }

    /// Or why there is none. A server that refuses the client's certificate says so afterwards, in TLS 1.3.
    pub fn try_client(peer: Peer, config: &Arc<ClientConfig>, name: &str) -> io::Result<Self> {
        Self::shake_hands(peer, new_client(config, name)?.into())
    }

    /// The same of a client whose first words come a byte at a time, each in a packet of its own.
    #[track_caller]
    pub fn dribbling_client(mut peer: Peer, config: &Arc<ClientConfig>, name: &str) -> Self {
        let mut connection = new_client(config, name).expect("a configuration of the test's");
        peer.dribble(&first_words(&mut connection));
        Self::shake_hands(peer, connection.into()).unwrap_or_else(|error| panic!("the handshake with {name}: {error}"))
    }

    /// The server's end, after its handshake.
    #[track_caller]
    pub fn server(peer: Peer, config: &Arc<ServerConfig>) -> Self {
        Self::try_server(peer, config).unwrap_or_else(|error| panic!("the handshake with a client: {error}"))
    }

    pub fn try_server(peer: Peer, config: &Arc<ServerConfig>) -> io::Result<Self> {
        let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        Self::shake_hands(peer, connection.into())
    }

    fn shake_hands(peer: Peer, mut connection: Connection) -> io::Result<Self> {
        connection.set_buffer_limit(None);
        let mut this = Self { peer, connection };
        while this.connection.is_handshaking() {
            this.flush()?;
            if this.connection.is_handshaking() {
                this.read_on()?;
            }
        }
        this.flush()?;
        Ok(this)
    }

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        let written = self.connection.writer().write_all(bytes).and_then(|()| self.flush());
        written.unwrap_or_else(|error| panic!("sending {} bytes: {error}", bytes.len()));
    }

    /// Exactly these bytes come next.
    #[track_caller]
    pub fn expect(&mut self, expected: &[u8]) {
        let mut got = vec![0; expected.len()];
        let mut have = 0;
        while have < got.len() {
            match self.connection.reader().read(&mut got[have..]) {
                Ok(0) => panic!("ended after {have} of {} bytes", expected.len()),
                Ok(more) => have += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let read = self.read_on();
                    read.unwrap_or_else(|error| panic!("after {have} of {} bytes: {error}", expected.len()));
                }
                Err(error) => panic!("after {have} of {} bytes: {error}", expected.len()),
            }
        }
        assert!(
            got == expected,
            "expected {:?}, got {:?}",
            String::from_utf8_lossy(expected),
            String::from_utf8_lossy(&got)
        );
    }

    /// Everything until the other side stops, one way or the other.
    #[track_caller]
    pub fn hear_out(&mut self) -> TlsHeard {
        let mut bytes = Vec::new();
        let end = loop {
            match self.connection.reader().read_to_end(&mut bytes) {
                Ok(_) => break self.end_of_socket(),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break TlsEnd::Truncated,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => break TlsEnd::Failed(error.to_string()),
                Err(_) => {}
            }
            match self.read_on() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break TlsEnd::Reset,
                Err(error) => break TlsEnd::Failed(error.to_string()),
            }
        };
        TlsHeard { bytes, end }
    }

    /// Exactly these bytes, and then close_notify and FIN.
    #[track_caller]
    pub fn hears_whole(&mut self, expected: &[u8]) {
        let heard = self.hear_out();
        assert!(
            heard.bytes == expected && heard.end == TlsEnd::Whole,
            "expected {} bytes and their end, got {} bytes, {:?}",
            expected.len(),
            heard.bytes.len(),
            heard.end
        );
    }

    /// Says that nothing more comes (close_notify), without FIN.
    #[track_caller]
    pub fn close_notify(&mut self) {
        self.connection.send_close_notify();
        self.flush().expect("the other side takes a close_notify");
    }

    /// Ends its direction as it should: close_notify, then FIN.
    #[track_caller]
    pub fn finish(&mut self) {
        self.close_notify();
        self.peer.half_close();
    }

    /// Cuts its direction off: FIN alone.
    #[track_caller]
    pub fn cut_off(&mut self) {
        self.peer.half_close();
    }

    /// Throws the connection away (RST).
    pub fn reset(self) {
        self.peer.reset();
    }

    /// The socket below.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The certificate that the other side has shown.
    pub fn shown(&self) -> Option<CertificateDer<'static>> {
        Some(self.connection.peer_certificates()?.first()?.clone().into_owned())
    }

    /// What was negotiated by ALPN.
    pub fn alpn(&self) -> Option<String> {
        let name = self.connection.alpn_protocol()?;
        Some(String::from_utf8_lossy(name).into_owned())
    }

    /// The name that a client has asked for.
    pub fn asked_for(&self) -> Option<String> {
        match &self.connection {
            Connection::Server(server) => server.server_name().map(str::to_owned),
            Connection::Client(_) => None,
        }
    }

    fn read_on(&mut self) -> io::Result<()> {
        let read = self.connection.read_tls(&mut Wire(&mut self.peer))?;
        if read == 0 && self.connection.is_handshaking() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let processed = self.connection.process_new_packets();
        // What is wrong with it is said to the other side first.
        let flushed = self.flush();
        processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if self.connection.is_handshaking() && self.connection.wants_read() {
            flushed?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut Wire(&mut self.peer))?;
        }
        Ok(())
    }

    /// Behind close_notify.
    fn end_of_socket(&mut self) -> TlsEnd {
        let mut rest = Vec::new();
        match Wire(&mut self.peer).read_to_end(&mut rest) {
            Ok(0) => TlsEnd::Whole,
            Ok(_) => TlsEnd::Failed(format!("{} bytes behind close_notify", rest.len())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => TlsEnd::Reset,
            Err(error) => TlsEnd::Failed(error.to_string()),
        }
    }
}

/// The socket as rustls wants it.
struct Wire<'a>(&'a mut Peer);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (read, _) = recv(&*self.0, buffer, RecvFlags::empty())?;
        Ok(read)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_send(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
