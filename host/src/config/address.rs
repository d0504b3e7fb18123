//! Addresses as a person types them: where a listener listens, and where a server of an upstream is.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::diagnostics::{Problems, Reported};
use super::reader::{Read, Value, read_text};

/// Where a server of an upstream is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// `10.0.0.1:5432` or `[2001:db8::1]:5432`.
    Socket(SocketAddr),
    /// `db.example:5432`: a name, which is somebody else's work to resolve. Lower case, as names have none.
    Host {
        /// The name without the port.
        host: String,
        /// Never 0.
        port: u16,
    },
    /// `unix:/run/app.sock`: an absolute path.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match parse(text)? {
            Self::Socket(address) if address.port() == 0 => Err(AddressError::PortZero),
            Self::Host { port: 0, .. } => Err(AddressError::PortZero),
            address => Ok(address),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where a listener listens. Port 0 lets the kernel choose; `:8080` and `*:8080` are `[::]:8080`, which takes IPv4 too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// `0.0.0.0:5432` or `[::]:5432`.
    Socket(SocketAddr),
    /// `localhost:5432`: every address that the name has on this machine.
    Host {
        /// The name without the port.
        host: String,
        /// 0 lets the kernel choose.
        port: u16,
    },
    /// `unix:/run/spliceway.sock`: an absolute path.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether the kernel chooses the port: every listener gets one of its own.
    pub fn is_chosen_by_kernel(&self) -> bool {
        match self {
            Self::Socket(address) => address.port() == 0,
            Self::Host { port, .. } => *port == 0,
            Self::Unix(_) => false,
        }
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let all = text.strip_prefix("*:").or_else(|| text.strip_prefix(':'));
        if let Some(port) = all.filter(|port| !port.contains(':')) {
            return Ok(Self::Socket((Ipv6Addr::UNSPECIFIED, parse_port(port, "")?).into()));
        }
        Ok(match parse(text)? {
            Address::Socket(address) => Self::Socket(address),
            Address::Host { host, port } => Self::Host { host, port },
            Address::Unix(path) => Self::Unix(path),
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a text is no address, and what to write in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It begins with something like `tcp://`.
    #[error("an address has no scheme: write `{without}`")]
    Scheme {
        /// The address that was probably meant.
        without: String,
    },
    /// A host or an IP address alone.
    #[error("the port is missing: expected `{host}:PORT`")]
    PortMissing {
        /// What stands where the host belongs.
        host: String,
    },
    /// Something else than a number that fits 16 bits after the last colon.
    #[error("`{port}` is not a port: expected a number up to 65535")]
    Port {
        /// What stands where the port belongs.
        port: String,
    },
    /// Port 0, where somebody must be reached.
    #[error("nobody can be reached on port 0: expected 1 to 65535")]
    PortZero,
    /// Without brackets nobody can tell where an IPv6 address ends and its port begins.
    #[error("an IPv6 address goes in brackets: write `{bracketed}`")]
    Brackets {
        /// The address that was probably meant.
        bracketed: String,
    },
    /// Brackets around something else.
    #[error("expected an IPv6 address in the brackets, as in `[2001:db8::1]:5432`")]
    NotIpv6,
    /// Nothing before the port.
    #[error("the host is missing: expected `HOST:{port}`")]
    HostMissing {
        /// The port that was given.
        port: u16,
    },
    /// Four numbers that are not an IPv4 address, or anything else whose last label is a number: no name ends in one, and a
    /// resolver may take it for an address that nobody meant (`127.1` is 127.0.0.1).
    #[error("`{host}` is neither an IPv4 address (four numbers up to 255) nor a host name (its end is a number)")]
    NotIpv4 {
        /// The host that was given.
        host: String,
    },
    /// A host name is longer than DNS allows.
    #[error("a host name has at most 253 characters, this one has {length}")]
    HostTooLong {
        /// The characters of the name.
        length: usize,
    },
    /// Two dots in a row, or a label longer than DNS allows.
    #[error("expected 1 to 63 characters between the dots of a host name, found `{label}`")]
    LabelLength {
        /// The part of the name.
        label: String,
    },
    /// A label begins or ends with a hyphen.
    #[error("a part of a host name neither begins nor ends with `-`, found `{label}`")]
    LabelHyphen {
        /// The part of the name.
        label: String,
    },
    /// A character that no host name has.
    #[error("a host name has letters, digits, `-`, `_` and `.`, found {character:?}")]
    HostCharacter {
        /// The first such character.
        character: char,
    },
    /// A path that would depend on where the process was started; or none; or an abstract name.
    #[error("expected an absolute path after `unix:`, as in `unix:/run/app.sock`")]
    UnixRelative,
    /// The kernel keeps a socket's path in 108 bytes, the last of them 0.
    #[error("the path of a unix socket has at most 107 bytes, this one has {length}")]
    UnixTooLong {
        /// The bytes of the path.
        length: usize,
    },
    /// The kernel would end the path there.
    #[error("a path cannot contain a zero byte")]
    UnixZero,
}

fn parse(text: &str) -> Result<Address, AddressError> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let without = match scheme {
            "unix" => format!("unix:/{}", rest.trim_start_matches('/')),
            _ => rest.trim_end_matches('/').to_owned(),
        };
        return Err(AddressError::Scheme { without });
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return parse_unix(path);
    }
    if let Ok(address) = text.parse() {
        return Ok(Address::Socket(address));
    }
    if text.starts_with('[') {
        return Err(bracket_error(text));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Err(ip_error(text, address));
    }
    let (host, port) = text
        .rsplit_once(':')
        .ok_or_else(|| AddressError::PortMissing { host: text.to_owned() })?;
    let port = parse_port(port, host)?;
    Ok(Address::Host {
        host: parse_host(host, port)?,
        port,
    })
}

fn parse_unix(path: &str) -> Result<Address, AddressError> {
    if !path.starts_with('/') {
        return Err(AddressError::UnixRelative);
    }
    if path.contains('\0') {
        return Err(AddressError::UnixZero);
    }
    if path.len() > 107 {
        return Err(AddressError::UnixTooLong { length: path.len() });
    }
    Ok(Address::Unix(path.into()))
}

fn bracket_error(text: &str) -> AddressError {
    let (inside, after) = text[1..].split_once(']').unwrap_or_else(|| (&text[1..], ""));
    if inside.parse::<Ipv6Addr>().is_err() {
        return AddressError::NotIpv6;
    }
    match after.strip_prefix(':') {
        Some(port) if !port.is_empty() => AddressError::Port { port: port.to_owned() },
        _ => AddressError::PortMissing {
            host: format!("[{inside}]"),
        },
    }
}

/// An IP address alone; or one of IPv6 whose port looks like its last group.
fn ip_error(text: &str, address: IpAddr) -> AddressError {
    if address.is_ipv4() {
        return AddressError::PortMissing { host: text.to_owned() };
    }
    let bracketed = match text.rsplit_once(':') {
        Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() && port.parse::<u16>().is_ok() => {
            format!("[{host}]:{port}")
        }
        _ => format!("[{text}]:PORT"),
    };
    AddressError::Brackets { bracketed }
}

fn parse_port(port: &str, host: &str) -> Result<u16, AddressError> {
    if port.is_empty() {
        return Err(AddressError::PortMissing { host: host.to_owned() });
    }
    // `parse` alone would take a sign.
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(number) if digits => Ok(number),
        _ => Err(AddressError::Port { port: port.to_owned() }),
    }
}

fn parse_host(host: &str, port: u16) -> Result<String, AddressError> {
    if host.is_empty() {
        return Err(AddressError::HostMissing { port });
    }
    if host.parse::<Ipv6Addr>().is_ok() {
        return Err(AddressError::Brackets {
            bracketed: format!("[{host}]:{port}"),
        });
    }
    parse_name(host)
}

/// A name in lower case, by the rules of RFC 1123, and with the underscore that service names have.
pub(super) fn parse_name(host: &str) -> Result<String, AddressError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if let Some(character) = host.chars().find(|&c| !allowed(c)) {
        return Err(AddressError::HostCharacter { character });
    }
    // The dot at the end says that the name is complete; it belongs to no label.
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() > 253 {
        return Err(AddressError::HostTooLong { length: name.len() });
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > 63 {
            return Err(AddressError::LabelLength {
                label: label.to_owned(),
            });
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(AddressError::LabelHyphen {
                label: label.to_owned(),
            });
        }
    }
    if name.rsplit('.').next().is_some_and(is_number) {
        return Err(AddressError::NotIpv4 { host: host.to_owned() });
    }
    Ok(host.to_ascii_lowercase())
}

/// A label that a resolver would take for a part of an IPv4 address.
fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

impl Read for Address {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_text(value, "an address, as in \"10.0.0.1:5432\"", problems)
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where a server is: an IP address or a host name with a port, or a unix socket.",
            "type": "string",
            "examples": ["10.0.0.1:5432", "[2001:db8::1]:5432", "db.example:5432", "unix:/run/app.sock"],
        })
    }
}

impl Read for ListenAddress {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_text(value, "an address, as in \"0.0.0.0:5432\"", problems)
    }
}

impl JsonSchema for ListenAddress {
    fn schema_name() -> Cow<'static, str> {
        "ListenAddress".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where to listen: an IP address or a host name with a port (0: the kernel chooses), \
                            `:PORT` for all addresses of IPv4 and IPv6, or a unix socket.",
            "type": "string",
            "examples": ["0.0.0.0:5432", "[::1]:5432", ":5432", "localhost:5432", "unix:/run/spliceway.sock"],
        })
    }
}
