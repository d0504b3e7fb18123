//! A transformer that changes nothing and has nothing to configure, for tests of the host.

use spliceway_sdk::prelude::*;

struct Session;

impl Transformer for Session {
    type Config = ();

    fn open(_config: &(), _connection: &Connection) -> Self {
        Self
    }

    fn on_bytes(&mut self, chunk: Chunk, _connection: &Connection) -> Output {
        Output::forward(chunk.direction, chunk.bytes)
    }
}

export_transformer!(Session);
