//! Asks one server once whether it lives.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::channel::Channel;
use crate::config::{Health, ProxyVersion, UpstreamSocket};
use crate::proxy_header;
use crate::sys::{self, Manner, Peer, Source, Stream};
use crate::tls::{self, Originator, Session};

/// How much of an answer is looked at, as the configuration says.
const LONGEST_ANSWER: usize = 4096;

/// How much of it an error shows.
const LONGEST_QUOTE: usize = 64;

/// How a server is spoken to: as its connections are.
#[derive(Clone, Copy, Default)]
pub struct Way<'a> {
    /// A header of the PROXY protocol comes first.
    pub header: Option<ProxyVersion>,
    /// From this address; `None`: as the system says.
    pub source: Option<IpAddr>,
    /// With these options.
    pub socket: Option<&'a UpstreamSocket>,
    /// In TLS, to a server of this host.
    pub tls: Option<(&'a Originator, &'a str)>,
}

/// Connects to a server; sends what the configuration wants to be sent; and reads until what it expects has come. To be polled
/// on the thread of the runtime that drives the socket.
///
/// # Errors
/// It does not live, or this machine could not ask.
pub async fn check(peer: &Peer, health: &Health, way: Way<'_>) -> Result<(), CheckError> {
    // Outside of what is given up, so that something can be said of it.
    let mut answer = None;
    let asked = tokio::time::timeout(health.timeout, ask(peer, health, way, &mut answer)).await;
    asked.unwrap_or_else(|_| {
        let connected = answer.map(|answer| CheckError::Answer {
            answer,
            expected: health.expect.clone(),
            end: End::TimedOut(health.timeout),
        });
        Err(connected.unwrap_or(CheckError::TimedOut(health.timeout)))
    })
}

/// `answer` is what has come of it, as soon as there is a connection.
async fn ask(peer: &Peer, health: &Health, way: Way<'_>, answer: &mut Option<Vec<u8>>) -> Result<(), CheckError> {
    let peer = asked_at(peer, health.port);
    let manner = Manner {
        source: way.source.map(Source::Ours),
        options: way.socket,
    };
    let stream = sys::connect(&peer, manner).await?;
    let header = way
        .header
        .map(|version| proxy_header::local(version, stream.local(), peer.address()));
    let mut header = header.unwrap_or_default();
    let mut channel = Channel::from(stream);
    if let Some((originator, host)) = way.tls {
        channel.send_all(&std::mem::take(&mut header)).await?;
        let session = handshake(channel.stream(), originator, host)
            .await
            .map_err(CheckError::Tls)?;
        channel.secure(session);
    }
    // In one write: what reads a header of the PROXY protocol may take it for granted that something comes with it.
    let question = [header, health.send.clone()].concat();
    if question.is_empty() && health.expect.is_empty() {
        // As HAProxy does. Who closes first with FIN keeps the connection in TIME_WAIT for a minute, for each check of each
        // server; and nothing was said that a RST could lose. A server that has accepted sees a client that went away.
        channel.reset_on_close();
        return Ok(());
    }
    let answer = answer.insert(Vec::new());
    converse(&channel, &question, &health.expect, answer)
        .await
        .map_err(|end| CheckError::Answer {
            answer: std::mem::take(answer),
            expected: health.expect.clone(),
            end,
        })
}

async fn handshake(stream: &Stream, originator: &Originator, host: &str) -> io::Result<Session> {
    let name = originator.name(host).map_err(io::Error::other)?;
    Ok(tls::connect(stream, originator.current(None), name).await?)
}

/// A check may have a port of its own. A unix socket has none.
fn asked_at(peer: &Peer, port: Option<u16>) -> Peer {
    match (peer, port) {
        (Peer::Tcp(address), Some(port)) => Peer::Tcp(SocketAddr::new(address.ip(), port)),
        (peer, _) => peer.clone(),
    }
}

async fn converse(channel: &Channel, question: &[u8], expected: &[u8], answer: &mut Vec<u8>) -> Result<(), End> {
    channel.send_all(question).await.map_err(End::Failed)?;
    while !expected.is_empty() {
        let known = answer.len();
        match poll_fn(|cx| poll_more(cx, channel, answer)).await {
            Ok(0) => return Err(End::Finished),
            Ok(_) if has_grown_to_contain(answer, known, expected) => break,
            Ok(_) if answer.len() == LONGEST_ANSWER => return Err(End::TooLong),
            Ok(_) => {}
            Err(error) => return Err(End::Failed(error)),
        }
    }
    Ok(())
}

/// The buffer is on the stack, and so is not kept for each server that is waited for.
fn poll_more(cx: &mut Context<'_>, channel: &Channel, answer: &mut Vec<u8>) -> Poll<io::Result<usize>> {
    let mut buffer = [0; LONGEST_ANSWER];
    let room = &mut buffer[answer.len()..];
    let read = ready!(channel.poll_recv(cx, room))?;
    answer.extend_from_slice(&room[..read]);
    Poll::Ready(Ok(read))
}

/// Whether `expected` is in `answer`, whose first `known` bytes do not contain it. Where a server sends byte by byte, each of
/// them is looked at as often as `expected` is long, and no more.
fn has_grown_to_contain(answer: &[u8], known: usize, expected: &[u8]) -> bool {
    let from = (known + 1).saturating_sub(expected.len());
    answer[from..].windows(expected.len()).any(|part| part == expected)
}

/// Why a check was not good.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The server cannot be connected to.
    #[error("{}", Failure(.0))]
    Connect(io::Error),
    /// Nothing of the server's: this machine has no descriptor, no port, or not the source address. Says nothing of the
    /// server.
    #[error("could not ask: {}", Failure(.0))]
    Local(io::Error),
    /// It cannot be spoken to in TLS.
    #[error("no TLS: {}", Failure(.0))]
    Tls(io::Error),
    #[error("timed out after {0:?}")]
    TimedOut(Duration),
    /// It took the connection, and said something else, or nothing.
    #[error("{}", Mismatch { answer, expected, end })]
    Answer {
        answer: Vec<u8>,
        expected: Vec<u8>,
        end: End,
    },
}

/// How an answer ended that was not what was expected.
#[derive(Debug)]
pub enum End {
    /// With FIN.
    Finished,
    Failed(io::Error),
    TimedOut(Duration),
    /// It did not; enough was seen.
    TooLong,
}

impl From<io::Error> for CheckError {
    fn from(error: io::Error) -> Self {
        match sys::is_our_own(&error) {
            true => Self::Local(error),
            false => Self::Connect(error),
        }
    }
}

/// In a word, where there is one: it stands in a line that says of whom.
struct Failure<'a>(&'a io::Error);

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            io::ErrorKind::ConnectionRefused => f.write_str("refused"),
            // EPIPE is what is left of a reset that an earlier call has reported.
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => f.write_str("reset"),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => f.write_str("unreachable"),
            io::ErrorKind::TimedOut => f.write_str("timed out"),
            // EAGAIN, of a unix socket alone.
            io::ErrorKind::WouldBlock => f.write_str("its backlog is full"),
            _ => self.0.fmt(f),
        }
    }
}

struct Mismatch<'a> {
    answer: &'a [u8],
    expected: &'a [u8],
    end: &'a End,
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answered = !self.answer.is_empty();
        if answered {
            write!(f, "answered {}", Quoted(self.answer))?;
        }
        match (self.end, answered) {
            (End::Finished | End::TooLong, true) => {}
            (End::Finished | End::TooLong, false) => f.write_str("finished without an answer")?,
            (End::Failed(error), true) => write!(f, ", then {}", Failure(error))?,
            (End::Failed(error), false) => Failure(error).fmt(f)?,
            (End::TimedOut(timeout), true) => write!(f, " within {timeout:?}")?,
            (End::TimedOut(timeout), false) => write!(f, "no answer within {timeout:?}")?,
        }
        // Without an expectation only sending can have failed.
        if self.expected.is_empty() {
            return Ok(());
        }
        write!(f, ", expected {}", Quoted(self.expected))
    }
}

/// Bytes as they may stand in a log.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(LONGEST_QUOTE)];
        let more = if shown.len() < self.0.len() { "..." } else { "" };
        write!(f, "\"{}\"{more}", shown.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpStream;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use socket2::{Domain, Socket, Type};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, UnixListener};

    use super::*;
    use crate::config::defaults;

    /// Far longer than anything here takes that is not meant to take long.
    const PATIENT: Duration = Duration::from_secs(20);
    /// Long enough for what happens at once, even on a machine that has other things to do.
    const IMPATIENT: Duration = Duration::from_millis(250);

    fn health(timeout: Duration, send: &[u8], expect: &[u8]) -> Health {
        Health {
            timeout,
            send: send.to_vec(),
            expect: expect.to_vec(),
            ..defaults::HEALTH
        }
    }

    async fn listen() -> (TcpListener, Peer) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Peer::Tcp(listener.local_addr().unwrap());
        (listener, peer)
    }

    /// What a check says of a server that takes what it is sent, up to the last byte of `question`, and answers in pieces.
    async fn asked(
        health: Health,
        header: Option<ProxyVersion>,
        question: &[u8],
        answer: &[&[u8]],
        then: Then,
    ) -> String {
        let (listener, peer) = listen().await;
        let served = async {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut heard = vec![0; question.len()];
            client.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, question);
            for piece in answer {
                // The check may have heard enough.
                let _ = client.write_all(piece).await;
                tokio::task::yield_now().await;
            }
            match then {
                Then::Finish => drop(client),
                Then::Reset => client.set_zero_linger().unwrap(),
                Then::Stay => return Some(client),
            }
            None
        };
        let (checked, _kept) = tokio::join!(
            check(
                &peer,
                &health,
                Way {
                    header,
                    ..Way::default()
                }
            ),
            served
        );
        checked.map_or_else(|error| error.to_string(), |()| "lives".to_owned())
    }

    #[derive(Clone, Copy)]
    enum Then {
        Finish,
        Reset,
        Stay,
    }

    #[tokio::test]
    async fn a_server_that_answers_as_expected_lives() {
        let health = || health(PATIENT, b"PING\r\n", b"+PONG");
        for answer in [
            &[&b"+PONG\r\n"[..]][..],
            &[b"+PO", b"NG"],
            &[b"-LOADING\r\n+P+PONG\r\n"],
            &[b"+", b"P", b"O", b"N", b"G"],
        ] {
            for then in [Then::Stay, Then::Finish] {
                assert_eq!(asked(health(), None, b"PING\r\n", answer, then).await, "lives");
            }
        }
        let last = [&[b'x'; LONGEST_ANSWER - 5][..], b"+PONG"].concat();
        assert_eq!(asked(health(), None, b"PING\r\n", &[&last], Then::Stay).await, "lives");
    }

    #[tokio::test]
    async fn one_that_says_something_else_does_not_and_it_is_told_what() {
        let long = [b'x'; LONGEST_ANSWER];
        let quoted = format!("answered \"{}\"..., expected \"+PONG\"", "x".repeat(LONGEST_QUOTE));
        for (answer, then, said) in [
            (
                &b"-ERR\r\n"[..],
                Then::Finish,
                r#"answered "-ERR\r\n", expected "+PONG""#,
            ),
            (
                b"\x00\xff\"",
                Then::Finish,
                r#"answered "\x00\xff\"", expected "+PONG""#,
            ),
            (b"+PON", Then::Stay, r#"answered "+PON" within 250ms, expected "+PONG""#),
            (b"", Then::Stay, r#"no answer within 250ms, expected "+PONG""#),
            (b"", Then::Finish, r#"finished without an answer, expected "+PONG""#),
            (b"", Then::Reset, r#"reset, expected "+PONG""#),
            (&long, Then::Stay, &quoted),
        ] {
            let timeout = match then {
                Then::Stay if answer.len() < LONGEST_ANSWER => IMPATIENT,
                _ => PATIENT,
            };
            let health = health(timeout, b"PING\r\n", b"+PONG");
            assert_eq!(asked(health, None, b"PING\r\n", &[answer], then).await, said);
        }
    }

    #[tokio::test]
    async fn what_comes_behind_the_first_four_kibibytes_is_not_looked_at() {
        let health = health(PATIENT, b"", b"+PONG");
        let late = [&[b'x'; LONGEST_ANSWER - 4][..], b"+PONG"].concat();
        let said = asked(health, None, b"", &[&late], Then::Stay).await;
        assert!(said.starts_with("answered \"xxx"), "{said}");
    }

    #[tokio::test]
    async fn a_server_that_speaks_first_need_not_be_asked() {
        let health = health(PATIENT, b"", b"220 ");
        assert_eq!(
            asked(health, None, b"", &[b"220 mail.example\r\n"], Then::Stay).await,
            "lives"
        );
    }

    #[tokio::test]
    async fn the_header_comes_first() {
        let local = proxy_header::local(ProxyVersion::V2, None, None);
        let version = Some(ProxyVersion::V2);
        let question = [&local[..], b"PING\r\n"].concat();
        let ping = health(PATIENT, b"PING\r\n", b"+PONG");
        assert_eq!(asked(ping, version, &question, &[b"+PONG"], Then::Stay).await, "lives");
        let bare = health(PATIENT, b"", b"");
        assert_eq!(asked(bare, version, &local, &[], Then::Stay).await, "lives");
    }

    #[tokio::test]
    async fn a_header_of_version_1_says_who_asks() {
        let (listener, peer) = listen().await;
        check(
            &peer,
            &health(PATIENT, b"PING\r\n", b""),
            Way {
                header: Some(ProxyVersion::V1),
                ..Way::default()
            },
        )
        .await
        .unwrap();
        let (mut client, from) = listener.accept().await.unwrap();
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        let (own, port) = (from.port(), listener.local_addr().unwrap().port());
        assert_eq!(
            heard,
            format!("PROXY TCP4 127.0.0.1 127.0.0.1 {own} {port}\r\nPING\r\n")
        );
    }

    #[tokio::test]
    async fn what_was_sent_arrives_where_nothing_is_expected() {
        let quit = health(PATIENT, b"QUIT\r\n", b"");
        assert_eq!(asked(quit, None, b"QUIT\r\n", &[], Then::Stay).await, "lives");
    }

    #[tokio::test]
    async fn a_connection_is_enough_and_leaves_nothing_behind() {
        let (listener, peer) = listen().await;
        check(&peer, &health(PATIENT, b"", b""), Way::default()).await.unwrap();
        let (mut client, _) = listener.accept().await.unwrap();
        let read = client.read(&mut [0; 1]).await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_refuses() {
        // Bound, so that nobody else gets it.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let peer = Peer::Tcp(socket.local_addr().unwrap().as_socket().unwrap());
        let error = check(&peer, &health(PATIENT, b"", b""), Way::default())
            .await
            .unwrap_err();
        assert!(matches!(error, CheckError::Connect(_)));
        assert_eq!(error.to_string(), "refused");
    }

    #[tokio::test]
    async fn a_server_whose_backlog_is_full_does_not_answer_in_time() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, IMPATIENT) {
            waiting.push(stream);
        }
        let health = health(IMPATIENT, b"PING\r\n", b"+PONG");
        let error = check(&Peer::Tcp(address), &health, Way::default()).await.unwrap_err();
        assert_eq!(error.to_string(), "timed out after 250ms");
    }

    #[tokio::test]
    async fn it_may_be_asked_on_another_port() {
        let (listener, _) = listen().await;
        let nobody = Peer::Tcp(SocketAddr::from(([127, 0, 0, 1], 1)));
        let health = Health {
            port: Some(listener.local_addr().unwrap().port()),
            ..health(PATIENT, b"", b"")
        };
        check(&nobody, &health, Way::default()).await.unwrap();
    }

    #[tokio::test]
    async fn it_is_asked_from_the_address_that_connections_come_from() {
        let (listener, peer) = listen().await;
        let source = Some(IpAddr::from([127, 0, 0, 9]));
        check(
            &peer,
            &health(PATIENT, b"HELO\r\n", b""),
            Way {
                source,
                ..Way::default()
            },
        )
        .await
        .unwrap();
        let (_, client) = listener.accept().await.unwrap();
        assert_eq!(Some(client.ip()), source);
    }

    #[tokio::test]
    async fn an_address_that_is_not_ours_is_not_the_server_s_fault() {
        let (_listener, peer) = listen().await;
        let source = Some(IpAddr::from([192, 0, 2, 1]));
        let error = check(
            &peer,
            &health(PATIENT, b"", b""),
            Way {
                source,
                ..Way::default()
            },
        )
        .await
        .unwrap_err();
        assert!(matches!(error, CheckError::Local(_)));
        assert!(error.to_string().starts_with("could not ask: "), "{error}");
    }

    #[tokio::test]
    async fn a_unix_socket_has_no_other_port() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server");
        let health = Health {
            port: Some(1),
            ..health(PATIENT, b"", b"")
        };
        let peer = Peer::Unix(path.clone());
        let error = check(&peer, &health, Way::default()).await.unwrap_err();
        assert!(error.to_string().contains("No such file"), "{error}");
        let _listener = UnixListener::bind(path).unwrap();
        check(&peer, &health, Way::default()).await.unwrap();
    }

    proptest! {
        #[test]
        fn what_is_expected_is_found_wherever_an_answer_is_cut(
            answer in vec(0..3_u8, 0..40),
            expected in vec(0..3_u8, 1..5),
            cuts in vec(1..6_usize, 0..40),
        ) {
            let mut known = 0;
            let mut found = false;
            for piece in cuts.into_iter().chain([answer.len()]) {
                let len = (known + piece).min(answer.len());
                found = found || has_grown_to_contain(&answer[..len], known, &expected);
                known = len;
            }
            prop_assert_eq!(found, answer.windows(expected.len()).any(|part| part == expected));
        }
    }
}
