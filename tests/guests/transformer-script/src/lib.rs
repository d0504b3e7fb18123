//! A transformer that does what its configuration says, for tests of the host: `{"interest": "up", "do": "upper"}`.

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::prelude::*;

#[derive(Debug, Deserialize, JsonSchema)]
struct TransformerScript {
    #[serde(default)]
    interest: Interest,
    #[serde(flatten)]
    script: Script,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Interest {
    Up,
    Down,
    #[default]
    Both,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "do", rename_all = "kebab-case")]
enum Script {
    /// As it came.
    Pass,
    /// In capital letters.
    Upper,
    /// So many times.
    Repeat { times: usize },
    /// Each byte mixed with its place in the stream: what came in another order, or not at all, is noticed by whoever mixes it
    /// again. Some bytes are kept back for a while.
    Mix,
    /// With this behind the last byte of each direction.
    Trailer { text: String },
    /// A chunk that contains `pattern` goes nowhere, and whoever sent it gets `reply`.
    Answer { pattern: String, reply: String },
    /// Everything goes back to whoever sent it.
    Return,
    /// As it came until so many bytes of a direction, and never again.
    Detach { after: usize },
    /// A chunk that contains `pattern` ends the connection, and the client gets `reply` first.
    Refuse { pattern: String, reply: String },
    /// So many bytes, to each peer.
    Flood { bytes: usize },
    /// Traps at the call of this number, counted from 1.
    Trap { call: u32 },
}

impl Config for TransformerScript {}

struct Session {
    config: &'static TransformerScript,
    calls: u32,
    up: usize,
    down: usize,
    /// What was kept back, of either direction.
    kept: [Vec<u8>; 2],
}

impl Transformer for Session {
    type Config = TransformerScript;

    fn open(config: &'static TransformerScript, _connection: &Connection) -> Self {
        Self {
            config,
            calls: 0,
            up: 0,
            down: 0,
            kept: Default::default(),
        }
    }

    fn interest(&self) -> Directions {
        match self.config.interest {
            Interest::Up => Directions::Up,
            Interest::Down => Directions::Down,
            Interest::Both => Directions::Both,
        }
    }

    fn on_bytes(&mut self, chunk: Chunk, _connection: &Connection) -> Output {
        self.calls += 1;
        let Chunk {
            direction,
            bytes,
            finished,
            ..
        } = chunk;
        let seen = match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        };
        let begin = *seen;
        *seen += bytes.len();
        log::debug!(
            up = direction == Direction::Up,
            bytes = bytes.len(),
            finished = finished,
            "given"
        );
        match &self.config.script {
            Script::Pass => Output::forward(direction, bytes),
            Script::Upper => Output::forward(direction, bytes.to_ascii_uppercase()),
            Script::Repeat { times } => Output::forward(direction, bytes.repeat(*times)),
            Script::Mix => {
                let kept = &mut self.kept[usize::from(direction == Direction::Down)];
                kept.extend(bytes.iter().zip(begin..).map(|(byte, place)| byte ^ mixed(place)));
                let later = if finished {
                    0
                } else {
                    spliceway_sdk::environment::random() as usize % 3
                };
                Output::forward(direction, kept.drain(..kept.len().saturating_sub(later)).collect())
            }
            Script::Trailer { text } if finished => Output::forward(direction, [&bytes, text.as_bytes()].concat()),
            Script::Trailer { .. } => Output::forward(direction, bytes),
            Script::Answer { pattern, reply } if contains(&bytes, pattern) => back(direction, reply.clone().into()),
            Script::Answer { .. } => Output::forward(direction, bytes),
            Script::Return => back(direction, bytes),
            Script::Detach { after } if *seen >= *after => Output::forward(direction, bytes).detach(),
            Script::Detach { .. } => Output::forward(direction, bytes),
            Script::Refuse { pattern, reply } if contains(&bytes, pattern) => {
                Output::refuse(Refusal::new(format!("it says {pattern:?}")).reply(reply.as_str()))
            }
            Script::Refuse { .. } => Output::forward(direction, bytes),
            Script::Flood { bytes } => Output {
                to_upstream: vec![b'x'; *bytes],
                to_client: vec![b'x'; *bytes],
                ..Output::default()
            },
            Script::Trap { call } if *call == self.calls => panic!("the script says so"),
            Script::Trap { .. } => Output::forward(direction, bytes),
        }
    }
}

export_config!(TransformerScript);
export_transformer!(Session);

fn back(direction: Direction, bytes: Vec<u8>) -> Output {
    Output::forward(
        match direction {
            Direction::Up => Direction::Down,
            Direction::Down => Direction::Up,
        },
        bytes,
    )
}

fn mixed(place: usize) -> u8 {
    (place.wrapping_mul(0x9e37_79b9) >> 16) as u8
}

fn contains(bytes: &[u8], pattern: &str) -> bool {
    !pattern.is_empty() && bytes.windows(pattern.len()).any(|window| window == pattern.as_bytes())
}
