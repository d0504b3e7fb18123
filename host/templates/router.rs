//= purpose
chooses an upstream by what a client sends first
//= std
use std::collections::BTreeMap;
//= fields
    /// How a client's first bytes begin, and the upstream that it goes to then. All others go to the listener's.
    #[serde(default)]
    prefixes: BTreeMap<String, String>,
//= checks
        if self.prefixes.contains_key("") {
            return Err("prefixes: an empty one is every client's; is it the listener's `upstream`?".to_owned());
        }
//= role
impl Router for {{type}} {
    /// First asked before the client has sent anything, and again when there is as much more as it needs.
    fn route(&self, window: &Window, connection: &Connection) -> Decision {
        let begins = |prefix: &&String| window.bytes.starts_with(prefix.as_bytes());
        if let Some(prefix) = self.prefixes.keys().find(begins) {
            connection.annotate("{{name}}.prefix", prefix.as_str());
            return Decision::route(&self.prefixes[prefix]);
        }
        // The network may deliver a byte at a time: what may still become one of them is waited for.
        let may_begin = |prefix: &String| prefix.as_bytes().starts_with(&window.bytes);
        match self.prefixes.keys().any(may_begin) {
            true => Decision::Need(1),
            false => Decision::Pass,
        }
    }
}
//= export
export_router!({{type}});
//= play
.router::<{{type}}>()
//= transcripts
# Who sends what, and what is expected then. Each case is played whole, cut at every byte and in random pieces, and must end
# the same: by `cargo test` as plain code, by `spliceway filter test` as the component in the proxy's engine.

[given]
config = { prefixes = { "SSH-" = "bastion", "*" = "redis" } }

[[case]]
name   = "an SSH client goes to the bastion"
play   = [{ up = "SSH-2.0-OpenSSH_9.2\r\n" }]
expect = { upstream = "bastion", annotations = { "{{name}}.prefix" = "SSH-" } }

[[case]]
name   = "what comes behind the first bytes goes to the upstream, too"
play   = [{ up = "*1\r\n$4\r\nPING\r\n" }, { down = "+PONG\r\n" }]
expect = { upstream = "redis", upstream-receives = "*1\r\n$4\r\nPING\r\n", client-receives = "+PONG\r\n" }

[[case]]
name   = "all others go where the listener says"
play   = [{ up = "GET / HTTP/1.1\r\n" }]
expect = { passes = true }

[[case]]
name   = "a client that says too little is waited for, until the time is over"
play   = [{ up = "SS" }, { time-out = true }]
expect = { passes = true }
# Here it matters what came before the end of the time.
cut    = false

[[case]]
name   = "an empty prefix is a slip"
given  = { config = { prefixes = { "" = "redis" } } }
expect = { config-refused = "prefixes: an empty one" }
//= try
spliceway filter run {{file}} --config '{ "prefixes": { "SSH-": "bastion" } }' --text 'SSH-2.0-me\r\n'
//= config
config = { prefixes = { "SSH-" = "bastion" } }
//= keys
| `prefixes` | how a client's first bytes begin, and the upstream for it | none |
