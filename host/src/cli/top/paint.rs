//! How words look. Nothing is said by a colour alone, and the colours are the terminal's own: it may be light or dark.

use std::ffi::OsString;

use ratatui::style::{Color, Modifier, Style};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    /// The name of a figure.
    Quiet,
    /// The head of a table, and who it is.
    Strong,
    Good,
    /// Neither good nor bad.
    Odd,
    Bad,
    /// Where one is.
    Chosen,
}

#[derive(Debug, Clone, Copy)]
pub struct Paint {
    colours: bool,
}

impl Paint {
    /// By what the environment has as `NO_COLOR` (<https://no-color.org>).
    pub fn allowed(no_color: Option<OsString>) -> Self {
        Self {
            colours: no_color.is_none_or(|value| value.is_empty()),
        }
    }

    pub fn style(self, tone: Tone) -> Style {
        let plain = Style::new();
        let colour = |colour| match self.colours {
            true => plain.fg(colour),
            false => plain,
        };
        match tone {
            Tone::Plain => plain,
            Tone::Quiet => plain.add_modifier(Modifier::DIM),
            Tone::Strong => plain.add_modifier(Modifier::BOLD),
            Tone::Good => colour(Color::Green),
            Tone::Odd => colour(Color::Yellow),
            Tone::Bad => colour(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Chosen => plain.add_modifier(Modifier::REVERSED),
        }
    }
}
