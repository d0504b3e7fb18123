//! {{purpose}}

{{std}}use schemars::JsonSchema;
use serde::Deserialize;
{{uses}}use spliceway_sdk::prelude::*;

/// What the operator can set: `config` of the filter in `spliceway.toml`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct {{type}} {
{{fields}}}

{{statics}}impl Config for {{type}} {
    /// What the types cannot say. An error keeps the filter from being loaded, and is what the operator reads.
    fn check(&self) -> Result<(), String> {
{{checks}}        Ok(())
    }
{{metrics}}}

{{roles}}export_config!({{type}});
{{exports}}
#[cfg(test)]
mod tests {
    use spliceway_sdk::testing::Transcripts;

    use super::*;

    /// The same that `spliceway filter test` plays to the component.
    #[test]
    fn transcripts_end_as_they_say() {
        Transcripts::of("transcripts"){{play}}.play();
    }
}
