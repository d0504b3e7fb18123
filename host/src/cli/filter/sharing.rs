//! What the commands that share filters have in common.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use crate::artifact::{Library, Material};
use crate::cli::{FAILED, complain};
use crate::config::{Reference, Registries, SCHEME, Source};
use crate::signature::{Password, PublicKey, SecretError, SecretKey};

/// How registries are reached. Who may is in the Docker configuration.
#[derive(Debug, Args)]
pub struct Reach {
    /// A registry, HOST or HOST:PORT, that is spoken to without TLS; may be repeated. Those on this machine always are
    #[arg(long, value_name = "HOST")]
    insecure: Vec<String>,

    /// A PEM file: certificates of authorities beside those of the system
    #[arg(long, value_name = "FILE")]
    authorities: Option<PathBuf>,
}

impl Reach {
    pub fn registries(&self) -> Registries {
        Registries {
            cache: None,
            insecure: self.insecure.clone(),
            authorities: self.authorities.clone(),
        }
    }
}

/// Where the password of a secret key comes from.
#[derive(Debug, Args)]
pub struct PasswordOptions {
    /// A file with the password of the secret key in its first line; else $SPLICEWAY_KEY_PASSWORD, else it is asked for
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

const PASSWORD: &str = "SPLICEWAY_KEY_PASSWORD";

impl PasswordOptions {
    pub fn password(&self) -> Result<Password, SecretError> {
        let no_password = SecretError::NoPassword;
        if let Some(file) = &self.password_file {
            let text = fs::read_to_string(file);
            let text = text.map_err(|error| no_password(format!("cannot read {}: {error}", file.display())))?;
            return Ok(Password::Given(text.lines().next().unwrap_or_default().to_owned()));
        }
        if let Ok(password) = std::env::var(PASSWORD) {
            return Ok(Password::Given(password));
        }
        match fs::File::open("/dev/tty") {
            Ok(_) => Ok(Password::Ask),
            Err(_) => Err(no_password(format!(
                "the secret key needs a password, and there is no terminal to ask for it: set {PASSWORD}, or --password-file"
            ))),
        }
    }

    pub fn open(&self, key: &Path) -> anyhow::Result<SecretKey> {
        let failed = || format!("the secret key {}", key.display());
        let text = fs::read_to_string(key).with_context(failed)?;
        SecretKey::open(&text, || self.password()).with_context(failed)
    }
}

/// A file, or what lies in a registry.
pub fn source(text: &str) -> Result<Source, String> {
    match text.starts_with(SCHEME) {
        true => reference(text).map(Source::Oci),
        false => Ok(Source::File(text.into())),
    }
}

pub fn reference(text: &str) -> Result<Reference, String> {
    text.parse().map_err(|error| format!("{error}"))
}

/// A public key as it is, or the file that it lies in.
pub fn public_key(text: &str) -> Result<PublicKey, String> {
    if PublicKey::looks_like_one(text) {
        return text.parse().map_err(|error| format!("{error}"));
    }
    let read = fs::read_to_string(text).map_err(|error| format!("cannot read {text}: {error}"))?;
    read.parse().map_err(|error| format!("{text}: {error}"))
}

/// The filter with everything that was published beside it. Whether it is trustworthy is for the caller to say.
pub fn material(source: &Source, reach: &Reach) -> anyhow::Result<Material> {
    match source {
        Source::File(path) => Library::default().read(path),
        Source::Oci(reference) => Material::fetch(&reach.registries(), reference),
    }
}

/// A file, all of it or nothing.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let mut name = path.file_name().with_context(failed)?.to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    fs::write(&part, bytes).with_context(failed)?;
    fs::rename(&part, path).with_context(failed)
}

/// A new file, whatever is there already.
pub fn write_new(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    match file {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!(
                "{} is there already, and is not replaced: choose another name with --out",
                path.display()
            )
        }
        file => {
            let failed = || format!("cannot write {}", path.display());
            file.with_context(failed)?
                .write_all(text.as_bytes())
                .with_context(failed)
        }
    }
}

/// How the process ends.
pub fn end(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(FAILED, &format!("{error:#}")),
    }
}
