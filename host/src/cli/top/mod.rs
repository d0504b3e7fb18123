//! `spliceway top`: what a proxy does, in a terminal.

mod columns;
mod draw;
mod look;
mod paint;
mod picture;
mod plain;
mod screen;
mod seen;
mod tables;
#[cfg(test)]
mod tests;
mod watch;

use std::env;
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use super::ask::{Asker, Place};
use super::{FAILED, WRONG, complain, say};
use crate::config::parse_period;
use draw::draw;
use look::Look;
use paint::Paint;
use picture::Picture;
use screen::Screen;
use seen::{PATH, Seen, parse, read, told};
use watch::{Happening, happenings};

#[derive(Debug, Args)]
#[command(
    after_help = "Keys: 1 to 7, Tab: another view; arrows, PgUp, PgDn: scroll; s: another order; p: pause; ?: help; q: quit.\n\
                        NO_COLOR in the environment takes the colours away. For programs there is `spliceway ctl --json overview`."
)]
pub struct Top {
    #[command(flatten)]
    place: Place,

    /// How often it is asked: from 200ms to 60s
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = every)]
    every: Duration,

    /// Print it once as plain text, with the rates of that long, and end
    #[arg(long)]
    once: bool,
}

pub fn top(asked: Top) -> ExitCode {
    let asker = match asked.place.asker() {
        Ok(asker) => asker,
        Err(trouble) => return complain(WRONG, &trouble.to_string()),
    };
    if asked.once {
        return match once(&asker, asked.every) {
            Ok(text) => {
                say(text.trim_end());
                ExitCode::SUCCESS
            }
            Err(trouble) => complain(FAILED, &trouble),
        };
    }
    if let Err(why) = screen::is_there() {
        let hint = "`spliceway top --once` prints plain text, and `spliceway ctl --json overview` is for programs";
        return complain(WRONG, &format!("{why}: {hint}"));
    }
    match watch(asker, asked.every) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(FAILED, &format!("the terminal cannot be used: {error}")),
    }
}

/// An overview, as text.
///
/// # Errors
/// The answer is none, or one of another version.
pub fn text(answer: &str) -> serde_json::Result<String> {
    Ok(Picture::after(None, parse(answer)?).text())
}

/// As plain text. It is asked twice: rates are between two answers.
fn once(asker: &Asker, every: Duration) -> Result<String, String> {
    let ask = || {
        let answer = asker.ask("GET", PATH, None).map_err(|trouble| told(&trouble))?;
        read(&answer)
    };
    let first = ask()?;
    thread::sleep(every);
    Ok(Picture::after(Some(&first), ask()?).text())
}

/// Until somebody ends it.
fn watch(asker: Asker, every: Duration) -> io::Result<()> {
    let mut seen = Seen::of(asker.address());
    let mut look = Look::default();
    let paint = Paint::allowed(env::var_os("NO_COLOR"));
    let happenings = happenings(asker, every)?;
    let mut screen = Screen::open()?;
    watch::keys(&happenings)?;
    loop {
        screen.draw(|frame| draw(frame, &seen, &mut look, paint, Instant::now()))?;
        for happening in happenings.next() {
            match happening {
                Happening::Key(key) if look.press(key) => return Ok(()),
                Happening::Key(_) | Happening::Resized => {}
                Happening::Answer(_) if look.paused => {}
                Happening::Answer(answer) => seen.take(answer, Instant::now()),
                Happening::End => return Ok(()),
                Happening::Lost(error) => return Err(error),
            }
        }
    }
}

/// More often, it would be a load of its own; more seldom, it would seem to hang.
fn every(text: &str) -> Result<Duration, String> {
    let every = parse_period(text)?;
    match (Duration::from_millis(200)..=Duration::from_secs(60)).contains(&every) {
        true => Ok(every),
        false => Err("expected 200ms to 60s".to_owned()),
    }
}
