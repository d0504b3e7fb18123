//! The last bytes of a connection, in memory: they are written when it has ended badly, and otherwise forgotten.

use std::collections::VecDeque;
use std::time::Duration;

use super::event::{Began, Event, What};

/// Records that are kept, however short they are.
const MOST: usize = 4_096;

#[derive(Debug)]
pub struct BlackBox {
    began: Began,
    /// In the order in which they happened.
    kept: VecDeque<Event>,
    /// Bytes that they keep.
    bytes: u64,
    room: u64,
    forgotten: u64,
}

impl BlackBox {
    /// `room` is how many bytes are kept.
    pub fn new(began: Began, room: u64) -> Self {
        Self {
            began,
            kept: VecDeque::new(),
            bytes: 0,
            room,
            forgotten: 0,
        }
    }

    pub fn add(&mut self, event: Event) {
        self.bytes += bytes(&event);
        self.kept.push_back(event);
        // One that is larger than all of the room is kept: it is no larger than a worker's buffer.
        while (self.bytes > self.room || self.kept.len() > MOST) && self.kept.len() > 1 {
            self.forget();
        }
    }

    /// All that is to be written, as a capture that began with the first byte that is kept.
    pub fn open(self, flow: u64, time: Duration) -> impl Iterator<Item = Event> {
        let mut began = self.began;
        if self.forgotten > 0 {
            let since = self.kept.front().map_or(time, |first| first.time);
            began.client.time = since;
            if let Some(upstream) = &mut began.upstream {
                upstream.time = upstream.time.max(since);
            }
            began.about = format!("{}; {} bytes before are forgotten", began.about, self.forgotten).into();
        }
        let began = Event {
            flow,
            time: began.client.time,
            what: What::Began(Box::new(began)),
        };
        std::iter::once(began).chain(self.kept)
    }

    fn forget(&mut self) {
        let Some(oldest) = self.kept.pop_front() else { return };
        self.bytes -= bytes(&oldest);
        match oldest.what {
            What::Bytes { stream, at, length, .. } => {
                self.began.at[stream as usize] = at + length as u64;
                self.forgotten += length as u64;
            }
            // There are at most two for each stream, and nothing comes behind them.
            What::Finished(_) | What::Reset(_) => self.kept.push_back(oldest),
            What::Began(_) | What::Over { .. } => {}
        }
    }
}

fn bytes(event: &Event) -> u64 {
    match &event.what {
        What::Bytes { kept, .. } => kept.len() as u64,
        What::Began(_) | What::Finished(_) | What::Reset(_) | What::Over { .. } => 0,
    }
}

#[cfg(test)]
mod tests;
