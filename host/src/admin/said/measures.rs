//! What is done to connections besides what the configuration says, both ways.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Measures {
    /// In the order in which they were asked for.
    pub measures: Vec<Measure>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Measure {
    pub id: u64,
    pub scope: Scope,
    /// As a configuration file has it.
    #[schema(value_type = Object)]
    pub treatment: Json,
    /// Until it ends; absent where it stays until it is taken back, or the process ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
}

/// Whose connections are meant: those to which all of it applies. All connections, where nothing is said.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// The name of a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// An address, or a network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "10.0.0.0/8")]
    pub client: Option<String>,
    /// What it asks for in TLS, as the `sni` of a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "*.example.com")]
    pub sni: Option<String>,
    /// The number of a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<u64>,
    /// Of those, so many: which ones is drawn from the seed and the connection's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "10%")]
    pub share: Option<String>,
    /// Another one draws others; 0 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// What is to be done, and to whose connections.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMeasure {
    #[serde(default)]
    pub scope: Scope,
    /// As a configuration file has it.
    #[schema(value_type = Object, example = json!({ "bandwidth": { "down": "1MiB/s" } }))]
    pub treatment: Json,
    /// How long, 1ms to 8760h; until it is taken back, unless said.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(example = "10m")]
    pub time: Option<String>,
}
