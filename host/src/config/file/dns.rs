//! `dns` of an upstream.

use schemars::JsonSchema;

use crate::config::defaults;
use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::units::Period;
use crate::config::word::{Word, Words};

/// How the names of servers become addresses.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dns {
    /// What a name that cannot be resolved at the start is: `fail` makes it an error; `later` begins without that
    /// server and goes on asking.
    #[schemars(extend("default" = Word::of(AtStart::default())))]
    pub at_start: Option<Given<Word<AtStart>>>,
    /// The shortest time after which a name is asked for again, 1s to 168h, whatever its records say.
    #[schemars(extend("default" = Period(defaults::DISCOVERY.shortest).to_string()))]
    pub shortest: Option<Given<Period>>,
    /// The longest.
    #[schemars(extend("default" = Period(defaults::DISCOVERY.longest).to_string()))]
    pub longest: Option<Given<Period>>,
}

/// What a name that cannot be resolved at the start is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtStart {
    /// An error.
    Fail,
    /// Something that may come.
    Later,
}

impl Default for AtStart {
    fn default() -> Self {
        if defaults::DISCOVERY.must_resolve {
            Self::Fail
        } else {
            Self::Later
        }
    }
}

impl Words for AtStart {
    const WORDS: &'static [(&'static str, Self)] = &[("fail", Self::Fail), ("later", Self::Later)];
}

impl Read for Dns {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(value, "a table, as in `{ at-start = \"later\" }`", problems, |table| {
            Self {
                at_start: table.optional("at-start"),
                shortest: table.optional("shortest"),
                longest: table.optional("longest"),
            }
        })
    }
}
