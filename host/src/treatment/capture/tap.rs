//! What a channel tells of the bytes that it receives and sends.

use std::io;
use std::rc::Rc;

use super::event::Stream;
use super::recording::Recording;
use crate::flow::Side;

/// On the channel of one side of a connection.
#[derive(Debug)]
pub struct Tap {
    recording: Rc<Recording>,
    side: Side,
}

impl Tap {
    pub fn new(recording: &Rc<Recording>, side: Side) -> Self {
        Self {
            recording: Rc::clone(recording),
            side,
        }
    }

    pub fn recording(&self) -> &Rc<Recording> {
        &self.recording
    }

    /// Whether anybody wants to know at this moment.
    pub fn is_on(&self) -> bool {
        self.recording.is_on()
    }

    pub fn received(&self, read: &io::Result<usize>, buffer: &[u8]) {
        match read {
            Ok(0) if buffer.is_empty() => {}
            Ok(0) => self.finished_by_peer(),
            Ok(bytes) => self
                .recording
                .bytes(Stream::received_from(self.side), &buffer[..*bytes]),
            Err(error) => self.failed(error),
        }
    }

    pub fn received_to_end(&self, read: &io::Result<(usize, bool)>, buffer: &[u8]) {
        match read {
            Ok((bytes, ended)) => {
                self.recording
                    .bytes(Stream::received_from(self.side), &buffer[..*bytes]);
                if *ended {
                    self.finished_by_peer();
                }
            }
            Err(error) => self.failed(error),
        }
    }

    fn finished_by_peer(&self) {
        self.recording.finished(Stream::received_from(self.side));
    }

    pub fn sent(&self, sent: &io::Result<usize>, bytes: &[u8]) {
        match sent {
            Ok(sent) => self.recording.bytes(Stream::sent_to(self.side), &bytes[..*sent]),
            Err(error) => self.failed(error),
        }
    }

    pub fn finished(&self, finished: &io::Result<()>) {
        match finished {
            Ok(()) => self.recording.finished(Stream::sent_to(self.side)),
            Err(error) => self.failed(error),
        }
    }

    /// What was received last is not what the peer means: the beginning of a handshake.
    pub fn take_back(&self, bytes: usize) {
        self.recording.take_back(Stream::received_from(self.side), bytes);
    }

    /// It will be closed with RST.
    pub fn resets_on_close(&self) {
        self.recording.resets_on_close(self.side);
    }

    fn failed(&self, error: &io::Error) {
        if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) {
            self.recording.reset(Stream::received_from(self.side));
        }
    }
}
