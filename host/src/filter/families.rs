//! The names under which filters' metrics are seen from outside. A name means one thing on a page, whoever counts under it:
//! two filters may share a counter's name, but not one's counter with the other's gauge.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::metrics::Kind;

/// Every name that is taken, of all filters of a process. Never given back: whoever reads the pages would take what
/// follows for the same.
#[derive(Default)]
pub struct Families(Mutex<HashMap<String, Claim>>);

struct Claim {
    family: String,
    kind: Kind,
    /// Who was first.
    filter: Arc<str>,
}

/// What the metric of that name is called without the ending that a page gives it: a counter's samples end in `_total`,
/// whether or not its filter says so.
pub fn family(name: &str, kind: Kind) -> &str {
    let without = name.strip_suffix("_total").filter(|rest| !rest.is_empty());
    match kind {
        Kind::Counter => without.unwrap_or(name),
        Kind::Gauge | Kind::Histogram => name,
    }
}

impl Families {
    /// # Errors
    /// It would mean two things.
    pub fn claim(&self, name: &str, kind: Kind, filter: &Arc<str>) -> Result<(), String> {
        let family = family(name, kind);
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for shown in shown(family, kind) {
            if let Some(known) = claims.get(&shown)
                && (known.family != family || known.kind != kind)
            {
                let Claim { family, kind, filter } = known;
                return Err(format!(
                    "`{name}` would be `{shown}` on the page of metrics, which is of the {kind} `{family}` of the filter \
                     `{filter}`: choose another name"
                ));
            }
        }
        for shown in shown(family, kind) {
            claims.entry(shown).or_insert_with(|| Claim {
                family: family.to_owned(),
                kind,
                filter: Arc::clone(filter),
            });
        }
        Ok(())
    }
}

/// The names that it has on a page: its own, and those of its samples.
fn shown(family: &str, kind: Kind) -> impl Iterator<Item = String> {
    let endings: &[&str] = match kind {
        Kind::Counter => &["", "_total"],
        Kind::Gauge => &[""],
        Kind::Histogram => &["", "_bucket", "_sum", "_count"],
    };
    endings.iter().map(move |ending| format!("{family}{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(claims: &[(&str, Kind)]) -> Result<(), String> {
        let families = Families::default();
        let mut last = Ok(());
        for (number, (name, kind)) in claims.iter().enumerate() {
            assert_eq!(last, Ok(()), "{claims:?}");
            last = families.claim(name, *kind, &format!("filter-{number}").into());
        }
        last
    }

    #[test]
    fn filters_share_a_name_where_they_mean_the_same() {
        for kind in [Kind::Counter, Kind::Gauge, Kind::Histogram] {
            assert_eq!(claims(&[("hits", kind), ("hits", kind)]), Ok(()));
        }
        assert_eq!(
            claims(&[("hits", Kind::Counter), ("hits_total", Kind::Counter)]),
            Ok(())
        );
        assert_eq!(claims(&[("hits", Kind::Counter), ("hits_sum", Kind::Gauge)]), Ok(()));
    }

    #[test]
    fn a_name_does_not_mean_two_things() {
        use Kind::{Counter, Gauge, Histogram};
        for clash in [
            [("hits", Counter), ("hits", Gauge)],
            [("hits", Counter), ("hits_total", Gauge)],
            [("hits_total", Gauge), ("hits", Counter)],
            [("hits_total", Counter), ("hits", Histogram)],
            [("size", Histogram), ("size_count", Gauge)],
            [("size_sum", Counter), ("size", Histogram)],
            [("size_bucket", Histogram), ("size", Histogram)],
        ] {
            let said = claims(&clash).unwrap_err();
            assert!(said.contains("of the filter `filter-0`"), "{clash:?}: {said}");
        }
        assert_eq!(
            claims(&[("size", Histogram), ("size_sum", Gauge)]),
            Err(
                "`size_sum` would be `size_sum` on the page of metrics, which is of the histogram `size` of the filter \
                 `filter-0`: choose another name"
                    .to_owned()
            )
        );
    }

    #[test]
    fn what_is_refused_takes_no_name() {
        let families = Families::default();
        let filter = "a".into();
        families.claim("size_count", Kind::Gauge, &filter).unwrap();
        assert!(families.claim("size", Kind::Histogram, &filter).is_err());
        families.claim("size", Kind::Gauge, &filter).unwrap();
    }

    #[test]
    fn a_counter_ends_in_total_once() {
        assert_eq!(family("hits", Kind::Counter), "hits");
        assert_eq!(family("hits_total", Kind::Counter), "hits");
        assert_eq!(family("_total", Kind::Counter), "_total");
        assert_eq!(family("hits_total", Kind::Gauge), "hits_total");
    }
}
