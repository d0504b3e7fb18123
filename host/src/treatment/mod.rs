//! What is done to the bytes of a connection besides passing them on: how fast they may go, and how many there may be.
//!
//! ```text
//! config::TreatmentConfig --once--> Regimen    with what its connections share: buckets, quotas
//! listener, route, upstream, filter, measures -> begin() -> Courses { up, down }    for one connection
//! relay: a lane asks its Course whether it may read, and how much; and tells it what it has read
//! ```
//!
//! A connection that nothing is done to has no course, and its lanes look at nothing else. What operators ask for while the
//! process runs is a [`Measure`]: connections look for those that mean them when there are others than before.

mod bucket;
mod clock;
mod course;
mod measure;
mod meter;
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
use sharing::Whose;

/// What is done to each direction of a connection.
#[derive(Debug, Default)]
pub struct Treatment {
    /// What a filter has asked for.
    pub prescription: Prescription,
    pub courses: Courses,
}

/// Of the two directions; `None` where nothing is done.
#[derive(Debug, Default)]
pub struct Courses {
    pub up: Option<Box<Course>>,
    pub down: Option<Box<Course>>,
}

/// A quota has no connection left.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused;

impl Treatment {
    /// Boxed, since few connections have any.
    pub fn prescribed(prescription: Prescription) -> Option<Box<Self>> {
        (prescription != Prescription::default()).then(|| {
            Box::new(Self {
                prescription,
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
        return Err(Refused);
    }
    Ok(courses(&regimens, &whose, Courses::default()))
}

/// What is done to it from now on, where measures have changed: what stays goes on as it is.
pub fn renew(worker: &Worker, subject: &Subject<'_>, before: Courses) -> Courses {
    courses(&subject.regimens(worker), &Whose::of(subject), before)
}

fn courses(regimens: &[Arc<Regimen>], whose: &Whose, before: Courses) -> Courses {
    Courses {
        up: Course::follow(before.up, regimens, Direction::Up, whose),
        down: Course::follow(before.down, regimens, Direction::Down, whose),
    }
}
