//! A promise, and the cases in which it is put to the test.

use std::any::Any;
use std::thread;

use spliceway_tests::network::Network;
use spliceway_tests::skip;

use super::scene::{Scene, Side, Subject, Timeouts, Towards, Way};

/// One row of a table. [`behaviours!`] makes a test of it.
#[derive(Clone, Copy)]
pub struct Behaviour {
    pub name: &'static str,
    /// The promise.
    pub what: &'static str,
    /// Who says that it has to be so, or what went wrong where it was not.
    pub source: &'static str,
    /// Who may have the leading part.
    pub acts: &'static [Side],
    pub ways: &'static [Way],
    /// Whether others can be asked the same.
    pub rivals: bool,
    pub towards: Towards,
    /// In a network of namespaces, where so many of a hundred packets are lost; otherwise over the loopback.
    pub network: Option<u32>,
    pub timeouts: Timeouts,
    pub scene: fn(&Scene),
}

/// What a row leaves out.
pub const USUAL: Behaviour = Behaviour {
    name: "",
    what: "",
    source: "",
    acts: &[Side::Client, Side::Upstream],
    ways: &[Way::Copy, Way::Splice, Way::Filtered, Way::Transformed],
    rivals: true,
    towards: Towards::Listening,
    network: None,
    timeouts: Timeouts::NONE,
    scene: |_| {},
};

/// A module's `BEHAVIOURS`, and a test of the same name for each. The scene is the function of that name.
macro_rules! behaviours {
    ($($name:ident: $row:expr;)*) => {
        pub const BEHAVIOURS: &[crate::Behaviour] = &[$(crate::Behaviour {
            name: stringify!($name),
            scene: $name,
            ..$row
        }),*];

        mod holds {
            $(#[test]
            fn $name() {
                super::BEHAVIOURS
                    .iter()
                    .find(|behaviour| behaviour.name == stringify!($name))
                    .expect("the table has what was made of it")
                    .holds();
            })*
        }
    };
}
pub(crate) use behaviours;

impl Behaviour {
    /// Spliceway keeps the promise in every case.
    pub fn holds(&self) {
        if self.network.is_some()
            && let Err(reason) = Network::lay()
        {
            skip!("{reason}");
        }
        let subjects: Vec<Subject> = self.ways.iter().map(|way| Subject::Spliceway(*way)).collect();
        let failed: Vec<String> = self
            .play(&subjects)
            .into_iter()
            .filter_map(|case| Some(format!("{}: {}", case.name, case.result.err()?)))
            .collect();
        assert!(failed.is_empty(), "{}\n{}", self.what, failed.join("\n"));
    }

    /// Plays the scene in every case, all at once: most of them wait most of the time.
    pub fn play(&self, subjects: &[Subject]) -> Vec<Case> {
        let cases = subjects
            .iter()
            .flat_map(|subject| self.acts.iter().map(move |side| (*subject, *side)));
        let playing: Vec<_> = cases
            .map(|(subject, side)| {
                let name = format!("{subject}, the {side} acts");
                let behaviour = *self;
                let thread = thread::Builder::new()
                    .name(name.clone())
                    .spawn(move || {
                        let scene = Scene::set(subject, side, &behaviour);
                        (behaviour.scene)(&scene);
                    })
                    .expect("a thread can be had");
                (name, thread)
            })
            .collect();
        playing
            .into_iter()
            .map(|(name, thread)| Case {
                name,
                result: thread.join().map_err(|panic| said(&*panic)),
            })
            .collect()
    }
}

/// How a scene went in one case.
pub struct Case {
    pub name: String,
    pub result: Result<(), String>,
}

fn said(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (None, Some(text)) => (*text).to_owned(),
        (None, None) => "it panicked without a word".to_owned(),
    }
}
