//! `spliceway explain`: which upstream and server a connection would get, on which terms, and why. Nobody connects anywhere.

mod connection;
mod filters;
mod report;
mod terms;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{FAILED, WRONG, complain, load, say};
use crate::config::{Config, ListenerConfig};
use connection::Connection;
use report::report;

/// The most that is read of `--bytes`: more than any listener looks at, cut into records of single bytes.
const LONGEST: u64 = 1 << 20;

#[derive(Debug, Args)]
#[command(
    after_help = "Of TLS, either say what the client asks for (--sni, --alpn), or give its first bytes, as they are on the wire \
                  (--bytes). Where the listener decrypts, both together say what the client asks for and what it sends first \
                  inside.\n\n\
                  Exit codes: 0: the connection would be routed; 1: it would be refused, or nothing is decided before the \
                  client says more; 2: the command line or the configuration is wrong."
)]
pub(super) struct Explain {
    #[command(flatten)]
    file: super::File,

    #[command(flatten)]
    said: Said,
}

/// What is said of a connection.
#[derive(Debug, Default, Args)]
struct Said {
    /// Which listener it comes to; needed where there are several
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,

    /// Where it comes from
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,

    /// The name that the client asks for in TLS
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,

    /// A protocol that the client offers in TLS; may be repeated
    #[arg(long, value_name = "PROTOCOL")]
    alpn: Vec<String>,

    /// What the client sends first: in hexadecimal, as the file @FILE, or `-` for standard input
    #[arg(long, value_name = "HEX", value_parser = bytes)]
    bytes: Option<Bytes>,

    /// Where the connection was to go before it was led to a transparent listener, as in 192.0.2.1:443
    #[arg(long, value_name = "IP:PORT")]
    destination: Option<SocketAddr>,

    /// What the PROXY header says, as in 0xEA=vpce-1; may be repeated
    #[arg(long = "tlv", value_name = "0xTYPE=TEXT", value_parser = tlv)]
    tlvs: Vec<(u8, String)>,

    /// The subject of the client's certificate, as in CN=alice,O=Example
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,

    /// The client's time is over: it has said nothing else
    #[arg(long)]
    timed_out: bool,
}

/// An argument that stands for bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Bytes {
    These(Vec<u8>),
    Of(PathBuf),
    Input,
}

pub(super) fn explain(asked: Explain) -> ExitCode {
    let config = match load(&asked.file.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let mut said = asked.said;
    if let Some(bytes) = said.bytes.take() {
        match bytes.read() {
            Ok(bytes) => said.bytes = Some(Bytes::These(bytes)),
            Err(error) => return complain(WRONG, &format!("--bytes: {error}")),
        }
    }
    let explained = listener(&config, said.listener.as_deref()).and_then(|listener| {
        let connection = Connection::new(listener, &said)?;
        let met = filters::ask(&config, listener, &connection);
        Ok(report(&config, listener, &connection, &met))
    });
    match explained {
        Ok(report) => {
            say(report.text.trim_end());
            if report.is_routed {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(FAILED)
            }
        }
        Err(error) => complain(WRONG, &error),
    }
}

fn listener<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a ListenerConfig, String> {
    let names: Vec<_> = config.listeners.iter().map(|listener| listener.name.as_str()).collect();
    let known = names.join(", ");
    match (name, config.listeners.as_slice()) {
        (None, [only]) => Ok(only),
        (None, []) => Err("the configuration has no listener".to_owned()),
        (None, _) => Err(format!("there are several listeners: say --listener, one of {known}")),
        (Some(name), listeners) => listeners
            .iter()
            .find(|listener| listener.name == name)
            .ok_or_else(|| format!("--listener {name}: there is none of that name, but {known}")),
    }
}

impl Bytes {
    fn read(self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self {
            Self::These(bytes) => return Ok(bytes),
            Self::Of(file) => File::open(file)?.take(LONGEST).read_to_end(&mut bytes)?,
            Self::Input => std::io::stdin().lock().take(LONGEST).read_to_end(&mut bytes)?,
        };
        Ok(bytes)
    }
}

fn bytes(text: &str) -> Result<Bytes, String> {
    if text == "-" {
        return Ok(Bytes::Input);
    }
    if let Some(file) = text.strip_prefix('@') {
        return Ok(Bytes::Of(file.into()));
    }
    let is_between = |c: char| c.is_ascii_whitespace() || c == ':';
    let digits: String = text.chars().filter(|c| !is_between(*c)).collect();
    let wrong = || "expected hexadecimal digits in pairs, @FILE, or -".to_owned();
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let pairs = (0..digits.len()).step_by(2);
    let bytes: Option<_> = pairs.map(|at| byte(&digits[at..at + 2])).collect();
    bytes.map(Bytes::These).ok_or_else(wrong)
}

fn tlv(text: &str) -> Result<(u8, String), String> {
    let (kind, value) = text.split_once('=').unwrap_or((text, ""));
    let kind = kind
        .strip_prefix("0x")
        .filter(|digits| digits.len() == 2)
        .and_then(byte);
    let kind = kind.ok_or("expected `0x`, two hexadecimal digits, `=` and a text, as in 0xEA=vpce-1")?;
    Ok((kind, value.to_owned()))
}

/// `from_str_radix` alone would take a sign.
fn byte(digits: &str) -> Option<u8> {
    let all_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| all_digits)
}
