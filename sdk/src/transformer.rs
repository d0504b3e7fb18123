use crate::{Chunk, Config, Connection, Direction, Directions, Refusal};

/// Takes the bytes of one connection and gives others. One value of this type is one connection's session; it is
/// dropped when the connection ends. It costs more than an [`Inspector`](crate::Inspector): what it gives is copied.
pub trait Transformer: Sized + 'static {
    /// What the operator can set; `()` where that is nothing.
    type Config: Config;

    /// A connection begins.
    fn open(config: &'static Self::Config, connection: &Connection) -> Self;

    /// Asked once, first.
    fn interest(&self) -> Directions {
        Directions::Both
    }

    /// Bytes of a direction in which there is interest. They go nowhere unless they are in the output.
    fn on_bytes(&mut self, chunk: Chunk, connection: &Connection) -> Output;
}

/// What goes to each peer. One that is empty sends nothing: the transformer waits for more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// For the upstream.
    pub to_upstream: Vec<u8>,
    /// For the client.
    pub to_client: Vec<u8>,
    /// And then?
    pub next: Next,
}

impl Output {
    /// These go on in a direction.
    pub fn forward(direction: Direction, bytes: Vec<u8>) -> Self {
        match direction {
            Direction::Up => Self {
                to_upstream: bytes,
                ..Self::default()
            },
            Direction::Down => Self {
                to_client: bytes,
                ..Self::default()
            },
        }
    }

    /// Nothing is sent, and the connection is closed. The reason is for the access log.
    pub fn refuse(refusal: impl Into<Refusal>) -> Self {
        Self {
            next: Next::Refuse(refusal.into()),
            ..Self::default()
        }
    }

    /// This is the last of the direction that the transformer wants to see.
    #[must_use]
    pub fn detach(mut self) -> Self {
        self.next = Next::Detach;
        self
    }
}

/// What follows an output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Next {
    /// Show what comes.
    #[default]
    More,
    /// Never show this direction again.
    Detach,
    /// Send the output, and close the connection.
    Refuse(Refusal),
}
