//! What has become of connections that were mirrored.

use std::fmt;

use super::family::{Families, Labels};
use crate::treatment::mirror::{End, Mirrored, VERDICTS};
use crate::upstream::UpstreamSeen;

pub fn write(upstreams: &[UpstreamSeen], families: &mut Families<'_, '_>) -> fmt::Result {
    families.counters(
        "spliceway_mirror_connections",
        "Connections to it that were copies of others and have ended, by how.",
        each(upstreams, |mirrored| {
            End::ALL
                .map(|end| ("result", end.name(), mirrored.ends[end as usize]))
                .to_vec()
        }),
    )?;
    families.counters(
        "spliceway_mirror_bytes",
        "Their bytes that its servers have taken.",
        each(upstreams, |mirrored| {
            let moved = mirrored.moved;
            vec![("path", "copied", moved.copied), ("path", "spliced", moved.spliced)]
        }),
    )?;
    families.counters(
        "spliceway_mirror_replies",
        "Those of them whose replies were compared with the primary's, by what came of it.",
        each(upstreams, |mirrored| {
            let verdicts = VERDICTS.iter().zip(mirrored.verdicts);
            let compared = mirrored.verdicts.iter().any(|count| *count > 0);
            let verdicts = verdicts.filter(|_| compared);
            verdicts.map(|(verdict, count)| ("result", *verdict, count)).collect()
        }),
    )
}

type Sample = (&'static str, &'static str, u64);

/// Of those upstreams that connections were mirrored to.
fn each<'s>(
    upstreams: &'s [UpstreamSeen],
    read: impl Fn(&Mirrored) -> Vec<Sample>,
) -> impl Iterator<Item = (Labels<'s>, u64)> {
    upstreams.iter().flat_map(move |upstream| {
        let samples = upstream.mirrored.as_ref().map(&read).unwrap_or_default().into_iter();
        samples.map(|(label, value, count)| (vec![("upstream", &*upstream.name), (label, value)], count))
    })
}
