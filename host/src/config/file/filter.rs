//! `[filters.NAME]`

use schemars::JsonSchema;
use serde_json::Value as Json;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::units::{Period, Size};
use crate::config::word::Word;
use crate::config::{OnError, defaults, ranges};

/// A WebAssembly filter.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Filter {
    /// The component's file. A relative path starts at the directory of this file.
    pub source: Given<String>,
    /// The filter's own configuration, given to it as JSON; dates and times as strings. What it expects is in its
    /// `config-schema`, which `spliceway filter inspect` shows.
    pub config: Option<Given<Json>>,
    /// What becomes of a connection whose filter trapped, overran a limit or broke the contract: `close` closes the
    /// connection, `pass` goes on without the filter.
    #[schemars(extend("default" = Word::of(OnError::default())))]
    pub on_error: Option<Given<Word<OnError>>>,
    /// How many connections share one instance of an inspector, 1 to 65536. 1 isolates each of them from the others.
    #[schemars(extend(
        "default" = defaults::SESSIONS_PER_INSTANCE,
        "minimum" = ranges::SESSIONS_PER_INSTANCE.start(),
        "maximum" = ranges::SESSIONS_PER_INSTANCE.end(),
    ))]
    pub sessions_per_instance: Option<Given<i64>>,
    /// What the filter may use.
    pub limits: Option<Given<FilterLimits>>,
}

impl Read for Filter {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[filters.NAME]`", problems, |table| Self {
            source: table.required("source"),
            config: table.optional("config"),
            on_error: table.optional("on-error"),
            sessions_per_instance: table.optional("sessions-per-instance"),
            limits: table.optional("limits"),
        })
    }
}

/// What one filter may use.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct FilterLimits {
    /// Memory of one instance, 64KiB to 16MiB.
    #[schemars(extend("default" = Size(defaults::FILTER_LIMITS.memory).to_string()))]
    pub memory: Option<Given<Size>>,
    /// CPU time of one call, 1ms to 1s.
    #[schemars(extend("default" = Period(defaults::FILTER_LIMITS.call).to_string()))]
    pub call: Option<Given<Period>>,
    /// CPU time of the filter's start, 1ms to 60s.
    #[schemars(extend("default" = Period(defaults::FILTER_LIMITS.init).to_string()))]
    pub init: Option<Given<Period>>,
}

impl Read for FilterLimits {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `{ memory = \"16MiB\" }`", problems, |table| {
            Self {
                memory: table.optional("memory"),
                call: table.optional("call"),
                init: table.optional("init"),
            }
        })
    }
}
