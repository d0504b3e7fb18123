//! A listener that decrypts.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};

use super::certificate::{self, certificate};
use super::files::{Fingerprint, Problems, read};
use super::resolver::Resolver;
use super::{Certificates, provider, versions};
use crate::config::{CertificateFiles, ClientAuth, TlsIn};

/// One for each listener, shared by all threads.
pub struct Terminator {
    config: TlsIn,
    served: ArcSwap<Served>,
    /// Locked while files are read.
    loaded: Mutex<Loaded>,
    handshakes: AtomicU32,
}

/// What connections that come now get.
struct Served {
    config: Arc<ServerConfig>,
    resolver: Arc<Resolver>,
}

/// What was made of the files that were read last.
struct Loaded {
    content: Vec<u8>,
    /// The part of it that says who clients have to be.
    clients: Vec<u8>,
    /// Kept when certificates are replaced, so that clients can still resume sessions.
    ticketer: Arc<dyn ProducesTickets>,
}

impl Terminator {
    /// Reads the files of `config`.
    ///
    /// # Errors
    /// Everything that is wrong with any of them, a line each.
    pub fn load(config: &TlsIn) -> anyhow::Result<Self> {
        let (files, problems) = Files::read(config);
        let ticketer = Ticketer::new()?;
        let served = files.build(config, &ticketer, problems)?;
        let loaded = Loaded {
            content: files.content(),
            clients: files.clients(),
            ticketer,
        };
        Ok(Self {
            config: config.clone(),
            served: ArcSwap::from_pointee(served),
            loaded: Mutex::new(loaded),
            handshakes: AtomicU32::new(0),
        })
    }
}

impl Certificates for Terminator {
    /// Reads the files again. Tells whether they have changed: then connections that come from now on get what is in
    /// them. Those that are here keep what they have.
    ///
    /// Sessions that were begun before can be resumed, unless it has changed who clients have to be: who resumes a
    /// session is not verified again, so all have to prove it anew.
    ///
    /// # Errors
    /// As in [`load`](Self::load). Nothing is changed then.
    fn reload(&self) -> anyhow::Result<bool> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let (files, problems) = Files::read(&self.config);
        let (content, clients) = (files.content(), files.clients());
        if content == loaded.content {
            problems.check()?;
            return Ok(false);
        }
        let ticketer = match clients == loaded.clients {
            true => Arc::clone(&loaded.ticketer),
            false => Ticketer::new()?,
        };
        let served = files.build(&self.config, &ticketer, problems)?;
        self.served.store(Arc::new(served));
        *loaded = Loaded {
            content,
            clients,
            ticketer,
        };
        Ok(true)
    }

    /// Those that are read, each once.
    fn files(&self) -> Vec<PathBuf> {
        let certificates = self.config.certificates.iter();
        let certificates = certificates.flat_map(|CertificateFiles { chain, key }| [chain, key]);
        let clients = self.config.client_auth.iter();
        let clients = clients.flat_map(|auth| [Some(&auth.authorities), auth.revocations.as_ref()]);
        let mut files: Vec<_> = certificates.chain(clients.flatten()).cloned().collect();
        files.sort();
        files.dedup();
        files
    }
}

impl Terminator {
    /// For a connection that comes now.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.served.load().config)
    }

    /// Whether a client that asks for `name`, or for none, gets a certificate.
    pub fn serves(&self, name: Option<&str>) -> bool {
        self.served.load().resolver.serves(name)
    }

    /// Whether connections to `name` are passed on as they are, encrypted. The name is normalised.
    pub fn passes_through(&self, name: Option<&str>) -> bool {
        name.is_some_and(|name| self.config.passthrough.iter().any(|pattern| pattern.matches(name)))
    }

    pub fn config(&self) -> &TlsIn {
        &self.config
    }

    /// Takes one of the places for handshakes; `None` where all are taken.
    pub fn begin(self: &Arc<Self>) -> Option<Handshaking> {
        let more = |count: u32| (count < self.config.handshakes).then_some(count + 1);
        // It counts, and nothing else depends on its order.
        let taken = self.handshakes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Handshaking(Arc::clone(self)))
    }
}

/// A place for a handshake, until it is dropped.
pub struct Handshaking(Arc<Terminator>);

impl Drop for Handshaking {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The contents of a listener's files; `None` where they cannot be read.
struct Files {
    /// Chain and key.
    certificates: Vec<Option<(Vec<u8>, Vec<u8>)>>,
    authorities: Option<Vec<u8>>,
    revocations: Option<Vec<u8>>,
}

impl Files {
    /// What can be read, and what is wrong with the rest.
    fn read(config: &TlsIn) -> (Self, Problems) {
        let mut problems = Problems::default();
        let mut certificates = Vec::with_capacity(config.certificates.len());
        for files in &config.certificates {
            let (chain, key) = (read(&files.chain, &mut problems), read(&files.key, &mut problems));
            certificates.push(chain.zip(key));
        }
        let auth = config.client_auth.as_ref();
        let authorities = auth.and_then(|auth| read(&auth.authorities, &mut problems));
        let revocations = auth.and_then(|auth| read(auth.revocations.as_ref()?, &mut problems));
        let files = Self {
            certificates,
            authorities,
            revocations,
        };
        (files, problems)
    }

    fn content(&self) -> Vec<u8> {
        let mut fingerprint = Fingerprint::new();
        for (chain, key) in self.certificates.iter().flatten() {
            fingerprint.add(chain);
            fingerprint.add(key);
        }
        fingerprint.add(&self.clients());
        fingerprint.finish().as_ref().to_vec()
    }

    fn clients(&self) -> Vec<u8> {
        let mut fingerprint = Fingerprint::new();
        for file in [&self.authorities, &self.revocations] {
            fingerprint.add(file.as_deref().unwrap_or_default());
        }
        fingerprint.finish().as_ref().to_vec()
    }

    /// An error where there are `problems`, with all that is wrong beside them.
    fn build(
        &self,
        config: &TlsIn,
        ticketer: &Arc<dyn ProducesTickets>,
        mut problems: Problems,
    ) -> anyhow::Result<Served> {
        let provider = provider();
        let mut certificates = Vec::with_capacity(self.certificates.len());
        for (files, content) in config.certificates.iter().zip(&self.certificates) {
            let Some((chain, key)) = content else { continue };
            let Some(certificate) = certificate(files, chain, key, &provider, &mut problems) else {
                continue;
            };
            if config.strict && certificate.names.is_empty() {
                let reason = "the certificate has no names of hosts (subjectAltName), so nobody would ever get it";
                problems.add(&files.chain, format_args!("{reason}: `strict` is set"));
            }
            certificates.push(certificate);
        }
        let verifier = match &config.client_auth {
            Some(auth) => self.verifier(auth, &provider, &mut problems),
            None => Some(WebPkiClientVerifier::no_client_auth()),
        };
        problems.check()?;
        let verifier = verifier.context("clients cannot be verified")?;
        let resolver = Arc::new(Resolver::new(certificates, config.strict));
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions(config.min_version))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::<Resolver>::clone(&resolver));
        server.alpn_protocols = config.alpn.iter().map(|name| name.clone().into_bytes()).collect();
        server.ticketer = Arc::clone(ticketer);
        // One in, one out: a client that resumes gets another. A second one would be sealed and sent for every
        // connection, with the client's certificates inside, for the few that open several at once and use each ticket
        // once.
        server.send_tls13_tickets = 1;
        // Tickets hold all there is to a session, so nothing has to be remembered, or locked, here.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Served {
            config: Arc::new(server),
            resolver,
        })
    }

    /// `None` where there is a problem.
    fn verifier(
        &self,
        auth: &ClientAuth,
        provider: &Arc<CryptoProvider>,
        problems: &mut Problems,
    ) -> Option<Arc<dyn ClientCertVerifier>> {
        let content = self.authorities.as_deref();
        let authorities = content.and_then(|content| certificate::authorities(&auth.authorities, content, problems));
        let content = self.revocations.as_deref();
        let revocations = match &auth.revocations {
            Some(file) => content.and_then(|content| certificate::revocations(file, content, problems)),
            None => Some(Vec::new()),
        };
        let roots = Arc::new(authorities?);
        let mut verifier =
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider)).with_crls(revocations?);
        if !auth.required {
            verifier = verifier.allow_unauthenticated();
        }
        let blamed = auth.revocations.as_ref().unwrap_or(&auth.authorities);
        verifier.build().map_err(|error| problems.add(blamed, error)).ok()
    }
}
