//! An inspector of messages that begin with their length, for tests and measurements: four bytes, the highest first, and so
//! many more. It sees each length, counts the messages, and skips what they say.

use spliceway_sdk::prelude::*;

/// Of a length.
const LENGTH: usize = 4;

#[derive(Default)]
struct Session {
    up: u64,
    down: u64,
}

impl Inspector for Session {
    type Config = ();

    fn open(_config: &(), _connection: &Connection) -> Self {
        Self::default()
    }

    fn on_bytes(&mut self, chunk: Chunk, connection: &Connection) -> Verdict {
        let (key, messages) = match chunk.direction {
            Direction::Up => ("messages-up", &mut self.up),
            Direction::Down => ("messages-down", &mut self.down),
        };
        let (begun, verdict) = read(&chunk.bytes);
        // What is held is shown again, from the beginning.
        if !matches!(verdict, Verdict::Hold(_)) || chunk.finished {
            *messages += begun;
        }
        if chunk.finished {
            connection.annotate(key, *messages);
        }
        verdict
    }
}

export_inspector!(Session);

/// From the beginning of a message: how many begin here, and how to go on.
fn read(mut bytes: &[u8]) -> (u64, Verdict) {
    let mut begun = 0;
    while let Some((length, behind)) = bytes.split_first_chunk::<LENGTH>() {
        begun += 1;
        let length = u32::from_be_bytes(*length) as usize;
        match behind.get(length..) {
            Some(next) => bytes = next,
            // The rest of the message is still to come, and nobody has to see it.
            None => return (begun, Verdict::Skip((length - behind.len()) as u64)),
        }
    }
    match bytes.len() {
        0 => (begun, Verdict::Forward),
        some => (begun, Verdict::Hold(LENGTH - some)),
    }
}
