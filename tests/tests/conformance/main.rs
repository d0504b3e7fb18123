//! The conformance suite of the relay: what a TCP proxy owes to two peers that finish, reset, stall, dribble and vanish.
//!
//! Each module has a table of behaviours. A behaviour is a promise in words, where it comes from, and a scene that shows
//! it; the scene is played with the client and with the upstream in the leading part, and with the bytes copied, spliced,
//! shown to an inspector and given to a transformer. See [`behaviour`].
//!
//! The same scenes are played with nginx and HAProxy: `BLESS=1 cargo nextest run -p spliceway-tests --test conformance
//! document` writes what came of it to `docs/conformance.md`.

mod behaviour;
mod connecting;
mod document;
mod endings;
mod exchange;
mod losses;
mod pressure;
mod scene;
mod timers;

use behaviour::Behaviour;

/// The whole suite, chapter by chapter.
const CHAPTERS: &[(&str, &[Behaviour])] = &[
    ("How connections end", endings::BEHAVIOURS),
    ("How connections begin", connecting::BEHAVIOURS),
    ("Pressure", pressure::BEHAVIOURS),
    ("Time", timers::BEHAVIOURS),
    ("Losses", losses::BEHAVIOURS),
];
