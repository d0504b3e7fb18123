//! What connections say, written down: as packets for Wireshark and the like, or as lines of text.
//!
//! ```text
//! channel: Tap --what it receives and sends--> Recording    of one connection, on its worker
//! Recording --each capture that has it--> Taker --events--> Recorder    a thread for each directory
//! Recorder: Writer (packets, lines) --blocks--> Ring    of files
//! ```
//!
//! A channel without a tap looks at one pointer. One with a tap is not spliced while somebody wants what goes through it.

mod blackbox;
mod event;
mod format;
mod recorder;
mod recording;
mod ring;
mod taker;
mod tap;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

pub use event::Stream;
pub use recorder::{Recorded, close_all, recorded};
pub use recording::{About, Recording};
pub use tap::Tap;

use super::measure::is_drawn;
use crate::config::{CaptureConfig, TreatmentConfig};
use crate::listener::Listener;
use crate::worker::Worker;
use recorder::Recorder;

/// A capture as it is configured, and the way to its files.
#[derive(Debug)]
pub struct Capture {
    config: CaptureConfig,
    /// From the first connection on.
    recorder: OnceLock<Arc<Recorder>>,
}

impl Capture {
    pub fn new(config: &CaptureConfig) -> Arc<Self> {
        Arc::new(Self {
            config: config.clone(),
            recorder: OnceLock::new(),
        })
    }

    pub fn config(&self) -> &CaptureConfig {
        &self.config
    }

    /// Whether a connection is among those that it takes: always the same answer for the same one.
    fn wants(&self, connection: u64) -> bool {
        is_drawn(self.config.share, 0, connection)
    }

    fn recorder(&self) -> &Recorder {
        self.recorder.get_or_init(|| Recorder::of(&self.config.files))
    }
}

/// Whether there may be something to capture of a listener's connections, as far as that is known before they have a route and
/// a server.
pub fn is_expected(listener: &Listener, worker: &Worker) -> bool {
    let mut own = listener.treatment.iter().chain(listener.treatments.iter().flatten());
    own.any(|regimen| !regimen.captures().is_empty()) || worker.measures_capture()
}

/// Whether there is a directory for each capture, and may be written to.
///
/// # Errors
/// What keeps them from being written.
pub fn check(config: &TreatmentConfig) -> anyhow::Result<()> {
    config
        .captures
        .iter()
        .try_for_each(|capture| recorder::check(&capture.files.directory))
}

fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
