//! The terminal, taken over and given back as it was: also after an error, and after a panic.

use std::env;
use std::io::{self, IsTerminal, stdin, stdout};

use ratatui::{DefaultTerminal, Frame};

pub struct Screen(DefaultTerminal);

/// Whether there is a terminal that can show pictures and has keys.
///
/// # Errors
/// What is missing.
pub fn is_there() -> Result<(), &'static str> {
    if !stdout().is_terminal() {
        return Err("standard output is no terminal");
    }
    if !stdin().is_terminal() {
        return Err("standard input is no terminal, and keys come from there");
    }
    match env::var_os("TERM") {
        Some(kind) if kind == "dumb" => Err("this terminal shows lines alone (TERM=dumb)"),
        _ => Ok(()),
    }
}

impl Screen {
    /// Lines that were there come back when it is dropped. A panic gives it back too, before it is told of.
    pub fn open() -> io::Result<Self> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self(terminal)),
            Err(error) => {
                ratatui::try_restore().ok();
                Err(error)
            }
        }
    }

    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(draw).map(|_| ())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.0.show_cursor().ok();
        ratatui::try_restore().ok();
    }
}
