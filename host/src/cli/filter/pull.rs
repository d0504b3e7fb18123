//! `spliceway filter pull`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::sharing::{Reach, public_key, reference, write};
use super::verify;
use crate::artifact::{Material, signature_file};
use crate::cli::say;
use crate::config::{Reference, Source};
use crate::signature::{PublicKey, Signature};

#[derive(Debug, Args)]
#[command(
    after_help = "A proxy needs no file: `source = \"oci://...\"` in its configuration pulls by itself. This is for a look, and \
                        for machines that reach no registry."
)]
pub struct Pull {
    /// oci://HOST/REPOSITORY:TAG, or oci://HOST/REPOSITORY@sha256:...
    #[arg(value_name = "oci://REFERENCE", value_parser = reference)]
    from: Reference,

    /// Where it goes; the last part of its repository and `.wasm` otherwise. Its signature goes beside it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// A public key, or the file that it lies in: what is not signed by it is not written. May be repeated, and one will do
    #[arg(long = "key", value_name = "KEY", value_parser = public_key)]
    keys: Vec<PublicKey>,

    #[command(flatten)]
    reach: Reach,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn pull(asked: &Pull) -> anyhow::Result<()> {
    let material = Material::fetch(&asked.reach.registries(), &asked.from)?;
    let signed = match asked.keys.is_empty() {
        true => None,
        false => Some(verify::check(&Source::Oci(asked.from.clone()), &material, &asked.keys)?),
    };
    let name = asked.from.repository.name();
    let file = asked.output.clone().unwrap_or_else(|| format!("{name}.wasm").into());
    let signature = material.signatures().iter().find_map(|signature| match signature {
        Signature::Minisign(text) => Some(text),
        Signature::Cosign { .. } => None,
    });
    write(&file, &material.bytes)?;
    match signature {
        Some(text) => write(&signature_file(&file), text.as_bytes())?,
        // That of another version says nothing good about this one.
        None => _ = std::fs::remove_file(signature_file(&file)),
    }
    let manifest = material
        .manifest
        .map(|manifest| manifest.to_string())
        .unwrap_or_default();
    let key = signed.as_ref().map(|signed| &signed.key);
    if asked.json {
        let said = json!({
            "file": file,
            "digest": material.digest.to_string(),
            "manifest": manifest,
            "signature": signature.map(|_| signature_file(&file)),
            "key": key,
        });
        say(&format!("{said:#}"));
        return Ok(());
    }
    let by = key.map(|key| format!(", signed by key {key}")).unwrap_or_default();
    say(&format!(
        "{}: {}{by}\n{}@{manifest}",
        file.display(),
        material.digest,
        asked.from.repository
    ));
    Ok(())
}
