//! Looks at the first line of an SSH client, and lets it through by the version that it says. README.md has the details.

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::Pattern;
use spliceway_sdk::metrics::{Counter, Metric};
use spliceway_sdk::prelude::*;

/// Which clients may come.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SshBanner {
    /// Only these versions, if there are any: "OpenSSH_9.*", as in "SSH-2.0-OpenSSH_9.2p1".
    #[serde(default)]
    allow: Vec<Pattern>,
    /// None of these, whatever is allowed.
    #[serde(default)]
    refuse: Vec<Pattern>,
}

static REFUSED: Counter = Counter::new(
    "ssh_clients_refused_total",
    "SSH clients that were refused for their version.",
);

impl Config for SshBanner {
    fn check(&self) -> Result<(), String> {
        if self.allow.is_empty() && self.refuse.is_empty() {
            Err("neither allow nor refuse names a version: nobody would be refused".into())
        } else {
            Ok(())
        }
    }

    fn metrics() -> Vec<&'static dyn Metric> {
        vec![&REFUSED]
    }
}

/// One client, until its first line is over.
struct Session(&'static SshBanner);

/// RFC 4253, 4.2: "The maximum length of the string is 255 characters, including the Carriage Return and Line Feed".
const LONGEST: usize = 255;

/// A client says nothing in front of its version; a server may.
const START: &[u8] = b"SSH-";

impl Inspector for Session {
    type Config = SshBanner;

    fn open(config: &'static SshBanner, _connection: &Connection) -> Self {
        Self(config)
    }

    fn interest(&self) -> Directions {
        Directions::Up
    }

    fn on_bytes(&mut self, chunk: Chunk, connection: &Connection) -> Verdict {
        let seen = &chunk.bytes[..chunk.bytes.len().min(LONGEST)];
        let start = &seen[..seen.len().min(START.len())];
        match seen.iter().position(|&byte| byte == b'\n') {
            _ if !START.starts_with(start) => Verdict::refuse("not an SSH client"),
            Some(end) => self.judge(&seen[..end], connection),
            None if seen.len() == LONGEST => Verdict::refuse("the first line of the client is longer than SSH allows"),
            None if chunk.finished => Verdict::refuse("the client finished within its first line"),
            None => Verdict::Hold(1),
        }
    }
}

export_config!(SshBanner, schema = "../schema.json");
export_inspector!(Session);

impl Session {
    fn judge(&self, line: &[u8], connection: &Connection) -> Verdict {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(version) = software(line) else {
            return Verdict::refuse("the client does not speak SSH 2");
        };
        connection.annotate("ssh.client", String::from_utf8_lossy(version));
        let matches = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(version));
        let Self(config) = self;
        if matches(&config.refuse) || !(config.allow.is_empty() || matches(&config.allow)) {
            REFUSED.add(1);
            return Verdict::refuse(format!("the SSH client {} is refused", version.escape_ascii()));
        }
        Verdict::Detach
    }
}

/// What stands behind the version of the protocol, with its comment: "OpenSSH_9.2p1 Debian-2+deb12u3". A client may announce
/// 1.99, and means 2.0.
fn software(line: &[u8]) -> Option<&[u8]> {
    let version = line
        .strip_prefix(b"SSH-2.0-")
        .or_else(|| line.strip_prefix(b"SSH-1.99-"))?;
    let is_printable = |byte: &u8| matches!(byte, b' '..=b'~');
    (!version.is_empty() && version.iter().all(is_printable)).then_some(version)
}

#[cfg(test)]
mod tests;
