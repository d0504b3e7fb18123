//! `mirror` of a treatment.

use schemars::JsonSchema;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::percentage::Percentage;
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::units::Size;
use crate::config::word::Word;
use crate::config::{Directions, defaults, ranges};

/// A copy of what connections are sent, for another upstream. Nobody waits for it, and what it replies reaches no client.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mirror {
    /// The upstream whose servers get the copies.
    pub upstream: Given<String>,
    /// What is copied: `up` is what clients say, `down` what servers reply, `both` sends each on a connection of its own.
    #[schemars(extend("default" = Word::of(Directions::Up)))]
    pub direction: Option<Given<Word<Directions>>>,
    /// How many of a hundred connections are copied, 1% to 100%.
    #[schemars(extend("default" = Percentage(defaults::MIRROR_SHARE).to_string()))]
    pub share: Option<Given<Percentage>>,
    /// What the share is drawn from, together with the number of a connection: with the same seed, the same numbers.
    #[schemars(extend("default" = 0, "minimum" = ranges::SEED.start(), "maximum" = ranges::SEED.end()))]
    pub seed: Option<Given<i64>>,
    /// How many bytes a copy may be behind, 1MiB to 1GiB, for each connection. Then it is dropped, and counted.
    #[schemars(extend("default" = Size(defaults::MIRROR_LAG as u64).to_string()))]
    pub lag: Option<Given<Size>>,
    /// Whether replies are compared with the primary's: the log tells of the first difference.
    #[schemars(extend("default" = false))]
    pub compare: Option<Given<bool>>,
}

impl Read for Mirror {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let expected = "a table, as in `{ upstream = \"shadow\", share = \"10%\" }`";
        read_table(value, expected, problems, |table| Self {
            upstream: table.required("upstream"),
            direction: table.optional("direction"),
            share: table.optional("share"),
            seed: table.optional("seed"),
            lag: table.optional("lag"),
            compare: table.optional("compare"),
        })
    }
}
