//! Refuses MQTT clients by their identifier, and by what they publish and subscribe to. README.md has the details.

mod connect;
mod packet;
mod reader;
mod topic;

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::Pattern;
use spliceway_sdk::metrics::{Counter, Metric};
use spliceway_sdk::prelude::*;

use connect::{Connect, Version};
use packet::{Event, Packets};
use topic::{Client, Filter, Rule};

/// What clients may do. What is not set is not looked at.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct MqttGuard {
    /// Their identifiers: "sensor-*".
    client_ids: Option<Vec<Pattern>>,
    /// The topics that they may publish to, also by their will: "sensors/%c/#", where %c is the client's identifier, and %u its
    /// user name.
    publish: Option<Vec<Rule>>,
    /// The topics that they may subscribe to, likewise.
    subscribe: Option<Vec<Rule>>,
}

static REFUSED: Counter = Counter::new(
    "mqtt_clients_refused_total",
    "MQTT clients that were refused for what they did.",
);

impl Config for MqttGuard {
    fn check(&self) -> Result<(), String> {
        if self.client_ids.is_none() && self.publish.is_none() && self.subscribe.is_none() {
            Err("none of client-ids, publish and subscribe: nobody would be refused".into())
        } else {
            Ok(())
        }
    }

    fn metrics() -> Vec<&'static dyn Metric> {
        vec![&REFUSED]
    }
}

/// One client's packets. A broker acts on a packet when it has all of it, so that the guard holds nothing back: what it
/// forwards ends before the last byte that it would need to refuse.
struct Session {
    config: &'static MqttGuard,
    packets: Packets,
    client: Option<Client>,
}

impl Inspector for Session {
    type Config = MqttGuard;

    fn open(config: &'static MqttGuard, _connection: &Connection) -> Self {
        Self {
            config,
            packets: Packets::default(),
            client: None,
        }
    }

    fn interest(&self) -> Directions {
        Directions::Up
    }

    fn on_bytes(&mut self, chunk: Chunk, connection: &Connection) -> Verdict {
        let mut rest = chunk.bytes.as_slice();
        loop {
            match self.packets.next(&mut rest) {
                Ok(Some(event)) => {
                    if let Err(refusal) = self.judge(event, connection) {
                        REFUSED.add(1);
                        return Verdict::Refuse(refusal);
                    }
                }
                Ok(None) => break,
                Err(reason) => return Verdict::refuse(reason),
            }
        }
        match self.packets.skip() {
            0 if self.is_over() => Verdict::Detach,
            0 => Verdict::Forward,
            unseen => Verdict::Skip(unseen),
        }
    }
}

export_config!(MqttGuard, schema = "../schema.json");
export_inspector!(Session);

impl Session {
    /// Whether nothing that still comes could be refused.
    fn is_over(&self) -> bool {
        self.client.is_some() && self.config.publish.is_none() && self.config.subscribe.is_none()
    }

    fn judge(&mut self, event: Event, connection: &Connection) -> Result<(), Refusal> {
        match event {
            Event::Connect(connect) => self.connect(connect, connection),
            Event::Publish(topic) => self.publish(&topic),
            Event::Subscribe(filters) => filters.iter().try_for_each(|filter| self.subscribe(filter)),
        }
    }

    fn connect(&mut self, connect: Connect, connection: &Connection) -> Result<(), Refusal> {
        let Connect { client, will, .. } = connect;
        connection.annotate("mqtt.client-id", &client.id);
        if let Some(user) = &client.user {
            connection.annotate("mqtt.user", user);
        }
        let refuse = |reason: String| Err(Refusal::new(reason).reply(client.version.not_authorized_to_connect()));
        if let Some(patterns) = &self.config.client_ids
            && !patterns.iter().any(|pattern| pattern.matches(&client.id))
        {
            return refuse(format!("the client identifier {:?} is refused", client.id));
        }
        if let Some(topic) = &will
            && !may(&self.config.publish, |rule| rule.allows_topic(topic, &client))
        {
            return refuse(format!("{:?} may not publish its will to {topic:?}", client.id));
        }
        self.client = Some(client);
        Ok(())
    }

    fn publish(&self, topic: &str) -> Result<(), Refusal> {
        self.client_may(&self.config.publish, "publish to", topic, |rule, client| {
            rule.allows_topic(topic, client)
        })
    }

    fn subscribe(&self, filter: &Filter) -> Result<(), Refusal> {
        self.client_may(
            &self.config.subscribe,
            "subscribe to",
            filter.as_str(),
            |rule, client| rule.allows_filter(filter, client),
        )
    }

    fn client_may(
        &self,
        rules: &Option<Vec<Rule>>,
        what: &str,
        topic: &str,
        allows: impl Fn(&Rule, &Client) -> bool,
    ) -> Result<(), Refusal> {
        // Packets are only read behind a CONNECT.
        let Some(client) = &self.client else { return Ok(()) };
        if may(rules, |rule| allows(rule, client)) {
            return Ok(());
        }
        let refusal = Refusal::new(format!("{:?} may not {what} {topic:?}", client.id));
        Err(refusal.reply(client.version.not_authorized()))
    }
}

fn may(rules: &Option<Vec<Rule>>, allows: impl Fn(&Rule) -> bool) -> bool {
    rules.as_ref().is_none_or(|rules| rules.iter().any(allows))
}

impl Version {
    /// A CONNACK.
    fn not_authorized_to_connect(self) -> &'static [u8] {
        match self {
            Self::V3 => b"\x20\x02\x00\x05",
            Self::V5 => b"\x20\x03\x00\x87\x00",
        }
    }

    /// A DISCONNECT, which brokers send since version 5.
    fn not_authorized(self) -> &'static [u8] {
        match self {
            Self::V3 => b"",
            Self::V5 => b"\xe0\x02\x87\x00",
        }
    }
}

#[cfg(test)]
mod tests;
