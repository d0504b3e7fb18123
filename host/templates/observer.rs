//= purpose
says which connections took long
//= uses
use spliceway_sdk::metrics::{Counter, Metric};
//= fields
    /// Connections that last for so many milliseconds or longer are logged.
    #[serde(default)]
    slow: Option<u64>,
//= statics
static CLOSED: Counter = Counter::new("{{snake}}_closed_total", "Connections that have ended.");
static SLOW: Counter = Counter::new("{{snake}}_slow_total", "Connections that took long.");
//= checks
        if self.slow == Some(0) {
            return Err("slow: every connection lasts for 0 milliseconds; leave it out to log none".to_owned());
        }
//= metrics
&CLOSED, &SLOW
//= role
impl Observer for {{type}} {
    /// Told afterwards, in batches, on a thread of its own: no connection waits for this.
    fn on_closed(&self, batch: &[Closed]) {
        CLOSED.add(batch.len() as u64);
        let Some(slow) = self.slow else { return };
        for closed in batch.iter().filter(|closed| closed.duration.as_millis() >= slow.into()) {
            SLOW.add(1);
            let (outcome, upstream) = (&*closed.outcome, closed.upstream.as_deref().unwrap_or("none"));
            log::info!(outcome = outcome, upstream = upstream, "a slow connection: {:?}", closed.duration);
        }
    }
}
//= export
export_observer!({{type}});
//= play
.observer::<{{type}}>()
//= transcripts
# What a filter is told, and what is expected then: by `cargo test` as plain code, by `spliceway filter test` as the component
# in the proxy's engine.

[given]
config = { slow = 1000 }

[[case]]
name   = "a connection that took long is logged"
play   = [{ closed = { outcome = "relay.finished.client", upstream = "blue", duration = "1500ms" } }]
expect = { logs = ["a slow connection"], metrics = { {{snake}}_slow_total = 1, {{snake}}_closed_total = 1 } }

[[case]]
name   = "any other is counted"
play   = [{ closed = { outcome = "relay.finished.client", duration = "20ms" } }]
expect = { metrics = { {{snake}}_slow_total = 0, {{snake}}_closed_total = 1 } }

[[case]]
name   = "a limit of nothing is a slip"
given  = { config = { slow = 0 } }
expect = { config-refused = "slow: every connection" }
//= try
spliceway filter run {{file}} --config '{ "slow": 1 }' --closed '{ "outcome": "relay.finished.client", "duration": "2s" }'
//= config
config = { slow = 1000 }
//= keys
| `slow` | connections that last for so many milliseconds are logged | none is |
