//! The page over HTTP: a thread with a runtime of its own, so that a scrape never waits for a worker, nor a worker for a
//! scrape.

use std::collections::VecDeque;
use std::net;
use std::os::fd::OwnedFd;
use std::os::unix;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::timeout;

use super::Snapshot;
use super::page::{CONTENT_TYPE, page};
use crate::config::{ListenAddress, ListenerConfig};
use crate::handover::Offer;
use crate::in_force::Present;
use crate::listener;
use crate::sys::Peer;

/// Connections at once: more than ask at a time. One more takes the place of the oldest, which has had the most time to
/// ask: so nobody keeps others out by asking slowly.
const MOST: usize = 16;

/// From being accepted until the answer has been taken. Prometheus itself waits for 10 seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request is a line and a few headers. hyper takes no less than this for a bound.
const LONGEST_REQUEST: usize = 8 << 10;

/// An address at which nobody is answered yet.
pub struct Bound {
    socket: OwnedFd,
    address: Peer,
    offer: Offer,
}

/// Answers until it is dropped.
pub struct Exporter {
    address: Peer,
    offer: Offer,
    _stop: oneshot::Sender<()>,
}

impl Bound {
    /// # Errors
    /// The address is taken, is not this machine's, or may not be bound.
    pub fn new(address: &ListenAddress) -> anyhow::Result<Self> {
        let as_listener = ListenerConfig::new("", address.clone());
        let (sockets, bound) = listener::bind_for("metrics", &as_listener, 1)?;
        let offer = Offer::new("metrics", address, &sockets)?;
        let socket = sockets.into_iter().next().context("no socket for the metrics")?;
        Ok(Self {
            socket,
            address: bound,
            offer,
        })
    }
}

impl Exporter {
    /// # Errors
    /// There is no thread, or nothing to wait with, to be had.
    pub fn start(bound: Bound, present: Present) -> anyhow::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (started, starting) = channel();
        let Bound { socket, address, offer } = bound;
        let is_unix = matches!(address, Peer::Unix(_));
        let serve = move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            let runtime = runtime.and_then(|runtime| {
                let listening = Listening::new(socket, is_unix, &runtime)?;
                Ok((runtime, listening))
            });
            match runtime {
                Ok((runtime, listening)) => {
                    let _ = started.send(Ok(()));
                    runtime.block_on(async {
                        tokio::select! {
                            () = listening.serve(answers(present)) => {}
                            _ = stopped => {}
                        }
                    });
                }
                Err(error) => _ = started.send(Err(error)),
            }
        };
        let failed = "cannot start the thread that serves metrics";
        thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(serve)
            .context(failed)?;
        starting.recv()?.context(failed)?;
        Ok(Self {
            address,
            offer,
            _stop: stop,
        })
    }

    /// With the port that the kernel chose for port 0.
    pub fn address(&self) -> &Peer {
        &self.address
    }

    /// Its socket, for the process that takes the place of this one.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }
}

/// What is asked for, and what is answered.
fn answers(present: Present) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .fallback(async || (StatusCode::NOT_FOUND, "The metrics are at /metrics.\n"))
        .with_state(present)
}

async fn scrape(State(present): State<Present>) -> Response {
    match page(Snapshot::of(&present.load())) {
        Ok(page) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response(),
        Err(error) => {
            tracing::warn!(%error, "the metrics cannot be put into words");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    /// The socket is one that does not block.
    fn new(socket: OwnedFd, is_unix: bool, runtime: &LocalRuntime) -> std::io::Result<Self> {
        let _within = runtime.enter();
        Ok(match is_unix {
            false => Self::Tcp(TcpListener::from_std(net::TcpListener::from(socket))?),
            true => Self::Unix(UnixListener::from_std(unix::net::UnixListener::from(socket))?),
        })
    }

    async fn serve(self, answers: Router) {
        match self {
            Self::Tcp(listener) => accept(listener, answers).await,
            Self::Unix(listener) => accept(listener, answers).await,
        }
    }
}

async fn accept<L: Listener>(mut listener: L, answers: Router) {
    let mut open: VecDeque<AbortHandle> = VecDeque::with_capacity(MOST);
    loop {
        let (stream, _) = listener.accept().await;
        open.retain(|connection| !connection.is_finished());
        if open.len() == MOST
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let connection = spawn_local(timeout(PATIENCE, answer(stream, answers.clone())));
        open.push_back(connection.abort_handle());
    }
}

/// One question. What comes of it is the client's affair.
async fn answer<S>(stream: S, answers: Router)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let _ = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(LONGEST_REQUEST)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(answers))
        .await;
}
