//! Ed25519 in minisign's format.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key::id_of;
use super::{Candidate, PublicKey, Refusal, Statement, Verified};

pub(super) fn verify(candidate: Candidate<'_>, text: &str, keys: &[PublicKey]) -> Result<Verified, Refusal> {
    let signature = minisign_verify::Signature::decode(text)
        .map_err(|_| Refusal::Unreadable("expected four lines, as minisign writes them".to_owned()))?;
    let signer = signer(text);
    let known = keys.iter().find_map(|key| match key {
        PublicKey::Minisign { id, key } if signer.as_ref() == Some(id) => Some(key),
        PublicKey::Minisign { .. } | PublicKey::Ecdsa { .. } => None,
    });
    let (Some(id), Some(key)) = (signer.clone(), known) else {
        return Err(Refusal::OtherKey(signer));
    };
    // Signatures of the whole file, which minisign made before 2021, say no less; but nobody needs them here.
    key.verify(candidate.bytes, &signature, false)
        .map_err(|_| Refusal::Forged(id.clone()))?;
    let about_something_else = |says: String| Refusal::Other { key: id.clone(), says };
    let statement = Statement::parse(signature.trusted_comment()).map_err(about_something_else)?;
    if let Some(says) = differs(&statement, candidate) {
        return Err(about_something_else(says));
    }
    Ok(Verified {
        key: id,
        version: statement.version,
    })
}

/// The id of the key, which stands in the signature.
pub fn signer(text: &str) -> Option<String> {
    let line = STANDARD.decode(text.lines().nth(1)?.trim()).ok()?;
    id_of(line.get(2..10)?)
}

/// What a signature says that it is about, whoever made it.
pub fn statement_in(text: &str) -> Result<Statement, String> {
    let signature = minisign_verify::Signature::decode(text).map_err(|_| "it is none of minisign's".to_owned())?;
    Statement::parse(signature.trusted_comment())
}

fn differs(statement: &Statement, candidate: Candidate<'_>) -> Option<String> {
    if statement.name != candidate.name {
        return Some(format!(
            "it was signed as \"{}\", and here it is \"{}\"",
            statement.name, candidate.name
        ));
    }
    if statement.digest != candidate.digest {
        return Some(format!("{}, and this is {}", statement.digest, candidate.digest));
    }
    let contract = statement.contract.as_ref()?;
    (contract != candidate.contract).then(|| {
        format!(
            "it was signed for version {contract} of the contract, and this host speaks {}",
            candidate.contract
        )
    })
}
