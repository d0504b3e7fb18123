//! `[access-log]`

use schemars::{JsonSchema, Schema};

use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::units::Timeout;
use crate::config::{LogField, LogFormat, suggest};

/// A line for each connection. Without this table there are none.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct AccessLog {
    /// The file that lines are added to. A relative path starts at the directory of this file; `-` is standard output.
    #[schemars(extend("default" = "-"))]
    pub file: Option<Given<String>>,
    /// `json`, or a template with placeholders, each the name of a field of the JSON line; `{{` and `}}` are braces.
    #[schemars(extend("default" = "json"), transform = add_placeholders)]
    pub format: Option<Given<LogFormat>>,
    /// Whether there is a line when a connection begins, too.
    #[schemars(extend("default" = false))]
    pub open: Option<Given<bool>>,
    /// How often there is a line while a connection lives, 1s to 24h; 0 is never.
    #[schemars(extend("default" = "0"))]
    pub every: Option<Given<Timeout>>,
}

impl Read for AccessLog {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `[access-log]`", problems, |table| Self {
            file: table.optional("file"),
            format: table.optional("format"),
            open: table.optional("open"),
            every: table.optional("every"),
        })
    }
}

/// To the comment on `format`: an editor shows no other list of them.
fn add_placeholders(schema: &mut Schema) {
    let comment = schema.get("description").and_then(|comment| comment.as_str());
    let placeholders = suggest::list(LogField::names());
    let comment = format!("{} Placeholders: {placeholders}.", comment.unwrap_or_default());
    schema.insert("description".to_owned(), comment.into());
}
