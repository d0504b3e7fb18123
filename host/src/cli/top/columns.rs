//! Tables that fit: what does not matter most goes, and long texts are cut.

use ratatui::text::{Line, Span};

use super::paint::{Paint, Tone};

pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

pub struct Column {
    title: String,
    to_the_right: bool,
    /// The higher it is, the sooner the column goes where there is no room.
    rank: u8,
    /// What is left of it at the least.
    least: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    pub text: String,
    pub tone: Tone,
}

/// A table as it stands on a screen.
pub struct Lines {
    pub head: Line<'static>,
    pub rows: Vec<Line<'static>>,
}

const GAP: usize = 2;

/// A name of which no more is left says nothing.
const LEAST_TEXT: usize = 10;

/// As long as an address of IPv4 can be: half of one is none.
const LEAST_ADDRESS: usize = 21;

impl Table {
    pub fn of(columns: Vec<Column>) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    pub fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// No more rows than that; the head says so.
    pub fn truncate(&mut self, rows: usize) {
        let all = self.rows.len();
        if rows >= all {
            return;
        }
        self.rows.truncate(rows);
        if let Some(first) = self.columns.first_mut() {
            first.title = format!("{} ({rows} of {all})", first.title);
        }
    }

    /// As wide as that; these rows of it.
    pub fn lines(&self, width: usize, rows: std::ops::Range<usize>, paint: Paint) -> Lines {
        let shown = self.rows.get(rows).unwrap_or_default();
        let widths = self.widths(width);
        let titles: Vec<Cell> = self
            .columns
            .iter()
            .map(|column| toned(&column.title, Tone::Strong))
            .collect();
        Lines {
            head: self.line(&titles, &widths, paint),
            rows: shown.iter().map(|row| self.line(row, &widths, paint)).collect(),
        }
    }

    /// Everything, as wide as it is.
    pub fn text(&self) -> String {
        let lines = self.lines(usize::MAX, 0..self.rows.len(), Paint::allowed(None));
        let lines = std::iter::once(lines.head).chain(lines.rows);
        lines.map(|line| plain(&line) + "\n").collect()
    }

    /// Of each column; none where it is left out. The same for all rows: nothing moves aside while one scrolls.
    fn widths(&self, width: usize) -> Vec<Option<usize>> {
        let natural = |(place, column): (usize, &Column)| {
            let texts = self
                .rows
                .iter()
                .filter_map(|row| row.get(place))
                .map(|cell| wide(&cell.text));
            texts.max().unwrap_or(0).max(wide(&column.title))
        };
        let natural: Vec<usize> = self.columns.iter().enumerate().map(natural).collect();
        let wants: Vec<Want> = self.columns.iter().zip(natural).map(Want::of).collect();
        fit(&wants, width)
    }

    fn line(&self, cells: &[Cell], widths: &[Option<usize>], paint: Paint) -> Line<'static> {
        let mut spans: Vec<Span<'static>> = Vec::new();
        let mut owed = 0;
        for ((cell, width), column) in cells.iter().zip(widths).zip(&self.columns) {
            let Some(width) = *width else { continue };
            let text = cut(&cell.text, width);
            let missing = width - wide(&text).min(width);
            let (before, after) = if column.to_the_right {
                (missing, 0)
            } else {
                (0, missing)
            };
            // What is behind the last text of a line stays empty.
            owed += before;
            if !text.is_empty() {
                spans.push(Span::raw(" ".repeat(owed)));
                spans.push(Span::styled(text, paint.style(cell.tone)));
                owed = 0;
            }
            owed += after + GAP;
        }
        Line::from(spans)
    }
}

impl Column {
    /// A text, which is cut where there is no room.
    pub fn text(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            to_the_right: false,
            rank: 0,
            least: LEAST_TEXT,
        }
    }

    /// An address, or what is as long and means nothing by half.
    pub fn address(title: &str) -> Self {
        Self {
            least: LEAST_ADDRESS,
            ..Self::text(title)
        }
    }

    /// A word or a figure, which is there whole or not at all.
    pub fn word(title: &str) -> Self {
        Self {
            least: usize::MAX,
            ..Self::text(title)
        }
    }

    pub fn figure(title: &str) -> Self {
        Self {
            to_the_right: true,
            ..Self::word(title)
        }
    }

    pub fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }
}

pub fn plain_cell(text: impl Into<String>) -> Cell {
    Cell {
        text: text.into(),
        tone: Tone::Plain,
    }
}

pub fn toned(text: impl Into<String>, tone: Tone) -> Cell {
    Cell {
        text: text.into(),
        tone,
    }
}

/// What a column wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Want {
    natural: usize,
    least: usize,
    rank: u8,
}

impl Want {
    fn of((column, natural): (&Column, usize)) -> Self {
        Self {
            natural,
            least: natural.min(column.least),
            rank: column.rank,
        }
    }

    #[cfg(test)]
    pub(super) fn new(natural: usize, least: usize, rank: u8) -> Self {
        Self { natural, least, rank }
    }
}

/// The widths that columns get of so much room. The last of those with the highest rank goes first, and the first column
/// never; then the widest texts are cut.
pub(super) fn fit(wants: &[Want], room: usize) -> Vec<Option<usize>> {
    let mut kept: Vec<Option<usize>> = wants.iter().map(|want| Some(want.least)).collect();
    while taken(&kept) > room {
        let rest = kept.iter().enumerate().skip(1).filter(|(_, width)| width.is_some());
        let Some((last, _)) = rest.max_by_key(|(place, _)| (wants[*place].rank, *place)) else {
            break;
        };
        kept[last] = None;
    }
    let mut left = room.saturating_sub(taken(&kept));
    // To those that have the least, one by one: so the widest are cut.
    while left > 0 {
        let short = wants.iter().zip(&mut kept).filter_map(|(want, width)| {
            let width = width.as_mut()?;
            (*width < want.natural).then_some(width)
        });
        let Some(narrowest) = short.min_by_key(|width| **width) else {
            break;
        };
        *narrowest += 1;
        left -= 1;
    }
    if let (true, Some(Some(first))) = (taken(&kept) > room, kept.first_mut()) {
        *first = room;
    }
    kept
}

fn taken(widths: &[Option<usize>]) -> usize {
    let widths = widths.iter().flatten();
    let gaps = widths.clone().count().saturating_sub(1) * GAP;
    widths.sum::<usize>() + gaps
}

/// As many of these words as fit beside each other, the first ones.
pub fn beside(cells: &[Cell], width: usize, gap: usize, paint: Paint) -> Line<'static> {
    let mut spans: Vec<Span<'static>> = Vec::new();
    let mut taken = 0;
    for cell in cells {
        let before = if spans.is_empty() { 0 } else { gap };
        let text = match spans.is_empty() {
            true => cut(&cell.text, width),
            false => cell.text.clone(),
        };
        if taken + before + wide(&text) > width {
            break;
        }
        taken += before + wide(&text);
        spans.push(Span::raw(" ".repeat(before)));
        spans.push(Span::styled(text, paint.style(cell.tone)));
    }
    Line::from(spans)
}

/// In lines that are no wider than that, broken between words where there are any. A character that is wider than a line has one
/// of its own.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut line, mut taken) = (String::new(), 0);
    for word in text.split_inclusive(' ') {
        if taken > 0 && taken + wide(word.trim_end()) > width {
            lines.push(std::mem::take(&mut line));
            taken = 0;
        }
        for c in word.chars() {
            let more = wide(c.encode_utf8(&mut [0; 4]));
            if taken > 0 && taken + more > width {
                lines.push(std::mem::take(&mut line));
                taken = 0;
            }
            line.push(c);
            taken += more;
        }
    }
    lines.push(line);
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// What fits into so many columns; that something is missing shows.
pub fn cut(text: &str, width: usize) -> String {
    if wide(text) <= width {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut taken = 0;
    for c in text.chars() {
        let more = wide(c.encode_utf8(&mut [0; 4]));
        if taken + more + 1 > width {
            break;
        }
        taken += more;
        shown.push(c);
    }
    if width > 0 {
        shown.push('…');
    }
    shown
}

/// How many columns of a terminal it takes.
pub fn wide(text: &str) -> usize {
    Span::raw(text).width()
}

/// Without what a terminal makes of it.
pub fn plain(line: &Line<'_>) -> String {
    let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
    text.trim_end().to_owned()
}
