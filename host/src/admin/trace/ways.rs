//! Why the bytes of a direction are spliced, or are not.

use super::super::said;
use crate::connection::Relaying;
use crate::filter::{Attention, View, Watcher};
use crate::flow::{Direction, Side};
use crate::relay::{Copying, Way, Where};
use crate::words::size;

pub(super) fn way(direction: Direction, relaying: &Relaying) -> said::Way {
    let way = &relaying.ways[direction as usize];
    let why = why(direction, way, &relaying.watchers);
    said::Way {
        zero_copy: way.is_spliced(),
        why: match way.rate {
            Some(rate) => format!("{why}; held to {}/s", size(rate)),
            None => why,
        },
    }
}

fn why(direction: Direction, way: &Way, watchers: &[Watcher]) -> String {
    match way.at {
        Where::Ended => return format!("over: the {} has finished", side(direction.from())),
        Where::Broken => return format!("over: the {} takes nothing more", side(direction.to())),
        Where::Copies(_) | Where::Splices => {}
    }
    let seen = filters(direction, watchers, |attention| attention == Attention::Watching);
    let skipped = filters(direction, watchers, |attention| {
        matches!(attention, Attention::Skipping(_))
    });
    let tls = tls(way);
    match way.view {
        View::Next if !way.in_place || way.at != Where::Splices => {
            // Who skips so little that it is not worth the way around is subscribed as well.
            let subscribed = seen.or(skipped).unwrap_or_else(|| "a filter is".to_owned());
            let tls = tls.map(|tls| format!(", and there is {tls}")).unwrap_or_default();
            format!("not spliced {direction}: {subscribed} subscribed{tls}")
        }
        View::Next => match seen {
            Some(seen) => format!("spliced, where {seen} looking at the bytes in the socket"),
            None => "spliced".to_owned(),
        },
        View::After(bytes) => {
            let skipped = skipped.map(|skipped| format!(", while {skipped} skipping {bytes} bytes"));
            unwatched(way, tls) + &skipped.unwrap_or_default()
        }
        View::Nothing => unwatched(way, tls),
    }
}

fn unwatched(way: &Way, tls: Option<String>) -> String {
    if let Some(tls) = tls {
        return format!("copied: the sockets cannot be spliced ({tls})");
    }
    if way.captured {
        return "copied: the connection is captured".to_owned();
    }
    match way.at {
        Where::Copies(Copying::Small) if way.moved.total() == 0 => "copied: nothing has come so far",
        Where::Copies(Copying::Small) if way.moved.spliced == 0 => "copied: transfers are small so far",
        Where::Copies(Copying::Small) => "copied: transfers have become small",
        Where::Copies(Copying::NoPipe) => "copied: there was no pipe to be had",
        Where::Copies(Copying::Captured) => "copied: the connection was captured, and no bulk has come since",
        Where::Copies(Copying::Refused) => "copied: the kernel refused to splice these sockets",
        Where::Copies(Copying::Faults) => "copied: faults do something to the bytes",
        Where::Splices | Where::Ended | Where::Broken => "spliced",
    }
    .to_owned()
}

fn tls(way: &Way) -> Option<String> {
    match [Side::Client, Side::Upstream].map(|side| way.is_encrypted(side)) {
        [false, false] => None,
        [true, false] => Some("TLS with the client".to_owned()),
        [false, true] => Some("TLS with the server".to_owned()),
        [true, true] => Some("TLS with both".to_owned()),
    }
}

/// `filter a is`, `filters a, b are`, of those that want this of the direction.
fn filters(direction: Direction, watchers: &[Watcher], wants: impl Fn(Attention) -> bool) -> Option<String> {
    let interest = |watcher: &&Watcher| match direction {
        Direction::Up => wants(watcher.up.attention),
        Direction::Down => wants(watcher.down.attention),
    };
    let names: Vec<&str> = watchers
        .iter()
        .filter(interest)
        .map(|watcher| &*watcher.filter)
        .collect();
    match names.as_slice() {
        [] => None,
        [one] => Some(format!("filter {one} is")),
        several => Some(format!("filters {} are", several.join(", "))),
    }
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Upstream => "server",
    }
}
