//! Showing bytes to filters where they lie: in the source's socket.
//!
//! What may go on as it is need not be read and written: it is spliced. For a message whose rest is skipped, header and rest
//! move together; for bulk that filters only look at, the second of two copies is saved.

use std::io;
use std::mem;
use std::ops::ControlFlow;
use std::task::{Context, Poll};

use super::super::Ending;
use super::{Lane, Path, SMALL_IN_A_ROW, SPLICE, Tools, continues, count_seen};
use crate::filter::{Chain, View};
use crate::worker::BUFFER;

/// What is looked at of a message whose rest will be skipped: more than the header of any protocol that says lengths.
const GLANCE: usize = 512;

/// What is looked at, or skipped, before it goes on in one piece. Each system call costs more than what it is for: one that
/// takes bytes out of a socket also tells the peer that there is room, and one that puts them in wakes the other peer.
const AHEAD: u64 = SPLICE as u64;

impl Lane {
    /// How many bytes filters are shown in the socket; `None` where they are read to be shown.
    pub(super) fn look(&self, tools: &Tools<'_>) -> Option<usize> {
        // What is encrypted is not what the peer means; and what is captured has to be read.
        let in_place = tools.source.session().is_none() && !tools.is_captured() && !self.has_faults();
        let chain = tools.filters.as_ref().filter(|_| in_place)?;
        if chain.skims(self.direction) {
            return Some(GLANCE);
        }
        (self.is_bulk() && !chain.answers()).then_some(BUFFER)
    }

    /// Whether filters are shown bytes where they lie, which is not possible where they are encrypted.
    pub(super) fn looks_in_place(&self, chain: &Chain) -> bool {
        !self.has_faults() && (chain.skims(self.direction) || (self.is_bulk() && !chain.answers()))
    }

    fn is_bulk(&self) -> bool {
        matches!(
            self.path,
            Path::Splice {
                small: ..SMALL_IN_A_ROW,
                ..
            }
        )
    }

    /// Shows up to `most` bytes that lie in the socket, and what lies behind them.
    pub(super) fn poll_look(
        &mut self,
        cx: &mut Context<'_>,
        tools: &mut Tools<'_>,
        most: usize,
    ) -> Poll<ControlFlow<Ending>> {
        let worker = tools.worker;
        let mut buffer = worker.buffer();
        let Poll::Ready(peeked) = tools.source.stream().poll_peek(cx, &mut buffer[..most], 0) else {
            self.give_pipe_back();
            return Poll::Pending;
        };
        let mut bytes = match peeked {
            Ok((bytes @ 1.., _)) => bytes,
            Ok((0, _)) => {
                // It is still there.
                drop(buffer);
                return self.poll_read(cx, tools);
            }
            Err(error) => return Poll::Ready(ControlFlow::Break(self.failed(error))),
        };
        let mut shown = self.show_in_place(cx, tools, &mut buffer[..bytes]);
        let mut ahead = tools.source.stream().ahead();
        let mut asked = most;
        // One that is short has seen the last byte that is here.
        while bytes == asked
            && let ControlFlow::Continue(()) = shown
            && let Some((unseen, most)) = self.ahead(tools)
        {
            asked = most;
            let offset = self.cleared + unseen;
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            bytes = match ahead.peek(offset, &mut buffer[..most]) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break,
                Err(error) => {
                    // Told once, and what was cleared goes on before it.
                    self.failing = Some(error);
                    break;
                }
            };
            // They are here, since there is something behind them.
            self.cleared += unseen;
            if let Some(chain) = tools.filters {
                chain.passed_unseen(self.direction, unseen);
            }
            shown = self.show_in_place(cx, tools, &mut buffer[..bytes]);
        }
        Poll::Ready(shown)
    }

    /// Where to look on: behind so many bytes that filters skip, and at how many.
    fn ahead(&self, tools: &Tools<'_>) -> Option<(u64, usize)> {
        let unseen = match tools.filters.as_ref()?.view(self.direction) {
            View::Nothing => return None,
            View::After(unseen) => unseen,
            View::Next => 0,
        };
        let is_near = self.cleared.saturating_add(unseen) < AHEAD;
        // After something that could not stay where it is, nothing is cleared.
        self.look(tools)
            .filter(|_| is_near && self.cleared > 0)
            .map(|most| (unseen, most))
    }

    /// Shows bytes that lie in the socket. They stay there if they may go on as they are.
    fn show_in_place(&mut self, cx: &mut Context<'_>, tools: &mut Tools<'_>, bytes: &mut [u8]) -> ControlFlow<Ending> {
        self.look_at_first(tools, bytes);
        let mut passed = tools.worker.passed();
        let fed = self.feed(tools, bytes, false, &mut passed);
        if fed.is_ok() && passed.is_unchanged(bytes) {
            self.cleared += bytes.len() as u64;
            // Both are bounded: no more is cleared than is looked ahead.
            self.seen += bytes.len() as u32;
            if let Path::Copy(_) = self.path {
                self.expect_bulk();
            }
            self.settle(cx, tools, &passed);
            return ControlFlow::Continue(());
        }
        // Now, and without asking whether it can be read: what was fed must not be fed again.
        if let Err(error) = self
            .take_cleared(tools)
            .and_then(|()| tools.source.stream().take(bytes))
        {
            return ControlFlow::Break(self.failed(error));
        }
        self.moved.filtered += bytes.len() as u64;
        self.took(bytes.len());
        tools.worker.traffic().of(self.direction).filtered(bytes.len() as u64);
        // The next ones are read, until a full buffer of them goes on as it is.
        if let Path::Splice { small, .. } = &mut self.path {
            *small = SMALL_IN_A_ROW;
        }
        self.settle(cx, tools, &passed);
        self.pass_through(cx, tools, &passed, bytes, false);
        continues(fed)
    }

    /// Takes out what was cleared, in front of something that cannot stay in the socket.
    fn take_cleared(&mut self, tools: &Tools<'_>) -> io::Result<()> {
        let mut cleared = vec![0; usize::try_from(self.cleared).unwrap_or(usize::MAX)];
        tools.source.stream().take(&mut cleared)?;
        let ways = tools.worker.traffic().of(self.direction);
        let unseen = count_seen(&mut self.seen, &mut self.moved, ways, mem::take(&mut self.cleared));
        self.moved.copied += unseen;
        ways.copied(unseen);
        self.owe(&cleared);
        Ok(())
    }
}
