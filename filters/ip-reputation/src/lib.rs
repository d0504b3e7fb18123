//! Refuses clients whose address is on a list, before anything else is done for them. README.md has the details.

mod list;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::OnceLock;

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::metrics::{Counter, Metric};
use spliceway_sdk::prelude::*;

use list::List;

/// Who is refused.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct IpReputation {
    /// By names of your own, which the access log shows. A list is a text with a network or an address in each line, where "#"
    /// and ";" begin comments, or an array of them.
    #[serde(default)]
    deny: BTreeMap<String, List>,
    /// These are never refused.
    #[serde(default)]
    allow: List,
    #[serde(skip)]
    built_in: OnceLock<List>,
}

/// What `IP_REPUTATION_LIST` named when the filter was built. A filter's file is replaced while the proxy runs, and with it
/// this list.
const BUILT_IN: &str = include_str!(concat!(env!("OUT_DIR"), "/built-in.txt"));

static REFUSED: Counter = Counter::new(
    "ip_reputation_refused_total",
    "Clients that were refused for their address.",
);

impl Config for IpReputation {
    fn check(&self) -> Result<(), String> {
        let built_in = List::parse(BUILT_IN).map_err(|error| format!("the list that was built in: {error}"))?;
        if self.deny.is_empty() && built_in.is_empty() {
            return Err("deny: there is no list, and none was built in".into());
        }
        self.built_in.get_or_init(|| built_in);
        Ok(())
    }

    fn metrics() -> Vec<&'static dyn Metric> {
        vec![&REFUSED]
    }
}

impl Router for IpReputation {
    fn route(&self, _window: &Window, connection: &Connection) -> Decision {
        let Some(client) = connection.client() else {
            return Decision::Pass;
        };
        match self.list_with(client.ip()) {
            Some(list) => {
                REFUSED.add(1);
                connection.annotate("ip-reputation.list", list);
                Decision::refuse(Refusal::reset(format!("{} is on the list {list}", client.ip())))
            }
            None => Decision::Pass,
        }
    }
}

export_config!(IpReputation, schema = "../schema.json");
export_router!(IpReputation);

impl IpReputation {
    fn list_with(&self, client: IpAddr) -> Option<&str> {
        let built_in = self.built_in.get().map(|list| ("built-in", list));
        let configured = self.deny.iter().map(|(name, list)| (name.as_str(), list));
        let mut lists = configured.chain(built_in);
        let (name, _) = lists.find(|(_, list)| list.contains(client))?;
        (!self.allow.contains(client)).then_some(name)
    }
}

#[cfg(test)]
mod tests;
