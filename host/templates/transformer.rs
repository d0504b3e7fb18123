//= purpose
masks characters in what servers answer
//= fields
    /// The characters to be masked in what a server sends.
    #[serde(default)]
    mask: String,
//= checks
        if !self.mask.is_ascii() {
            return Err("mask: only ASCII characters are single bytes".to_owned());
        }
//= role
/// Of one connection. It is dropped when the connection ends.
struct Mask {
    config: &'static {{type}},
}

impl Transformer for Mask {
    type Config = {{type}};

    fn open(config: &'static {{type}}, _connection: &Connection) -> Self {
        Self { config }
    }

    /// What is not asked for here is never shown, and goes on as it is.
    fn interest(&self) -> Directions {
        match self.config.mask.is_empty() {
            true => Directions::Neither,
            false => Directions::Down,
        }
    }

    /// What is not in the output goes nowhere: a transformer that needs to see more keeps bytes in `self` until then.
    fn on_bytes(&mut self, chunk: Chunk, _connection: &Connection) -> Output {
        let mask = self.config.mask.as_bytes();
        let masked = |byte: u8| if mask.contains(&byte) { b'*' } else { byte };
        Output::forward(chunk.direction, chunk.bytes.into_iter().map(masked).collect())
    }
}
//= export
export_transformer!(Mask);
//= play
.transformer::<Mask>()
//= transcripts
# Who sends what, and what is expected then. Each case is played whole, cut at every byte and in random pieces, and must end
# the same: by `cargo test` as plain code, by `spliceway filter test` as the component in the proxy's engine.

[given]
config = { mask = "0123456789" }

[[case]]
name   = "digits that the server sends are masked"
play   = [{ up = "show 42\r\n" }, { down = "card 4111-1111\r\n" }, { finish = "both" }]
expect = { upstream-receives = "show 42\r\n", client-receives = "card ****-****\r\n" }

[[case]]
name   = "what clients send is not looked at"
play   = [{ up-repeat = "1", times = 100000 }]
expect = { sees = { up = 0 } }

[[case]]
name   = "without characters to be masked, nothing is looked at"
given  = { config = {} }
play   = [{ down = "42" }]
expect = { client-receives = "42", detached = ["up", "down"] }

[[case]]
name   = "a character of several bytes is a slip"
given  = { config = { mask = "é" } }
expect = { config-refused = "mask: only ASCII" }
//= try
spliceway filter run {{file}} --config '{ "mask": "0123456789" }' --text 'show\r\n' --down 'card 4111\r\n'
//= config
config = { mask = "0123456789" }
//= keys
| `mask` | characters that are masked in what servers send | none |
