//! What has to be said to a server before its connection is the client's: who the client is, and TLS.

use std::io;

use super::{Server, Upstream};
use crate::channel::Channel;
use crate::sys::Stream;
use crate::tls;

/// Turns a connected socket into a channel to `server`. Where that is encrypted, a `header` of the PROXY protocol goes in front
/// of it, in the clear, as servers expect it (section 2 of its specification: before anything else); where it is not, the
/// relay sends the header, in one write with what comes first. `alpn` is what has been negotiated with the client.
///
/// # Errors
/// What the socket says, or `InvalidData` with what TLS says.
pub(super) async fn greet(
    upstream: &Upstream,
    server: &Server,
    stream: Stream,
    header: Option<&[u8]>,
    alpn: Option<&str>,
) -> io::Result<Channel> {
    let mut channel = Channel::from(stream);
    let Some(originator) = upstream.tls() else {
        return Ok(channel);
    };
    if let Some(header) = header {
        channel.send_all(header).await?;
    }
    let name = originator.name(&server.host());
    let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let session = tls::connect(channel.stream(), originator.current(alpn), name).await?;
    channel.secure(session);
    Ok(channel)
}
