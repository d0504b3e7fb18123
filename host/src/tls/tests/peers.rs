//! Certificates, sockets, and peers on threads of their own.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rcgen::{CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use super::owned::{Failed, Session, accept};
use crate::config::{CertificateFiles, ClientAuth, TlsIn, TlsOut, TlsStart, TlsVersion};
use crate::sys::Stream;
use crate::tls::{Terminator, provider, versions};

/// Signs for others.
pub struct Authority(pub CertifiedIssuer<'static, KeyPair>);

/// In PEM.
#[derive(Clone)]
pub struct Shown {
    pub chain: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn sign(&self, params: &CertificateParams) -> Shown {
        self.sign_key(params, KeyPair::generate().unwrap())
    }

    pub fn sign_key(&self, params: &CertificateParams, key: KeyPair) -> Shown {
        Shown {
            chain: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// For these names of hosts.
    pub fn host(&self, names: &[&str]) -> Shown {
        self.sign(&hosts(names))
    }

    /// For a client of that name.
    pub fn client(&self, name: &str) -> Shown {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign(&params)
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }
}

pub fn hosts(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().copied().map(str::to_owned).collect();
    CertificateParams::new(names).unwrap()
}

impl Shown {
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.chain.as_bytes())
            .map(Result::unwrap)
            .collect()
    }

    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

/// Files that are gone afterwards.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    pub fn certificate(&self, name: &str, shown: &Shown) -> CertificateFiles {
        CertificateFiles {
            chain: self.write(&format!("{name}.pem"), &shown.chain),
            key: self.write(&format!("{name}.key"), &shown.key),
        }
    }
}

pub fn tls_in(certificates: Vec<CertificateFiles>) -> TlsIn {
    TlsIn {
        certificates,
        strict: false,
        start: TlsStart::AtOnce,
        passthrough: Vec::new(),
        client_auth: None,
        alpn: Vec::new(),
        min_version: TlsVersion::V1_2,
        timeout: Duration::from_secs(10),
        handshakes: 2,
    }
}

pub fn tls_out(authorities: PathBuf) -> TlsOut {
    TlsOut {
        verify: true,
        name: None,
        authorities: Some(authorities),
        certificate: None,
        alpn: Vec::new(),
        min_version: TlsVersion::V1_2,
    }
}

pub fn client_auth(authorities: &Path, required: bool) -> Option<ClientAuth> {
    Some(ClientAuth {
        authorities: authorities.to_owned(),
        required,
        revocations: None,
    })
}

/// A listener for the host `a.example`, and whom its clients have to trust.
pub struct Site {
    pub authority: Authority,
    pub folder: Folder,
    pub config: TlsIn,
}

impl Site {
    pub fn new() -> Self {
        let (authority, folder) = (Authority::new("authority"), Folder::new());
        let config = tls_in(vec![folder.certificate("a", &authority.host(&["a.example"]))]);
        Self {
            authority,
            folder,
            config,
        }
    }

    /// Clients have to show certificates of an authority of their own.
    pub fn with_clients(required: bool) -> (Self, Authority) {
        let (mut site, clients) = (Self::new(), Authority::new("clients"));
        let file = site.folder.write("clients.pem", clients.0.pem());
        site.config.client_auth = client_auth(&file, required);
        (site, clients)
    }

    pub fn terminator(&self) -> Terminator {
        Terminator::load(&self.config).unwrap()
    }

    pub fn server(&self) -> Arc<ServerConfig> {
        self.terminator().current()
    }

    pub fn client(&self) -> ClientConfig {
        client(&self.authority, TlsVersion::V1_2, None)
    }
}

pub fn client(trusts: &Authority, least: TlsVersion, shows: Option<&Shown>) -> ClientConfig {
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(least))
        .unwrap()
        .with_root_certificates(trusts.roots());
    match shows {
        Some(shown) => client.with_client_auth_cert(shown.chain(), shown.key()).unwrap(),
        None => client.with_no_client_auth(),
    }
}

/// One that speaks TLS 1.2 only.
pub fn old_client(trusts: &Authority) -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(trusts.roots())
        .with_no_client_auth()
}

/// The two ends of a connection, the second one ours.
pub fn pair() -> (TcpStream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (peer, Stream::new(ours.into()).unwrap())
}

pub type Client = StreamOwned<ClientConnection, TcpStream>;
pub type Server = StreamOwned<ServerConnection, TcpStream>;

pub fn client_on<S: Read + Write>(socket: S, config: &ClientConfig, name: &str) -> StreamOwned<ClientConnection, S> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config.clone()), name).unwrap(), socket)
}

/// A client on a thread of its own, which asks for `a.example` and does `what`; and our side of it.
pub async fn accepted<T: Send + 'static>(
    server: Arc<ServerConfig>,
    config: &ClientConfig,
    what: impl FnOnce(Client) -> T + Send + 'static,
) -> (Result<Session, Failed>, JoinHandle<T>) {
    accepted_as(server, config, "a.example", what).await
}

pub async fn accepted_as<T: Send + 'static>(
    server: Arc<ServerConfig>,
    config: &ClientConfig,
    name: &str,
    what: impl FnOnce(Client) -> T + Send + 'static,
) -> (Result<Session, Failed>, JoinHandle<T>) {
    let (peer, ours) = pair();
    let client = client_on(peer, config, name);
    let peer = thread::spawn(move || what(client));
    (accept(ours, Vec::new(), server).await, peer)
}

/// Shakes hands and says no more.
pub fn greet<S: Read + Write>(mut client: StreamOwned<ClientConnection, S>) -> StreamOwned<ClientConnection, S> {
    while client.conn.is_handshaking() {
        client.conn.complete_io(&mut client.sock).unwrap();
    }
    client
}

/// Says that this is everything.
pub fn end<S: Read + Write>(client: &mut StreamOwned<ClientConnection, S>) {
    client.conn.send_close_notify();
    while client.conn.wants_write() {
        client.conn.write_tls(&mut client.sock).unwrap();
    }
}

pub async fn send(session: &Session, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = poll_fn(|cx| session.poll_send(cx, bytes)).await?;
        assert!(sent > 0);
        bytes = &bytes[sent..];
    }
    poll_fn(|cx| session.poll_flush(cx)).await
}

pub async fn receive(session: &Session, room: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; room];
    let read = poll_fn(|cx| session.poll_recv(cx, &mut buffer)).await?;
    buffer.truncate(read);
    Ok(buffer)
}

/// Everything until the end, read into buffers of `room` bytes.
pub async fn receive_all(session: &Session, room: usize) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        match receive(session, room).await? {
            some if some.is_empty() => return Ok(all),
            some => all.extend(some),
        }
    }
}

pub async fn finish(session: &Session) -> io::Result<()> {
    poll_fn(|cx| session.poll_finish(cx)).await
}

/// Bytes of which no part is like another.
pub fn pattern(length: usize) -> Vec<u8> {
    let words = (0..).flat_map(|n: u32| n.wrapping_mul(2_654_435_761).to_le_bytes());
    words.take(length).collect()
}
