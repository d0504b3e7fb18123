//! What a server says first: its version, what it can do, and a challenge.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html>

use spliceway_sdk::environment;

use crate::packet::{self, ERR, Fields};

pub(crate) mod flag {
    pub(crate) const CONNECT_WITH_DB: u32 = 1 << 3;
    pub(crate) const PROTOCOL_41: u32 = 1 << 9;
    pub(crate) const SSL: u32 = 1 << 11;
    pub(crate) const SECURE_CONNECTION: u32 = 1 << 15;
    pub(crate) const PLUGIN_AUTH: u32 = 1 << 19;
    pub(crate) const CONNECT_ATTRS: u32 = 1 << 20;
    pub(crate) const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
}

/// What all servers since MySQL 5.7 and MariaDB 10.2 can do, apart from compression, which would hide packets, and TLS.
pub(crate) const OFFERED: u32 = 0x01ff_a7cf;

/// Of that, what changes how both sides write: several results (16 to 18), session tracking and no EOF (23, 24), and what comes
/// before. Of the rest a client loses what its server has not, as it would without us.
pub(crate) const PROMISED: u32 =
    flag::PROTOCOL_41 | flag::SECURE_CONNECTION | 0b111 << 16 | flag::PLUGIN_AUTH | 0b11 << 23;

/// MariaDB's servers leave it out, to say that they are none of MySQL's. Every client has it.
pub(crate) const MYSQL: u32 = 1;

/// Autocommit.
const STATUS: u16 = 2;
/// utf8mb4_general_ci, which MySQL and MariaDB have. A client chooses its own.
const CHARACTER_SET: u8 = 45;
const CHALLENGE: usize = 20;

/// A greeting that every client can answer. Its challenge is a new one each time, and nobody uses the answer.
pub(crate) fn own(version: &str, tls: bool) -> Vec<u8> {
    let capabilities = OFFERED | if tls { flag::SSL } else { 0 };
    let [low0, low1, high0, high1] = capabilities.to_le_bytes();
    let challenge = challenge();
    let (first, second) = challenge.split_at(8);
    let [status0, status1] = STATUS.to_le_bytes();
    // No session has the number 0: what a client kills by it is nobody's.
    let number = [0; 4];
    let payload = [
        &[10],
        version.as_bytes(),
        &[0],
        &number,
        first,
        &[
            0,
            low0,
            low1,
            CHARACTER_SET,
            status0,
            status1,
            high0,
            high1,
            CHALLENGE as u8 + 1,
        ],
        &[0; 10],
        second,
        b"\0mysql_native_password\0",
    ];
    packet::write(0, &payload.concat())
}

/// Printable, and so without a null, which would end it.
fn challenge() -> [u8; CHALLENGE] {
    let mut challenge = [0; CHALLENGE];
    for byte in &mut challenge {
        *byte = b'%' + (environment::random() % 89) as u8;
    }
    challenge
}

/// What a server says first.
#[derive(Debug, PartialEq)]
pub(crate) enum Greeting {
    Capabilities(u32),
    /// It has too many connections, or has blocked us: its packet says so.
    Error,
}

pub(crate) fn read(payload: &[u8]) -> Option<Greeting> {
    let mut fields = Fields(payload);
    match fields.byte()? {
        ERR => return Some(Greeting::Error),
        10 => {}
        _ => return None,
    }
    let _version = fields.text()?;
    let _number_and_challenge = fields.take(4 + 8 + 1)?;
    let [low0, low1] = fields.array()?;
    let _character_set_and_status = fields.take(1 + 2)?;
    let [high0, high1] = fields.array()?;
    Some(Greeting::Capabilities(u32::from_le_bytes([low0, low1, high0, high1])))
}
