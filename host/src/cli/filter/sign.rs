//! `spliceway filter sign`

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::json;

use super::sharing::{PasswordOptions, Reach, material, source, write};
use crate::artifact::{Session, attach, signature_file};
use crate::cli::say;
use crate::config::Source;
use crate::filter::{CONTRACT, Interface};
use crate::signature::{Signature, Statement};

#[derive(Debug, Args)]
#[command(
    after_help = "The signature of FILE is written to FILE.minisig, which `minisign -V` checks as well; that of a filter in a \
                        registry is published beside it. Both say what the filter is called: it loads under no other name."
)]
pub struct Sign {
    /// The component's file, or oci://HOST/REPOSITORY:TAG
    #[arg(value_name = "FILE|oci://REFERENCE", value_parser = source)]
    filter: Source,

    /// The secret key, as `keygen` or `minisign -G` wrote it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// What the filter is called: the file without its ending, or the last part of its repository. A signature for another
    /// name is of use where the file is called so
    #[arg(long)]
    name: Option<String>,

    /// The filter's version, for those who read the signature
    #[arg(long)]
    version: Option<String>,

    #[command(flatten)]
    password: PasswordOptions,

    #[command(flatten)]
    reach: Reach,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn sign(asked: &Sign) -> anyhow::Result<()> {
    // Before the network, and before a password is asked for in vain.
    let material = material(&asked.filter, &asked.reach)?;
    Interface::of(&material.bytes).with_context(|| format!("{} is not signed", asked.filter))?;
    let statement = Statement {
        name: asked.name.clone().unwrap_or_else(|| asked.filter.name()),
        version: asked.version.clone(),
        digest: material.digest,
        contract: Some(CONTRACT.to_owned()),
    };
    check(&statement)?;
    let key = asked.password.open(&asked.key)?;
    let Signature::Minisign(text) = key.sign(&material.bytes, &statement)? else {
        unreachable!("a key of minisign's makes signatures of minisign's")
    };
    let place = match (&asked.filter, material.manifest) {
        (Source::Oci(reference), Some(manifest)) => {
            Session::run(&asked.reach.registries(), &reference.repository, async |session| {
                attach(&session, manifest, &text).await
            })?;
            format!("{}@{manifest}", reference.repository)
        }
        (source, _) => {
            let file = signature_file(source.file().unwrap_or_else(|| Path::new("")));
            write(&file, text.as_bytes())?;
            file.display().to_string()
        }
    };
    if asked.json {
        let said = json!({ "signature": place, "key": key.id(), "statement": statement.to_string() });
        say(&format!("{said:#}"));
    } else {
        say(&format!("signed by key {}: {statement}\n{place}", key.id()));
    }
    Ok(())
}

/// Each of its words can be one.
pub fn check(statement: &Statement) -> anyhow::Result<()> {
    for (what, word) in [("name", Some(&statement.name)), ("version", statement.version.as_ref())] {
        if let Some(word) = word {
            ensure!(
                Statement::is_word(word),
                "`{word}` cannot be a {what}: expected 1 to 128 visible characters of ASCII, and no blank (--{what})"
            );
        }
    }
    Ok(())
}
