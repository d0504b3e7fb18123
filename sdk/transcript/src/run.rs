//! Plays a case in all its variants.

use std::fmt;
use std::path::PathBuf;

use crate::judge::{Mismatch, Most, compare, judge};
use crate::{Case, Cut, Observed, Variant};

/// Who can play a case: the filter from its beginning, on a new connection, with an empty store.
pub trait Player {
    /// Plays the steps of the variant, and says what came of it. `case` says what is given.
    fn play(&mut self, case: &Case, variant: &Variant) -> Observed;
}

/// How often a case was played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Count {
    /// Whole and in pieces.
    pub variants: usize,
}

/// A case that did not come to what it expects.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The case's name.
    pub name: String,
    /// The file that it stands in.
    pub file: PathBuf,
    /// Where in the file it begins.
    pub line: usize,
    /// How the bytes came.
    pub cut: Cut,
    /// At least one.
    pub mismatches: Vec<Mismatch>,
}

/// Plays all variants of a case, until one does not come to what the case expects, or to something else than the whole. Of a
/// connection that is refused, what is expected to have gone on before is what at least one of them lets through.
///
/// # Errors
/// The first variant that does not, or the one that came the nearest.
pub fn run(case: &Case, player: &mut dyn Player, seed: u64) -> Result<Count, Failure> {
    let failure = |cut, mismatches| Failure {
        name: case.name.clone(),
        file: case.file.clone(),
        line: case.line,
        cut,
        mismatches,
    };
    let mut count = Count::default();
    let mut whole: Option<Observed> = None;
    let mut most = Most::default();
    for variant in case.variants(seed) {
        let observed = player.play(case, &variant);
        let mut mismatches = judge(case, &observed);
        if let Some(whole) = &whole
            && mismatches.is_empty()
        {
            mismatches = compare(whole, &observed);
        }
        if !mismatches.is_empty() {
            return Err(failure(variant.cut, mismatches));
        }
        count.variants += 1;
        most.note(variant.cut, &observed);
        whole.get_or_insert(observed);
    }
    match most.judge(case) {
        Some((cut, mismatches)) => Err(failure(cut, mismatches)),
        None => Ok(count),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {:?}, {}",
            self.file.display(),
            self.line,
            self.name,
            self.cut
        )?;
        self.mismatches
            .iter()
            .try_for_each(|mismatch| write!(f, "\n    {mismatch}"))
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::{Direction, Refusal, Step};

    /// Forwards, and does what a test adds to that.
    struct Forward<F>(F);

    impl<F: FnMut(&Variant, &mut Observed)> Player for Forward<F> {
        fn play(&mut self, _case: &Case, variant: &Variant) -> Observed {
            let mut observed = Observed::default();
            for step in &variant.steps {
                if let Step::Bytes(Direction::Up, bytes) = step {
                    observed.to_upstream.extend(bytes);
                }
            }
            self.0(variant, &mut observed);
            observed
        }
    }

    fn case(expect: &str) -> Case {
        let text = format!("\n[[case]]\nname = \"it is so\"\nplay = [{{ up = \"abc\" }}]\nexpect = {expect}");
        crate::parse("x.toml".as_ref(), &text).unwrap().cases.remove(0)
    }

    #[test]
    fn a_case_that_comes_to_the_same_each_time_passes() {
        let count = run(
            &case("{ upstream-receives = \"abc\" }"),
            &mut Forward(|_: &Variant, _: &mut Observed| {}),
            1,
        )
        .unwrap();
        assert_eq!(count.variants, 4 + 32);
    }

    #[test]
    fn a_failure_names_the_case_and_the_cut() {
        let lossy = |variant: &Variant, observed: &mut Observed| {
            if variant.cut == (Cut::At { step: 0, byte: 2 }) {
                observed.to_upstream.pop();
            }
        };
        let failure = run(&case("{ upstream-receives = \"abc\" }"), &mut Forward(lossy), 1).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "x.toml:2: \"it is so\", step 1 cut behind byte 2\n    the upstream receives: expected \"abc\", came \"ab\""
        );
    }

    #[test]
    fn what_is_not_expected_must_still_be_the_same_each_time() {
        let number = RefCell::new(0);
        let counting = |_: &Variant, observed: &mut Observed| {
            *number.borrow_mut() += 1;
            observed.metrics.insert("calls".to_owned(), f64::from(*number.borrow()));
        };
        let failure = run(&case("{}"), &mut Forward(counting), 1).unwrap_err();
        assert_eq!(failure.cut, Cut::Bytes);
        assert_eq!(
            failure.mismatches[0].to_string(),
            "the metrics: calls = 2, and where the bytes come whole: calls = 1"
        );
    }

    fn refused(observed: &mut Observed, reply: &str) {
        observed.refusal = Some(Refusal {
            reason: "no".to_owned(),
            ending: crate::Ending::Graceful,
            reply: reply.into(),
        });
    }

    #[test]
    fn how_much_goes_on_before_a_refusal_may_differ() {
        let judged = |expect: &str| {
            let refusing = |variant: &Variant, observed: &mut Observed| {
                // Of three pieces two, of two one, of the whole nothing.
                observed.to_upstream.truncate(variant.steps.len() - 1);
                refused(observed, "");
            };
            run(&case(expect), &mut Forward(refusing), 1).map_err(|failure| failure.to_string())
        };
        judged("{ refused = \"no\" }").unwrap();
        judged("{ refused = \"no\", upstream-receives = \"ab\" }").unwrap();
        let failure = judged("{ refused = \"no\", upstream-receives = \"\" }").unwrap_err();
        assert!(
            failure.ends_with("more than that, or something else, before the refusal: expected \"\", came \"ab\""),
            "{failure}"
        );
    }

    #[test]
    fn what_is_expected_before_a_refusal_must_have_gone_on_once() {
        let judged = |expect: &str| {
            let refusing = |variant: &Variant, observed: &mut Observed| {
                observed.to_upstream.truncate(variant.steps.len() - 1);
                refused(observed, "-ERR");
            };
            run(&case(expect), &mut Forward(refusing), 1).unwrap_err().to_string()
        };
        assert_eq!(
            judged("{ refused = \"no\", upstream-receives = \"abc\" }"),
            "x.toml:2: \"it is so\", in single bytes\n    the upstream receives less than that before the refusal, however the \
             bytes come: expected \"abc\", came \"ab\""
        );
        let nonsense = judged("{ refused = \"no\", client-receives = \"-ERR\" }");
        assert!(
            nonsense.ends_with(
                "expected \"-ERR\", came \"\"; what the refusal itself tells it is apart: did you mean `reply`?"
            ),
            "{nonsense}"
        );
        assert!(!judged("{ refused = \"no\", upstream-receives = \"x\" }").contains("reply"));
    }
}
