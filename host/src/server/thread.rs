//! One worker's thread.

use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::Context;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::task::spawn_local;

use crate::config::Drain;
use crate::connection::{Query, Shown, Survey};
use crate::listener::{Crew, Handed, Post, accept, serve_handed};
use crate::observe::Vitals;
use crate::sys::Coarse;
use crate::treatment::InForce;
use crate::upstream::Upstreams;
use crate::worker::{Draining, Worker, beat};

pub struct WorkerThread {
    pub thread: JoinHandle<()>,
    commands: mpsc::UnboundedSender<Command>,
}

pub enum Command {
    /// Accept here, too.
    Accept(Arc<Post>, OwnedFd),
    /// Something may be over for connections earlier than they think.
    Wake,
    /// There are other upstreams to have spare connections to.
    Refill,
    /// A filter has a new generation: let go of what belongs to the one before.
    Retire,
    /// Every post is closed, and there will be no other: end with the last connection.
    Finish,
    /// The same, and connections have an end in sight.
    Drain(Drain),
    /// That is to be done to connections from now on.
    Measure(InForce),
    /// Remember connections: somebody may ask which there are.
    Remember,
    /// Say which connections there are.
    List(Query, oneshot::Sender<Vec<Shown>>),
    /// Say what that one is, if it is here.
    Show(u64, oneshot::Sender<Option<Shown>>),
    /// Say which of them stand out, and which have ended lately.
    Survey(oneshot::Sender<Survey>),
    /// End it, if it is here, for this reason.
    Kill(u64, Box<str>, oneshot::Sender<Option<Shown>>),
    /// Say that it is there, with all that it began with.
    Answer(mpsc::UnboundedSender<()>),
    /// Stop now, whatever is still connected.
    Halt,
}

/// What a worker begins with.
pub struct Start {
    pub index: usize,
    pub crew: Crew,
    /// What the other workers hand over.
    pub inbox: mpsc::UnboundedReceiver<Handed>,
    /// How many pipes of 1 MiB it may have at once.
    pub pipes: usize,
    /// Somebody may ask which connections it has.
    pub is_asked: bool,
    /// To which it makes its part of the spare connections, one of `workers`.
    pub upstreams: Arc<Upstreams>,
    pub workers: usize,
    /// Where it says how it is.
    pub vitals: Arc<Vitals>,
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
    let worker = Rc::new(Worker::new(
        start.pipes,
        start.is_asked,
        start.vitals.traffic(start.index),
    ));
    runtime.block_on(async {
        worker.spares().fill(&start.upstreams, start.workers);
        spawn_local(serve_handed(start.inbox, Rc::clone(&worker)));
        let mut accepting = JoinSet::new();
        let mut ending = false;
        spawn_local(beat(Rc::clone(&worker), start.index, start.vitals));
        let mut timing = pin!(worker.timers().run());
        loop {
            let served = async {
                while accepting.join_next().await.is_some() {}
                start.crew.leave().await;
                worker.mirrors().over().await;
            };
            tokio::select! {
                () = served, if ending => return,
                () = &mut timing => {}
                command = commands.recv() => match command {
                    Some(Command::Accept(post, socket)) => {
                        accepting.spawn_local(accept(post, socket, Rc::clone(&worker), start.crew.clone()));
                    }
                    Some(Command::Wake) => worker.timers().wake_all(),
                    Some(Command::Refill) => {
                        worker.spares().clear();
                        worker.spares().fill(&start.upstreams, start.workers);
                    }
                    Some(Command::Retire) => worker.instances().retire(),
                    Some(Command::Finish) => ending = true,
                    Some(Command::Drain(drain)) => {
                        worker.drain(draining(drain));
                        ending = true;
                    }
                    Some(Command::Measure(measures)) => worker.measure(measures),
                    Some(Command::Remember) => worker.live().begin(),
                    // They wait for others' turns.
                    Some(Command::List(query, reply)) => {
                        let worker = Rc::clone(&worker);
                        spawn_local(async move { reply.send(worker.live().list(&query).await).ok() });
                    }
                    Some(Command::Show(id, reply)) => {
                        let worker = Rc::clone(&worker);
                        spawn_local(async move { reply.send(worker.live().show(id).await).ok() });
                    }
                    Some(Command::Kill(id, reason, reply)) => {
                        let worker = Rc::clone(&worker);
                        spawn_local(async move { reply.send(worker.live().kill(id, reason).await).ok() });
                    }
                    // One that has been asked for in vain is not worth the work: they pile up while a worker hangs.
                    Some(Command::Survey(reply)) if reply.is_closed() => {}
                    Some(Command::Survey(reply)) => {
                        let worker = Rc::clone(&worker);
                        spawn_local(async move { reply.send(worker.live().survey().await).ok() });
                    }
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
