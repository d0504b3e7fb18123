//! One worker's thread.

use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::Context;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;

use crate::config::Drain;
use crate::listener::{Crew, Handed, Listener, accept, serve_handed};
use crate::sys::Coarse;
use crate::upstream::Upstreams;
use crate::worker::{Draining, Worker};

pub struct WorkerThread {
    pub thread: JoinHandle<()>,
    commands: mpsc::UnboundedSender<Command>,
}

pub enum Command {
    /// Something may be over for connections earlier than they think.
    Wake,
    /// A filter has a new generation: let go of what belongs to the one before.
    Retire,
    /// Nothing more is accepted, and connections have an end in sight.
    Drain(Drain),
    /// Say that it is there, with all that it began with.
    Answer(mpsc::UnboundedSender<()>),
    /// Stop now, whatever is still connected.
    Halt,
}

/// What a worker begins with.
pub struct Start {
    pub index: usize,
    pub sockets: Vec<(Arc<Listener>, OwnedFd)>,
    pub crew: Crew,
    /// What the other workers hand over.
    pub inbox: mpsc::UnboundedReceiver<Handed>,
    /// How many pipes of 1 MiB it may have at once.
    pub pipes: usize,
    /// To which it makes its part of the spare connections, one of `workers`.
    pub upstreams: Arc<Upstreams>,
    pub workers: usize,
    /// Changes when no more connections are to be accepted.
    pub stop: watch::Receiver<()>,
}

impl WorkerThread {
    /// Returns when the worker is there to accept connections.
    ///
    /// # Errors
    /// There is no thread, or nothing to wait with, to be had.
    pub fn start(start: Start) -> anyhow::Result<Self> {
        let (commands, received) = mpsc::unbounded_channel();
        let runtime = || {
            Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default())
        };
        let (started, starting) = std::sync::mpsc::channel();
        let name = format!("worker-{}", start.index);
        let work = move || match runtime() {
            Ok(runtime) => {
                let _ = started.send(Ok(()));
                run(&runtime, start, received);
            }
            Err(error) => _ = started.send(Err(error)),
        };
        let thread = thread::Builder::new()
            .name(name)
            .spawn(work)
            .context("cannot start a worker")?;
        starting.recv()?.context("cannot start a worker")?;
        Ok(Self { thread, commands })
    }

    /// A worker that has ended already needs no telling.
    pub fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// For telling it while the thread is being waited for.
    pub fn commands(&self) -> mpsc::UnboundedSender<Command> {
        self.commands.clone()
    }
}

/// Ends when nothing more is accepted and no connection is left, or when it is halted.
fn run(runtime: &LocalRuntime, start: Start, mut commands: mpsc::UnboundedReceiver<Command>) {
    let worker = Rc::new(Worker::new(start.pipes));
    runtime.block_on(async {
        worker.spares().fill(&start.upstreams, start.workers);
        let accepting: Vec<_> = start
            .sockets
            .into_iter()
            .map(|(listener, socket)| {
                (
                    listener,
                    socket,
                    Rc::clone(&worker),
                    start.crew.clone(),
                    start.stop.clone(),
                )
            })
            .map(|(listener, socket, worker, crew, stop)| spawn_local(accept(listener, socket, worker, crew, stop)))
            .collect();
        spawn_local(serve_handed(start.inbox, Rc::clone(&worker)));
        let served = async {
            for listener in accepting {
                let _ = listener.await;
            }
            start.crew.leave().await;
        };
        let mut served = pin!(served);
        let mut timing = pin!(worker.timers().run());
        loop {
            tokio::select! {
                () = &mut served => return,
                () = &mut timing => {}
                command = commands.recv() => match command {
                    Some(Command::Wake) => worker.timers().wake_all(),
                    Some(Command::Retire) => worker.instances().retire(),
                    Some(Command::Drain(drain)) => worker.drain(draining(drain)),
                    // In its turn, behind what waits to run: the acceptors, at first.
                    Some(Command::Answer(asker)) => _ = spawn_local(async move { asker.send(()) }),
                    Some(Command::Halt) | None => return,
                },
            }
        }
    });
}

fn draining(drain: Drain) -> Draining {
    let now = Coarse::now();
    Draining {
        soft: drain.soft.map(|after| now + after),
        spread: drain.spread,
        hard: drain.hard.map(|after| now + after),
    }
}
