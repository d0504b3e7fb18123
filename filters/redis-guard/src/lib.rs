//! Refuses commands before a Redis server sees the end of them. README.md has the details.

mod command;
mod parser;

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::metrics::{Counter, Metric};
use spliceway_sdk::prelude::*;

use command::Command;
use parser::{Parser, Stop};

/// What clients may not do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RedisGuard {
    /// The commands, each with or without its first argument: "FLUSHALL", "CONFIG SET". In any case.
    refuse: Vec<Command>,
}

static REFUSED: Counter = Counter::new("redis_commands_refused_total", "Commands that a client was refused.");

impl Config for RedisGuard {
    fn check(&self) -> Result<(), String> {
        if self.refuse.is_empty() {
            Err("refuse: names no command".into())
        } else {
            Ok(())
        }
    }

    fn metrics() -> Vec<&'static dyn Metric> {
        vec![&REFUSED]
    }
}

/// One client's commands. A server runs a command when it has all of it, so that the guard holds nothing back: what it
/// forwards ends before the last byte that it would need to refuse.
struct Session {
    parser: Parser<'static>,
}

impl Inspector for Session {
    type Config = RedisGuard;

    fn open(config: &'static RedisGuard, _connection: &Connection) -> Self {
        Self {
            parser: Parser::new(&config.refuse),
        }
    }

    fn interest(&self) -> Directions {
        Directions::Up
    }

    fn on_bytes(&mut self, chunk: Chunk, connection: &Connection) -> Verdict {
        match self.parser.read(&chunk.bytes) {
            Ok(()) => match self.parser.skip() {
                0 => Verdict::Forward,
                unseen => Verdict::Skip(unseen),
            },
            Err(Stop::Refused(command)) => {
                REFUSED.add(1);
                connection.annotate("redis.refused", command.to_string());
                Verdict::refuse(format!("the command {command} is refused"))
            }
            Err(Stop::Protocol(reason)) => Verdict::refuse(reason),
        }
    }
}

export_config!(RedisGuard, schema = "../schema.json");
export_inspector!(Session);

#[cfg(test)]
mod tests;
