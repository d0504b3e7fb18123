//! `[telemetry]`

use schemars::JsonSchema;

use crate::config::defaults;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::percentage::Percentage;
use crate::config::reader::{Given, Read, Value, read_table};

/// A collector of OpenTelemetry's that is told of connections, and gets the log. Without this table there is none.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Telemetry {
    /// Where it takes OTLP over HTTP: `http://127.0.0.1:4318`. Headers, as for a token, are those of the environment variable
    /// OTEL_EXPORTER_OTLP_HEADERS.
    pub endpoint: Given<String>,
    /// Of how many of a hundred connections it gets a span, 0% to 100%.
    #[schemars(extend("default" = Percentage(defaults::TRACES).to_string()))]
    pub traces: Option<Given<Percentage>>,
    /// Whether it gets the log.
    #[schemars(extend("default" = true))]
    pub logs: Option<Given<bool>>,
}

impl Read for Telemetry {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[telemetry]`", problems, |table| Self {
            endpoint: table.required("endpoint"),
            traces: table.optional("traces"),
            logs: table.optional("logs"),
        })
    }
}
