//! Accepting, on one worker.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::{Crew, Handed, Post};
use crate::connection::{Accepted, serve};
use crate::sys::{Acceptor, Stream};
use crate::worker::Worker;

/// How long accepting pauses when there are no descriptors or no memory left: trying again at once would only spin, and
/// connections that end give both back.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until the post is closed, and serves each of them in a task of its own, here or on a worker with fewer.
/// What waits in the accept queue by then is still accepted: its clients believe that they are connected.
pub async fn accept(post: Arc<Post>, socket: OwnedFd, worker: Rc<Worker>, crew: Crew) {
    let mut closed = post.closed();
    let acceptor = match Acceptor::new(socket) {
        Ok(acceptor) => acceptor,
        Err(error) => return tracing::error!(listener = %post.listener().name, %error, "cannot accept connections"),
    };
    // Asked each time: where connections come faster than they are taken, the branch below is never looked at.
    while !*closed.borrow() {
        let accepted = tokio::select! {
            biased;
            accepted = next(&acceptor, &crew) => accepted,
            _ = closed.changed() => break,
        };
        begin_or_rest(accepted, &post, &worker, &crew).await;
    }
    // Those who wait by now, and not those who go on coming.
    for _ in 0..acceptor.count_waiting() {
        let waiting = room(&crew).and_then(|()| acceptor.waiting());
        match waiting.transpose() {
            None => return,
            Some(accepted) => begin_or_rest(accepted, &post, &worker, &crew).await,
        }
    }
}

type Incoming = (OwnedFd, Option<SocketAddr>);

/// Waits for the next connection, but takes none that there is no room for.
async fn next(acceptor: &Acceptor, crew: &Crew) -> io::Result<Incoming> {
    room(crew)?;
    poll_fn(|cx| acceptor.poll_accept(cx)).await
}

fn room(crew: &Crew) -> io::Result<()> {
    match crew.is_full() {
        true => Err(io::Error::other("every descriptor is in use (RLIMIT_NOFILE)")),
        false => Ok(()),
    }
}

async fn begin_or_rest(accepted: io::Result<Incoming>, post: &Post, worker: &Rc<Worker>, crew: &Crew) {
    let begun = accepted.and_then(|(socket, client)| match crew.share(&post.listener(), socket, client) {
        Some(ours) => begin(worker, ours),
        None => Ok(()),
    });
    if let Err(error) = begun {
        if crew.may_complain() {
            tracing::warn!(listener = %post.listener().name, %error, "no connection can be accepted for now");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Serves what other workers hand over.
pub async fn serve_handed(mut inbox: UnboundedReceiver<Handed>, worker: Rc<Worker>) {
    while let Some(handed) = inbox.recv().await {
        let listener = Arc::clone(&handed.listener);
        if let Err(error) = begin(&worker, handed) {
            tracing::warn!(listener = %listener.name, %error, "cannot take a connection over");
        }
    }
}

fn begin(worker: &Rc<Worker>, handed: Handed) -> io::Result<()> {
    let Handed {
        listener,
        socket,
        client,
        counted,
    } = handed;
    let mut accepted = Box::new(Accepted::new(Stream::new(socket)?, client, &listener));
    accepted.here = worker.live().enter(&accepted);
    let id = accepted.id;
    let task = tokio::task::spawn_local(serve(Rc::clone(worker), accepted, counted));
    worker.live().is_served_by(id, || task.abort_handle());
    Ok(())
}
