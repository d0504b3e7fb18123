//! What a mirror is still to be sent, in its order: bytes in memory, and pipes whose pages the primary's had, too.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, ready};

use crate::channel::Channel;
use crate::observe::Moved;
use crate::relay::refuses_splice;
use crate::sys::Lent;

/// Messages that wait share pieces of this size: each of its own would have an allocation and a send of its own.
const PIECE: usize = 16 << 10;

#[derive(Debug, Default)]
pub(super) struct Queue {
    pieces: VecDeque<Piece>,
    bytes: usize,
}

#[derive(Debug)]
enum Piece {
    Bytes { bytes: Vec<u8>, sent: usize },
    Pipe(Lent),
}

impl Queue {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        if let Some(Piece::Bytes { bytes: last, .. }) = self.pieces.back_mut()
            && last.capacity() - last.len() >= bytes.len()
        {
            return last.extend_from_slice(bytes);
        }
        let mut piece = Vec::with_capacity(bytes.len().max(PIECE));
        piece.extend_from_slice(bytes);
        self.pieces.push_back(Piece::Bytes { bytes: piece, sent: 0 });
    }

    pub fn push_pipe(&mut self, pipe: Lent) {
        self.bytes += pipe.owed();
        self.pieces.push_back(Piece::Pipe(pipe));
    }

    /// Sends what `channel` takes of the first piece, and tells by which way it went. There has to be one.
    ///
    /// # Errors
    /// What the socket says.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, channel: &Channel) -> Poll<io::Result<Moved>> {
        let mut moved = Moved::default();
        match self.pieces.front_mut() {
            None => {}
            Some(Piece::Bytes { bytes, sent }) => {
                let taken = ready!(channel.poll_send(cx, &bytes[*sent..]))?;
                *sent += taken;
                moved.copied = taken as u64;
                self.bytes -= taken;
                if *sent == bytes.len() {
                    self.pieces.pop_front();
                }
            }
            Some(Piece::Pipe(pipe)) => match ready!(channel.poll_drain(cx, pipe)) {
                Ok(taken) => {
                    moved.spliced = taken as u64;
                    self.bytes -= taken;
                    if pipe.owed() == 0 {
                        self.pieces.pop_front();
                    }
                }
                // TLS, or a kernel that does not splice to this socket.
                Err(error) if refuses_splice(&error) => {
                    let bytes = pipe.take()?;
                    self.pieces[0] = Piece::Bytes { bytes, sent: 0 };
                }
                Err(error) => return Poll::Ready(Err(error)),
            },
        }
        Poll::Ready(Ok(moved))
    }
}
