//! What is wrong with a configuration file, shown under the lines that are wrong.
//!
//! The only place that knows annotate-snippets, whose interface changes between its 0.x versions.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level, Message, Origin, Renderer, Snippet, normalize_untrusted_str};

/// Bytes of the file's text, from and up to.
pub(super) type Span = Range<usize>;

/// Everything that is wrong with one file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    path: String,
    text: String,
    found: Vec<Problem>,
}

impl Problems {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.found.len()
    }

    /// The problems as a person reads them, in colour (ANSI escapes) for a terminal or plain for everything else.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let rendered: Vec<String> = self
            .found
            .iter()
            .map(|problem| renderer.render(&[self.group(problem)]))
            .collect();
        rendered.join("\n\n")
    }

    pub(super) fn new(path: &Path, text: &str) -> Self {
        Self {
            path: path.display().to_string(),
            text: text.to_owned(),
            found: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn text(&self, span: Span) -> &str {
        &self.text[span]
    }

    pub(super) fn report(&mut self, problem: Problem) -> Reported {
        self.found.push(problem);
        Reported(())
    }

    /// Takes back the report of something missing, for a problem that explains where it went.
    pub(super) fn replace(&mut self, reported: Absence, problem: Problem) {
        self.found[reported.0] = problem;
    }

    pub(super) fn report_absence(&mut self, problem: Problem) -> (Reported, Absence) {
        let absence = Absence(self.found.len());
        (self.report(problem), absence)
    }

    /// Sorts by position, and leaves out what may only be an echo of a syntax error.
    pub(super) fn settle(&mut self) {
        self.found.sort_by_key(|problem| match &problem.at {
            Some(at) => (at.start, at.end),
            None => (usize::MAX, usize::MAX),
        });
        self.drop_after_unclosed();
        self.drop_echoes();
    }

    /// What follows an opening bracket without a closing one was read as something that it is not.
    fn drop_after_unclosed(&mut self) {
        let unclosed = self.found.iter().position(|problem| problem.nature == Nature::Unclosed);
        if let Some(unclosed) = unclosed {
            self.found.truncate(unclosed + 1);
        }
    }

    /// What seems to be missing may be in the part that could not be read. Of the complaints about one line, the first of
    /// the parser's counts: its later ones are mostly about its own recovery.
    fn drop_echoes(&mut self) {
        let text = self.text.as_str();
        let line_of = |problem: &Problem| problem.at.as_ref().map(|at| line_start(text, at.start));
        let syntax = |problem: &Problem| matches!(problem.nature, Nature::Syntax | Nature::Unclosed);
        let unreadable: Vec<_> = self
            .found
            .iter()
            .filter(|problem| syntax(problem))
            .map(line_of)
            .collect();
        if unreadable.is_empty() {
            return;
        }
        let mut previous = None;
        self.found.retain(|problem| {
            let line = line_of(problem);
            match problem.nature {
                Nature::Syntax | Nature::Unclosed => previous.replace(line) != Some(line),
                Nature::Absence => false,
                Nature::Meaning => unreadable.binary_search(&line).is_err(),
            }
        });
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let group = Group::with_title(Level::ERROR.primary_title(problem.what.as_str()));
        let group = match &problem.at {
            Some(at) => group.element(self.snippet(problem, at)),
            None => group.element(Origin::path(self.path.as_str())),
        };
        group.elements(problem.footers())
    }

    /// The lines from the first to the last that matter. The renderer would search the whole file, once for each problem.
    fn snippet<'a>(&'a self, problem: &'a Problem, at: &Span) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let related = problem.related.as_ref();
        let first = related.map_or(at.start, |(span, _)| span.start.min(at.start));
        let last = related.map_or(at.start, |(span, _)| span.start.max(at.start));
        let start = line_start(&self.text, first);
        let source = &self.text[start..line_end(&self.text, last)];
        let within = |span: &Span| {
            let end = span.end.min(line_end(&self.text, span.start));
            span.start - start..end.max(span.start) - start
        };

        let primary = AnnotationKind::Primary.span(within(at)).label(problem.label.as_deref());
        Snippet::source(source)
            .path(self.path.as_str())
            .line_start(1 + self.text[..start].matches('\n').count())
            .annotation(primary)
            .annotations(related.map(|(span, label)| AnnotationKind::Context.span(within(span)).label(label.as_str())))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

/// The proof that a problem was reported: it takes the place of a value that could not be had, so that nothing wrong goes
/// unmentioned and nothing is mentioned twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reported(());

/// Where a report of something missing stands, until the problems are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Absence(usize);

/// All of the values, or the proof that one of them could not be had: asks for each of them first, so that each can report.
pub(super) fn all<T>(results: impl Iterator<Item = Result<T, Reported>>) -> Result<Vec<T>, Reported> {
    let asked: Vec<_> = results.collect();
    asked.into_iter().collect()
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// `None` where it is the file as a whole.
    at: Option<Span>,
    what: String,
    label: Option<String>,
    related: Option<(Span, String)>,
    notes: Vec<String>,
    helps: Vec<String>,
    nature: Nature,
}

/// What a problem is worth when other parts of the file could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    Syntax,
    Unclosed,
    Absence,
    Meaning,
}

impl Problem {
    /// Something that stands in the file and is wrong.
    pub(super) fn at(span: Span, what: impl Into<String>) -> Self {
        Self {
            at: Some(span),
            what: one_line(what),
            label: None,
            related: None,
            notes: Vec::new(),
            helps: Vec::new(),
            nature: Nature::Meaning,
        }
    }

    /// Something that the parser could not read.
    pub(super) fn syntax(span: Span, what: impl Into<String>) -> Self {
        Self {
            nature: Nature::Syntax,
            ..Self::at(span, what)
        }
    }

    /// A bracket or a quote that opens and never closes.
    pub(super) fn unclosed(span: Span, what: impl Into<String>) -> Self {
        Self {
            nature: Nature::Unclosed,
            ..Self::at(span, what)
        }
    }

    /// Something that the file, or the part of it at the span, does not have.
    pub(super) fn absence(span: Option<Span>, what: impl Into<String>) -> Self {
        Self {
            at: span,
            nature: Nature::Absence,
            ..Self::at(0..0, what)
        }
    }

    /// Written beside the underline.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(one_line(label));
        self
    }

    /// Another part of the file that explains this one.
    pub(super) fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related = Some((span, one_line(label)));
        self
    }

    /// What is allowed here.
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(one_line(note));
        self
    }

    /// What to do.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.helps.push(one_line(help));
        self
    }

    fn footers(&self) -> impl Iterator<Item = Message<'_>> {
        // The renderer trusts the text of messages; ours quote the file.
        let notes = self
            .notes
            .iter()
            .map(|note| Level::NOTE.message(normalize_untrusted_str(note)));
        let helps = self
            .helps
            .iter()
            .map(|help| Level::HELP.message(normalize_untrusted_str(help)));
        notes.chain(helps)
    }
}

/// Messages quote the file; what they quote must not break them.
fn one_line(text: impl Into<String>) -> String {
    let text = text.into();
    if !text.contains(char::is_control) {
        // What turns the direction of text is no control character, and would turn that of a line.
        return normalize_untrusted_str(&text);
    }
    let escape = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    normalize_untrusted_str(&text.chars().map(escape).collect::<String>())
}

pub(super) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline)
}
