//! What somebody wants of a server that serves: by signal, by order, or by writing its configuration.

use std::io;
use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot::Sender as Reply;

use super::orders::{Order, Orders, Planned};
use super::tasks::Task;
use crate::watch::{Watch, watch};

/// Where wishes come from.
pub struct Wishes {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    orders: Option<Orders>,
    /// Of the configuration's file, where it is read whenever it changes.
    file: Option<Watch>,
}

/// What is wanted, and who is to be told what came of it.
pub enum Wish {
    /// To look at all files again.
    Reload(Option<Reply<Planned>>),
    /// To end, when connections have.
    Stop(Option<Reply<()>>),
    /// Something else, of an operator's.
    Task(Task),
}

impl Wishes {
    /// From here on, no signal has its default action.
    ///
    /// # Errors
    /// There is nothing to wait for signals with.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            orders: None,
            file: None,
        })
    }

    pub fn take_orders(&mut self, orders: Option<Orders>) {
        self.orders = orders;
    }

    /// Whoever gives orders is told that no more are taken.
    pub fn refuse_orders(&mut self) {
        self.orders = None;
    }

    /// Whether a change of the file is a wish.
    ///
    /// # Errors
    /// It cannot be watched.
    pub fn watch(&mut self, file: Option<&Path>) -> anyhow::Result<()> {
        match (file, &self.file) {
            (None, _) => self.file = None,
            // It has gone on watching all the time: what was written while the last version was read is not missed.
            (Some(_), Some(_)) => {}
            (Some(file), None) => self.file = Some(watch(&[file.to_owned()])?),
        }
        Ok(())
    }

    pub async fn next(&mut self) -> Wish {
        let changed = async {
            match &self.file {
                Some(file) => file.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop(None),
            _ = self.interrupt.recv() => Wish::Stop(None),
            _ = self.hangup.recv() => Wish::Reload(None),
            () = changed => Wish::Reload(None),
            order = next(&mut self.orders) => match order {
                Order::Reload(reply) => Wish::Reload(Some(reply)),
                Order::Drain(reply) => Wish::Stop(Some(reply)),
                Order::Task(task) => Wish::Task(task),
            },
        }
    }

    /// A signal to end, or to end at once where that is being done already.
    pub async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for ever where nobody gives orders.
async fn next(orders: &mut Option<Orders>) -> Order {
    let order = match orders {
        Some(orders) => orders.recv().await,
        None => None,
    };
    match order {
        Some(order) => order,
        None => std::future::pending().await,
    }
}
