use std::net::SocketAddr;

use crate::Value;
use crate::sys::host;

/// The connection that the current call is about. There is no way to name another one, and none to keep this one.
#[derive(Debug)]
pub struct Connection(());

impl Connection {
    pub(crate) fn current() -> Self {
        Self(())
    }

    /// Unique while the proxy runs.
    pub fn id(&self) -> u64 {
        host::connection_id()
    }

    /// None on a unix socket.
    pub fn client(&self) -> Option<SocketAddr> {
        host::client()
    }

    /// The address that the client connected to. None on a unix socket. Where a proxy that is trusted came for the client, both
    /// are as it said (the PROXY protocol).
    pub fn local(&self) -> Option<SocketAddr> {
        host::local()
    }

    /// The listener's name.
    pub fn listener(&self) -> String {
        host::listener()
    }

    /// What the proxy or an earlier filter knows: "tls.sni", "tls.alpn", "tls.ja4", "protocol", "original-destination", ...
    ///
    /// Of the client's first bytes, once a route or a router has looked at them:
    ///
    /// | key | value |
    /// | --- | --- |
    /// | `protocol` | `tls`, `http1`, `http2`, `ssh`, `postgres`, `mysql`, `redis`, `smtp`, `mqtt`, `socks`, `proxy`; what is spoken inside, where TLS is decrypted |
    /// | `tls.sni` | the name that is asked for, in lower case |
    /// | `tls.alpn` | what was negotiated; where TLS is not decrypted, what is offered, with commas between |
    /// | `tls.ja4`, `tls.ech` | the fingerprint of the ClientHello; whether it has an encrypted part |
    ///
    /// Of TLS that the proxy decrypts:
    ///
    /// | key | value |
    /// | --- | --- |
    /// | `tls.version`, `tls.cipher`, `tls.group` | text, as in `TLSv1.3` |
    /// | `tls.resumed` | whether the session is an earlier one |
    /// | `tls.client.subject`, `.issuer`, `.cn`, `.serial`, `.fingerprint`, `.san` | of a client's certificate that was found good: text |
    /// | `tls.client.certificate` | bytes, DER |
    ///
    /// Of a PROXY header that was received, as far as it says so:
    ///
    /// | key | value |
    /// | --- | --- |
    /// | `proxy.peer` | the address of who sent it |
    /// | `proxy.tlv.ea` | the first TLV of that type (two lower-case hexadecimal digits), as bytes |
    /// | `proxy.authority`, `proxy.alpn`, `proxy.netns` | text |
    /// | `proxy.unique-id` | bytes |
    /// | `proxy.ssl.version`, `.cn`, `.cipher`, `.sig-alg`, `.key-alg`, `.group`, `.sig-scheme` | text |
    /// | `proxy.ssl.client-cert` | bytes, DER |
    /// | `proxy.ssl.used`, `proxy.ssl.verified` | whether the client uses TLS; whether it has shown a certificate that was found good |
    /// | `proxy.aws.vpce-id` | text |
    /// | `proxy.azure.link-id` | an integer |
    /// | `proxy.gcp.psc-connection-id` | text, decimal digits |
    pub fn attribute(&self, key: &str) -> Option<Value> {
        host::attribute(key)
    }

    /// An [`attribute`](Self::attribute) that is a string.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.attribute(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// An [`attribute`](Self::attribute) that is a number.
    pub fn integer(&self, key: &str) -> Option<i64> {
        self.attribute(key).as_ref().and_then(Value::as_integer)
    }

    /// An [`attribute`](Self::attribute) that is true or false.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        self.attribute(key).as_ref().and_then(Value::as_boolean)
    }

    /// An [`attribute`](Self::attribute) that is bytes.
    pub fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        match self.attribute(key) {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// An [`attribute`](Self::attribute) that is an address.
    pub fn address(&self, key: &str) -> Option<SocketAddr> {
        self.attribute(key).as_ref().and_then(Value::as_address)
    }

    /// Of a router, in a call that answers [`exchange`](crate::Decision::exchange): when the reply is sent, the client goes on
    /// with TLS, by the listener's certificates, and the window of the next call begins with its first decrypted byte. What
    /// the window has behind the bytes that are consumed is taken for the beginning of the handshake.
    ///
    /// False where there is no TLS to be had: the listener has no certificate, or the client is speaking TLS already.
    pub fn start_tls(&self) -> bool {
        host::start_tls()
    }

    /// Tells later filters, observers and the access log. The last value of a key counts. A connection holds 32
    /// annotations, of up to 128 bytes of key and 1 KiB of value each; what is over is dropped.
    pub fn annotate(&self, key: &str, value: impl Into<Value>) {
        host::annotate(key, value.into());
    }
}
