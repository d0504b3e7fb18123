//! `spliceway filter verify`

use anyhow::anyhow;
use clap::Args;
use serde_json::json;

use super::sharing::{Reach, material, public_key, source};
use crate::artifact::Material;
use crate::cli::say;
use crate::config::Source;
use crate::filter::CONTRACT;
use crate::signature::{self, Candidate, PublicKey, Verified, ids};

#[derive(Debug, Args)]
pub struct Verify {
    /// The component's file, beside which its signature lies, or oci://HOST/REPOSITORY:TAG
    #[arg(value_name = "FILE|oci://REFERENCE", value_parser = source)]
    filter: Source,

    /// A public key, or the file that it lies in; may be repeated, and one of them will do
    #[arg(long = "key", value_name = "KEY", required = true, value_parser = public_key)]
    keys: Vec<PublicKey>,

    #[command(flatten)]
    reach: Reach,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn verify(asked: &Verify) -> anyhow::Result<()> {
    let material = material(&asked.filter, &asked.reach)?;
    let verified = check(&asked.filter, &material, &asked.keys)?;
    let manifest = material.manifest.map(|manifest| manifest.to_string());
    if asked.json {
        let said = json!({
            "key": verified.key,
            "name": asked.filter.name(),
            "version": verified.version,
            "digest": material.digest.to_string(),
            "manifest": manifest,
        });
        say(&format!("{said:#}"));
        return Ok(());
    }
    let version = verified
        .version
        .map(|version| format!(" {version}"))
        .unwrap_or_default();
    say(&format!(
        "{} is {}{version}, signed by key {}: {}",
        asked.filter,
        asked.filter.name(),
        verified.key,
        material.digest
    ));
    Ok(())
}

/// Whether one of the keys has signed it, as what it is called here.
pub fn check(source: &Source, material: &Material, keys: &[PublicKey]) -> anyhow::Result<Verified> {
    let name = source.name();
    let candidate = Candidate {
        name: &name,
        bytes: &material.bytes,
        digest: material.digest,
        manifest: material.manifest,
        contract: CONTRACT,
    };
    signature::verify(candidate, material.signatures(), keys).map_err(|refusal| {
        anyhow!(
            "{source}: {refusal}. A signature by {} was expected: ask the filter's owner for one, or for the key",
            ids(keys)
        )
    })
}
