//! `treatment` of a listener, a route and an upstream.

use schemars::JsonSchema;

use super::{Bandwidth, Capture, Fault, Mirror, Quota, Several};
use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::{Given, Read, Value, read_table};

/// What is done to bytes besides passing them on. What the listener, the route and the upstream of a connection ask for adds up.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Treatment {
    /// How fast bytes may go: a table, or several that all hold.
    pub bandwidth: Option<Given<Several<Bandwidth>>>,
    /// How much there may be in a length of time: a table, or several that all hold.
    pub quota: Option<Given<Several<Quota>>>,
    /// Where what connections say is written down: a table, or several.
    pub capture: Option<Given<Several<Capture>>>,
    /// What is done to bytes on purpose, to see what becomes of those who rely on them: a table, or several, through which bytes
    /// go in this order.
    pub faults: Option<Given<Several<Fault>>>,
    /// Who is sent a copy of connections that begin: a table, or up to 4.
    pub mirror: Option<Given<Several<Mirror>>>,
}

impl Read for Treatment {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        read_table(
            value,
            "a table, as in `{ bandwidth = { down = \"10MiB/s\" } }`",
            problems,
            |table| Self {
                bandwidth: table.optional("bandwidth"),
                quota: table.optional("quota"),
                capture: table.optional("capture"),
                faults: table.optional("faults"),
                mirror: table.optional("mirror"),
            },
        )
    }
}
