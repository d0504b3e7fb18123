//! Runs roles as plain code, against a scripted connection.
//!
//! A [`Scene`] says what the filter is configured with, what the proxy knows about the connection, and what each peer
//! sends. Running it gives what the proxy would have done. [`Scene::cuts`] gives the same scene with its bytes cut at
//! every place, since the network may deliver them so.
//!
//! ```
//! use spliceway_sdk::prelude::*;
//! use spliceway_sdk::testing::Scene;
//!
//! /// Lets no more than a line pass unseen.
//! struct FirstLine;
//!
//! impl Inspector for FirstLine {
//!     type Config = ();
//!
//!     fn open(_config: &(), _connection: &Connection) -> Self {
//!         Self
//!     }
//!
//!     fn interest(&self) -> Directions {
//!         Directions::Up
//!     }
//!
//!     fn on_bytes(&mut self, chunk: Chunk, connection: &Connection) -> Verdict {
//!         match chunk.bytes.iter().position(|&byte| byte == b'\n') {
//!             Some(end) if chunk.bytes.starts_with(b"quit") => Verdict::refuse(format!("quit after {end} bytes")),
//!             Some(end) => {
//!                 connection.annotate("first-line", &chunk.bytes[..end]);
//!                 Verdict::Detach
//!             }
//!             None => Verdict::Hold(1),
//!         }
//!     }
//! }
//!
//! let scene = Scene::new().client("192.0.2.7:40000").up(b"hello\nworld").finish(Direction::Up);
//! for scene in scene.cuts() {
//!     let run = scene.inspect::<FirstLine>();
//!     assert_eq!(run.up.forwarded, b"hello\nworld");
//!     assert!(run.up.detached);
//!     assert_eq!(run.host.annotation("first-line"), Some(&Value::from(&b"hello"[..])));
//! }
//! ```
//!
//! A scene can ask for anything. What a filter promises to those who run it stands better in transcripts, which
//! `spliceway filter test` plays in the component, and [`Transcripts`] natively.

pub(crate) mod host;
mod inspector;
mod observer;
mod router;
mod scene;
mod transcripts;
mod transformer;
mod watch;

pub use host::{Host, Record};
pub use inspector::{Flow, Inspected};
pub use router::Routed;
pub use scene::Scene;
pub use serde_json::json;
pub use transcripts::Transcripts;
pub use transformer::Transformed;

use std::path::Path;

use crate::Config;

/// What the proxy does with a configuration at load: the reason is what the operator would read.
pub fn config<C: Config>(json: &serde_json::Value) -> Result<C, String> {
    crate::config::load(&json.to_string())
}

/// Fails unless the file holds the JSON Schema of the configuration, so that the one in a repository is never stale.
/// With `UPDATE_SCHEMA=1` in the environment it writes the file.
#[track_caller]
pub fn assert_schema<C: Config>(path: impl AsRef<Path>) {
    let path = path.as_ref();
    let schema = crate::config::schema::<C>().to_value();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, format!("{schema:#}\n"))
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        serde_json::from_str(&stored).is_ok_and(|stored: serde_json::Value| stored == schema),
        "{} is not the schema of the configuration: test with UPDATE_SCHEMA=1",
        path.display()
    );
}
