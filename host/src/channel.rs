//! One end of a connection: a socket, or what comes out of TLS on it. To whom it is all the same, as to the relay, both are a
//! stream of bytes with an end.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::flow::Side;
use crate::sys::{Pipe, Stream};
use crate::tls::Session;
use crate::treatment::capture::{Recording, Tap};
use crate::worker::Worker;

pub struct Channel {
    stream: Stream,
    /// Boxed: most have none, and it is large.
    more: OnceCell<Box<More>>,
}

/// What a channel has besides its socket.
#[derive(Default)]
struct More {
    tls: Option<Session>,
    /// Whom to tell what goes through. It is there for good: whether anybody wants to know may change.
    tap: OnceCell<Tap>,
}

impl From<Stream> for Channel {
    fn from(stream: Stream) -> Self {
        Self {
            stream,
            more: OnceCell::new(),
        }
    }
}

impl Channel {
    /// What is sent and received from now on is encrypted.
    pub fn secure(&mut self, session: Session) {
        self.more.get_or_init(Box::default);
        if let Some(more) = self.more.get_mut() {
            more.tls = Some(session);
        }
    }

    /// What is received and sent from now on is recorded as what one side of a connection says and hears.
    pub fn tap(&self, recording: &Rc<Recording>, side: Side) {
        let more = self.more.get_or_init(Box::default);
        more.tap.get_or_init(|| Tap::new(recording, side));
    }

    /// Where what goes through is recorded, when somebody wants to know.
    pub fn recording(&self) -> Option<&Rc<Recording>> {
        Some(self.its_tap()?.recording())
    }

    /// Whether somebody wants to know at this moment: then it cannot be spliced.
    #[inline]
    pub fn is_tapped(&self) -> bool {
        self.its_tap().is_some_and(Tap::is_on)
    }

    /// The last bytes that were received are not what the peer means, but the beginning of a handshake.
    pub fn take_back(&self, bytes: usize) {
        if let Some(tap) = self.its_tap() {
            tap.take_back(bytes);
        }
    }

    /// The socket itself. On an encrypted channel, its bytes are not what the peer means.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    #[inline]
    pub fn session(&self) -> Option<&Session> {
        self.more.get()?.tls.as_ref()
    }

    #[inline]
    fn its_tap(&self) -> Option<&Tap> {
        self.more.get()?.tap.get()
    }

    /// Reads into `buffer`: 0 is the end of the stream.
    pub fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = ready!(match self.session() {
            None => self.stream.poll_recv(cx, buffer),
            Some(tls) => tls.poll_recv(&self.stream, cx, buffer),
        });
        if let Some(tap) = self.its_tap() {
            tap.received(&read, buffer);
        }
        Poll::Ready(read)
    }

    /// As [`Stream::poll_recv_to_end`].
    pub fn poll_recv_to_end(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, bool)>> {
        let read = ready!(match self.session() {
            None => self.stream.poll_recv_to_end(cx, buffer),
            Some(tls) => {
                let read = tls.poll_recv(&self.stream, cx, buffer);
                read.map_ok(|read| (read, read == 0))
            }
        });
        if let Some(tap) = self.its_tap() {
            tap.received_to_end(&read, buffer);
        }
        Poll::Ready(read)
    }

    /// Takes what there is room for: at least one byte of `bytes` that are not empty.
    pub fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = ready!(match self.session() {
            None => self.stream.poll_send(cx, bytes),
            Some(tls) => tls.poll_send(&self.stream, cx, bytes),
        });
        self.has_sent(&sent, bytes);
        Poll::Ready(sent)
    }

    /// The same with the last bytes, which the end has to follow at once.
    pub fn poll_send_last(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = ready!(match self.session() {
            None => self.stream.poll_send_last(cx, bytes),
            Some(tls) => tls.poll_send(&self.stream, cx, bytes),
        });
        self.has_sent(&sent, bytes);
        Poll::Ready(sent)
    }

    #[inline]
    fn has_sent(&self, sent: &io::Result<usize>, bytes: &[u8]) {
        if let Some(tap) = self.its_tap() {
            tap.sent(sent, bytes);
        }
    }

    /// Reads what is there into `bytes`, until it has `most`; 0 is the end, which stays.
    pub async fn read_into(&self, worker: &Worker, bytes: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        poll_fn(|cx| {
            let mut buffer = worker.buffer();
            let room = most.saturating_sub(bytes.len()).min(buffer.len());
            let read = self.poll_recv(cx, &mut buffer[..room]);
            read.map_ok(|read| {
                bytes.extend_from_slice(&buffer[..read]);
                read
            })
        })
        .await
    }

    /// Sends all of `bytes`, and waits until the socket has taken them.
    pub async fn send_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = poll_fn(|cx| self.poll_send(cx, bytes)).await?;
            bytes = &bytes[sent..];
        }
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Ready when the socket has taken all that was sent.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.session() {
            None => Poll::Ready(Ok(())),
            Some(tls) => tls.poll_flush(&self.stream, cx),
        }
    }

    /// Waits until there is something to read: bytes, the end, or an error. On an encrypted channel perhaps for nothing but
    /// what TLS says to itself.
    pub async fn readable(&self) {
        if !self.session().is_some_and(Session::holds_something) {
            self.stream.readable().await;
        }
    }

    /// Bytes that were taken and that the socket has not taken yet.
    pub fn owed(&self) -> usize {
        self.session().map_or(0, Session::owed)
    }

    /// As [`Stream::poll_fill`]. What is encrypted cannot be spliced, and what is captured has to be seen.
    pub fn poll_fill(&self, cx: &mut Context<'_>, pipe: &mut Pipe, most: usize) -> Poll<io::Result<usize>> {
        match self.session() {
            None if !self.is_tapped() => self.stream.poll_fill(cx, pipe, most),
            _ => Poll::Ready(Err(io::Error::from_raw_os_error(libc::EINVAL))),
        }
    }

    /// As [`Stream::poll_drain`].
    pub fn poll_drain(&self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        match self.session() {
            None if !self.is_tapped() => self.stream.poll_drain(cx, pipe),
            _ => Poll::Ready(Err(io::Error::from_raw_os_error(libc::EINVAL))),
        }
    }

    /// Says the end after everything that was sent: `close_notify` on an encrypted channel, then FIN. A stream that was cut
    /// off before its end is passed on as what it is, without the `close_notify` that would make it whole.
    pub fn poll_finish(&self, cx: &mut Context<'_>, truncated: bool) -> Poll<io::Result<()>> {
        let finished = ready!(match self.session() {
            None => Poll::Ready(self.stream.finish()),
            Some(tls) if truncated => tls.poll_finish_truncated(&self.stream, cx),
            Some(tls) => tls.poll_finish(&self.stream, cx),
        });
        if let Some(tap) = self.its_tap() {
            tap.finished(&finished);
        }
        Poll::Ready(finished)
    }

    /// Whether the stream ended without the `close_notify` that says that it is whole.
    pub fn is_truncated(&self) -> bool {
        self.session().is_some_and(Session::is_truncated)
    }

    /// As [`Stream::had_finished`].
    pub fn had_finished(&self, error: &io::Error) -> bool {
        let said_so = self.session().is_some_and(|tls| tls.has_ended() && !tls.is_truncated());
        said_so || self.stream.had_finished(error)
    }

    /// Makes the close that follows send RST and drop what was not delivered.
    pub fn reset_on_close(&self) {
        self.stream.reset_on_close();
        if let Some(tap) = self.its_tap() {
            tap.resets_on_close();
        }
    }

    /// This side's own address; `None` on a unix socket.
    pub fn local(&self) -> Option<SocketAddr> {
        self.stream.local()
    }
}
