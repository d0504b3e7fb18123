//! A connection whose handshake is over: read, written and finished like a socket.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::{Error, InvalidMessage};

use super::Established;
use super::held::Held;
use super::records::{Received, Records};
use super::scratch::{self, BATCH, RECORD};
use crate::sys::Stream;

/// What TLS is between two peers. The socket is somebody else's, who gives it to each call: always the one of the handshake,
/// from which nobody else reads and to which nobody else writes.
///
/// Both directions are used at once, by one task: they share the keys' machinery, and nothing waits while one of them
/// has it.
pub struct Session {
    traffic: RefCell<Box<Traffic>>,
    established: Arc<Established>,
}

/// Where more is owed, it is not what was sent that waits, but answers: their peer is not read from until it has taken
/// them. What was sent must not keep us from reading, or two that both send before they read would wait for one
/// another.
const MOST_OWED: usize = BATCH + RECORD;

/// Reads in a row that may bring nothing but what TLS says to itself, before others get their turn.
const FRUITLESS: u32 = 16;

impl Session {
    pub(super) fn new(traffic: Box<Traffic>, established: Arc<Established>) -> Self {
        Self {
            traffic: RefCell::new(traffic),
            established,
        }
    }

    /// What the handshake has settled.
    pub fn established(&self) -> &Arc<Established> {
        &self.established
    }

    /// Reads what the peer has sent into `buffer`, which must not be empty: 0 is the end, for good. Whether the peer
    /// has said so, [`is_truncated`](Self::is_truncated) tells.
    ///
    /// What TLS has to answer by itself is written on the way, as far as the socket takes it. A peer that does not take
    /// such answers is not read from.
    ///
    /// # Errors
    /// What the socket says; or `InvalidData` with a [`rustls::Error`] inside: the peer breaks the protocol, somebody
    /// has changed what it sent, or it has sent an alert. Everything that came before is read first. The session is
    /// over then in both directions; the alert that tells the peer why is owed, as far as the socket has not taken it
    /// at once.
    pub fn poll_recv(&self, stream: &Stream, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        debug_assert!(!buffer.is_empty(), "0 would not be the end");
        let mut traffic = self.traffic.borrow_mut();
        for _ in 0..FRUITLESS {
            if let Some(ready) = traffic.received(buffer) {
                return Poll::Ready(ready);
            }
            if traffic.owed() > 0 {
                let flushed = traffic.poll_answer(cx, stream);
                if traffic.owed() > MOST_OWED {
                    ready!(flushed);
                }
            }
            let read = ready!(traffic.poll_receive(cx, stream, buffer))?;
            if read > 0 {
                return Poll::Ready(Ok(read));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether the peer's stream has ended with a FIN, and the peer has not said that it ends (close_notify): anybody
    /// between us may have cut it off (RFC 8446, section 6.1).
    pub fn is_truncated(&self) -> bool {
        self.traffic.borrow().reading == Reading::Truncated
    }

    /// Whether there is something to read that the socket does not know of any more.
    pub fn holds_something(&self) -> bool {
        let traffic = self.traffic.borrow();
        !traffic.plaintext.is_empty() || traffic.has_ended()
    }

    /// Whether the peer's stream has ended, in one way or the other.
    pub fn has_ended(&self) -> bool {
        self.traffic.borrow().has_ended()
    }

    /// Encrypts up to 64 KiB of `bytes`, at least one if there is one, and writes what the socket takes now. The rest
    /// is owed, and nothing more is taken until it is written: see [`poll_flush`](Self::poll_flush).
    ///
    /// # Errors
    /// What the socket says; `BrokenPipe` after the session was finished; `InvalidData` as in
    /// [`poll_recv`](Self::poll_recv).
    pub fn poll_send(&self, stream: &Stream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut traffic = self.traffic.borrow_mut();
        if let Some(error) = &traffic.failed {
            return Poll::Ready(Err(failure(error)));
        }
        ready!(traffic.poll_flush(cx, stream))?;
        traffic.send(cx, stream, &bytes[..bytes.len().min(BATCH)])
    }

    /// Ready when nothing is owed.
    ///
    /// # Errors
    /// What the socket says. What was owed has nobody to go to then.
    pub fn poll_flush(&self, stream: &Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.traffic.borrow_mut().poll_flush(cx, stream)
    }

    /// Bytes, encrypted, that the socket has not taken yet: less than 100 KiB.
    pub fn owed(&self) -> usize {
        self.traffic.borrow().owed()
    }

    /// Says that nothing more will be sent (close_notify), and then FIN, after everything that was written. What the
    /// peer sends can still be read.
    ///
    /// # Errors
    /// What the socket says: there is nobody to tell.
    pub fn poll_finish(&self, stream: &Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut traffic = self.traffic.borrow_mut();
        traffic.close_notify();
        traffic.poll_finish(cx, stream)
    }

    /// The same without close_notify: passes on that the other side's stream was cut off.
    ///
    /// # Errors
    /// As in [`poll_finish`](Self::poll_finish).
    pub fn poll_finish_truncated(&self, stream: &Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut traffic = self.traffic.borrow_mut();
        traffic.stop_sending();
        traffic.poll_finish(cx, stream)
    }

    /// Bytes that it owns beside rustls's state.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let traffic = self.traffic.borrow();
        traffic.unused.capacity() + traffic.plaintext.len() + traffic.owed.len()
    }
}

/// What goes on between the socket and those who use it; in a handshake as well.
pub(super) struct Traffic {
    records: Records,
    /// Received, and not whole.
    unused: Vec<u8>,
    /// Decrypted, and not read.
    plaintext: Held,
    /// Encrypted, and not written.
    owed: Held,
    reading: Reading,
    writing: Writing,
    /// Why TLS is over.
    failed: Option<Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Open,
    /// close_notify has come. What is behind it is not for us.
    Closed,
    /// FIN has come, and no close_notify.
    Truncated,
}

/// ```text
/// Open --> Closing --all owed is written--> Finished
///   \_________\____a write fails____> Broken
/// ```
#[derive(Debug)]
enum Writing {
    Open,
    /// Nothing more is taken.
    Closing,
    /// FIN is sent.
    Finished,
    /// Holds the error until somebody has been told.
    Broken(Option<io::Error>),
}

impl Traffic {
    pub(super) fn new(records: Records) -> Self {
        Self {
            records,
            unused: Vec::new(),
            plaintext: Held::default(),
            owed: Held::default(),
            reading: Reading::Open,
            writing: Writing::Open,
            failed: None,
        }
    }

    pub(super) fn records(&self) -> &Records {
        &self.records
    }

    pub(super) fn failed(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.reading != Reading::Open
    }

    fn owed(&self) -> usize {
        self.owed.len()
    }

    /// What a reader gets without anything being received.
    fn received(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        if !self.plaintext.is_empty() {
            return Some(Ok(self.plaintext.take(buffer)));
        }
        if let Some(error) = &self.failed {
            return Some(Err(failure(error)));
        }
        self.has_ended().then_some(Ok(0))
    }

    /// Receives once, and decrypts into `buffer`; what does not fit there is kept. Tells how much is in `buffer`: 0
    /// where nothing has come but what TLS says to itself, or else something that ends it.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = scratch::with(|scratch| {
            let kept = self.unused.len();
            // Records never grow when they are decrypted: what is received in the size of `buffer` fits there.
            let end = buffer.len().max(kept + RECORD).min(scratch.len());
            let received = match stream.poll_recv(cx, &mut scratch[kept..end]) {
                Poll::Ready(received) => received?,
                Poll::Pending => {
                    if self.unused.is_empty() {
                        self.unused = Vec::new();
                    }
                    return Poll::Pending;
                }
            };
            if received == 0 {
                self.reading = Reading::Truncated;
                self.unused = Vec::new();
                return Poll::Ready(Ok(0));
            }
            scratch[..kept].copy_from_slice(&self.unused);
            Poll::Ready(io::Result::Ok(self.take_in(&mut scratch[..kept + received], buffer)))
        });
        let read = ready!(read)?;
        if self.owed() > 0 {
            let _ = self.poll_answer(cx, stream);
        }
        Poll::Ready(Ok(read))
    }

    /// Decrypts what has come, `unused` with more behind it, into `buffer`; what does not fit there is kept.
    pub(super) fn take_in(&mut self, incoming: &mut [u8], buffer: &mut [u8]) -> usize {
        let Self { records, plaintext, .. } = self;
        let mut filled = 0;
        let mut answers = Vec::new();
        let mut deliver = |bytes: &[u8]| {
            let now = bytes.len().min(buffer.len() - filled);
            buffer[filled..filled + now].copy_from_slice(&bytes[..now]);
            filled += now;
            plaintext.push(&bytes[now..]);
        };
        let Received { used, closed, failed } = records.receive(incoming, &mut deliver, &mut answers);
        self.owe(&answers);
        self.unused.clear();
        self.failed = failed;
        if closed {
            self.reading = Reading::Closed;
        }
        let rest = &incoming[used..];
        if self.failed.is_some() || closed {
            self.unused = Vec::new();
        } else if rest.len() > BATCH {
            // Longer than any message may be, with the records around its pieces.
            self.failed = Some(InvalidMessage::HandshakePayloadTooLarge.into());
            self.unused = Vec::new();
        } else {
            self.unused.extend_from_slice(rest);
        }
        filled
    }

    fn owe(&mut self, bytes: &[u8]) {
        if let Writing::Open | Writing::Closing = self.writing {
            self.owed.push(bytes);
        }
    }

    /// Nothing is owed when this is called.
    fn send(&mut self, cx: &mut Context<'_>, stream: &Stream, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !matches!(self.writing, Writing::Open) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        scratch::with(|scratch| {
            let encrypted = match self.records.encrypt(&mut self.unused, bytes, scratch) {
                Ok(encrypted) => &scratch[..encrypted],
                Err(error) => {
                    let told = failure(&error);
                    self.failed = Some(error);
                    return Poll::Ready(Err(told));
                }
            };
            let sent = match stream.poll_send(cx, encrypted) {
                Poll::Ready(Ok(sent)) => sent,
                Poll::Ready(Err(error)) => {
                    self.writing = Writing::Broken(None);
                    return Poll::Ready(Err(error));
                }
                Poll::Pending => 0,
            };
            self.owed.push(&encrypted[sent..]);
            Poll::Ready(Ok(bytes.len()))
        })
    }

    /// Ready when nothing is owed.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<io::Result<()>> {
        if let Writing::Broken(error) = &mut self.writing {
            return Poll::Ready(Err(error.take().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())));
        }
        // FIN follows at once upon what is last.
        let is_last = matches!(self.writing, Writing::Closing);
        while !self.owed.is_empty() {
            let polled = match is_last {
                true => stream.poll_send_last(cx, self.owed.rest()),
                false => stream.poll_send(cx, self.owed.rest()),
            };
            match ready!(polled) {
                Ok(sent) => self.owed.advance(sent),
                Err(error) => {
                    self.owed = Held::default();
                    self.writing = Writing::Broken(None);
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The same where it is a reader who writes: an error is the writer's to hear.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<()> {
        if let Err(error) = ready!(self.poll_flush(cx, stream)) {
            self.writing = Writing::Broken(Some(error));
        }
        Poll::Ready(())
    }

    /// Owes a close_notify, once. After an alert there is none (RFC 8446, section 6).
    fn close_notify(&mut self) {
        if !matches!(self.writing, Writing::Open) {
            return;
        }
        if self.failed.is_none() {
            scratch::with(|scratch| match self.records.close(&mut self.unused, scratch) {
                Ok(encrypted) => self.owed.push(&scratch[..encrypted]),
                Err(error) => self.failed = Some(error),
            });
        }
        self.stop_sending();
    }

    fn stop_sending(&mut self) {
        if let Writing::Open = self.writing {
            self.writing = Writing::Closing;
        }
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<io::Result<()>> {
        if let Writing::Finished = self.writing {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_flush(cx, stream))?;
        self.writing = match stream.finish() {
            Ok(()) => Writing::Finished,
            Err(error) => {
                self.writing = Writing::Broken(None);
                return Poll::Ready(Err(error));
            }
        };
        Poll::Ready(Ok(()))
    }
}

fn failure(error: &Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.clone())
}
