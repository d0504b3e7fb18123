//! What a client answers to a greeting: who it is, and where it wants to go.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_response.html>

use crate::greeting::{MYSQL, OFFERED, PROMISED, flag};
use crate::packet::Fields;

#[derive(Debug, PartialEq)]
pub(crate) enum Message<'a> {
    /// The client goes on with TLS, and says the rest inside.
    TlsRequest,
    Response(Response<'a>),
}

#[derive(Debug, PartialEq)]
pub(crate) struct Response<'a> {
    capabilities: u32,
    /// The longest packet, the character set, and 23 bytes for which nobody has found a use.
    settings: &'a [u8],
    pub(crate) user: &'a [u8],
    /// Empty where none is named.
    pub(crate) database: &'a [u8],
    /// With their length. Servers write them into their tables of sessions.
    attributes: &'a [u8],
}

const SETTINGS: usize = 4 + 1 + 23;

/// No server has a method of this name: it asks the client to use its own, and shows it its own challenge.
const NO_METHOD: &[u8] = b"spliceway_ask_again\0";

/// Names have at most 64 characters in MySQL, 80 and 128 in MariaDB; more than these are not worth an annotation.
const SHOWN: usize = 128;

pub(crate) fn read(payload: &[u8]) -> Result<Message<'_>, &'static str> {
    const MALFORMED: &str = "a malformed answer to the greeting";
    let mut fields = Fields(payload);
    let capabilities = fields.array().map(u32::from_le_bytes).ok_or(MALFORMED)?;
    if capabilities & flag::PROTOCOL_41 == 0 {
        return Err("a client that is older than MySQL 4.1");
    }
    let settings = fields.take(SETTINGS).ok_or(MALFORMED)?;
    if fields.0.is_empty() {
        return if capabilities & flag::SSL != 0 {
            Ok(Message::TlsRequest)
        } else {
            Err(MALFORMED)
        };
    }
    if capabilities & flag::PLUGIN_AUTH == 0 {
        return Err("a client that knows one method of authentication alone");
    }
    names(&mut fields, capabilities, settings)
        .map(Message::Response)
        .ok_or(MALFORMED)
}

/// The server is sent what is read here, and no byte of the rest: it cannot read the names otherwise.
fn names<'a>(fields: &mut Fields<'a>, capabilities: u32, settings: &'a [u8]) -> Option<Response<'a>> {
    let has = |flag: u32| capabilities & flag != 0;
    let user = fields.text()?;
    // Fits the greeting that the client has seen, which was ours.
    let _authentication = if has(flag::PLUGIN_AUTH_LENENC) {
        fields.counted()?
    } else if has(flag::SECURE_CONNECTION) {
        let length = fields.byte()?;
        fields.take(length.into())?
    } else {
        fields.text()?
    };
    let database = if has(flag::CONNECT_WITH_DB) {
        fields.text()?
    } else {
        b""
    };
    // Some clients leave out the null behind it.
    let method = fields.text();
    let behind = fields.0;
    let mut attributes: &[u8] = b"\0";
    if method.is_some() && has(flag::CONNECT_ATTRS) {
        fields.counted()?;
        attributes = &behind[..behind.len() - fields.0.len()];
    }
    Some(Response {
        capabilities,
        settings,
        user,
        database,
        attributes,
    })
}

impl Response<'_> {
    /// The same client for a server that can do this, which has to ask for the authentication. An error says that the client
    /// was promised what the server cannot do.
    pub(crate) fn for_server(&self, server: u32) -> Result<Vec<u8>, String> {
        let needed = self.capabilities & PROMISED | flag::SECURE_CONNECTION;
        let missing = needed & !server;
        if missing != 0 {
            return Err(format!(
                "the server cannot do what its clients are promised: capabilities {missing:#x}"
            ));
        }
        let mut capabilities = self.capabilities & OFFERED & (server | MYSQL) | flag::SECURE_CONNECTION;
        capabilities &= !(flag::CONNECT_WITH_DB | flag::PLUGIN_AUTH_LENENC);
        if !self.database.is_empty() {
            capabilities |= flag::CONNECT_WITH_DB;
        }
        let no_authentication: &[u8] = b"\0";
        let mut payload = [
            &capabilities.to_le_bytes(),
            self.settings,
            self.user,
            b"\0",
            no_authentication,
        ]
        .concat();
        if !self.database.is_empty() {
            payload.extend([self.database, b"\0"].concat());
        }
        payload.extend(NO_METHOD);
        if capabilities & flag::CONNECT_ATTRS != 0 {
            payload.extend(self.attributes);
        }
        Ok(payload)
    }

    pub(crate) fn database_text(&self) -> String {
        text(self.database)
    }

    pub(crate) fn user_text(&self) -> String {
        text(self.user)
    }
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(SHOWN)]).into_owned()
}
