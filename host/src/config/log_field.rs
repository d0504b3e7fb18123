//! What an access log can say of a connection: the fields of its JSON line, which are a template's placeholders too.

/// Declares the fields once, so that none can be in the list and not in the log, or the other way round.
macro_rules! fields {
    ($($(#[$comment:meta])* $field:ident = $name:literal,)*) => {
        /// One thing that a line of the access log says.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum LogField {
            $($(#[$comment])* $field,)*
        }

        impl LogField {
            /// In the order of a JSON line.
            pub const ALL: &[Self] = &[$(Self::$field,)*];

            /// The key in a JSON line, and the placeholder in a template.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$field => $name,)*
                }
            }
        }
    };
}

fields! {
    /// When the line was written.
    Time = "time",
    /// `open`, `alive` or `close`.
    Event = "event",
    /// What tells this connection from every other of the process.
    Connection = "connection",
    /// The listener's name.
    Listener = "listener",
    /// The client's address.
    Client = "client",
    /// Where it was to go before it was led here.
    OriginalDestination = "original_destination",
    /// The upstream's name.
    Upstream = "upstream",
    /// The address of the server in it.
    Server = "server",
    /// How the connection ended.
    Outcome = "outcome",
    /// Bytes from the client to the upstream.
    Up = "up",
    /// Bytes from the upstream to the client.
    Down = "down",
    /// Of `up`, those that were copied.
    UpCopied = "up_copied",
    /// Of `up`, those that never left the kernel.
    UpSpliced = "up_spliced",
    /// Of `up`, those that a filter saw.
    UpFiltered = "up_filtered",
    /// Of `down`, those that were copied.
    DownCopied = "down_copied",
    /// Of `down`, those that never left the kernel.
    DownSpliced = "down_spliced",
    /// Of `down`, those that a filter saw.
    DownFiltered = "down_filtered",
    /// Microseconds until a server had answered.
    Connect = "connect_us",
    /// Microseconds from being connected until the upstream's first byte.
    FirstByte = "first_byte_us",
    /// Microseconds from the beginning to the end.
    Duration = "duration_us",
    /// The kernel's estimate of the round trip to the client, in microseconds.
    ClientRtt = "client_rtt_us",
    /// Segments that the client had to be sent again.
    ClientRetransmits = "client_retransmits",
    /// The kernel's estimate of the round trip to the server, in microseconds.
    UpstreamRtt = "upstream_rtt_us",
    /// Segments that the server had to be sent again.
    UpstreamRetransmits = "upstream_retransmits",
    /// What is spoken, as far as its beginning tells.
    Protocol = "protocol",
    /// The name that the client asks for in TLS.
    Sni = "sni",
    /// What was negotiated by ALPN, or what is offered where TLS is not decrypted.
    Alpn = "alpn",
    /// The fingerprint of the ClientHello.
    Ja4 = "ja4",
    /// The version of TLS, where it is decrypted.
    TlsVersion = "tls_version",
    /// The subject of the client's certificate.
    ClientSubject = "client_subject",
    /// The route that it took.
    Route = "route",
    /// Why an operator ended it, as he said.
    KillReason = "kill_reason",
    /// What filters had to say.
    Annotations = "annotations",
}

impl LogField {
    /// The field with this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.name() == name)
    }

    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|field| field.name())
    }
}
