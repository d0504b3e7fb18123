//! `spliceway filter push`

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde_json::json;

use super::sharing::{PasswordOptions, Reach, reference};
use super::sign;
use crate::artifact::{Labels, Library, Material, Release, Session, attach, publish};
use crate::cli::say;
use crate::config::Reference;
use crate::filter::{CONTRACT, Interface};
use crate::signature::{Signature, Statement, statement_in};

#[derive(Debug, Args)]
#[command(
    after_help = "The layout is the CNCF's for WebAssembly components, which `wkg oci pull` and `oras` know too. A signature beside \
                        FILE (FILE.minisig) is published with it."
)]
pub struct Push {
    /// The component's file
    file: PathBuf,

    /// oci://HOST/REPOSITORY:TAG
    #[arg(value_name = "oci://REFERENCE", value_parser = reference)]
    to: Reference,

    /// Sign it with this secret key
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,

    /// The filter's version; the tag otherwise, unless that is `latest`
    #[arg(long)]
    version: Option<String>,

    /// What it is for, in a sentence
    #[arg(long)]
    description: Option<String>,

    /// An SPDX expression, as in `Apache-2.0`
    #[arg(long)]
    licenses: Option<String>,

    /// Where its source is
    #[arg(long, value_name = "URL")]
    source: Option<String>,

    #[command(flatten)]
    password: PasswordOptions,

    #[command(flatten)]
    reach: Reach,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn push(asked: &Push) -> anyhow::Result<()> {
    let Some(tag) = asked.to.moving_tag() else {
        bail!(
            "{} has a digest, which follows from what is pushed: push it by a tag",
            asked.to
        );
    };
    let material = Library::default().read(&asked.file)?;
    let interface = Interface::of(&material.bytes);
    let interface = interface.with_context(|| format!("{} is not pushed", asked.file.display()))?;
    let name = asked.to.repository.name();
    let version = asked
        .version
        .clone()
        .or_else(|| Some(tag.to_owned()).filter(|tag| tag != "latest"));
    let signature = match &asked.sign {
        Some(key) => Some(signature(asked, key, &material, version.clone())?),
        None => published_with(asked, name, &material)?,
    };
    let release = Release {
        tag,
        bytes: &material.bytes,
        created: changed(&asked.file)?,
        exports: &interface.exports,
        imports: &interface.imports,
        contract: CONTRACT,
        labels: Labels {
            title: name.to_owned(),
            version,
            description: asked.description.clone(),
            licenses: asked.licenses.clone(),
            source: asked.source.clone(),
        },
    };
    let manifest = Session::run(&asked.reach.registries(), &asked.to.repository, async |session| {
        let manifest = publish(&session, &release).await?;
        if let Some(signature) = &signature {
            attach(&session, manifest, signature).await?;
        }
        Ok(manifest)
    })?;
    let pinned = format!("{}@{manifest}", asked.to);
    if asked.json {
        let said = json!({
            "reference": pinned,
            "manifest": manifest.to_string(),
            "digest": material.digest.to_string(),
            "signed": signature.is_some(),
        });
        say(&format!("{said:#}"));
        return Ok(());
    }
    let signed = match signature {
        Some(_) => "signed",
        None => "not signed",
    };
    say(&format!("pushed, {signed}: {pinned}"));
    Ok(())
}

fn signature(asked: &Push, key: &Path, material: &Material, version: Option<String>) -> anyhow::Result<String> {
    let statement = Statement {
        name: asked.to.repository.name().to_owned(),
        version,
        digest: material.digest,
        contract: Some(CONTRACT.to_owned()),
    };
    sign::check(&statement)?;
    match asked.password.open(key)?.sign(&material.bytes, &statement)? {
        Signature::Minisign(text) => Ok(text),
        Signature::Cosign { .. } => unreachable!("a key of minisign's makes signatures of minisign's"),
    }
}

/// The signature that lies beside the file, if it would be of any use in that repository.
fn published_with(asked: &Push, name: &str, material: &Material) -> anyhow::Result<Option<String>> {
    let Some(Signature::Minisign(text)) = material.signatures().first() else {
        return Ok(None);
    };
    let beside = crate::artifact::signature_file(&asked.file);
    let failed = || format!("the signature in {}", beside.display());
    let statement = statement_in(text).map_err(anyhow::Error::msg).with_context(failed)?;
    ensure!(
        statement.name == name && statement.digest == material.digest,
        "the signature in {} is of \"{}\" ({}), and this is \"{name}\" ({}): sign it anew with --sign, or remove the signature",
        beside.display(),
        statement.name,
        statement.digest,
        material.digest
    );
    Ok(Some(text.clone()))
}

/// When the file was last changed: whoever pushes it twice has pushed the same.
fn changed(file: &Path) -> anyhow::Result<String> {
    let changed = std::fs::metadata(file).and_then(|file| file.modified());
    let seconds = changed?.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    Ok(jiff::Timestamp::from_second(i64::try_from(seconds)?)?.to_string())
}
