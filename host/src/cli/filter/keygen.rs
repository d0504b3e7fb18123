//! `spliceway filter keygen`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::sharing::{PasswordOptions, write_new};
use crate::cli::say;
use crate::signature::{Pair, Password};

#[derive(Debug, Args)]
pub struct Keygen {
    /// Where they go: OUT.key is the secret one, OUT.pub the public one
    #[arg(long, value_name = "OUT", default_value = "spliceway")]
    out: PathBuf,

    /// Whoever can read the secret key can sign with it: for machines that keep secrets themselves
    #[arg(long, conflicts_with = "password_file")]
    no_password: bool,

    #[command(flatten)]
    password: PasswordOptions,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Nobody else reads a secret key.
const SECRET: u32 = 0o600;
const PUBLIC: u32 = 0o644;

pub fn keygen(asked: &Keygen) -> anyhow::Result<()> {
    let password = match asked.no_password {
        true => Password::None,
        false => asked.password.password()?,
    };
    let pair = Pair::generate(password)?;
    let [secret, public] = ["key", "pub"].map(|ending| {
        let mut path = asked.out.clone().into_os_string();
        path.push(format!(".{ending}"));
        PathBuf::from(path)
    });
    write_new(&secret, &pair.secret_file, SECRET)?;
    write_new(&public, &pair.public_file, PUBLIC)?;
    if asked.json {
        let said = json!({ "id": pair.id, "public_key": pair.public, "secret_file": secret, "public_file": public });
        say(&format!("{said:#}"));
        return Ok(());
    }
    say(&format!(
        "{} signs: keep it to yourself, and a copy of it where it cannot be lost.\n\
         {} is for everybody else. Where its signature is needed, the configuration says:\n\n\
         [[trust]]\n\
         repository = \"registry.example/team\"\n\
         keys = [\"{}\"]  # {}",
        secret.display(),
        public.display(),
        pair.public,
        pair.id
    ));
    Ok(())
}
