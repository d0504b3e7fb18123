//! Why a connection goes as it does.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What was decided about a connection, and why.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trace {
    /// In the order in which it was decided; the last one may be what is waited for.
    pub steps: Vec<Step>,
    /// How the next bytes of the client go, where there is a server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up: Option<Way>,
    /// How the next bytes of the server go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down: Option<Way>,
}

/// One decision.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    pub step: StepKind,
    /// Of the route, the filter, the upstream; the address of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub result: StepResult,
    /// For a person.
    pub why: String,
    /// How long it took, where something was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
}

/// What was decided about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    /// Where the client comes from.
    Accept,
    Limit,
    /// What the client has sent first.
    Detect,
    /// With whom TLS is spoken.
    Tls,
    Route,
    Filter,
    Upstream,
    Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepResult {
    /// So it was, and it went on.
    Done,
    /// It is waited for now.
    Waits,
    /// It was waited for in vain, and went on without it.
    Late,
    /// Of a route: this one.
    Matched,
    /// Of a route: not this one.
    NoMatch,
    /// Of a filter: it has no opinion.
    Passed,
    /// It chose the upstream. Of an upstream, or a server: it was chosen.
    Chosen,
    /// Of a filter: it wants to see bytes.
    Watches,
    /// Of a server, or a filter.
    Failed,
}

/// How the next bytes of one direction go.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Way {
    /// They stay in the kernel.
    pub zero_copy: bool,
    /// `spliced`, or why not, for a person.
    pub why: String,
}
