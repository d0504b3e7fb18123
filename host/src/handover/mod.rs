//! Another process takes the place of this one, and no client notices: the listening sockets are handed over, not closed.
//!
//! The old process starts the new one with the same arguments and one end of a socket pair as its standard input
//! ([`Succession`], [`Predecessor`]). What they say is in [`Message`]; each is a datagram, with descriptors beside it:
//!
//! ```text
//! new  Hello    which protocol it speaks; its configuration was read by then
//! old  Hello    likewise, and where messages of the new process's go in the end: its standard error
//! old  Sockets  what each of the sockets beside it listens on and for whom; and whether there are more to come
//! new  Ready    it serves on all that its configuration names: each worker has said so
//! old  Go       it accepts nothing more
//! ```
//!
//! Until `Ready` the new process may fail in whatever way and at whatever moment: the old one has not stopped serving. From
//! then on the old one may. In between both accept from the same sockets, so nobody who connects is refused or waits in vain.
//! Who wants an upgrade sends SIGUSR2, or asks at a socket for it ([`Upgrades`], [`ask`]).
//!
//! What is not handed over: connections, which stay where they are until they end; and what was learnt by serving, which are
//! counters, states of health and filters' stores.

mod fault;
mod inherited;
mod message;
mod offer;
mod predecessor;
mod request;
mod succession;

pub use inherited::{Inherited, discard_rest, inherit, is_name_of_kept, name_of_kept, take};
pub use message::Described;
use message::{Channel, Message, PROTOCOL};
pub use offer::Offer;
pub use predecessor::Predecessor;
pub use request::{Answer, Upgraded, Upgrades, ask, configuration_of};
use succession::Succession;

/// Tells a process that its standard input is the end of a socket pair, and that the other end is its predecessor's.
const VARIABLE: &str = "SPLICEWAY_HANDOVER";
