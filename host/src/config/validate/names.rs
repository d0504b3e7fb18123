//! Names that stand for something else in the file, and what may be there once only.

use std::collections::HashMap;

use toml::Spanned;

use super::given::apart;
use crate::config::diagnostics::{Problem, Problems, Reported, Span};
use crate::config::named::Named;
use crate::config::reader::Given;
use crate::config::suggest;

/// The names of one kind of table that other tables refer to.
pub struct Names {
    kind: &'static str,
    /// Not known where the tables could not be read as such: then no reference can be called wrong.
    known: Result<Vec<String>, Reported>,
}

impl Names {
    pub fn of<T>(kind: &'static str, given: &Option<Given<Named<T>>>) -> Self {
        let known = match given {
            None => Ok(Vec::new()),
            Some(Given(Ok(named))) => Ok(named.get_ref().0.iter().map(|entry| entry.key.clone()).collect()),
            Some(Given(Err(reported))) => Err(*reported),
        };
        Self { kind, known }
    }

    /// Of tables whose names stand inside.
    pub fn listed(kind: &'static str, known: Result<Vec<String>, Reported>) -> Self {
        Self { kind, known }
    }

    pub fn existing(&self, name: Spanned<String>, problems: &mut Problems) -> Result<String, Reported> {
        let known = self.known.as_ref().map_err(|reported| *reported)?;
        let (name, span) = apart(name);
        if known.contains(&name) {
            return Ok(name);
        }
        let kind = self.kind;
        let names = || known.iter().map(String::as_str);
        let problem = Problem::absence(Some(span), format!("there is no {kind} `{name}`"));
        Err(problems.report(match suggest::similar(&name, names()) {
            Some(meant) => problem.label(format!("did you mean `{meant}`?")),
            None if known.is_empty() => problem.help(format!("add a table `[{kind}s.{name}]`")),
            // A dozen is enough to see what was meant; a generated file may have thousands.
            None if known.len() > 12 => {
                problem.note(format!("known {kind}s: {}, ...", suggest::list(names().take(12))))
            }
            None => problem.note(format!("known {kind}s: {}", suggest::list(names()))),
        }))
    }
}

/// Finds what may be there once and is there again.
pub struct FirstUse<T, F> {
    seen: HashMap<T, Span>,
    complaint: F,
}

impl<T: Eq + std::hash::Hash + Clone, F: Fn(&T) -> String> FirstUse<T, F> {
    pub fn new(complaint: F) -> Self {
        Self {
            seen: HashMap::new(),
            complaint,
        }
    }

    pub fn check(&mut self, given: Spanned<T>, problems: &mut Problems) -> Result<T, Reported> {
        let (value, span) = apart(given);
        if let Some(first) = self.seen.get(&value) {
            let problem = Problem::at(span, (self.complaint)(&value)).label("and here again");
            return Err(problems.report(problem.related(first.clone(), "first here")));
        }
        self.seen.insert(value.clone(), span);
        Ok(value)
    }
}
