//! Sends a client to the upstream of the private endpoint that it came through. README.md has the details.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::prelude::*;

/// From endpoints to upstreams.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VpceRouter {
    /// VPC endpoints of AWS PrivateLink: "vpce-08d2bf15fac5001c9".
    #[serde(default)]
    aws: BTreeMap<String, String>,
    /// Private endpoints of Azure, by their link identifiers: "16777337".
    #[serde(default)]
    azure: BTreeMap<String, String>,
    /// Connections of GCP's Private Service Connect: "5061126131998785".
    #[serde(default)]
    gcp: BTreeMap<String, String>,
    /// The upstream of clients that come through an endpoint that is not named, or through none. They are refused where this is
    /// not set.
    default: Option<String>,
}

impl Config for VpceRouter {
    fn check(&self) -> Result<(), String> {
        if [&self.aws, &self.azure, &self.gcp]
            .iter()
            .all(|endpoints| endpoints.is_empty())
        {
            return Err("neither aws nor azure nor gcp names an endpoint".into());
        }
        if let Some(id) = self.aws.keys().find(|id| !id.starts_with("vpce-")) {
            return Err(format!("aws.{id}: not an endpoint, as in \"vpce-08d2bf15fac5001c9\""));
        }
        numbers("azure", &self.azure)?;
        numbers("gcp", &self.gcp)
    }
}

fn numbers(cloud: &str, endpoints: &BTreeMap<String, String>) -> Result<(), String> {
    // As the proxy writes them, so that none is there which no client can have.
    let is_number = |id: &str| id.parse::<u64>().is_ok_and(|number| number.to_string() == id);
    match endpoints.keys().find(|id| !is_number(id)) {
        Some(id) => Err(format!("{cloud}.{id}: not a number, as in \"16777337\"")),
        None => Ok(()),
    }
}

impl Router for VpceRouter {
    fn route(&self, _window: &Window, connection: &Connection) -> Decision {
        let endpoint = self.endpoint(connection);
        if let Some(endpoint) = &endpoint {
            connection.annotate("vpce.cloud", endpoint.cloud);
            connection.annotate("vpce.endpoint", &endpoint.id);
        }
        let named = endpoint.as_ref().and_then(|endpoint| endpoint.upstream);
        match (named.or(self.default.as_deref()), endpoint) {
            (Some(upstream), _) => Decision::route(upstream),
            (None, Some(Endpoint { cloud, id, .. })) => {
                Decision::refuse(format!("no upstream for the endpoint {id} of {cloud}"))
            }
            (None, None) => Decision::refuse("the client came through no private endpoint"),
        }
    }
}

export_config!(VpceRouter, schema = "../schema.json");
export_router!(VpceRouter);

struct Endpoint<'a> {
    cloud: &'static str,
    id: String,
    upstream: Option<&'a str>,
}

impl VpceRouter {
    /// A header says at most one of these, unless somebody has made it up: then the first counts.
    fn endpoint(&self, connection: &Connection) -> Option<Endpoint<'_>> {
        let clouds = [
            ("aws", "proxy.aws.vpce-id", &self.aws),
            ("azure", "proxy.azure.link-id", &self.azure),
            ("gcp", "proxy.gcp.psc-connection-id", &self.gcp),
        ];
        clouds.into_iter().find_map(|(cloud, key, upstreams)| {
            let id = connection.attribute(key)?.to_string();
            let upstream = upstreams.get(&id).map(String::as_str);
            Some(Endpoint { cloud, id, upstream })
        })
    }
}

#[cfg(test)]
mod tests;
