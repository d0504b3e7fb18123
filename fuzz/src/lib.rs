//! What is fuzzed, as the proxy has it, with the little around it that it names.

#![allow(dead_code, reason = "the rest of the proxy uses what the targets do not")]

#[path = "../../host/src/detect/mod.rs"]
mod detect;
#[path = "../../host/src/detect/laws.rs"]
pub mod laws;
#[path = "../../host/src/protocol.rs"]
mod protocol;

/// The part of the configuration that is needed here.
mod config {
    use std::time::Duration;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Detection {
        pub timeout: Duration,
        pub longest: usize,
        pub records: u32,
    }
}
