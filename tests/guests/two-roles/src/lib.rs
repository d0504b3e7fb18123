//! A router and an observer in one filter, with one configuration, for tests of the host.

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::metrics::{Counter, Metric};
use spliceway_sdk::prelude::*;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TwoRoles {
    tag: String,
}

static ROUTED: Counter = Counter::new("two_roles_routed_total", "Connections that the router saw.");
static CLOSED: Counter = Counter::new("two_roles_closed_total", "Connections that the observer heard of.");

impl Config for TwoRoles {
    fn metrics() -> Vec<&'static dyn Metric> {
        vec![&ROUTED, &CLOSED]
    }
}

impl Router for TwoRoles {
    fn route(&self, _window: &Window, connection: &Connection) -> Decision {
        ROUTED.add(1);
        connection.annotate("tag", &self.tag);
        if let Some(client) = connection.client() {
            connection.annotate("from", client);
        }
        Decision::Pass
    }
}

impl Observer for TwoRoles {
    fn on_closed(&self, batch: &[Closed]) {
        CLOSED.add(batch.len() as u64);
        for closed in batch {
            let own = closed.attribute("tag") == Some(&self.tag.as_str().into());
            let from = closed.attribute("from").and_then(Value::as_address);
            let seen = from == closed.client;
            log::info!(
                connection = closed.connection,
                own = own,
                seen = seen,
                own = "not the first",
                "closed"
            );
        }
    }
}

export_config!(TwoRoles);
export_router!(TwoRoles);
export_observer!(TwoRoles);
