//! Numbers that are in force, as a person would type them.

use super::FilterLimits;
use super::units::{Period, Size};

impl FilterLimits {
    /// Each with its key.
    pub fn as_typed(&self) -> [(&'static str, String); 8] {
        [
            ("memory", Size(self.memory).to_string()),
            ("call", Period(self.call).to_string()),
            ("init", Period(self.init).to_string()),
            ("output", Size(self.output).to_string()),
            ("log-lines", self.log_lines.to_string()),
            ("metrics", self.metrics.to_string()),
            ("store-entries", self.store_entries.to_string()),
            ("store-bytes", Size(self.store_bytes).to_string()),
        ]
    }
}
