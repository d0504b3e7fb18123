//! The kernel's interfaces as safe types: sockets that splice, pipes that are lent, clocks that cost nothing.
//!
//! This is the only module that may hold `unsafe`; thanks to rustix it needs little. Nothing in here decides
//! anything: it says what the kernel said.

#[expect(unsafe_code, reason = "rustix changes the user of one thread alone")]
mod account;
mod clock;
#[expect(
    unsafe_code,
    reason = "the standard streams, and what is left behind them, have no owner"
)]
mod descriptors;
mod listen;
#[expect(unsafe_code, reason = "rustix has not every option of sockets")]
mod option;
mod peek_offset;
mod pipe;
mod process;
#[expect(unsafe_code, reason = "tokio trusts its caller to keep the descriptor open")]
mod register;
mod socket;
mod source;
mod stream;
#[expect(unsafe_code, reason = "rustix has no TCP_INFO")]
mod tcp_info;

pub use account::become_user;
pub use clock::{Coarse, thread_cpu_time};
pub use descriptors::{Standard, left_for_us, replace};
pub use listen::{Acceptor, adopt, distinct, listen_tcp, listen_unix, share};
pub use pipe::{Lent, Pipe, PipeUse, Pipes};
pub use process::{Usage, usage};
pub use socket::{Refused, Why, change_listening, try_as_client, try_connecting, try_listening};
pub use source::{Source, is_local};
pub use stream::{Begun, Manner, Peer, Stream, begin, canonical, connect, is_our_own, watch_otherwise};
pub use tcp_info::{TcpInfo, tcp_info};
