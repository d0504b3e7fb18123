//! rustls's state machine without a socket: what has come is decrypted where it lies, what goes is encrypted into a
//! buffer.
//!
//! The rules of `rustls::unbuffered` that the code keeps:
//!
//! - What a step has used is taken from the front of the input before the next one. What it has not used, the next one
//!   is given again, unchanged: a message of a handshake may lie there in pieces.
//! - What is encoded counts as transmitted at once. It is kept until the socket takes it.
//! - After an error nothing is given to it any more; only what it had still to say is taken out.

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedConnectionCommon, UnbufferedStatus,
};
use rustls::{CommonState, Error};

/// Either side of a connection.
pub(super) enum Records {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// What was made of some input.
#[derive(Debug)]
pub(super) struct Received {
    /// Bytes from its front that are done with. What is behind them has to be given again, with more behind it.
    pub used: usize,
    /// The peer will send nothing more, as it has said (close_notify); what is behind that is to be ignored.
    pub closed: bool,
    /// Why there can be no more, in either direction. The peer has been told, in what was encoded.
    pub failed: Option<Error>,
}

impl Records {
    pub(super) fn is_handshaking(&self) -> bool {
        self.common().is_handshaking()
    }

    pub(super) fn common(&self) -> &CommonState {
        match self {
            Self::Server(server) => server,
            Self::Client(client) => client,
        }
    }

    /// Decrypts whole records of `incoming`. `plaintext` is given what they hold, and `outgoing` what they have to be
    /// answered.
    pub(super) fn receive(
        &mut self,
        incoming: &mut [u8],
        plaintext: &mut dyn FnMut(&[u8]),
        outgoing: &mut Vec<u8>,
    ) -> Received {
        match self {
            Self::Server(server) => receive(&mut **server, incoming, plaintext, outgoing),
            Self::Client(client) => receive(&mut **client, incoming, plaintext, outgoing),
        }
    }

    /// Encrypts all of `bytes`, at most a batch, into the front of `encrypted`, which is as large as the scratch
    /// buffer, and tells how much that is. `unused` is what `receive` has not used.
    pub(super) fn encrypt(&mut self, unused: &mut [u8], bytes: &[u8], encrypted: &mut [u8]) -> Result<usize, Error> {
        self.write(unused, Write::Bytes(bytes), encrypted)
    }

    /// Says that nothing more will be sent. What comes can still be received.
    pub(super) fn close(&mut self, unused: &mut [u8], encrypted: &mut [u8]) -> Result<usize, Error> {
        self.write(unused, Write::CloseNotify, encrypted)
    }

    fn write(&mut self, unused: &mut [u8], what: Write<'_>, encrypted: &mut [u8]) -> Result<usize, Error> {
        match self {
            Self::Server(server) => write(&mut **server, unused, what, encrypted),
            Self::Client(client) => write(&mut **client, unused, what, encrypted),
        }
    }
}

fn receive<S: Side>(
    side: &mut S,
    incoming: &mut [u8],
    plaintext: &mut dyn FnMut(&[u8]),
    outgoing: &mut Vec<u8>,
) -> Received {
    let (mut used, mut closed) = (0, false);
    let failed = loop {
        let UnbufferedStatus { mut discard, state } = side.process(&mut incoming[used..]);
        let state = match state {
            Ok(state) => state,
            Err(error) => {
                last_words(side, outgoing);
                break Some(error);
            }
        };
        let more = match state {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(Ok(record)) = traffic.next_record() {
                    plaintext(record.payload);
                    discard += record.discard;
                }
                true
            }
            ConnectionState::EncodeTlsData(mut message) => {
                encode(&mut message, outgoing);
                true
            }
            ConnectionState::TransmitTlsData(transmit) => {
                transmit.done();
                true
            }
            ConnectionState::PeerClosed => {
                closed = true;
                true
            }
            // Nothing whole is left. Early data is not accepted, so it does not come.
            _ => false,
        };
        used += discard;
        if !more {
            break None;
        }
    };
    Received { used, closed, failed }
}

/// Takes out what it had to say when it failed, an alert, without asking it for anything else.
fn last_words<S: Side>(side: &mut S, outgoing: &mut Vec<u8>) {
    while side.common().wants_write() {
        match side.process(&mut []).state {
            Ok(ConnectionState::EncodeTlsData(mut message)) => encode(&mut message, outgoing),
            Ok(ConnectionState::ReadTraffic(mut traffic)) => while traffic.next_record().is_some() {},
            _ => return,
        }
    }
}

fn encode<Data>(message: &mut EncodeTlsData<'_, Data>, outgoing: &mut Vec<u8>) {
    let begin = outgoing.len();
    if let Err(EncodeError::InsufficientSize(needed)) = message.encode(&mut []) {
        outgoing.resize(begin + needed.required_size, 0);
        // It has the room that it asked for.
        let _ = message.encode(&mut outgoing[begin..]);
    }
}

enum Write<'a> {
    Bytes(&'a [u8]),
    CloseNotify,
}

fn write<S: Side>(side: &mut S, unused: &mut [u8], what: Write<'_>, encrypted: &mut [u8]) -> Result<usize, Error> {
    let mut written = 0;
    loop {
        let UnbufferedStatus { discard, state } = side.process(unused);
        debug_assert_eq!(discard, 0, "`receive` has left something whole");
        match state? {
            ConnectionState::WriteTraffic(mut traffic) => {
                let room = &mut encrypted[written..];
                let more = match what {
                    Write::Bytes(bytes) => traffic.encrypt(bytes, room),
                    Write::CloseNotify => traffic.queue_close_notify(room),
                };
                return match more {
                    Ok(more) => Ok(written + more),
                    Err(EncryptError::EncryptExhausted) => Err(Error::EncryptError),
                    Err(EncryptError::InsufficientSize(_)) => Err(Error::General("no room to encrypt".into())),
                };
            }
            ConnectionState::EncodeTlsData(mut message) => match message.encode(&mut encrypted[written..]) {
                Ok(more) => written += more,
                Err(_) => return Err(Error::General("no room to encode".into())),
            },
            ConnectionState::TransmitTlsData(transmit) => transmit.done(),
            _ => return Err(Error::General("not in a state to write".into())),
        }
    }
}

/// The two sides have the same method, and rustls has no name for that.
trait Side {
    type Data;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    fn common(&self) -> &CommonState;
}

impl Side for UnbufferedConnectionCommon<ServerConnectionData> {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

impl Side for UnbufferedConnectionCommon<ClientConnectionData> {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }
}
