//! Which routes a name is for, without looking at the others.

use std::collections::HashMap;

use regex::{RegexSet, RegexSetBuilder};
use smallvec::SmallVec;

use crate::config::{Pattern, RouteConfig};

/// The most that all expressions of a listener together may take once compiled; above it, each is tried by itself.
const LARGEST_SET: usize = 64 << 20;

/// Lists of routes are ascending, and have each route once.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By the whole name.
    names: HashMap<String, Vec<usize>>,
    /// By how it ends, from a dot on.
    endings: HashMap<String, Vec<usize>>,
    /// In bytes. A longer ending need not be looked up.
    longest_ending: usize,
    expressions: RegexSet,
    /// The routes of `expressions`, one for each: a route that has several is there as often.
    expressed: Vec<usize>,
    /// For any name and for none: their names, if they have any, have to be looked at.
    others: Vec<usize>,
    /// Whether a route is found by its names.
    indexed: Vec<bool>,
}

impl Index {
    pub(super) fn new(routes: &[RouteConfig]) -> Self {
        let mut index = Self::default();
        let expressions = set(routes);
        for (number, route) in routes.iter().enumerate() {
            let can_be_found =
                |pattern: &Pattern| can_be_found(pattern) && (expressions.is_some() || !is_expression(pattern));
            let is_indexed = !route.sni.is_empty() && route.sni.iter().all(can_be_found);
            index.indexed.push(is_indexed);
            if is_indexed {
                route.sni.iter().for_each(|pattern| index.add(pattern, number));
            } else {
                index.others.push(number);
            }
        }
        index.expressions = expressions.unwrap_or_default();
        index
    }

    /// Whether [`Self::candidates`] has this route only where its name fits.
    pub(super) fn has(&self, route: usize) -> bool {
        self.indexed[route]
    }

    /// In ascending order: all routes that the name is for, and all that are not told by names.
    pub(super) fn candidates(&self, name: Option<&str>) -> Candidates<'_> {
        let mut candidates = Candidates::default();
        candidates.lists.push(&self.others);
        if let Some(name) = name {
            let endings = name.match_indices('.').map(|(dot, _)| &name[dot..]);
            let endings = endings.filter(|ending| ending.len() <= self.longest_ending && ending.len() < name.len());
            let lists = endings.filter_map(|ending| self.endings.get(ending));
            let lists = self.names.get(name).into_iter().chain(lists);
            candidates.lists.extend(lists.map(Vec::as_slice));
            // The first question allocates nothing, and is mostly the last.
            if !self.expressed.is_empty() && self.expressions.is_match(name) {
                let fitting = self.expressions.matches(name);
                candidates
                    .fitting
                    .extend(fitting.iter().map(|place| self.expressed[place]));
            }
        }
        candidates
    }

    fn add(&mut self, pattern: &Pattern, route: usize) {
        let list = match pattern {
            Pattern::Exactly(name) => self.names.entry(name.clone()).or_default(),
            Pattern::Ending(ending) => {
                self.longest_ending = self.longest_ending.max(ending.len());
                self.endings.entry(ending.clone()).or_default()
            }
            Pattern::Expression { .. } => {
                self.expressed.push(route);
                return;
            }
        };
        if list.last() != Some(&route) {
            list.push(route);
        }
    }
}

/// All expressions of routes that are found by their names, in order. Names have no case, so neither have these.
fn set(routes: &[RouteConfig]) -> Option<RegexSet> {
    let found = routes.iter().filter(|route| route.sni.iter().all(can_be_found));
    let expressions = found.flat_map(|route| &route.sni).filter_map(|pattern| match pattern {
        Pattern::Expression { compiled, .. } => Some(compiled.as_str()),
        Pattern::Exactly(_) | Pattern::Ending(_) => None,
    });
    RegexSetBuilder::new(expressions)
        .case_insensitive(true)
        .size_limit(LARGEST_SET)
        .build()
        .ok()
}

/// Endings are looked up from each dot of a name.
fn can_be_found(pattern: &Pattern) -> bool {
    !matches!(pattern, Pattern::Ending(ending) if !ending.starts_with('.'))
}

fn is_expression(pattern: &Pattern) -> bool {
    matches!(pattern, Pattern::Expression { .. })
}

/// Several ascending lists as one, each route once. On the stack, unless a name is for routes of many endings.
#[derive(Debug, Default)]
pub(super) struct Candidates<'a> {
    lists: SmallVec<[&'a [usize]; 6]>,
    /// Those whose expressions fit.
    fitting: SmallVec<[usize; 8]>,
    /// How many of them are done with.
    past: usize,
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let heads = self.lists.iter().filter_map(|list| list.first());
        let next = *heads.chain(self.fitting.get(self.past)).min()?;
        for list in &mut self.lists {
            if let Some((head, rest)) = list.split_first()
                && *head == next
            {
                *list = rest;
            }
        }
        while self.fitting.get(self.past) == Some(&next) {
            self.past += 1;
        }
        Some(next)
    }
}
