//! What is done to one direction of one connection.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Sleep, sleep_until};

use super::clock::{self, Nanos};
use super::faults::{Faulted, Hit};
use super::meter::Meter;
use super::mirror::Mirrors;
use super::quota::Allowance;
use super::regimen::Regimen;
use super::sharing::Whose;
use crate::flow::Direction;

/// What the lane asks before it reads, and tells what it has read.
#[derive(Default)]
pub struct Course {
    /// Of which regimen each of these is.
    meters: Vec<(Arc<Regimen>, Meter)>,
    quotas: Vec<(Arc<Regimen>, Arc<Allowance>)>,
    /// What faults do to bytes on their way.
    pub faulted: Option<Box<Faulted>>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Who is sent the same as the lane's sink. They stay for as long as the connection does.
    pub mirrors: Mirrors,
}

/// A quota has no byte left.
#[derive(Debug, PartialEq, Eq)]
pub struct Exhausted;

impl Course {
    /// What these regimens do to one direction of a connection; `None` where that is nothing. Of the course before, what is of a
    /// regimen that stays goes on.
    pub(super) fn follow(
        before: Option<Box<Self>>,
        regimens: &[Arc<Regimen>],
        direction: Direction,
        whose: &Whose,
        hits: &[Hit],
    ) -> Option<Box<Self>> {
        let mut course = before.unwrap_or_default();
        let had = course.regimens();
        let stays = |of: &Arc<Regimen>| regimens.iter().any(|regimen| Arc::ptr_eq(regimen, of));
        course.meters.retain(|(of, _)| stays(of));
        course.quotas.retain(|(of, _)| stays(of));
        let is_new = |of: &&Arc<Regimen>| !had.iter().any(|had| Arc::ptr_eq(had, of));
        for regimen in regimens.iter().filter(is_new) {
            let buckets = regimen.buckets(direction, whose).into_iter();
            course
                .meters
                .extend(buckets.map(|bucket| (Arc::clone(regimen), Meter::new(bucket))));
            let quotas = regimen.byte_quotas(whose).into_iter();
            course.quotas.extend(quotas.map(|quota| (Arc::clone(regimen), quota)));
        }
        course.faulted = Faulted::follow(course.faulted.take(), hits, direction);
        (!course.is_nothing()).then_some(course)
    }

    /// Ready when the next bytes may be read.
    ///
    /// # Errors
    /// A quota has none left.
    pub fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Exhausted>> {
        let now = clock::now();
        if self.quotas.iter().any(|(_, quota)| quota.left(now) == 0) {
            return Poll::Ready(Err(Exhausted));
        }
        let latest = self
            .meters
            .iter_mut()
            .filter_map(|(_, meter)| meter.waits_until(now))
            .max();
        match latest {
            None => Poll::Ready(Ok(())),
            Some(turn) => self.poll_sleep(cx, turn).map(Ok),
        }
    }

    /// How many bytes may be read then.
    pub fn most(&self) -> u64 {
        let turns = self.meters.iter().map(|(_, meter)| meter.most());
        let quotas = self.quotas.iter().map(|(_, quota)| quota.left(clock::now()).max(1));
        turns.chain(quotas).min().unwrap_or(u64::MAX)
    }

    /// Bytes a second: of the slowest of its rates, which others may share.
    pub fn rate(&self) -> Option<u64> {
        self.meters.iter().map(|(_, meter)| meter.rate()).min()
    }

    pub fn took(&mut self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let now = clock::now();
        for (_, meter) in &mut self.meters {
            meter.took(now, bytes);
        }
        for (_, quota) in &self.quotas {
            quota.took(now, bytes);
        }
    }

    pub fn is_nothing(&self) -> bool {
        self.meters.is_empty() && self.quotas.is_empty() && self.faulted.is_none() && self.mirrors.is_empty()
    }

    fn regimens(&self) -> Vec<Arc<Regimen>> {
        let meters = self.meters.iter().map(|(of, _)| of);
        let quotas = self.quotas.iter().map(|(of, _)| of);
        meters.chain(quotas).cloned().collect()
    }

    /// Ready when it is over. A millisecond late at the most, where the machine is not busy: the buckets make up for that.
    fn poll_sleep(&mut self, cx: &mut Context<'_>, until: Nanos) -> Poll<()> {
        let until = clock::instant(until);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(cx)
    }
}

impl fmt::Debug for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Course")
            .field("meters", &self.meters.len())
            .field("quotas", &self.quotas.len())
            .finish_non_exhaustive()
    }
}
