//! An inspector that is shown every byte of both directions and lets it pass, for tests of the relay.

use spliceway_sdk::prelude::*;

struct Session;

impl Inspector for Session {
    type Config = ();

    fn open(_config: &(), _connection: &Connection) -> Self {
        Self
    }

    fn on_bytes(&mut self, _chunk: Chunk, _connection: &Connection) -> Verdict {
        Verdict::Forward
    }
}

export_inspector!(Session);
