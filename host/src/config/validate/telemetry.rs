//! `[telemetry]`

use super::given::{apart, or_default};
use crate::config::diagnostics::{Problem, Problems, Reported};
use crate::config::percentage::Percentage;
use crate::config::reader::Given;
use crate::config::{TelemetryConfig, defaults, file, ranges};

pub fn telemetry(typed: file::Telemetry, problems: &mut Problems) -> Result<TelemetryConfig, Reported> {
    let endpoint = endpoint(typed.endpoint, problems);
    let traces = or_default(typed.traces, &ranges::TRACES, Percentage(defaults::TRACES), problems);
    let logs = typed.logs.map_or(Ok(true), Given::value);
    Ok(TelemetryConfig {
        endpoint: endpoint?,
        traces: traces?.0,
        logs: logs?,
    })
}

fn endpoint(given: Given<String>, problems: &mut Problems) -> Result<String, Reported> {
    let (text, span) = apart(given.0?);
    if !cfg!(feature = "otel") {
        let problem = Problem::at(span, "this program was built without OpenTelemetry");
        let problem = problem.label("expected no `[telemetry]`, or another program");
        return Err(problems.report(problem.help("`cargo build --release --features otel` builds one that has it")));
    }
    let is_one = reqwest::Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    match is_one {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => {
            let problem = Problem::at(span, "this is no address of a collector");
            Err(problems.report(problem.label("expected a URL, as in \"http://127.0.0.1:4318\"")))
        }
    }
}
