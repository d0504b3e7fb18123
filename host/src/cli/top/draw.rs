//! The page: who is asked and how it is, the views, and one of them.

use std::ops::Range;
use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{RenderDirection, Sparkline, Widget};

use super::columns::{Cell, Table, beside, cut, plain_cell as cell, toned, wide, wrapped};
use super::look::{Look, Order, View};
use super::paint::{Paint, Tone};
use super::picture::Picture;
use super::seen::Seen;
use super::tables;
use crate::words::{size, time};

/// From this height on there is room for traffic by path and its course.
const TALL: u16 = 18;

/// Columns of a course that says something.
const COURSE: u16 = 12;

/// No more of a message than this: below it is what is known.
const TROUBLE_LINES: usize = 3;

const HELP: &[(&str, &str)] = &[
    ("1 to 7", "a view"),
    ("Tab, right", "the next view"),
    ("left", "the view before"),
    ("down, j", "a line down"),
    ("up, k", "a line up"),
    ("PgDn, space", "a page down"),
    ("PgUp", "a page up"),
    ("Home, g", "to the first line"),
    ("End, G", "to the last line"),
    ("s", "another order"),
    ("p", "pause, and go on"),
    ("?", "this, until the next key"),
    ("q, Esc, Ctrl-C", "end"),
];

/// Draws all of it, whatever the size.
pub fn draw(frame: &mut Frame<'_>, seen: &Seen, look: &mut Look, paint: Paint, now: Instant) {
    let mut page = Page {
        left: frame.area(),
        buffer: frame.buffer_mut(),
        paint,
    };
    let tall = page.left.height >= TALL;
    let footer = page.take_last();
    match &seen.picture {
        Some(picture) => head(&mut page, picture, seen, tall),
        None => page.line(&[toned("spliceway top", Tone::Strong), toned(&seen.address, Tone::Quiet)]),
    }
    if let Some(trouble) = &seen.trouble {
        tell(&mut page, trouble, seen.age(now));
    }
    if seen.picture.is_some() {
        views(&mut page, look.view());
    }
    if tall {
        page.skip();
    }
    match &seen.picture {
        _ if look.help => help(&mut page),
        Some(picture) => body(&mut page, picture, look),
        None if seen.trouble.is_none() => page.line(&[cell("waiting for an answer")]),
        None => {}
    }
    foot(&mut page, footer, look, seen.picture.is_some() && !look.help);
}

/// What is left of the screen.
struct Page<'a> {
    left: Rect,
    buffer: &'a mut Buffer,
    paint: Paint,
}

impl Page<'_> {
    fn width(&self) -> usize {
        self.left.width.into()
    }

    /// The line at the top is taken; none where no room is left.
    fn take(&mut self) -> Rect {
        let line = Rect {
            height: self.left.height.min(1),
            ..self.left
        };
        self.left.y = self.left.y.saturating_add(line.height);
        self.left.height -= line.height;
        line
    }

    fn take_last(&mut self) -> Rect {
        let height = self.left.height.min(1);
        self.left.height -= height;
        Rect {
            y: self.left.y.saturating_add(self.left.height),
            height,
            ..self.left
        }
    }

    fn skip(&mut self) {
        self.take();
    }

    fn line(&mut self, cells: &[Cell]) {
        let line = beside(cells, self.width(), 2, self.paint);
        self.add(&line);
    }

    fn add(&mut self, line: &Line<'_>) {
        let place = self.take();
        self.write(place, line);
    }

    fn write(&mut self, place: Rect, line: &Line<'_>) {
        if !place.is_empty() {
            self.buffer.set_line(place.x, place.y, line, place.width);
        }
    }
}

fn head(page: &mut Page<'_>, picture: &Picture, seen: &Seen, tall: bool) {
    page.line(&tables::identity(picture, &seen.address));
    if !tall {
        page.line(&tables::short(picture));
        return;
    }
    page.line(&tables::work(picture));
    let traffic = tables::traffic(picture);
    let lines = traffic.lines(page.width(), 0..traffic.len(), page.paint);
    let taken = std::iter::once(&lines.head).chain(&lines.rows).map(Line::width).max();
    let beside = Rect {
        height: 3.min(page.left.height),
        ..page.left
    };
    page.add(&lines.head);
    lines.rows.iter().for_each(|row| page.add(row));
    // Four columns apart.
    let taken = u16::try_from(taken.unwrap_or(0) + 4).unwrap_or(u16::MAX);
    course(page, beside, taken, seen);
}

/// Bytes in a second over time, the newest on the right; the highest is said above.
fn course(page: &mut Page<'_>, beside: Rect, taken: u16, seen: &Seen) {
    let width = beside.width.saturating_sub(taken);
    let shown = seen.history.iter().take(width.into());
    let peak = shown.clone().max().copied().unwrap_or(0);
    if width < COURSE || beside.height < 2 {
        return;
    }
    let area = Rect {
        x: beside.x + taken,
        width,
        ..beside
    };
    let caption = toned(format!("peak {}/s", size(peak)), Tone::Quiet);
    let caption = Line::styled(cut(&caption.text, width.into()), page.paint.style(caption.tone));
    page.write(Rect { height: 1, ..area }, &caption);
    let bars = Rect {
        y: area.y + 1,
        height: area.height - 1,
        ..area
    };
    Sparkline::default()
        .data(shown.copied())
        .max(peak.max(1))
        .direction(RenderDirection::RightToLeft)
        .render(bars, page.buffer);
}

/// That nothing newer is known, and why.
fn tell(page: &mut Page<'_>, trouble: &str, age: Option<Duration>) {
    let old = age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let old = old
        .map(|ms| format!(" (this is from {} ago)", time(ms)))
        .unwrap_or_default();
    let lines = wrapped(&format!("NO ANSWER{old}: {trouble}"), page.width());
    let many = if age.is_some() { TROUBLE_LINES } else { lines.len() };
    for line in lines.iter().take(many) {
        page.line(&[toned(line, Tone::Bad)]);
    }
}

/// All of them, close to each other where it is narrow; where they do not fit, their numbers and the name of this one.
fn views(page: &mut Page<'_>, chosen: View) {
    let tone = |view: View| if view == chosen { Tone::Chosen } else { Tone::Plain };
    let named = |behind: &str| -> Vec<Cell> {
        let views = View::ALL.iter().enumerate();
        let name =
            |(place, view): (usize, &View)| toned(format!(" {} {}{behind}", place + 1, view.name()), tone(*view));
        views.map(name).collect()
    };
    let numbered = |(place, view): (usize, &View)| match *view == chosen {
        true => toned(format!(" {} {} ", place + 1, view.name()), tone(*view)),
        false => cell(format!(" {}", place + 1)),
    };
    let numbers: Vec<Cell> = View::ALL.iter().enumerate().map(numbered).collect();
    let taken = |cells: &[Cell]| cells.iter().map(|cell| wide(&cell.text)).sum::<usize>();
    let width = page.width();
    let mut forms = [named(" "), named("")].into_iter();
    let shown = forms.find(|cells| taken(cells) <= width).unwrap_or(numbers);
    let line = beside(&shown, width, 0, page.paint);
    page.add(&line);
}

fn body(page: &mut Page<'_>, picture: &Picture, look: &mut Look) {
    let order = look.order().unwrap_or(Order::Name);
    match look.view() {
        View::Overview => {
            look.fit(0, page.left.height.into());
            small(page, picture);
        }
        View::Listeners => scrolled(page, &tables::listeners(picture, order), look),
        View::Upstreams => scrolled(page, &tables::servers(picture, order), look),
        View::Filters => scrolled(page, &tables::filters(picture, order), look),
        View::Connections => scrolled(page, &tables::connections(picture, order), look),
        View::Recent => scrolled(page, &tables::recent(picture, order), look),
        View::Errors => errors(page, picture, look),
    }
}

/// The rows that the look is at.
fn scrolled(page: &mut Page<'_>, table: &Table, look: &mut Look) {
    let room = usize::from(page.left.height).saturating_sub(1);
    look.fit(table.len(), room);
    let lines = table.lines(page.width(), look.shown(), page.paint);
    page.add(&lines.head);
    lines.rows.iter().for_each(|row| page.add(row));
    if table.len() == 0 {
        page.line(&[toned("none", Tone::Quiet)]);
    }
}

/// Lines of the log, whole.
fn errors(page: &mut Page<'_>, picture: &Picture, look: &mut Look) {
    let mut lines = Vec::new();
    for line in &picture.overview.errors {
        let ago = time(picture.overview.at_ms.saturating_sub(line.at_ms));
        let level = tables::level(line);
        let begin = format!("  {}  {ago} ago", tables::moment(line.at_ms));
        let begin = vec![Span::styled(level.text, page.paint.style(level.tone)), Span::raw(begin)];
        lines.push(Line::from(begin));
        let text = wrapped(&line.text, page.width().saturating_sub(2));
        lines.extend(text.into_iter().map(|text| Line::raw(format!("  {text}"))));
    }
    look.fit(lines.len(), page.left.height.into());
    for line in lines.get(look.shown()).unwrap_or_default() {
        page.add(line);
    }
    if lines.is_empty() {
        page.line(&[toned("none: nothing was logged at warn or error", Tone::Quiet)]);
    }
}

/// The most important of each view.
fn small(page: &mut Page<'_>, picture: &Picture) {
    let mut tables = vec![
        tables::upstreams(picture),
        tables::listeners(picture, Order::Connections),
        tables::filters(picture, Order::Cost),
        tables::connections(picture, Order::Biggest),
        tables::errors(picture),
        tables::recent(picture, Order::Newest),
    ];
    tables.retain(|table| table.len() > 0);
    let room = usize::from(page.left.height);
    let wants: Vec<usize> = tables.iter().map(Table::len).collect();
    // An empty line between them, where there is room for all rows besides, or for three of each.
    let all: usize = wants.iter().map(|rows| rows + 2).sum();
    let spaced = all <= room || room >= tables.len() * 5;
    let around = if spaced { 2 } else { 1 };
    let rows = shares(&wants, around, room);
    for (table, rows) in tables.iter_mut().zip(rows).filter(|(_, rows)| *rows > 0) {
        table.truncate(rows);
        let lines = table.lines(page.width(), 0..rows, page.paint);
        page.add(&lines.head);
        lines.rows.iter().for_each(|row| page.add(row));
        if spaced {
            page.skip();
        }
    }
}

/// How many rows each table gets of so much room, where each that has one needs lines around them. The first come first; what
/// they do not want is for the others.
pub(super) fn shares(wants: &[usize], around: usize, room: usize) -> Vec<usize> {
    let mut shares = vec![0; wants.len()];
    let mut left = room;
    for share in &mut shares {
        if left > around {
            *share = 1;
            left -= around + 1;
        }
    }
    loop {
        let before = left;
        for (share, want) in shares.iter_mut().zip(wants) {
            if left > 0 && (1..*want).contains(share) {
                *share += 1;
                left -= 1;
            }
        }
        if left == before {
            return shares;
        }
    }
}

fn help(page: &mut Page<'_>) {
    for (keys, what) in HELP {
        page.line(&[toned(format!("{keys:<16}"), Tone::Strong), cell(*what)]);
    }
}

/// The keys, and on the right which rows are shown.
fn foot(page: &mut Page<'_>, place: Rect, look: &Look, has_rows: bool) {
    let Range { start, end } = look.shown();
    let mut right = Vec::new();
    if let Some(order) = look.order().filter(|_| has_rows) {
        right.push(order.name().to_owned());
    }
    if has_rows && end - start < look.rows() {
        right.push(format!("{} to {end} of {}", start + 1, look.rows()));
    }
    let right = right.join(", ");
    let mut keys = Vec::new();
    if look.paused {
        keys.push(toned(" PAUSED ", Tone::Chosen));
    }
    let named = ["q quit", "? help", "Tab view", "p pause", "s order"];
    keys.extend(
        named
            .iter()
            .take(if look.order().is_some() { 5 } else { 4 })
            .map(|key| toned(*key, Tone::Quiet)),
    );
    let width = usize::from(place.width).saturating_sub(wide(&right) + 2);
    let keys = beside(&keys, width, 2, page.paint);
    page.write(place, &keys);
    let wide = u16::try_from(wide(&right)).unwrap_or(u16::MAX).min(place.width);
    let right_place = Rect {
        x: place.x + (place.width - wide),
        width: wide,
        ..place
    };
    page.write(right_place, &Line::raw(right));
}
