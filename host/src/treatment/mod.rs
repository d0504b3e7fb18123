//! What is done to the bytes of a connection besides passing them on.
//!
//! ```text
//! config::TreatmentConfig --once--> Regimen    with what its connections share: buckets, quotas
//! listener, route, upstream, filter, measures -> begin() -> Courses { up, down }    for one connection
//! relay: a lane asks its Course whether it may read, and how much; and tells it what it has read (bandwidth, quotas)
//!        filters -> mirrors: who is sent the same -> faults: what becomes of it on its way -> the sink
//! ```
//!
//! A connection that nothing is done to has no course, and its lanes look at nothing else. What operators ask for while the
//! process runs is a [`Measure`]: connections look for those that mean them when there are others than before.

mod bucket;
pub mod capture;
mod clock;
mod course;
pub mod faults;
mod measure;
mod meter;
pub mod mirror;
mod quota;
mod regimen;
mod sharing;
mod subject;

use std::sync::Arc;

pub use course::{Course, Exhausted};
pub use measure::{InForce, Measure, Measures, Scope};
pub use regimen::Regimen;
pub use subject::{Prescription, Subject};

use crate::flow::Direction;
use crate::worker::Worker;
use capture::Capture;
use faults::Hit;
use sharing::Whose;

/// What is done to each direction of a connection.
#[derive(Debug, Default)]
pub struct Treatment {
    /// What a filter has asked for.
    pub prescription: Prescription,
    pub courses: Courses,
    /// Who is sent a copy of them.
    pub mirrors: Vec<mirror::Planned>,
}

/// Of the two directions; `None` where nothing is done.
#[derive(Debug, Default)]
pub struct Courses {
    pub up: Option<Box<Course>>,
    pub down: Option<Box<Course>>,
}

/// Why a connection is to go no further.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// A quota has no connection left.
    Quota,
    /// A fault refuses it, with RST or with FIN.
    Fault { reset: bool },
}

impl Treatment {
    /// Boxed, since few connections have any.
    pub fn of(prescription: Prescription, mirrors: Vec<mirror::Planned>) -> Option<Box<Self>> {
        let is_nothing = prescription == Prescription::default() && mirrors.is_empty();
        (!is_nothing).then(|| {
            Box::new(Self {
                prescription,
                mirrors,
                courses: Courses::default(),
            })
        })
    }
}

impl Courses {
    pub fn are_none(&self) -> bool {
        self.up.is_none() && self.down.is_none()
    }
}

/// What is done to a new connection. It counts for its quotas.
///
/// # Errors
/// There are to be no more connections for now.
pub fn begin(worker: &Worker, subject: &Subject<'_>) -> Result<Courses, Refused> {
    let regimens = subject.regimens(worker);
    let whose = Whose::of(subject);
    if !regimens.iter().all(|regimen| regimen.admits(&whose)) {
        return Err(Refused::Quota);
    }
    let hits = hits(&regimens, subject);
    if let Some(reset) = hits.iter().find_map(|hit| hit.fault.config().kind.refuses()) {
        return Err(Refused::Fault { reset });
    }
    Ok(courses(&regimens, &whose, &hits, Courses::default()))
}

/// What is done to it from now on, where measures have changed: what stays goes on as it is.
pub fn renew(worker: &Worker, subject: &Subject<'_>, before: Courses) -> Courses {
    let regimens = subject.regimens(worker);
    let hits = hits(&regimens, subject);
    courses(&regimens, &Whose::of(subject), &hits, before)
}

/// Where a connection is written down.
pub fn captures(worker: &Worker, subject: &Subject<'_>) -> Vec<Arc<Capture>> {
    let regimens = subject.regimens(worker);
    regimens
        .iter()
        .flat_map(|regimen| regimen.captures())
        .cloned()
        .collect()
}

/// Of all faults.
fn hits(regimens: &[Arc<Regimen>], subject: &Subject<'_>) -> Vec<Hit> {
    regimens.iter().flat_map(|regimen| regimen.hits(subject.id)).collect()
}

fn courses(regimens: &[Arc<Regimen>], whose: &Whose, hits: &[Hit], before: Courses) -> Courses {
    Courses {
        up: Course::follow(before.up, regimens, Direction::Up, whose, hits),
        down: Course::follow(before.down, regimens, Direction::Down, whose, hits),
    }
}
