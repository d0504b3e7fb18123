//! Sends each tenant to an upstream of its own, and watches what is asked of it, line by line.
//!
//! The client's first line is "tenant NAME". A line that contains FORBIDDEN ends the connection before the server has the
//! whole word; after the line "done" nothing more is looked at.

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::Choice;
use spliceway_sdk::metrics::{Counter, Metric};
use spliceway_sdk::prelude::*;

static REFUSED: Counter = Counter::new("tenants_refused_total", "Connections refused.");

/// There is nothing to configure.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tenants {}

impl Config for Tenants {
    fn metrics() -> Vec<&'static dyn Metric> {
        vec![&REFUSED]
    }
}

impl Router for Tenants {
    fn route(&self, window: &Window, _connection: &Connection) -> Decision {
        let bytes = window.bytes.as_slice();
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let Some(name) = bytes[..end.unwrap_or(bytes.len())].strip_prefix(b"tenant ") else {
            let may_become_one = end.is_none() && b"tenant ".starts_with(bytes) && !window.is_last();
            return if may_become_one {
                Decision::Need(1)
            } else {
                Decision::Pass
            };
        };
        if end.is_none() {
            return if window.is_last() {
                Decision::Pass
            } else {
                Decision::Need(1)
            };
        }
        match std::str::from_utf8(name) {
            Ok(name) if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase()) => {
                Choice::new(name).option("idle-timeout-ms", 60_000).into()
            }
            _ => Decision::refuse(refusal("no such tenant")),
        }
    }
}

struct Session {
    lines: i64,
    /// The beginning of a line whose end has not come; forwarded already.
    begun: Vec<u8>,
}

impl Inspector for Session {
    type Config = Tenants;

    fn open(_config: &'static Tenants, _connection: &Connection) -> Self {
        Self {
            lines: 0,
            begun: Vec::new(),
        }
    }

    fn interest(&self) -> Directions {
        Directions::Up
    }

    fn on_bytes(&mut self, chunk: Chunk, connection: &Connection) -> Verdict {
        let text = [self.begun.as_slice(), &chunk.bytes].concat();
        let mut whole = text.split(|byte| *byte == b'\n');
        let rest = whole.next_back().unwrap_or_default();
        let mut lines = 0;
        for line in whole {
            if contains(line, b"FORBIDDEN") {
                return Verdict::refuse(refusal("a forbidden line"));
            }
            lines += 1;
            if line == b"done" {
                self.count(lines, connection);
                self.tell(connection);
                return Verdict::Detach;
            }
        }
        if contains(rest, b"FORBIDDEN") {
            return Verdict::refuse(refusal("a forbidden line"));
        }
        // What is held is shown again, from its beginning. Behind a whole line there is no holding the rest alone.
        if lines == 0 && !chunk.finished {
            return Verdict::Hold(1);
        }
        self.begun = rest.to_vec();
        self.count(lines, connection);
        if chunk.finished {
            self.tell(connection);
        }
        Verdict::Forward
    }
}

export_config!(Tenants);
export_router!(Tenants);
export_inspector!(Session);

impl Session {
    fn count(&mut self, lines: i64, connection: &Connection) {
        self.lines += lines;
        connection.annotate("lines", self.lines);
    }

    fn tell(&self, connection: &Connection) {
        // None on a unix socket.
        match connection.client() {
            Some(client) => log::info!(lines = self.lines, from = client, "the client has said what it wants"),
            None => log::info!(lines = self.lines, "the client has said what it wants"),
        }
    }
}

fn refusal(reason: &str) -> Refusal {
    REFUSED.add(1);
    Refusal::new(reason).reply(format!("error: {reason}\n"))
}

fn contains(line: &[u8], word: &[u8]) -> bool {
    line.windows(word.len()).any(|window| window == word)
}
