//! Keyed signatures of cosign's: simple signing, ECDSA on P-256. No certificates, no log, no network.

use serde::Deserialize;

use super::{Candidate, PublicKey, Refusal, Verified};
use crate::digest::Digest;

/// What cosign signs. It has more in it, which nobody needs here.
#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Identity {
    /// `registry.example/team/redis-guard`, with or without a tag.
    #[serde(rename = "docker-reference")]
    reference: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// So that a key that signs other things too has not signed a filter by accident.
const KIND: &str = "cosign container image signature";

pub(super) fn verify(
    candidate: Candidate<'_>,
    payload: &[u8],
    signature: &[u8],
    keys: &[PublicKey],
) -> Result<Verified, Refusal> {
    // Nothing in the payload is believed, or even read, before somebody known has signed it.
    let signer = keys.iter().find(|key| key.verify_ecdsa(payload, signature));
    let id = signer.ok_or(Refusal::OtherKey(None))?.id().to_owned();
    let about_something_else = |says: String| Refusal::Other { key: id.clone(), says };
    let Payload { critical } = serde_json::from_slice(payload)
        .map_err(|error| about_something_else(format!("it is of no image ({error})")))?;
    if critical.kind != KIND {
        return Err(about_something_else(format!("it is a \"{}\"", critical.kind)));
    }
    let says = critical.image.digest;
    match (says.parse::<Digest>(), candidate.manifest) {
        (Ok(digest), Some(manifest)) if digest == manifest => {}
        (_, Some(manifest)) => return Err(about_something_else(format!("{says}, and this is {manifest}"))),
        (_, None) => return Err(about_something_else("a manifest, and this is a file".to_owned())),
    }
    let name = name_in(&critical.identity.reference);
    if name != candidate.name {
        return Err(about_something_else(format!(
            "it was signed as \"{name}\", and here it is \"{}\"",
            candidate.name
        )));
    }
    Ok(Verified { key: id, version: None })
}

/// The last part of the repository, without a tag or a digest.
fn name_in(reference: &str) -> &str {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    last.split(['@', ':']).next().unwrap_or(last)
}
