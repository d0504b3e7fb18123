//! Random draws by weight.

/// The servers side by side on a line, each as long as its weight: a draw is a point on it.
///
/// Vose's alias table would find whose point it is at once, but with 10 000 servers the search is some 14 steps, and
/// only a line can be drawn from without one of its pieces.
#[derive(Debug)]
pub(super) enum Shares {
    /// The usual case, and nothing to search.
    Equal(usize),
    /// Where each one ends.
    ByWeight(Box<[u64]>),
}

impl Shares {
    pub(super) fn new(weights: impl Iterator<Item = u32> + Clone) -> Self {
        if is_constant(weights.clone()) {
            return Self::Equal(weights.count());
        }
        let ends = weights.scan(0, |end, weight| {
            *end += u64::from(weight);
            Some(*end)
        });
        Self::ByWeight(ends.collect())
    }

    pub(super) fn draw(&self) -> usize {
        match self {
            Self::Equal(count) => fastrand::usize(..count),
            Self::ByWeight(ends) => owner(ends, fastrand::u64(..length(ends))),
        }
    }

    /// Two different ones, the second by its weight among those that are not the first. Where there is only one, it
    /// twice.
    pub(super) fn draw_two(&self) -> (usize, usize) {
        let first = self.draw();
        let second = match self {
            Self::Equal(1) => first,
            Self::Equal(count) => {
                let point = fastrand::usize(..count - 1);
                point + usize::from(point >= first)
            }
            Self::ByWeight(ends) => {
                let start = first.checked_sub(1).map_or(0, |before| ends[before]);
                let weight = ends[first] - start;
                let point = fastrand::u64(..length(ends) - weight);
                owner(ends, if point < start { point } else { point + weight })
            }
        };
        (first, second)
    }
}

pub(super) fn is_constant(mut weights: impl Iterator<Item = u32>) -> bool {
    let first = weights.next();
    weights.all(|weight| Some(weight) == first)
}

fn length(ends: &[u64]) -> u64 {
    ends.last().copied().unwrap_or_default()
}

fn owner(ends: &[u64], point: u64) -> usize {
    ends.partition_point(|end| *end <= point)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(draws: u32, mut draw: impl FnMut() -> usize) -> Vec<f64> {
        let mut counts = [0; 3];
        for _ in 0..draws {
            counts[draw()] += 1;
        }
        counts
            .iter()
            .map(|count| f64::from(*count) / f64::from(draws))
            .collect()
    }

    fn assert_near(shares: &[f64], expected: [f64; 3]) {
        for (share, expected) in shares.iter().zip(expected) {
            assert!((share - expected).abs() < 0.01, "{shares:?}");
        }
    }

    #[test]
    fn draws_are_as_frequent_as_the_weights_say() {
        fastrand::seed(1);
        let equal = Shares::new([7, 7, 7].into_iter());
        assert_near(&drawn(100_000, || equal.draw()), [1.0 / 3.0; 3]);
        let weighted = Shares::new([1, 2, 5].into_iter());
        assert_near(&drawn(100_000, || weighted.draw()), [0.125, 0.25, 0.625]);
    }

    #[test]
    fn the_second_of_two_is_another_one_by_its_weight_among_the_others() {
        fastrand::seed(2);
        let weighted = Shares::new([1, 2, 5].into_iter());
        for first in 0..3 {
            let second = || loop {
                let (drawn, second) = weighted.draw_two();
                if drawn == first {
                    return second;
                }
            };
            let expected = match first {
                0 => [0.0, 2.0 / 7.0, 5.0 / 7.0],
                1 => [1.0 / 6.0, 0.0, 5.0 / 6.0],
                _ => [1.0 / 3.0, 2.0 / 3.0, 0.0],
            };
            assert_near(&drawn(30_000, second), expected);
        }
        let equal = Shares::new([1, 1, 1].into_iter());
        assert!((0..1000).all(|_| matches!(equal.draw_two(), (one, other) if one != other)));
    }
}
