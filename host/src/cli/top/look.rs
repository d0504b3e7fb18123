//! What whoever sits at the terminal has chosen to look at.

use std::ops::Range;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    Overview,
    Listeners,
    Upstreams,
    Filters,
    Connections,
    Recent,
    Errors,
}

impl View {
    /// The key of the first is 1.
    pub const ALL: [Self; 7] = [
        Self::Overview,
        Self::Listeners,
        Self::Upstreams,
        Self::Filters,
        Self::Connections,
        Self::Recent,
        Self::Errors,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Listeners => "Listeners",
            Self::Upstreams => "Upstreams",
            Self::Filters => "Filters",
            Self::Connections => "Connections",
            Self::Recent => "Recent",
            Self::Errors => "Errors",
        }
    }

    /// The orders that it can have, the usual one first; none where there is no other.
    pub fn orders(self) -> &'static [Order] {
        match self {
            Self::Overview | Self::Errors => &[],
            Self::Listeners => &[Order::Name, Order::Connections, Order::Bytes],
            Self::Upstreams => &[Order::Name, Order::Worst, Order::Connections],
            Self::Filters => &[Order::Name, Order::Cost, Order::Worst],
            Self::Connections => &[Order::Biggest, Order::Slowest],
            Self::Recent => &[Order::Newest, Order::Worst, Order::Longest, Order::Bytes],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Name,
    Connections,
    Bytes,
    /// What fails, or is down.
    Worst,
    Cost,
    Biggest,
    Slowest,
    Newest,
    Longest,
}

impl Order {
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "by name",
            Self::Connections => "by connections",
            Self::Bytes => "by bytes",
            Self::Worst => "worst first",
            Self::Cost => "by cost",
            Self::Biggest => "the biggest",
            Self::Slowest => "the slowest",
            Self::Newest => "newest first",
            Self::Longest => "longest first",
        }
    }
}

#[derive(Debug, Default)]
pub struct Look {
    /// Its place among all views.
    view: usize,
    /// How often another order was asked for, by view.
    turns: [usize; View::ALL.len()],
    /// The first row that is shown.
    first: usize,
    pub paused: bool,
    pub help: bool,
    /// How many rows there are, and how many of them fit: known since it was drawn.
    rows: usize,
    room: usize,
}

impl Look {
    /// Whether it is over.
    pub fn press(&mut self, key: KeyEvent) -> bool {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return key.code == KeyCode::Char('c');
        }
        if key.code == KeyCode::Char('q') {
            return true;
        }
        if self.help {
            self.help = false;
            return false;
        }
        let page = self.room.max(1);
        match key.code {
            KeyCode::Esc => return true,
            KeyCode::Char('?') => self.help = true,
            KeyCode::Char('p') => self.paused = !self.paused,
            KeyCode::Char('s') => {
                self.turns[self.view] = self.turns[self.view].wrapping_add(1);
                self.first = 0;
            }
            KeyCode::Char(digit @ '1'..='7') => self.turn_to(digit as usize - '1' as usize),
            KeyCode::Tab | KeyCode::Right => self.turn_to(self.view + 1),
            KeyCode::BackTab | KeyCode::Left => self.turn_to(self.view + View::ALL.len() - 1),
            KeyCode::Down | KeyCode::Char('j') => self.scroll_to(self.first.saturating_add(1)),
            KeyCode::Up | KeyCode::Char('k') => self.scroll_to(self.first.saturating_sub(1)),
            KeyCode::PageDown | KeyCode::Char(' ') => self.scroll_to(self.first.saturating_add(page)),
            KeyCode::PageUp => self.scroll_to(self.first.saturating_sub(page)),
            KeyCode::Home | KeyCode::Char('g') => self.scroll_to(0),
            KeyCode::End | KeyCode::Char('G') => self.scroll_to(usize::MAX),
            _ => {}
        }
        false
    }

    pub fn view(&self) -> View {
        View::ALL[self.view]
    }

    pub fn order(&self) -> Option<Order> {
        let orders = self.view().orders();
        let turn = self.turns[self.view].checked_rem(orders.len())?;
        orders.get(turn).copied()
    }

    /// How many rows there are to look at, and how many of them fit. The last ones fill the room.
    pub fn fit(&mut self, rows: usize, room: usize) {
        (self.rows, self.room) = (rows, room);
        self.scroll_to(self.first);
    }

    /// The rows that are shown.
    pub fn shown(&self) -> Range<usize> {
        self.first..self.rows.min(self.first.saturating_add(self.room))
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    fn scroll_to(&mut self, first: usize) {
        self.first = first.min(self.rows.saturating_sub(self.room));
    }

    fn turn_to(&mut self, view: usize) {
        self.view = view % View::ALL.len();
        self.first = 0;
    }
}
