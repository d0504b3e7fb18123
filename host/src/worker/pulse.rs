//! Whether a worker keeps up: it measures how late a timer of its own comes.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Worker;
use crate::observe::Vitals;

/// Often enough that a minute has some, and seldom enough that an idle process is left alone.
const EVERY: Duration = Duration::from_secs(1);

/// For as long as it is polled: a task of that worker's. What is told of the worker's pipes is told here, too, so that lending
/// one costs nothing more.
pub async fn beat(worker: Rc<Worker>, index: usize, vitals: Arc<Vitals>) {
    let mut due = Instant::now();
    loop {
        sleep_until(due).await;
        vitals.beat(index, due.elapsed(), worker.pipes().in_use());
        due = Instant::now() + EVERY;
    }
}
