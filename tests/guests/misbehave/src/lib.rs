//! An inspector that fails as its configuration says, for tests of the host: `{"how": "loop", "call": 2}`. Call 0 is
//! the constructor; `{"how": "loop", "when": "please"}` fails when a peer says so, and leaves others alone;
//! `{"how": "loop", "in-init": true}` fails before there is any connection; `{"how": "as-told"}` does what the peer says,
//! as in "sin: loop.".

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;
use spliceway_sdk::metrics::{Counter, Metric};
use spliceway_sdk::prelude::*;
use spliceway_sdk::store;

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
    /// Holds whatever comes, without end.
    HoldOn,
    /// Skips all that can be counted.
    SkipMax,
    /// Refuses, and says why in a mebibyte.
    Reason,
    /// Shows the host more than it takes in one call.
    Pass,
    /// Metrics without end.
    Metrics,
    /// Entries of the store without end.
    Store,
    /// Entries of the store, more than there may be.
    FillStore,
    /// Asks for the connection once it is over: in the destructor.
    AskLater,
    /// Panics when the connection is over.
    PanicLater,
    /// Takes a quarter of its memory, and keeps it.
    Grow,
    /// What the chunk names.
    AsTold,
}

impl Config for Misbehave {
    fn check(&self) -> Result<(), String> {
        // Once in each instance.
        log::debug!("an instance begins");
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
    later: Option<How>,
}

impl Session {
    /// `bytes` is `None` in the constructor.
    fn call(&mut self, bytes: Option<&[u8]>, connection: &Connection) -> Option<Verdict> {
        let due = match &self.config.when {
            Some(word) => bytes.is_some_and(|bytes| contains(bytes, word.as_bytes())),
            None => self.call == self.config.call,
        };
        self.call += 1;
        let how = match self.config.how {
            How::AsTold => told(bytes?)?,
            _ if !due => return None,
            how => how,
        };
        if matches!(how, How::AskLater | How::PanicLater) {
            self.later = Some(how);
        }
        how.fail(Some(connection))
    }
}

/// The word between "sin: " and the next full stop.
fn told(bytes: &[u8]) -> Option<How> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (_, rest) = text.split_once("sin: ")?;
    let (word, _) = rest.split_once('.')?;
    How::deserialize(IntoDeserializer::<Error>::into_deserializer(word)).ok()
}

impl Drop for Session {
    fn drop(&mut self) {
        match self.later {
            Some(How::AskLater) => log::info!("the connection is {} now", connection_id()),
            Some(How::PanicLater) => panic!("misbehave panics at the end"),
            _ => {}
        }
    }
}

/// The SDK has no way to ask outside of a call that is about a connection.
#[cfg(target_arch = "wasm32")]
fn connection_id() -> u64 {
    #[link(wasm_import_module = "spliceway:filter/connection@0.1.0")]
    unsafe extern "C" {
        fn id() -> u64;
    }
    // SAFETY: the contract's function, by its type.
    unsafe { id() }
}

#[cfg(not(target_arch = "wasm32"))]
fn connection_id() -> u64 {
    0
}

impl Inspector for Session {
    type Config = Misbehave;

    fn open(config: &'static Misbehave, connection: &Connection) -> Self {
        let mut session = Self {
            config,
            call: 0,
            later: None,
        };
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
            Self::HoldOn => Some(Verdict::Hold(1)),
            Self::SkipMax => Some(Verdict::Skip(u64::MAX)),
            Self::Reason => Some(Verdict::refuse("misbehave refuses. ".repeat(64 << 10))),
            Self::Pass => {
                log::emit(log::Level::Info, &"misbehave passes much. ".repeat(400 << 10), &[]);
                None
            }
            Self::Metrics => {
                for count in 0..1_000_000 {
                    let name = format!("misbehave_{count}").leak();
                    let counter: &'static Counter = Box::leak(Box::new(Counter::new(name, "")));
                    let _ = counter.define();
                    counter.add(u64::MAX);
                }
                None
            }
            Self::Store => {
                (0_u64..).find_map(|count| {
                    store::set(&count.to_string(), &[0; 32 << 10], None)
                        .is_err()
                        .then_some(())
                })?;
                None
            }
            Self::FillStore => {
                for count in 0..64 {
                    store::set(&count.to_string(), &[0; 1 << 10], None).ok();
                }
                None
            }
            Self::Grow => {
                std::hint::black_box(Vec::<u8>::with_capacity(4 << 20).leak());
                None
            }
            Self::AskLater | Self::PanicLater | Self::AsTold => None,
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
