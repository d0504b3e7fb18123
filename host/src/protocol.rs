//! The protocols that the proxy knows by their first bytes. The names are the same in configuration, logs and attributes.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Tls,
    Http1,
    Http2,
    Ssh,
    Postgres,
    /// The server speaks first.
    Mysql,
    Redis,
    /// The server speaks first.
    Smtp,
    Mqtt,
    Socks,
    Proxy,
}

impl Protocol {
    pub const ALL: &[Self] = &[
        Self::Tls,
        Self::Http1,
        Self::Http2,
        Self::Ssh,
        Self::Postgres,
        Self::Mysql,
        Self::Redis,
        Self::Smtp,
        Self::Mqtt,
        Self::Socks,
        Self::Proxy,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Ssh => "ssh",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
            Self::Smtp => "smtp",
            Self::Mqtt => "mqtt",
            Self::Socks => "socks",
            Self::Proxy => "proxy",
        }
    }

    /// Whether nothing is known of it before its server has spoken.
    pub const fn is_server_first(self) -> bool {
        matches!(self, Self::Mysql | Self::Smtp)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
