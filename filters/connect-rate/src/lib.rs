//! Limits how fast connections may come, for each client, network, name, or all of them. README.md has the details.

mod key;

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::Network;
use spliceway_sdk::metrics::{Counter, Metric};
use spliceway_sdk::prelude::*;
use spliceway_sdk::store::{self, Rate};

use key::Key;

/// How fast connections may come.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConnectRate {
    /// Each has to let a connection through.
    limits: Vec<Limit>,
    /// Clients that are not limited: networks or addresses.
    #[serde(default)]
    exempt: Vec<Network>,
    /// What a client is told, in its own protocol, before it is closed. It is reset where this is empty.
    #[serde(default)]
    reply: String,
}

/// A bucket of tokens for each key, of which a connection takes one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Limit {
    by: Key,
    /// So many tokens come back each second: 0.1 is six a minute.
    #[schemars(extend("exclusiveMinimum" = 0))]
    per_second: f64,
    /// So many tokens are there at first, and at the most.
    #[schemars(range(min = 1))]
    burst: u32,
}

static REFUSED: Counter = Counter::new(
    "connect_rate_refused_total",
    "Connections that were refused since too many came.",
);

/// What the proxy keeps of a reply.
const LONGEST_REPLY: usize = 4096;

impl Config for ConnectRate {
    fn check(&self) -> Result<(), String> {
        if self.limits.is_empty() {
            return Err("limits: there is none".into());
        }
        if self.reply.len() > LONGEST_REPLY {
            return Err(format!("reply: longer than {LONGEST_REPLY} bytes"));
        }
        for (index, limit) in self.limits.iter().enumerate() {
            limit.check().map_err(|error| format!("limits[{index}].{error}"))?;
        }
        Ok(())
    }

    fn metrics() -> Vec<&'static dyn Metric> {
        vec![&REFUSED]
    }
}

impl Router for ConnectRate {
    fn route(&self, window: &Window, connection: &Connection) -> Decision {
        if self.is_exempt(connection) {
            return Decision::Pass;
        }
        // A connection takes its tokens when all keys are known, and so once.
        if !window.is_last() && self.limits.iter().any(|limit| limit.by.may_come(window, connection)) {
            return Decision::Need(1);
        }
        let mut limits = self.limits.iter().enumerate();
        match limits.find_map(|(index, limit)| limit.refuses(index, connection)) {
            Some(key) => self.refuse(&key, connection),
            None => Decision::Pass,
        }
    }
}

export_config!(ConnectRate, schema = "../schema.json");
export_router!(ConnectRate);

impl ConnectRate {
    fn is_exempt(&self, connection: &Connection) -> bool {
        let client = connection.client();
        client.is_some_and(|client| self.exempt.iter().any(|network| network.contains(client.ip())))
    }

    fn refuse(&self, key: &str, connection: &Connection) -> Decision {
        REFUSED.add(1);
        connection.annotate("connect-rate.key", key);
        let reason = format!("too many connections of {key}");
        Decision::refuse(if self.reply.is_empty() {
            Refusal::reset(reason)
        } else {
            Refusal::new(reason).reply(self.reply.as_bytes())
        })
    }
}

impl Limit {
    fn check(&self) -> Result<(), String> {
        if !(self.per_second.is_finite() && self.per_second > 0.0) {
            return Err(format!("per-second: {} is not more than 0", self.per_second));
        }
        if self.burst == 0 {
            return Err("burst: nobody would ever connect".into());
        }
        self.by.check().map_err(|error| format!("by: {error}"))
    }

    /// The key that has no token left. Each limit has buckets of its own.
    fn refuses(&self, index: usize, connection: &Connection) -> Option<String> {
        let key = self.by.of(connection);
        let rate = Rate {
            per_second: self.per_second,
            burst: self.burst,
        };
        (!store::take(&format!("{index} {key}"), 1, rate)).then_some(key)
    }
}

#[cfg(test)]
mod tests;
