//! An inspector that fails as its configuration says, for tests of the host: `{"how": "loop", "call": 2}`. Call 0 is
//! the constructor; `{"how": "loop", "when": "please"}` fails when a peer says so, and leaves others alone;
//! `{"how": "loop", "in-init": true}` fails before there is any connection.

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::prelude::*;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Misbehave {
    how: How,
    #[serde(default = "first")]
    call: u32,
    /// At a chunk that contains this, whichever call it is.
    when: Option<String>,
    #[serde(default)]
    in_init: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum How {
    /// Only in `init`: it says no.
    Refuse,
    Trap,
    Panic,
    Loop,
    Recurse,
    /// Memory without end.
    Allocate,
    /// Log records without end.
    Log,
    /// A batch of log records of which the last is not whole.
    LogParts,
    /// Annotations without end.
    Annotate,
    /// Holds more than the host allows.
    Hold,
}

impl Config for Misbehave {
    fn check(&self) -> Result<(), String> {
        match self.how {
            How::Refuse => Err("misbehave refuses this configuration".into()),
            how if self.in_init => how.fail(None).map_or(Ok(()), |_| Ok(())),
            _ => Ok(()),
        }
    }
}

struct Session {
    config: &'static Misbehave,
    call: u32,
}

impl Session {
    /// `bytes` is `None` in the constructor.
    fn call(&mut self, bytes: Option<&[u8]>, connection: &Connection) -> Option<Verdict> {
        let due = match &self.config.when {
            Some(word) => bytes.is_some_and(|bytes| contains(bytes, word.as_bytes())),
            None => self.call == self.config.call,
        };
        self.call += 1;
        if due {
            self.config.how.fail(Some(connection))
        } else {
            None
        }
    }
}

impl Inspector for Session {
    type Config = Misbehave;

    fn open(config: &'static Misbehave, connection: &Connection) -> Self {
        let mut session = Self { config, call: 0 };
        session.call(None, connection);
        session
    }

    fn on_bytes(&mut self, chunk: Chunk, connection: &Connection) -> Verdict {
        self.call(Some(&chunk.bytes), connection).unwrap_or(Verdict::Forward)
    }
}

export_config!(Misbehave);
export_inspector!(Session);

impl How {
    fn fail(self, connection: Option<&Connection>) -> Option<Verdict> {
        match self {
            Self::Refuse => Some(Verdict::refuse("misbehave refuses")),
            Self::Hold => Some(Verdict::Hold(1 << 20)),
            Self::Trap => trap(),
            Self::Panic => panic!("misbehave panics"),
            Self::Loop => loop {
                std::hint::black_box(());
            },
            Self::Recurse => recurse(0),
            Self::Allocate => allocate(),
            Self::Log => loop {
                log::info!("misbehave logs");
            },
            Self::LogParts => {
                let values = [1, 2, 3].map(|number| Some(number.into()));
                log::emit_batch(log::Level::Info, "misbehave logs", &["one", "other"], &values);
                None
            }
            Self::Annotate => {
                let connection = connection?;
                (0_u64..).find_map(|count| {
                    connection.annotate(&format!("misbehave-{count}"), "x".repeat(1024));
                    None
                })
            }
        }
    }
}

fn first() -> u32 {
    1
}

fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort()
}

#[expect(unconditional_recursion, reason = "what it is for")]
fn recurse(depth: u64) -> ! {
    let frame = std::hint::black_box([depth; 64]);
    recurse(frame[0] + 1)
}

fn allocate() -> ! {
    let mut kept = Vec::new();
    loop {
        kept.push(vec![1_u8; 64 * 1024]);
    }
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    !word.is_empty() && bytes.windows(word.len()).any(|window| window == word)
}
