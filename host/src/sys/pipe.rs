//! Pipes for splice(2) and tee(2), lent by a worker's pool for as long as bytes are in flight.

use std::cell::RefCell;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, tee};

use super::Coarse;

/// What is asked of the kernel for each pipe: its default upper limit (pipe-max-size, pipe(7)). Measured against HAProxy's
/// CPU per GB: 1 MiB costs 0.30 of it, 256 KiB 0.42, 64 KiB 0.48.
const WANTED: usize = 1 << 20;

/// A smaller pipe moves less than one copy would, and costs two system calls. The kernel hands out pipes of 8 KiB once a
/// user is over pipe-user-pages-soft (pipe(7)).
const USEFUL: usize = 64 << 10;

/// How long a pool does not ask again after the kernel refused: the reasons (descriptors, the user's pages) are not gone
/// within one transfer, and asking costs up to four system calls.
const PAUSE: Duration = Duration::from_secs(1);

/// A pipe and how many bytes are in it. It goes back to its pool empty, or not at all.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    /// What the kernel has made of [`WANTED`].
    size: usize,
    owed: usize,
}

impl Pipe {
    /// A pipe of at least [`USEFUL`] bytes, or the reason why there is none.
    fn open() -> Result<Self, Errno> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let size = match fcntl_setpipe_size(&write, WANTED) {
            Ok(size) => size,
            // EPERM: over the user's allowance; EBUSY cannot be, the pipe is empty. What it has may still do.
            Err(_) => rustix::pipe::fcntl_getpipe_size(&write)?,
        };
        if size < USEFUL {
            return Err(Errno::PERM);
        }
        Ok(Self {
            read,
            write,
            size,
            owed: 0,
        })
    }

    /// The bytes that were put in and not taken out.
    pub fn owed(&self) -> usize {
        self.owed
    }

    /// Takes out everything that is in it: for a socket that cannot be spliced to.
    ///
    /// # Errors
    /// What read(2) says; nothing that it says is expected here.
    pub fn take(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.owed];
        let mut taken = 0;
        while taken < bytes.len() {
            match rustix::io::read(&self.read, &mut bytes[taken..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => taken += more,
            }
        }
        self.owed = 0;
        Ok(bytes)
    }

    /// Has `other`, which must be empty, hold the same bytes: they share their pages, and nothing is copied (tee(2)).
    ///
    /// # Errors
    /// What tee(2) says, or `WriteZero` where not all of them fit: what `other` has then is of no use. They do fit where it is
    /// [as large](Self::is_as_large_as): a pipe is full when its slots are, and each of these takes one in both.
    pub fn tee(&self, other: &mut Self) -> io::Result<()> {
        debug_assert_eq!(other.owed, 0, "its slots are wanted");
        let bytes = loop {
            match tee(&self.read, &other.write, self.owed, SpliceFlags::NONBLOCK) {
                Err(Errno::INTR) => {}
                teed => break teed?,
            }
        };
        other.owed += bytes;
        match bytes == self.owed {
            true => Ok(()),
            false => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// Whether it has as many slots.
    pub fn is_as_large_as(&self, other: &Self) -> bool {
        self.size >= other.size
    }

    #[cfg(test)]
    pub fn put(&mut self, bytes: &[u8]) {
        let written = rustix::io::write(&self.write, bytes).unwrap();
        assert_eq!(written, bytes.len());
        self.owed += written;
    }

    pub(super) fn read_end(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    pub(super) fn write_end(&self) -> BorrowedFd<'_> {
        self.write.as_fd()
    }

    pub(super) fn filled(&mut self, bytes: usize) {
        self.owed += bytes;
    }

    pub(super) fn drained(&mut self, bytes: usize) {
        self.owed -= bytes;
    }
}

/// One worker's pipes. Worst case: `cap` pipes of 1 MiB are in flight, so `cap` MiB of kernel memory.
#[derive(Debug, Clone)]
pub struct Pipes(Rc<RefCell<Pool>>);

#[derive(Debug)]
struct Pool {
    idle: Vec<Pipe>,
    lent: usize,
    /// Those of them that are for bytes which others have, too.
    teed: usize,
    cap: usize,
    refused: Option<Coarse>,
    refusals: u64,
}

/// What a pool has lent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PipeUse {
    pub lent: usize,
    /// Open, and not lent.
    pub idle: usize,
    pub most: usize,
    /// How often one was asked for in vain.
    pub refusals: u64,
}

/// A pipe on loan. It goes back to its pool when it is dropped.
#[derive(Debug)]
pub struct Lent {
    pipe: Option<Pipe>,
    pool: Rc<RefCell<Pool>>,
    is_teed: bool,
}

impl Pipes {
    pub fn new(cap: usize) -> Self {
        Self(Rc::new(RefCell::new(Pool {
            idle: Vec::new(),
            lent: 0,
            teed: 0,
            cap,
            refused: None,
            refusals: 0,
        })))
    }

    pub fn in_use(&self) -> PipeUse {
        let pool = self.0.borrow();
        PipeUse {
            lent: pool.lent,
            idle: pool.idle.len(),
            most: pool.cap,
            refusals: pool.refusals,
        }
    }

    /// An empty pipe, or `None`: then the caller copies.
    pub fn lend(&self) -> Option<Lent> {
        let mut pool = self.0.borrow_mut();
        let pipe = match pool.idle.pop() {
            Some(pipe) => pipe,
            None => pool.open().or_else(|| {
                pool.refusals += 1;
                None
            })?,
        };
        pool.lent += 1;
        Some(Lent {
            pipe: Some(pipe),
            pool: Rc::clone(&self.0),
            is_teed: false,
        })
    }

    /// An empty pipe for what is in `original`, too. Half of the pipes are lent for this at the most: the originals come first.
    pub fn lend_beside(&self, original: &Pipe) -> Option<Lent> {
        let has_room = {
            let pool = self.0.borrow();
            pool.teed < pool.cap / 2
        };
        let lent = has_room.then(|| self.lend()).flatten();
        let mut lent = lent.filter(|lent| lent.is_as_large_as(original))?;
        self.0.borrow_mut().teed += 1;
        lent.is_teed = true;
        Some(lent)
    }
}

impl Pool {
    fn open(&mut self) -> Option<Pipe> {
        let paused = |refused: Coarse| Coarse::now().since(refused) < PAUSE;
        if self.lent >= self.cap || self.refused.is_some_and(paused) {
            return None;
        }
        match Pipe::open() {
            Ok(pipe) => {
                self.refused = None;
                Some(pipe)
            }
            Err(errno) => {
                tracing::debug!(%errno, lent = self.lent, "no pipe to splice with: copying");
                self.refused = Some(Coarse::now());
                None
            }
        }
    }
}

impl Deref for Lent {
    type Target = Pipe;

    fn deref(&self) -> &Pipe {
        self.pipe.as_ref().unwrap_or_else(|| unreachable!("taken in drop only"))
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Pipe {
        self.pipe.as_mut().unwrap_or_else(|| unreachable!("taken in drop only"))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut pool = self.pool.borrow_mut();
        pool.lent -= 1;
        pool.teed -= usize::from(self.is_teed);
        // One with bytes in it belonged to a connection that ended early: it is closed, never lent again.
        if let Some(pipe) = self.pipe.take_if(|pipe| pipe.owed == 0) {
            pool.idle.push(pipe);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_lends_no_more_than_its_cap_and_lends_again_what_came_back() {
        let pipes = Pipes::new(1);
        let pipe = pipes.lend().unwrap();
        assert!(pipes.lend().is_none());
        let in_use = PipeUse {
            lent: 1,
            idle: 0,
            most: 1,
            refusals: 1,
        };
        assert_eq!(pipes.in_use(), in_use);
        drop(pipe);
        assert_eq!((pipes.in_use().lent, pipes.in_use().idle), (0, 1));
        assert!(pipes.lend().is_some());
    }

    #[test]
    fn a_pipe_with_bytes_in_it_is_never_lent_again() {
        let pipes = Pipes::new(2);
        let mut pipe = pipes.lend().unwrap();
        pipe.put(b"left");
        drop(pipe);
        assert!(pipes.0.borrow().idle.is_empty());
        assert_eq!(pipes.0.borrow().lent, 0);
    }

    #[test]
    fn what_is_in_a_full_pipe_is_in_another_one_too() {
        let pipes = Pipes::new(2);
        let mut pipe = pipes.lend().unwrap();
        // Each takes a slot.
        let slots = pipe.size / 4096;
        for slot in 0..slots {
            pipe.put(&[u8::try_from(slot % 251).unwrap(); 4096]);
        }
        let mut other = pipes.lend_beside(&pipe).unwrap();
        pipe.tee(&mut other).unwrap();
        assert_eq!(other.owed(), slots * 4096);
        assert_eq!(other.take().unwrap(), pipe.take().unwrap());
    }

    #[test]
    fn half_of_the_pipes_are_for_originals() {
        let pipes = Pipes::new(4);
        let original = pipes.lend().unwrap();
        let others = [pipes.lend_beside(&original), pipes.lend_beside(&original)];
        assert!(others.iter().all(Option::is_some));
        assert!(pipes.lend_beside(&original).is_none());
        assert!(pipes.lend().is_some());
        drop(others);
        assert!(pipes.lend_beside(&original).is_some());
        assert_eq!(pipes.0.borrow().teed, 0);
    }

    #[test]
    fn what_is_in_a_pipe_can_be_had_without_a_socket() {
        let pipes = Pipes::new(1);
        let mut pipe = pipes.lend().unwrap();
        pipe.put(b"owed");
        assert_eq!(pipe.take().unwrap(), b"owed");
        assert_eq!(pipe.owed(), 0);
    }
}
