//! Sends a TLS client to the upstream of the name that it asks for. README.md has the details.

mod names;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::prelude::*;
use spliceway_sdk::upstreams;

use names::{Name, Target};

/// Which names there are, and where they go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SniTenant {
    /// From a name, or "*.tenants.example" for all names with one label in that place, to an upstream. A "*" in the upstream is
    /// what it was in the name.
    names: BTreeMap<Name, Target>,
    /// The upstream of clients that ask for no name. They are refused where this is not set.
    nameless: Option<String>,
}

impl Config for SniTenant {
    fn check(&self) -> Result<(), String> {
        if self.names.is_empty() {
            return Err("names: there is none; every client would be refused".into());
        }
        match self
            .names
            .iter()
            .find(|(name, target)| target.is_pattern() && !name.is_pattern())
        {
            Some((name, _)) => Err(format!(
                "names.{name}: the upstream has a *, and the name has none to put there"
            )),
            None => Ok(()),
        }
    }
}

impl Router for SniTenant {
    fn route(&self, window: &Window, connection: &Connection) -> Decision {
        match asked_for(window, connection) {
            Asked::Name(name) => {
                connection.annotate("tenant.name", &name);
                match self.upstream(&name) {
                    Some(upstream) => Decision::route(upstream),
                    None => refuse(format!("no upstream for the name {name:?}"), connection),
                }
            }
            Asked::NoName => match &self.nameless {
                Some(upstream) => Decision::route(upstream),
                None => refuse("the client asks for no name", connection),
            },
            Asked::NotTls => Decision::refuse("not TLS"),
            Asked::Unknown if window.is_last() => Decision::refuse("no whole ClientHello"),
            Asked::Unknown => Decision::Need(1),
        }
    }
}

export_config!(SniTenant, schema = "../schema.json");
export_router!(SniTenant);

impl SniTenant {
    /// A name that stands there itself goes before one with a `*`. An upstream that a `*` has made up need not exist.
    fn upstream(&self, name: &str) -> Option<String> {
        let (first, rest) = name.split_once('.').unwrap_or_default();
        let by_pattern = || (!first.is_empty()).then(|| self.names.get(format!("*.{rest}").as_str()))?;
        let target = self.names.get(name).or_else(by_pattern)?;
        let upstream = target.with(first);
        (!target.is_pattern() || upstreams::get(&upstream).is_some()).then_some(upstream)
    }
}

/// What is known of a client by now.
enum Asked {
    Name(String),
    NoName,
    NotTls,
    Unknown,
}

/// A record of a handshake begins with it, and so does every TLS connection.
const HANDSHAKE: u8 = 0x16;

fn asked_for(window: &Window, connection: &Connection) -> Asked {
    // Both are known as soon as a ClientHello is, whatever it says; the first where the proxy has decrypted it.
    let has_hello = is_decrypted(connection) || connection.boolean("tls.ech").is_some();
    match connection.text("tls.sni") {
        Some(name) => Asked::Name(name),
        None if has_hello => Asked::NoName,
        None if window.bytes.first().is_some_and(|&byte| byte != HANDSHAKE) => Asked::NotTls,
        None => Asked::Unknown,
    }
}

fn is_decrypted(connection: &Connection) -> bool {
    connection.text("tls.version").is_some()
}

/// A fatal alert, `unrecognized_name`, says it to the client, unless what we send would be encrypted already.
fn refuse(reason: impl Into<String>, connection: &Connection) -> Decision {
    const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 112];
    let refusal = Refusal::new(reason);
    Decision::refuse(if is_decrypted(connection) {
        refusal
    } else {
        refusal.reply(UNRECOGNIZED_NAME)
    })
}

#[cfg(test)]
mod tests;
