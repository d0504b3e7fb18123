//! Bytes that were read and that the other socket did not take yet.

use std::task::{Context, Poll, ready};

use crate::channel::Channel;

/// Empty nearly always, and then it owns no memory: an idle connection costs nothing here.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    bytes: Vec<u8>,
    sent: usize,
}

impl Backlog {
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, sent: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that are still to be written.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// In front of what waits already. Nothing of that may have been written.
    pub(super) fn push_front(&mut self, bytes: &[u8]) {
        self.bytes.splice(..0, bytes.iter().copied());
    }

    /// Ready when everything is written.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, sink: &Channel) -> Poll<std::io::Result<()>> {
        while self.sent < self.bytes.len() {
            self.sent += ready!(sink.poll_send(cx, &self.bytes[self.sent..]))?;
        }
        *self = Self::default();
        Poll::Ready(Ok(()))
    }
}
