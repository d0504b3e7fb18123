//! What connections add up to, by the way that their bytes went.

use super::family::Labels;
use crate::observe::{Moved, Sums};

/// A sample for each direction and path of each of `parts`, which have labels of their own.
pub fn bytes<'s>(parts: impl IntoIterator<Item = (Labels<'s>, Sums)>) -> impl Iterator<Item = (Labels<'s>, u64)> {
    parts.into_iter().flat_map(|(own, sums)| {
        ways(sums).map(move |(direction, path, bytes)| {
            let mut labels = own.clone();
            labels.extend([("direction", direction), ("path", path)]);
            (labels, bytes)
        })
    })
}

fn ways(sums: Sums) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
    let paths = |moved: Moved| {
        [
            ("copied", moved.copied),
            ("spliced", moved.spliced),
            ("filtered", moved.filtered),
        ]
    };
    let directions = [("up", paths(sums.up)), ("down", paths(sums.down))];
    directions
        .into_iter()
        .flat_map(|(direction, paths)| paths.map(|(path, bytes)| (direction, path, bytes)))
}
