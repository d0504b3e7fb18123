//! Certificates and keys from PEM files, with everything that keeps them from being of use.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use x509_parser::prelude::{CertificateRevocationList, FromDer, GeneralName, X509Certificate};

use super::files::Problems;
use crate::config::CertificateFiles;

/// A certificate that can be shown.
#[derive(Debug)]
pub(super) struct Certificate {
    pub key: Arc<CertifiedKey>,
    /// The names of hosts that it is for, in lower case; `*.` in front of some. From its subjectAltName alone: the
    /// common name has not been looked at by anybody for years (RFC 9525, section 1.4).
    pub names: Vec<String>,
}

/// `chain` and `key` are the contents of `files`. `None` where there is a problem.
pub(super) fn certificate(
    files: &CertificateFiles,
    chain: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
    problems: &mut Problems,
) -> Option<Certificate> {
    let chain = certificates(&files.chain, chain, problems).and_then(|chain| {
        let names = examine(&files.chain, &chain, now(), problems)?;
        Some((chain, names))
    });
    let key = private_key(&files.key, key, problems);
    let ((chain, names), key) = (chain?, key?);
    let key = match provider.key_provider.load_private_key(key) {
        Ok(key) => key,
        Err(error) => {
            problems.add(&files.key, format_args!("the private key is of no use: {error}"));
            return None;
        }
    };
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => {
            let chain = files.chain.display();
            let reason = format_args!("the private key does not belong to the first certificate of {chain}");
            problems.add(&files.key, reason);
            return None;
        }
        Err(error) => {
            problems.add(&files.chain, format_args!("the certificate is of no use: {error}"));
            return None;
        }
    }
    Some(Certificate {
        key: Arc::new(key),
        names,
    })
}

/// Those who sign others. `None` where there is a problem.
pub(super) fn authorities(file: &Path, content: &[u8], problems: &mut Problems) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for (place, certificate) in (1..).zip(certificates(file, content, problems)?) {
        if let Err(error) = roots.add(certificate) {
            problems.add(file, format_args!("certificate {place} is of no use: {error}"));
        }
    }
    (!roots.is_empty()).then_some(roots)
}

/// `None` where there is a problem. Whether they can be understood is found out by those who use them.
pub(super) fn revocations(
    file: &Path,
    content: &[u8],
    problems: &mut Problems,
) -> Option<Vec<CertificateRevocationListDer<'static>>> {
    let lists: Vec<CertificateRevocationListDer<'static>> =
        sections(file, content, "list of revoked certificates", problems)?;
    for (place, list) in (1..).zip(&lists) {
        if let Some(end) = stale(list, now()) {
            // Whom it names is still revoked; that it names nobody new must not shut everybody out.
            tracing::warn!(file = %file.display(), list = place, "should have been replaced by {}", moment(end));
        }
    }
    Some(lists)
}

/// When there should have been a newer list.
fn stale(list: &[u8], now: i64) -> Option<i64> {
    let (_, list) = CertificateRevocationList::from_der(list).ok()?;
    let end = list.next_update()?.timestamp();
    (now > end).then_some(end)
}

fn certificates(file: &Path, content: &[u8], problems: &mut Problems) -> Option<Vec<CertificateDer<'static>>> {
    sections(file, content, "certificate", problems)
}

/// All of a kind, at least one.
fn sections<T: PemObject>(file: &Path, content: &[u8], what: &str, problems: &mut Problems) -> Option<Vec<T>> {
    match T::pem_slice_iter(content).collect::<Result<Vec<_>, _>>() {
        Ok(found) if found.is_empty() => problems.add(file, format_args!("holds no {what} in PEM")),
        Ok(found) => return Some(found),
        Err(error) => problems.add(file, format_args!("is no PEM file: {error}")),
    }
    None
}

fn private_key(file: &Path, content: &[u8], problems: &mut Problems) -> Option<PrivateKeyDer<'static>> {
    if is_encrypted(content) {
        let command = "openssl pkey -in FILE -out NEW-FILE";
        problems.add(
            file,
            format_args!(
                "the private key is encrypted, and nobody is here to be asked for its password: `{command}` decrypts it"
            ),
        );
        return None;
    }
    let mut keys = sections(file, content, "private key", problems)?;
    if keys.len() > 1 {
        problems.add(
            file,
            format_args!("holds {} private keys: it has to hold one", keys.len()),
        );
        return None;
    }
    keys.pop()
}

/// PKCS #8 has a label of its own for it (RFC 7468, section 11), the older forms a header (RFC 1421, section 4.6.1.1).
fn is_encrypted(content: &[u8]) -> bool {
    content
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .any(|line| {
            line == b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
                || line
                    .strip_prefix(b"Proc-Type:")
                    .is_some_and(|kind| kind.ends_with(b"ENCRYPTED"))
        })
}

/// Tells the names of the first one. `None` where there is a problem.
fn examine(file: &Path, chain: &[CertificateDer<'_>], now: i64, problems: &mut Problems) -> Option<Vec<String>> {
    let mut names = None;
    for (place, der) in (1..).zip(chain) {
        let (_, certificate) = match X509Certificate::from_der(der) {
            Ok(parsed) => parsed,
            Err(error) => {
                problems.add(file, format_args!("certificate {place} cannot be understood: {error}"));
                return None;
            }
        };
        let lapsed = lapsed(&certificate, now);
        if place == 1 {
            if let Some(reason) = lapsed {
                problems.add(file, reason);
                return None;
            }
            names = Some(host_names(&certificate));
        } else if let Some(reason) = lapsed {
            // Clients may know another way to a root.
            tracing::warn!(file = %file.display(), certificate = place, "in the chain: {reason}");
        }
    }
    names
}

/// Why it is not valid at `now`, in seconds of UNIX time.
fn lapsed(certificate: &X509Certificate<'_>, now: i64) -> Option<String> {
    let validity = certificate.validity();
    let (begin, end) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    if now > end {
        Some(format!("the certificate has expired at {}", moment(end)))
    } else if now < begin {
        Some(format!("the certificate is not valid before {}", moment(begin)))
    } else {
        None
    }
}

fn host_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = alternatives.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn moment(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(moment) => moment.to_string(),
        // After the year 9999.
        Err(_) => format!("second {seconds} of UNIX time"),
    }
}
