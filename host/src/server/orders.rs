//! What the process is asked and told while it serves, by whoever may.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::tasks::{Task, Text};
use super::thread::Command;
use crate::connection::{Query, Shown, Survey};
use crate::listener::Crew;
use crate::reload::{Amendment, Plan, Unfit};
use crate::treatment::Measures;

/// Orders that wait while one is carried out. Each of them has somebody who waits for it.
const WAITING: usize = 16;

/// How long a worker may take to answer. Its turns take microseconds, a filter's call in one of them up to a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it may take where something is to be seen even if a worker hangs: then most of all.
const GLANCE: Duration = Duration::from_millis(500);

/// Something for the main loop to do, and to whom to say when it is done.
pub enum Order {
    Reload(oneshot::Sender<Planned>),
    Drain(oneshot::Sender<()>),
    Task(Task),
}

/// What a reload changes, or would change; or everything that keeps it from being done.
pub type Planned = Result<Plan, Vec<String>>;

/// Where orders arrive. Dropped when no more of them are taken.
pub type Orders = mpsc::Receiver<Order>;

/// Where orders are given, and workers asked. Clones are the same.
#[derive(Clone)]
pub struct Desk {
    orders: mpsc::Sender<Order>,
    workers: Arc<[mpsc::UnboundedSender<Command>]>,
    crew: Crew,
    measures: Measures,
}

/// The process is about to end: it takes no more orders.
#[derive(Debug, thiserror::Error)]
#[error("the process is draining")]
pub struct Ending;

/// A worker does not answer.
#[derive(Debug, thiserror::Error)]
#[error("a worker has not answered within {} s", PATIENCE.as_secs())]
pub struct Silent;

impl Desk {
    pub(super) fn new(workers: Vec<mpsc::UnboundedSender<Command>>, crew: Crew, measures: Measures) -> (Self, Orders) {
        let (orders, received) = mpsc::channel(WAITING);
        let desk = Self {
            orders,
            workers: workers.into(),
            crew,
            measures,
        };
        (desk, received)
    }

    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// How many connections there are now.
    pub fn open(&self) -> usize {
        self.crew.connections()
    }

    /// What is done to connections besides what the configuration says.
    pub fn measures(&self) -> &Measures {
        &self.measures
    }

    pub fn is_draining(&self) -> bool {
        self.orders.is_closed()
    }

    /// # Errors
    /// The process is about to end.
    pub async fn reload(&self) -> Result<Planned, Ending> {
        self.order(Order::Reload).await
    }

    /// What a reload would do.
    ///
    /// # Errors
    /// The process is about to end.
    pub async fn rehearse(&self) -> Result<Planned, Ending> {
        self.order(|reply| Order::Task(Task::Rehearse(reply))).await
    }

    /// What would change where this text is in force.
    ///
    /// # Errors
    /// The process is about to end.
    pub async fn compare(&self, text: Text) -> Result<Planned, Ending> {
        self.order(|reply| Order::Task(Task::Compare(text, reply))).await
    }

    /// Serves something otherwise than the file has it. The answer is what has changed.
    ///
    /// # Errors
    /// The process is about to end.
    pub async fn amend(&self, amendment: Amendment) -> Result<Result<Plan, Unfit>, Ending> {
        self.order(|reply| Order::Task(Task::Amend(amendment, reply))).await
    }

    /// # Errors
    /// The process is about to end already.
    pub async fn drain(&self) -> Result<(), Ending> {
        self.order(Order::Drain).await
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, Ending> {
        let (done, answer) = oneshot::channel();
        self.orders.send(order(done)).await.map_err(|_| Ending)?;
        answer.await.map_err(|_| Ending)
    }

    /// Workers let go of what belongs to generations that connections do not begin with any more.
    pub fn retire(&self) {
        self.tell(|| Command::Retire);
    }

    /// Something may be over for connections earlier than they think.
    pub fn wake(&self) {
        self.tell(|| Command::Wake);
    }

    /// Returns when all workers have done what they were told before: measures hold for every byte from then on.
    ///
    /// # Errors
    /// A worker does not answer.
    pub async fn settled(&self) -> Result<(), Silent> {
        let answered = timeout(PATIENCE, super::answers(&self.workers)).await;
        answered.map(|_| ()).map_err(|_| Silent)
    }

    /// The connections of all workers, in the order of their numbers.
    ///
    /// # Errors
    /// A worker does not answer.
    pub async fn list(&self, query: &Query) -> Result<Vec<Shown>, Silent> {
        let lists = self.ask(|reply| Command::List(query.clone(), reply)).await?;
        let mut all: Vec<_> = lists.into_iter().flatten().collect();
        all.sort_unstable_by_key(|shown| shown.id);
        all.truncate(query.limit);
        Ok(all)
    }

    /// # Errors
    /// A worker does not answer.
    pub async fn show(&self, id: u64) -> Result<Option<Shown>, Silent> {
        let shown = self.ask(|reply| Command::Show(id, reply)).await?;
        Ok(shown.into_iter().flatten().next())
    }

    /// Ends a connection, and says what it was; nothing where there is none of that number.
    ///
    /// # Errors
    /// A worker does not answer.
    pub async fn kill(&self, id: u64, reason: &str) -> Result<Option<Shown>, Silent> {
        let killed = self.ask(|reply| Command::Kill(id, reason.into(), reply)).await?;
        Ok(killed.into_iter().flatten().next())
    }

    /// What stands out among the connections of those workers that answer at once.
    pub async fn survey(&self) -> Survey {
        let asked = self.workers.iter().map(|worker| {
            let (reply, answer) = oneshot::channel();
            let _ = worker.send(Command::Survey(reply));
            answer
        });
        let asked: Vec<_> = asked.collect();
        let deadline = Instant::now() + GLANCE;
        let mut surveys = Vec::with_capacity(asked.len());
        for answer in asked {
            surveys.extend(timeout_at(deadline, answer).await.ok().and_then(Result::ok));
        }
        Survey::of(surveys)
    }

    /// A worker that has ended already has nothing to tell, and needs no telling.
    fn tell(&self, command: impl Fn() -> Command) {
        self.workers.iter().for_each(|worker| _ = worker.send(command()));
    }

    async fn ask<T>(&self, question: impl Fn(oneshot::Sender<T>) -> Command) -> Result<Vec<T>, Silent> {
        let asked = self.workers.iter().map(|worker| {
            let (reply, answer) = oneshot::channel();
            let _ = worker.send(question(reply));
            answer
        });
        let asked: Vec<_> = asked.collect();
        let answered = async {
            let mut answers = Vec::with_capacity(asked.len());
            for answer in asked {
                answers.extend(answer.await.ok());
            }
            answers
        };
        timeout(PATIENCE, answered).await.map_err(|_| Silent)
    }
}
