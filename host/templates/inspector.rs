//= purpose
refuses clients by the first line that they send
//= uses
use spliceway_sdk::metrics::{Counter, Metric};
//= fields
    /// Words: a client whose first line begins with one of them is refused. In any case.
    #[serde(default)]
    refuse: Vec<String>,
//= statics
static REFUSED: Counter = Counter::new("{{snake}}_refused_total", "Clients that were refused by their first line.");
//= checks
        if self.refuse.iter().any(String::is_empty) {
            return Err("refuse: an empty word would refuse every client".to_owned());
        }
//= metrics
&REFUSED
//= role
/// Of one client. It is dropped when the connection ends.
struct FirstLine {
    config: &'static {{type}},
}

/// A line that is longer is nobody's command.
const LONGEST_LINE: usize = 4096;

impl Inspector for FirstLine {
    type Config = {{type}};

    fn open(config: &'static {{type}}, _connection: &Connection) -> Self {
        Self { config }
    }

    /// What is not asked for here is never shown, and costs nothing.
    fn interest(&self) -> Directions {
        Directions::Up
    }

    fn on_bytes(&mut self, chunk: Chunk, connection: &Connection) -> Verdict {
        let end = chunk.bytes.iter().position(|byte| *byte == b'\n');
        let Some(end) = end.or((chunk.finished).then_some(chunk.bytes.len())) else {
            return match chunk.bytes.len() {
                // The upstream gets nothing of a line that may be refused. These bytes are shown again, with more.
                0..LONGEST_LINE => Verdict::Hold(1),
                _ => Verdict::refuse("the first line is too long"),
            };
        };
        let line = chunk.bytes[..end].to_ascii_lowercase();
        let begins = |word: &&String| line.starts_with(word.to_ascii_lowercase().as_bytes());
        let refused = self.config.refuse.iter().find(begins);
        if let Some(word) = refused {
            REFUSED.add(1);
            connection.annotate("{{name}}.refused", word.as_str());
        }
        match refused {
            Some(word) => {
                // The reason is for the access log, the reply for the client.
                let reason = format!("the first line begins with {word:?}");
                Verdict::refuse(Refusal::new(reason).reply("not here\r\n"))
            }
            // It has seen enough: from here on the kernel moves the bytes.
            None => Verdict::Detach,
        }
    }
}
//= export
export_inspector!(FirstLine);
//= play
.inspector::<FirstLine>()
//= transcripts
# Who sends what, and what is expected then. Each case is played whole, cut at every byte and in random pieces, and must end
# the same: by `cargo test` as plain code, by `spliceway filter test` as the component in the proxy's engine.

[given]
config = { refuse = ["quit", "shutdown"] }

[[case]]
name   = "a word that is refused is refused in any case, and the upstream gets nothing of it"
play   = [{ up = "ShutDown now\r\n" }]
expect = { refused = "begins with \"shutdown\"", upstream-receives = "", metrics = { {{snake}}_refused_total = 1 } }

[[case]]
name   = "who is refused is told so"
play   = [{ up = "quit\r\n" }]
expect = { refused = "begins with \"quit\"", reply = "not here\r\n" }

[[case]]
name   = "any other line is forwarded, and nothing is looked at behind it"
play   = [{ up = "hello\r\nquit\r\n" }, { down = "hello\r\n" }]
expect = { upstream-receives = "hello\r\nquit\r\n", client-receives = "hello\r\n", detached = ["up", "down"] }

[[case]]
name   = "a line that has no end when the client has finished is one all the same"
play   = [{ up = "quit" }, { finish = "up" }]
expect = { refused = "begins with \"quit\"" }

[[case]]
name   = "a line without an end is not held for ever"
play   = [{ up-repeat = "x", times = 5000 }]
expect = { refused = "too long" }

[[case]]
name   = "an empty word is a slip"
given  = { config = { refuse = [""] } }
expect = { config-refused = "refuse: an empty word" }
//= try
spliceway filter run {{file}} --config '{ "refuse": ["quit"] }' --text 'QUIT\r\n'
//= config
config = { refuse = ["quit"] }
//= keys
| `refuse` | words with which a client's first line may not begin | none |
