//! What a mirror is still to be sent, in its order: bytes in memory, and pipes whose pages the primary's had, too.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::rc::Rc;
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
    /// What waits in all queues of the worker.
    of_worker: Rc<Cell<usize>>,
}

#[derive(Debug)]
enum Piece {
    Bytes { bytes: Vec<u8>, sent: usize },
    Pipe(Lent),
}

impl Queue {
    pub fn new(of_worker: &Rc<Cell<usize>>) -> Self {
        Self {
            pieces: VecDeque::new(),
            bytes: 0,
            of_worker: Rc::clone(of_worker),
        }
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// The same of all queues of the worker.
    pub fn len_of_worker(&self) -> usize {
        self.of_worker.get()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.add(bytes.len());
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
        self.add(pipe.owed());
        self.pieces.push_back(Piece::Pipe(pipe));
    }

    /// Gives a pipe back, empty: what was in it waits in memory. The last one, which is the last to be sent.
    pub fn give_pipe_back(&mut self) -> Option<Lent> {
        let is_pipe = |piece: &Piece| matches!(piece, Piece::Pipe(_));
        let last = self.pieces.iter().rposition(is_pipe)?;
        let piece = self.pieces.get_mut(last)?;
        let Piece::Pipe(pipe) = piece else { return None };
        let bytes = pipe.take().ok()?;
        match mem::replace(piece, Piece::Bytes { bytes, sent: 0 }) {
            Piece::Pipe(pipe) => Some(pipe),
            Piece::Bytes { .. } => None,
        }
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
                if *sent == bytes.len() {
                    self.pieces.pop_front();
                }
                self.remove(taken);
            }
            Some(Piece::Pipe(pipe)) => match ready!(channel.poll_drain(cx, pipe)) {
                Ok(taken) => {
                    moved.spliced = taken as u64;
                    if pipe.owed() == 0 {
                        self.pieces.pop_front();
                    }
                    self.remove(taken);
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

impl Queue {
    /// Nothing of it is wanted any more.
    pub fn clear(&mut self) {
        self.remove(self.bytes);
        self.pieces = VecDeque::new();
    }

    fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.of_worker.set(self.of_worker.get() + bytes);
    }

    fn remove(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.of_worker.set(self.of_worker.get() - bytes);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Pipes;

    #[test]
    fn a_pipe_is_given_back_and_what_was_in_it_keeps_its_place() {
        let pipes = Pipes::new(2);
        let mut queue = Queue::default();
        for bytes in [b"one ", b"two "] {
            queue.push(bytes);
            let mut pipe = pipes.lend().unwrap();
            pipe.put(bytes);
            queue.push_pipe(pipe);
        }
        assert_eq!((queue.len(), pipes.in_use().lent), (16, 2));
        let given = queue.give_pipe_back().unwrap();
        assert_eq!(given.owed(), 0);
        drop(given);
        assert_eq!((queue.len(), pipes.in_use().lent), (16, 1));
        drop(queue.give_pipe_back());
        assert!(queue.give_pipe_back().is_none());
        let waits = queue.pieces.iter().flat_map(|piece| match piece {
            Piece::Bytes { bytes, .. } => bytes.clone(),
            Piece::Pipe(_) => unreachable!("all were given back"),
        });
        assert_eq!(waits.collect::<Vec<_>>(), b"one one two two ");
    }

    #[test]
    fn messages_share_a_piece_while_it_has_room() {
        let of_worker = Rc::default();
        let mut queue = Queue::new(&of_worker);
        (0..100).for_each(|_| queue.push(&[0; 1000]));
        assert_eq!(queue.len(), 100_000);
        assert!(
            queue.pieces.len() <= 100_000 / (PIECE - 1000) + 1,
            "{}",
            queue.pieces.len()
        );
        assert_eq!(of_worker.get(), 100_000);
        drop(queue);
        assert_eq!(of_worker.get(), 0);
    }
}
