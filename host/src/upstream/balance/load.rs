//! How busy a server is.

/// Connections for each part of its weight. As a fraction, so that no two are alike which are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    connections: u64,
    weight: u64,
}

impl Load {
    /// What it will be when one more has come. Without that one more, all servers that have none would be alike, and
    /// the heaviest would get no more of the first connections than the lightest.
    pub(super) fn of_one_more(connections: u32, weight: u32) -> Self {
        Self {
            connections: u64::from(connections) + 1,
            weight: weight.into(),
        }
    }

    /// Nobody is less busy than the heaviest without connections.
    pub(super) fn least(heaviest: u32) -> Self {
        Self::of_one_more(0, heaviest)
    }

    pub(super) fn is_less_than(self, other: Self) -> bool {
        // At most 2^32 * (2^32 - 1).
        self.connections * other.weight < other.connections * self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_compared_by_weight_up_to_the_largest() {
        let less = |a: (u32, u32), b: (u32, u32)| Load::of_one_more(a.0, a.1).is_less_than(Load::of_one_more(b.0, b.1));
        assert!(less((0, 1), (1, 1)));
        assert!(less((0, 2), (0, 1)));
        assert!(less((9, 256), (0, 1)));
        assert!(!less((1, 2), (0, 1)));
        assert!(!less((0, 1), (1, 2)));
        assert!(less((u32::MAX - 1, u32::MAX), (u32::MAX, u32::MAX)));
        assert!(less((0, u32::MAX), (u32::MAX, 1)));
    }
}
