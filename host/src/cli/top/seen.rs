//! What is known of a proxy that is asked again and again: its last picture, and the trouble with it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::Value as Json;

use super::picture::Picture;
use crate::admin::said::Overview;
use crate::cli::ask::Trouble;
use crate::config::Address;
use crate::words::printable;

pub const PATH: &str = "/v1/overview";

/// What came of asking; where it is no overview, why.
pub type Answer = Result<Box<Overview>, String>;

pub struct Seen {
    pub address: String,
    pub picture: Option<Picture>,
    /// Bytes in a second, both ways together, the newest first.
    pub history: VecDeque<u64>,
    /// Why there is no newer picture.
    pub trouble: Option<String>,
    answered: Option<Instant>,
}

/// More columns than a terminal has.
const HISTORY: usize = 512;

/// A line of the log may be longer; nobody reads so much of it here.
const LONGEST_TEXT: usize = 2048;

impl Seen {
    pub fn of(address: &Address) -> Self {
        Self {
            address: printable(&address.to_string()).into_owned(),
            picture: None,
            history: VecDeque::new(),
            trouble: None,
            answered: None,
        }
    }

    /// The picture stays where there is trouble: it is the last that is known.
    pub fn take(&mut self, answer: Answer, now: Instant) {
        match answer {
            Ok(overview) => {
                let before = self.picture.take().map(|picture| picture.overview);
                let picture = Picture::after(before.as_ref(), *overview);
                if let Some(rates) = &picture.rates {
                    self.history.truncate(HISTORY - 1);
                    self.history
                        .push_front(rates.up.total().saturating_add(rates.down.total()));
                }
                self.picture = Some(picture);
                self.trouble = None;
                self.answered = Some(now);
            }
            Err(trouble) => self.trouble = Some(trouble),
        }
    }

    /// How long ago the picture came.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.answered.map(|answered| now.saturating_duration_since(answered))
    }
}

/// An answer.
///
/// # Errors
/// It is none, or one of another version.
pub fn read(answer: &str) -> Result<Overview, String> {
    parse(answer).map_err(|error| {
        let said: Json = serde_json::from_str(answer).unwrap_or_default();
        let version = said.pointer("/status/version").and_then(Json::as_str).map(harmless);
        unreadable(&error.to_string(), version.as_deref())
    })
}

/// An overview in which nothing is left that a terminal would obey: everything in it that is text may come from outside.
///
/// # Errors
/// It is none, or one of another version.
pub fn parse(answer: &str) -> serde_json::Result<Overview> {
    let mut said: Json = serde_json::from_str(answer)?;
    make_harmless(&mut said);
    serde_json::from_value(said)
}

/// What went wrong, for somebody who watches.
pub fn told(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Refused { status, .. } if *status == StatusCode::NOT_FOUND => {
            unreadable("it has no /v1/overview", Some("an older one"))
        }
        // Its hint is on a line of its own.
        trouble => printable(&trouble.to_string().replace("\n  hint: ", "; ")).into_owned(),
    }
}

fn unreadable(why: &str, version: Option<&str>) -> String {
    const OURS: &str = env!("CARGO_PKG_VERSION");
    let version = match version {
        Some(version) if version != OURS => format!("its version is {version}, and this is {OURS}"),
        _ => format!("this is version {OURS}; is it of another one?"),
    };
    format!("the proxy's answer cannot be read: {why}; {version}")
}

fn make_harmless(said: &mut Json) {
    match said {
        Json::String(text) => *text = harmless(text),
        Json::Array(items) => items.iter_mut().for_each(make_harmless),
        Json::Object(fields) => {
            let named = std::mem::take(fields).into_iter();
            *fields = named
                .map(|(name, mut value)| {
                    make_harmless(&mut value);
                    (harmless(&name), value)
                })
                .collect();
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

fn harmless(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST_TEXT).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    printable(&shown).into_owned()
}
