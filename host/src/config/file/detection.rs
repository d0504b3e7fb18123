//! `detection` of a listener.

use schemars::JsonSchema;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::units::{Period, Size};
use crate::config::{defaults, ranges};

/// How much of what clients send first is looked at, and for how long, to know their protocol and the name that they ask
/// for in TLS.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Detection {
    /// How long a client may take to say enough, 1ms to 1h. One that says nothing waits for as long.
    #[schemars(extend("default" = Period(defaults::DETECTION.timeout).to_string()))]
    pub timeout: Option<Given<Period>>,
    /// How much of what it says is looked at, 1KiB to 64KiB. The headers of TLS records are not counted.
    #[schemars(extend("default" = Size(defaults::DETECTION.longest as u64).to_string()))]
    pub max_bytes: Option<Given<Size>>,
    /// How many TLS records a ClientHello may be cut into, 1 to 65536.
    #[schemars(extend(
        "default" = defaults::DETECTION.records,
        "minimum" = ranges::DETECTION_RECORDS.start(),
        "maximum" = ranges::DETECTION_RECORDS.end(),
    ))]
    pub max_records: Option<Given<i64>>,
}

impl Read for Detection {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `{ timeout = \"500ms\" }`", problems, |table| {
            Self {
                timeout: table.optional("timeout"),
                max_bytes: table.optional("max-bytes"),
                max_records: table.optional("max-records"),
            }
        })
    }
}
