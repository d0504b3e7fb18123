//! `spliceway filter new`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::authoring::template::{Wanted, find_sdk, write};
use crate::cli::{WRONG, complain, say};
use crate::filter;

#[derive(Debug, Args)]
#[command(
    after_help = "The crate builds and is tested as it is: `spliceway filter build`, `spliceway filter test` and `cargo test`. \
                  Its README says the rest."
)]
pub struct New {
    /// What the filter is called: lower-case letters, digits and hyphens
    name: String,

    /// What it is to do; may be repeated
    #[arg(long = "role", value_name = "ROLE", value_enum, default_value = "inspector")]
    roles: Vec<Role>,

    /// Where the crate goes, instead of a directory of its name
    #[arg(long, value_name = "DIRECTORY")]
    path: Option<PathBuf>,

    /// The directory of the SDK, instead of crates.io; in a checkout of Spliceway, its own, and where SPLICEWAY_SDK is set, that
    #[arg(long, value_name = "DIRECTORY")]
    sdk: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Role {
    /// Chooses the upstream of a connection
    Router,
    /// Looks at bytes, and lets them pass or not
    Inspector,
    /// Takes bytes and gives others
    Transformer,
    /// Hears how connections ended
    Observer,
}

pub fn new(mut asked: New) -> ExitCode {
    asked.roles.sort_unstable();
    asked.roles.dedup();
    let roles: Vec<filter::Role> = asked.roles.iter().map(|role| (*role).into()).collect();
    let directory = asked.path.clone().unwrap_or_else(|| PathBuf::from(&asked.name));
    let named = asked
        .sdk
        .or_else(|| std::env::var_os("SPLICEWAY_SDK").map(PathBuf::from));
    let made = find_sdk(named, above(&directory)).and_then(|sdk| {
        write(&Wanted {
            name: &asked.name,
            directory: &directory,
            roles: &roles,
            sdk,
        })
    });
    let files = match made {
        Ok(files) => files,
        Err(error) => return complain(WRONG, &format!("{error:#}")),
    };
    let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    say(&format!("made {}: {}", directory.display(), names.join(", ")));
    for file in files {
        say(&format!("  {}", directory.join(file).display()));
    }
    say(&format!("next: cd {} && spliceway filter test", directory.display()));
    ExitCode::SUCCESS
}

/// The nearest directory that is there.
fn above(directory: &Path) -> &Path {
    let there = directory.ancestors().find(|above| above.is_dir());
    there.unwrap_or_else(|| Path::new("."))
}

impl From<Role> for filter::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Router => Self::Router,
            Role::Inspector => Self::Inspector,
            Role::Transformer => Self::Transformer,
            Role::Observer => Self::Observer,
        }
    }
}
