//! What connections say, written down for a while.

use clap::Args;
use serde_json::json;

use super::measures::Whose;
use super::{Question, post, read};
use crate::admin::said::{Measure, NewMeasure};

/// Whose connections are captured, and how
#[derive(Debug, Args)]
pub struct Capture {
    #[command(flatten)]
    whose: Whose,
    /// For how long
    #[arg(long = "for", value_name = "TIME", default_value = "60s")]
    time: String,
    /// Where: a directory of the proxy's machine that it may write to
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/lib/spliceway/captures")]
    directory: String,
    /// pcapng, text or hex
    #[arg(long, default_value = "pcapng")]
    format: String,
    /// both, client, upstream, or filtered
    #[arg(long, value_name = "WHICH", default_value = "both")]
    legs: String,
    /// Bytes that are kept of each record
    #[arg(long, value_name = "SIZE")]
    snap: Option<String>,
    /// Bytes that are kept of each connection
    #[arg(long, value_name = "SIZE")]
    bytes: Option<String>,
    /// Only connections that do not end well, and the last bytes of them
    #[arg(long)]
    abnormal: bool,
}

pub fn capture(asked: Capture) -> Question {
    let new = NewMeasure {
        scope: asked.whose.into(),
        treatment: json!({
            "capture": {
                "directory": asked.directory,
                "format": asked.format,
                "legs": asked.legs,
                "snap": asked.snap,
                "bytes": asked.bytes,
                "only": asked.abnormal.then_some("abnormal"),
            }
        }),
        time: Some(asked.time),
    };
    post("/v1/measures", serde_json::to_value(new).ok(), |answer| {
        read::<Measure>(answer).map(|it| begun(&it))
    })
}

fn begun(measure: &Measure) -> String {
    let capture = &measure.treatment["capture"][0];
    let text = |key: &str| capture[key].as_str().unwrap_or_default().to_owned();
    let (directory, format, id) = (text("directory"), text("format"), measure.id);
    let extension = match format.as_str() {
        "text" => "log",
        other => other,
    };
    format!(
        "measure {id} captures to {directory}/spliceway-*.{extension}\n\
         it ends by itself; `spliceway ctl measures remove {id}` ends it before"
    )
}
