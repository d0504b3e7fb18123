//! An upstream that is spoken to in TLS.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use arc_swap::ArcSwap;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_native_certs::{CertificateResult, load_native_certs};

use super::certificate::{self, certificate};
use super::files::{Fingerprint, Problems, read};
use super::{Certificates, provider, versions};
use crate::config::{CertificateFiles, TlsOut};

/// One for each upstream, shared by all threads.
pub struct Originator {
    config: TlsOut,
    used: ArcSwap<ClientConfig>,
    /// What it was made of. Locked while files are read.
    content: Mutex<Vec<u8>>,
}

impl Originator {
    /// Reads the files of `config`, or those of the system.
    ///
    /// # Errors
    /// Everything that is wrong with any of them, a line each.
    pub fn load(config: &TlsOut) -> anyhow::Result<Self> {
        let material = Material::read(config)?;
        let used = material.build(config)?;
        Ok(Self {
            config: config.clone(),
            used: ArcSwap::from_pointee(used),
            content: Mutex::new(material.content()),
        })
    }
}

impl Certificates for Originator {
    /// Reads the files again. Tells whether they have changed: then connections that are made from now on use what is
    /// in them, and none of them resumes a session from before.
    ///
    /// # Errors
    /// As in [`load`](Self::load). Nothing is changed then.
    fn reload(&self) -> anyhow::Result<bool> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let material = Material::read(&self.config)?;
        let now = material.content();
        if now == *content {
            return Ok(false);
        }
        let used = material.build(&self.config)?;
        self.used.store(Arc::new(used));
        *content = now;
        Ok(true)
    }

    /// Those that are read and can be watched: not those of the system.
    fn files(&self) -> Vec<PathBuf> {
        let own = self.config.certificate.iter();
        let own = own.flat_map(|CertificateFiles { chain, key }| [chain, key]);
        let mut files: Vec<_> = own.chain(&self.config.authorities).cloned().collect();
        files.sort();
        files.dedup();
        files
    }
}

impl Originator {
    /// For a connection that is made now, for a client that has negotiated `alpn`: where the configuration offers no
    /// protocols of its own, that one is offered.
    pub fn current(&self, alpn: Option<&str>) -> Arc<ClientConfig> {
        let used = self.used.load_full();
        match alpn {
            Some(alpn) if self.config.alpn.is_empty() => {
                // Next to the handshake it costs nothing: what is large is shared, the sessions to be resumed too.
                let mut used = (*used).clone();
                used.alpn_protocols = vec![alpn.as_bytes().to_vec()];
                Arc::new(used)
            }
            _ => used,
        }
    }

    /// Whom a server at `host`, a name or an address, has to prove to be.
    ///
    /// # Errors
    /// That can be no name in a certificate.
    pub fn name(&self, host: &str) -> anyhow::Result<ServerName<'static>> {
        let name = self.config.name.as_deref().unwrap_or(host);
        let bare = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .unwrap_or(name);
        let bare = bare.strip_suffix('.').unwrap_or(bare);
        let parsed = ServerName::try_from(bare).map(|name| name.to_owned());
        parsed.with_context(|| format!("\"{name}\" can be no name in a certificate"))
    }
}

/// What its files hold.
struct Material {
    roots: Roots,
    /// Chain and key.
    certificate: Option<(Vec<u8>, Vec<u8>)>,
}

enum Roots {
    /// Nobody is asked.
    None,
    File {
        path: PathBuf,
        content: Vec<u8>,
    },
    System(Vec<CertificateDer<'static>>),
}

impl Material {
    fn read(config: &TlsOut) -> anyhow::Result<Self> {
        let mut problems = Problems::default();
        let roots = match &config.authorities {
            _ if !config.verify => Roots::None,
            Some(path) => Roots::File {
                path: path.clone(),
                content: read(path, &mut problems).unwrap_or_default(),
            },
            None => Roots::System(system_roots(load_native_certs(), &mut problems)),
        };
        let certificate = config.certificate.as_ref().and_then(|files| {
            let (chain, key) = (read(&files.chain, &mut problems), read(&files.key, &mut problems));
            chain.zip(key)
        });
        problems.check()?;
        Ok(Self { roots, certificate })
    }

    fn content(&self) -> Vec<u8> {
        let mut fingerprint = Fingerprint::new();
        match &self.roots {
            Roots::None => {}
            Roots::File { content, .. } => fingerprint.add(content),
            Roots::System(roots) => roots.iter().for_each(|root| fingerprint.add(root)),
        }
        if let Some((chain, key)) = &self.certificate {
            fingerprint.add(chain);
            fingerprint.add(key);
        }
        fingerprint.finish().as_ref().to_vec()
    }

    fn build(&self, config: &TlsOut) -> anyhow::Result<ClientConfig> {
        let provider = provider();
        let mut problems = Problems::default();
        let roots = match &self.roots {
            Roots::None => None,
            Roots::File { path, content } => certificate::authorities(path, content, &mut problems),
            Roots::System(roots) => Some(trusting(roots)),
        };
        let own = match (&config.certificate, &self.certificate) {
            (Some(files), Some((chain, key))) => certificate(files, chain, key, &provider, &mut problems),
            _ => None,
        };
        problems.check()?;
        let verifier: Arc<dyn ServerCertVerifier> = match config.verify {
            true => {
                let roots = Arc::new(roots.context("servers cannot be verified")?);
                WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()?
            }
            false => Arc::new(Unverified(Arc::clone(&provider))),
        };
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions(config.min_version))?
            // So the configuration decides whether it is dangerous: both kinds come this way.
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut client = match own {
            Some(own) => client.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.key))),
            None => client.with_no_client_auth(),
        };
        client.alpn_protocols = config.alpn.iter().map(|name| name.clone().into_bytes()).collect();
        Ok(client)
    }
}

/// Whom the system trusts, as `found`: at least one, or else it is a problem.
fn system_roots(found: CertificateResult, problems: &mut Problems) -> Vec<CertificateDer<'static>> {
    if found.certs.is_empty() {
        let reasons = found.errors.iter().map(|error| format!(" ({error})"));
        problems.add_other(format_args!(
            "the system has no certificates of authorities{}: install the package ca-certificates, set SSL_CERT_FILE, \
             or name a file with `authorities`",
            reasons.collect::<String>(),
        ));
    }
    found.certs
}

/// What is of no use among the system's is left out: it is not ours to mend.
fn trusting(roots: &[CertificateDer<'static>]) -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    store
}

/// Takes any certificate from anybody, where the configuration says so. What is encrypted then is safe from those who
/// listen, and not from those who stand in between. That the server has the key of what it shows is still checked.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_that_trusts_nobody_says_what_to_do() {
        let mut problems = Problems::default();
        system_roots(CertificateResult::default(), &mut problems);
        let error = problems.check().unwrap_err().to_string();
        let expected = "the system has no certificates of authorities: install the package ca-certificates, set \
                        SSL_CERT_FILE, or name a file with `authorities`";
        assert_eq!(error, expected);
    }
}
