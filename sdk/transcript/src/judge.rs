//! Whether what came of a case is what it expects, and whether two ways to play it came to the same.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Display;

use crate::{Case, Cut, Decision, Direction, Ending, Observed, PerDirection, Refusal, Value};

/// What was expected, and what came: a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch(String);

impl Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything in which what came of a case is not what it expects. A filter that failed is the only mismatch then.
pub fn judge(case: &Case, observed: &Observed) -> Vec<Mismatch> {
    let mut judge = Judge::default();
    if let Some(failure) = &observed.failure {
        judge.mismatch(format!("the filter failed: {failure}"));
        return judge.mismatches;
    }
    judge.configuration(case, observed);
    if observed.config_refused.is_none() {
        judge.refusal(case, observed);
        judge.decision(case, observed);
        judge.bytes(case, observed);
        judge.traces(case, observed);
    }
    judge.mismatches
}

/// Everything in which a variant came to something else than the whole play. How much went on before a refusal depends on how
/// the bytes came, and so does the number of log records.
pub(crate) fn compare(whole: &Observed, variant: &Observed) -> Vec<Mismatch> {
    let mut judge = Judge::default();
    let reason = |observed: &Observed| observed.refusal.as_ref().map(|refusal| refusal.reason.clone());
    judge.same("the refusal", &shown(&reason(whole)), &shown(&reason(variant)));
    let reply = |observed: &Observed| {
        observed
            .refusal
            .as_ref()
            .map(|refusal| Excerpt(&refusal.reply).to_string())
    };
    judge.same("the reply", &shown(&reply(whole)), &shown(&reply(variant)));
    judge.same("the decision", &whole.decision, &variant.decision);
    judge.same("the options", &listed(&whole.options), &listed(&variant.options));
    judge.same(
        "the annotations",
        &listed(&whole.annotations),
        &listed(&variant.annotations),
    );
    judge.same("the metrics", &listed(&whole.metrics), &listed(&variant.metrics));
    let refused = whole.refusal.is_some();
    judge.same_bytes(
        "the upstream receives",
        &whole.to_upstream,
        &variant.to_upstream,
        refused,
    );
    judge.same_bytes("the client receives", &whole.to_client, &variant.to_client, refused);
    judge.mismatches
}

/// The most that a peer has received of a connection that was refused, over all the ways in which its bytes came. How much
/// goes on before a refusal depends on these; that nothing more ever does, and that as much as is expected once did, does not.
#[derive(Default)]
pub(crate) struct Most(PerDirection<Option<(Cut, Observed)>>);

impl Most {
    pub(crate) fn note(&mut self, cut: Cut, observed: &Observed) {
        if observed.refusal.is_none() {
            return;
        }
        for direction in Direction::ALL {
            let most = self.0.of_mut(direction);
            let reached = most.as_ref().map(|(_, most)| most.received(direction).len());
            if reached.is_none_or(|reached| reached < observed.received(direction).len()) {
                *most = Some((cut, observed.clone()));
            }
        }
    }

    /// What never came as far as the case expects, and the way in which it came the farthest. Each of the ways has been judged.
    pub(crate) fn judge(&self, case: &Case) -> Option<(Cut, Vec<Mismatch>)> {
        let short = |direction| {
            let (cut, observed) = self.0.of(direction).as_ref()?;
            let (refusal, came) = (observed.refusal.as_ref()?, observed.received(direction));
            let (what, expected) = receiver(case, direction);
            let expected = expected.filter(|expected| *expected != came)?;
            let difference = Difference { expected, came };
            let hint = hint(direction, refusal);
            let text = format!("{what} less than that before the refusal, however the bytes come: {difference}{hint}");
            Some((*cut, Mismatch(text)))
        };
        let (cuts, mismatches): (Vec<_>, Vec<_>) = Direction::ALL.into_iter().filter_map(short).unzip();
        cuts.first().map(|cut| (*cut, mismatches))
    }
}

/// Who receives what goes in a direction, and what that should be.
fn receiver(case: &Case, direction: Direction) -> (&'static str, Option<&[u8]>) {
    match direction {
        Direction::Up => ("the upstream receives", case.expect.upstream_receives.as_deref()),
        Direction::Down => ("the client receives", case.expect.client_receives.as_deref()),
    }
}

/// Those who expect a refusal's reply where it does not belong.
fn hint(direction: Direction, refusal: &Refusal) -> &'static str {
    match direction {
        Direction::Down if !refusal.reply.is_empty() => {
            "; what the refusal itself tells it is apart: did you mean `reply`?"
        }
        _ => "",
    }
}

#[derive(Default)]
struct Judge {
    mismatches: Vec<Mismatch>,
}

impl Judge {
    fn mismatch(&mut self, sentence: String) {
        self.mismatches.push(Mismatch(sentence));
    }

    fn configuration(&mut self, case: &Case, observed: &Observed) {
        match (&case.expect.config_refused, &observed.config_refused) {
            (Some(text), Some(reason)) if !reason.contains(text) => {
                self.mismatch(format!(
                    "the configuration is refused for another reason: expected {text:?}, came {reason:?}"
                ));
            }
            (Some(text), None) => {
                self.mismatch(format!(
                    "the configuration is accepted: expected it to be refused with {text:?}"
                ));
            }
            (None, Some(reason)) => self.mismatch(format!("the configuration is refused: {reason}")),
            _ => {}
        }
    }

    fn refusal(&mut self, case: &Case, observed: &Observed) {
        match (&case.expect.refused, &observed.refusal) {
            (Some(text), Some(refusal)) if refusal.reason.contains(text) => self.how_refused(case, refusal),
            (Some(text), Some(Refusal { reason, .. })) => {
                self.mismatch(format!(
                    "refused for another reason: expected {text:?}, came {reason:?}"
                ));
            }
            (Some(text), None) => self.mismatch(format!("not refused: expected a refusal with {text:?}")),
            (None, Some(Refusal { reason, .. })) => self.mismatch(format!("refused: {reason:?}")),
            (None, None) => {}
        }
    }

    fn how_refused(&mut self, case: &Case, refusal: &Refusal) {
        if let Some(ending) = case.expect.ending
            && ending != refusal.ending
        {
            self.mismatch(format!(
                "the ending: expected {}, came {}",
                name(ending),
                name(refusal.ending)
            ));
        }
        if let Some(reply) = &case.expect.reply {
            self.exactly("the reply", reply, &refusal.reply);
        }
    }

    fn decision(&mut self, case: &Case, observed: &Observed) {
        let expect = &case.expect;
        let expected = match &expect.upstream {
            Some(upstream) => Some(Decision::Upstream(upstream.clone())),
            None if expect.passes => Some(Decision::Passes),
            None if expect.waits => Some(Decision::Waits),
            None => None,
        };
        if let Some(expected) = expected
            && expected != observed.decision
        {
            self.mismatch(format!(
                "the router: expected that it {expected}, and it {}",
                observed.decision
            ));
        }
        if let Decision::Upstream(chosen) = &observed.decision
            && !case.given.upstreams.is_empty()
            && !case.given.upstreams.contains_key(chosen)
        {
            let known: Vec<_> = case.given.upstreams.keys().map(String::as_str).collect();
            self.mismatch(format!(
                "the router chooses {chosen:?}, and the upstreams given are {}",
                known.join(", ")
            ));
        }
        self.values("the option", &expect.options, &observed.options);
    }

    fn bytes(&mut self, case: &Case, observed: &Observed) {
        for direction in Direction::ALL {
            let (what, expected) = receiver(case, direction);
            let (Some(expected), came) = (expected, observed.received(direction)) else {
                continue;
            };
            let Some(refusal) = &observed.refusal else {
                self.exactly(what, expected, came);
                continue;
            };
            if !expected.starts_with(came) {
                let difference = Difference { expected, came };
                let hint = hint(direction, refusal);
                self.mismatch(format!(
                    "{what} more than that, or something else, before the refusal: {difference}{hint}"
                ));
            }
        }
    }

    fn traces(&mut self, case: &Case, observed: &Observed) {
        let expect = &case.expect;
        self.values("the annotation", &expect.annotations, &observed.annotations);
        for (name, expected) in &expect.metrics {
            let came = observed.metrics.get(name).copied().unwrap_or_default();
            if (came - expected).abs() > 1e-9 {
                self.mismatch(format!("the metric {name}: expected {expected}, came {came}"));
            }
        }
        for text in &expect.logs {
            if !observed.logs.iter().any(|record| record.contains(text)) {
                let came = match observed.logs.as_slice() {
                    [] => "nothing was logged".to_owned(),
                    records => format!("logged: {}", records.join(" / ")),
                };
                self.mismatch(format!("no log record has {text:?}; {came}"));
            }
        }
        for direction in Direction::ALL {
            let (seen, name) = (*observed.shown.of(direction), direction.name());
            if let Some(most) = expect.sees.of(direction)
                && seen > *most
            {
                self.mismatch(format!("it sees {seen} bytes of {name}: expected {most} at the most"));
            }
            if expect.detached.contains(&direction) && !observed.detached.of(direction) {
                self.mismatch(format!("it still watches {name}: expected it to have detached"));
            }
        }
    }

    fn values(&mut self, what: &str, expected: &BTreeMap<String, Value>, came: &BTreeMap<String, Value>) {
        for (key, expected) in expected {
            match came.get(key) {
                Some(value) if expected.admits(value) => {}
                Some(value) => self.mismatch(format!("{what} {key}: expected {expected}, came {value}")),
                None => self.mismatch(format!("{what} {key}: expected {expected}, came none")),
            }
        }
    }

    fn exactly(&mut self, what: &str, expected: &[u8], came: &[u8]) {
        if expected != came {
            self.mismatch(format!("{what}: {}", Difference { expected, came }));
        }
    }

    fn same<T: PartialEq + Display>(&mut self, what: &str, whole: &T, variant: &T) {
        if whole != variant {
            self.mismatch(format!("{what}: {variant}, and where the bytes come whole: {whole}"));
        }
    }

    fn same_bytes(&mut self, what: &str, whole: &[u8], variant: &[u8], refused: bool) {
        let same = if refused {
            whole.starts_with(variant) || variant.starts_with(whole)
        } else {
            whole == variant
        };
        if !same {
            let difference = Difference {
                expected: whole,
                came: variant,
            };
            self.mismatch(format!("{what} other bytes than where they come whole: {difference}"));
        }
    }
}

fn shown(text: &Option<String>) -> String {
    text.clone().unwrap_or_else(|| "none".to_owned())
}

fn listed<T: Display>(all: &BTreeMap<String, T>) -> String {
    let each: Vec<String> = all.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    if each.is_empty() {
        "none".to_owned()
    } else {
        each.join(", ")
    }
}

fn name(ending: Ending) -> &'static str {
    match ending {
        Ending::Graceful => "graceful",
        Ending::Reset => "reset",
    }
}

impl Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("decides nothing"),
            Self::Passes => f.write_str("passes"),
            Self::Waits => f.write_str("waits for more"),
            Self::Upstream(name) => write!(f, "chooses {name:?}"),
        }
    }
}

/// How much of bytes is shown of each side of the place that matters.
const AROUND: usize = 40;

/// Bytes as a transcript could have them.
struct Excerpt<'a>(&'a [u8]);

impl Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (here, more) = self.0.split_at(self.0.len().min(2 * AROUND));
        write!(f, "\"{}\"", here.escape_ascii())?;
        if more.is_empty() {
            Ok(())
        } else {
            write!(f, " and {} bytes more", more.len())
        }
    }
}

/// Two byte strings, from a little before the place where they part.
struct Difference<'a> {
    expected: &'a [u8],
    came: &'a [u8],
}

impl Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, came } = self;
        let same = expected
            .iter()
            .zip(*came)
            .take_while(|(left, right)| left == right)
            .count();
        let from = same.saturating_sub(AROUND);
        if from > 0 {
            write!(f, "the same for {same} bytes; from byte {from} on ")?;
        }
        write!(
            f,
            "expected {}, came {}",
            Excerpt(&expected[from..]),
            Excerpt(&came[from..])
        )
    }
}

#[cfg(test)]
mod tests;
