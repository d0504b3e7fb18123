//! Connections of those who ask.

use std::collections::VecDeque;
use std::net;
use std::os::fd::OwnedFd;
use std::os::unix;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::LocalRuntime;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use super::patient::Patient;
use super::{Carrier, Terms};

/// How long what was asked last may take to be answered, when no more is answered.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    /// The socket is one that does not block.
    pub(super) fn new(socket: OwnedFd, is_unix: bool, runtime: &LocalRuntime) -> std::io::Result<Self> {
        let _within = runtime.enter();
        Ok(match is_unix {
            false => Self::Tcp(TcpListener::from_std(net::TcpListener::from(socket))?),
            true => Self::Unix(UnixListener::from_std(unix::net::UnixListener::from(socket))?),
        })
    }

    /// Until `stop` is closed.
    pub(super) async fn serve(self, answers: Router, terms: Terms, stop: watch::Receiver<()>) {
        match self {
            Self::Tcp(listener) => accept(listener, answers, terms, stop).await,
            Self::Unix(listener) => accept(listener, answers, terms, stop).await,
        }
    }
}

async fn accept<L: Listener>(mut listener: L, answers: Router, terms: Terms, mut stop: watch::Receiver<()>) {
    let mut open: VecDeque<(Carrier, JoinHandle<()>)> = VecDeque::with_capacity(terms.most);
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        open.retain(|(_, connection)| !connection.is_finished());
        if open.len() == terms.most {
            let place = open.iter().position(|(carrier, _)| !carrier.stays());
            if let Some((_, oldest)) = open.remove(place.unwrap_or(0)) {
                oldest.abort();
            }
        }
        let carrier = Carrier::new(stop.clone());
        let answered = answer(stream, carrier.clone(), answers.clone(), terms, stop.clone());
        let task = match terms.keep_alive {
            true => spawn_local(answered),
            false => spawn_local(async move { timeout(terms.patience, answered).await.unwrap_or_default() }),
        };
        open.push_back((carrier, task));
    }
    drop(listener);
    let ended = async {
        for (_, connection) in open {
            let _ = connection.await;
        }
    };
    let _ = timeout(LAST_WORDS, ended).await;
}

/// What one connection asks. What comes of it is the client's affair.
async fn answer<S>(stream: S, carrier: Carrier, answers: Router, terms: Terms, mut stop: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answers = TowerToHyperService::new(answers);
    let answers = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(carrier.clone());
        answers.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(terms.patience)
        .keep_alive(terms.keep_alive)
        .max_buf_size(terms.longest_head)
        .serve_connection(TokioIo::new(Patient::new(stream, terms.patience)), answers);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stop.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
