//! Public keys, as they are typed and as they lie in files.

use std::str::FromStr;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::digest::Digest;

/// A key that signatures are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// Ed25519, in minisign's format.
    Minisign {
        id: String,
        key: minisign_verify::PublicKey,
    },
    /// ECDSA on P-256, as cosign's key pairs are: a point of the curve.
    Ecdsa { id: String, point: Vec<u8> },
}

const BEGIN: &str = "-----BEGIN";

/// How a key of minisign's begins: the name of its algorithm, `Ed`, in Base64; and how long it is.
const MINISIGN: (&str, usize) = ("RW", 56);

impl PublicKey {
    /// Whether somebody has typed a key here, and not the path of a file with one.
    pub fn looks_like_one(text: &str) -> bool {
        let (begin, length) = MINISIGN;
        text.trim_start().starts_with(BEGIN) || text.starts_with(begin) && text.len() == length
    }

    /// What people call it: minisign's own number, or the beginning of the SHA-256 of its DER.
    pub fn id(&self) -> &str {
        match self {
            Self::Minisign { id, .. } | Self::Ecdsa { id, .. } => id,
        }
    }

    /// Whether a key on P-256 made this signature of a message.
    pub(super) fn verify_ecdsa(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Minisign { .. } => false,
            Self::Ecdsa { point, .. } => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
                .verify(message, signature)
                .is_ok(),
        }
    }

    fn from_pem(text: &str) -> Result<Self, KeyError> {
        let (rest, pem) = parse_x509_pem(text.trim().as_bytes()).map_err(|_| KeyError::Pem)?;
        if pem.label.contains("PRIVATE") {
            return Err(KeyError::Private);
        }
        if pem.label != "PUBLIC KEY" || !rest.trim_ascii().is_empty() {
            return Err(KeyError::Pem);
        }
        let (rest, info) = SubjectPublicKeyInfo::from_der(&pem.contents).map_err(|_| KeyError::Pem)?;
        let curve = info
            .algorithm
            .parameters
            .as_ref()
            .and_then(|parameters| parameters.as_oid().ok());
        if !rest.is_empty() || info.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY || curve != Some(OID_EC_P256) {
            return Err(KeyError::Algorithm);
        }
        let digest = Digest::of(&pem.contents).hex();
        Ok(Self::Ecdsa {
            id: format!("ecdsa:{}", &digest[..16]),
            point: info.subject_public_key.data.to_vec(),
        })
    }

    fn from_minisign(text: &str) -> Result<Self, KeyError> {
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty());
        let line = line.ok_or(KeyError::Minisign)?;
        if text.contains("secret key") {
            return Err(KeyError::Private);
        }
        let key = minisign_verify::PublicKey::from_base64(line).map_err(|_| KeyError::Minisign)?;
        let number = minisign::PublicKey::from_base64(line).map_err(|_| KeyError::Minisign)?;
        let id = id_of(number.keynum()).ok_or(KeyError::Minisign)?;
        Ok(Self::Minisign { id, key })
    }
}

/// As minisign prints it.
pub(super) fn id_of(number: &[u8]) -> Option<String> {
    let number: [u8; 8] = number.try_into().ok()?;
    Some(format!("{:016X}", u64::from_le_bytes(number)))
}

impl FromStr for PublicKey {
    type Err = KeyError;

    /// What is typed, or all of a file.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        match text.contains(BEGIN) {
            true => Self::from_pem(text),
            false => Self::from_minisign(text),
        }
    }
}

/// Why a text is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("expected a key of minisign's, as `spliceway filter keygen` prints it (`RW` and 54 more), or PEM")]
    Minisign,
    #[error("expected one PEM block `PUBLIC KEY`, as cosign and `openssl ec -pubout` write it")]
    Pem,
    #[error("expected a key on the curve P-256, as cosign's are; Ed25519 keys come in minisign's format")]
    Algorithm,
    #[error("this is a secret key: expected the public one, and a new pair where somebody has seen this one")]
    Private,
}
