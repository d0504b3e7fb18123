use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::Network;
use spliceway_sdk::prelude::*;

/// What connections are counted by.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Key {
    /// The client's address; of IPv6 its /64, since one client has that many.
    Client,
    /// The client's network.
    Network {
        /// The bits of an IPv4 address that count.
        #[schemars(range(max = 32))]
        v4: u8,
        /// The bits of an IPv6 address that count.
        #[schemars(range(max = 128))]
        v6: u8,
    },
    /// What the proxy knows under this name: "tls.sni", "tls.ja4", "proxy.authority", ...
    Attribute(String),
    /// Nothing: all connections of the filter together.
    All,
}

/// What a single client usually has.
const OWN_V6: u8 = 64;

/// A key of the store has 256 bytes, of which some are ours.
const LONGEST: usize = 200;

/// A record of a handshake begins with it, and so does every TLS connection.
const HANDSHAKE: u8 = 0x16;

impl Key {
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Network { v4: 33.., .. } => Err("v4: an address has 32 bits".into()),
            Self::Network { v6: 129.., .. } => Err("v6: an address has 128 bits".into()),
            Self::Attribute(name) if name.is_empty() => Err("attribute: it has no name".into()),
            _ => Ok(()),
        }
    }

    /// Whether what the client sends next may say more about it.
    pub(crate) fn may_come(&self, window: &Window, connection: &Connection) -> bool {
        let Self::Attribute(name) = self else { return false };
        let may_be_tls = window.bytes.first().is_none_or(|&byte| byte == HANDSHAKE);
        // Known as soon as the ClientHello is, whatever it says; the first where the proxy has decrypted it.
        let has_hello = || connection.text("tls.version").is_some() || connection.boolean("tls.ech").is_some();
        match name.as_str() {
            "protocol" => window.bytes.is_empty() && connection.attribute(name).is_none(),
            _ if name.starts_with("tls.") => may_be_tls && !has_hello(),
            _ => false,
        }
    }

    /// For people, too. Connections that have no such thing are counted together.
    pub(crate) fn of(&self, connection: &Connection) -> String {
        match self {
            Self::Client => client(connection, 32, OWN_V6),
            Self::Network { v4, v6 } => client(connection, *v4, *v6),
            Self::Attribute(name) => match connection.attribute(name) {
                Some(value) => cut(format!("{name} {value}")),
                None => format!("no {name}"),
            },
            Self::All => "all clients".to_owned(),
        }
    }
}

fn client(connection: &Connection, v4: u8, v6: u8) -> String {
    let Some(client) = connection.client() else {
        return "unix".to_owned();
    };
    let address = client.ip().to_canonical();
    Network::around(address, if address.is_ipv4() { v4 } else { v6 }).to_string()
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONGEST));
    text
}
