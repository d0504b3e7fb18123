use crate::{Chunk, Config, Connection, Directions, Refusal};

/// Looks at the bytes of one connection, which the proxy forwards. One value of this type is one connection's session;
/// it is dropped when the connection ends.
///
/// A chunk is whatever the network delivered: a message may come in pieces, and many in one chunk.
/// [`Scene::cuts`](crate::testing::Scene::cuts) tests that.
pub trait Inspector: Sized + 'static {
    /// What the operator can set; `()` where that is nothing.
    type Config: Config;

    /// A connection begins.
    fn open(config: &'static Self::Config, connection: &Connection) -> Self;

    /// Asked once, first.
    fn interest(&self) -> Directions {
        Directions::Both
    }

    /// Bytes of a direction in which there is interest.
    fn on_bytes(&mut self, chunk: Chunk, connection: &Connection) -> Verdict;
}

/// What an inspector answers. The less it asks to see, the faster the connection: what was skipped or detached may be
/// spliced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Forward what was shown.
    Forward,
    /// Forward nothing of this direction until so many more bytes came, or it finished. Then these bytes are shown
    /// again, in front of the ones that came. 64 KiB can be held; at the end of the direction this means `Forward`.
    Hold(usize),
    /// Forward these, and do not show the next so many.
    Skip(u64),
    /// Forward these, and never show this direction again.
    Detach,
    /// Forward none of these, and close the connection.
    Refuse(Refusal),
}

impl Verdict {
    /// Closes the connection. The reason is for the access log.
    pub fn refuse(refusal: impl Into<Refusal>) -> Self {
        Self::Refuse(refusal.into())
    }
}
