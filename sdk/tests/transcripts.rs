//! What [`Transcripts`] promises: the roles of a filter are played together, in every way that bytes may come.

use spliceway_sdk::metrics::{Counter, Metric};
use spliceway_sdk::prelude::*;
use spliceway_sdk::testing::Transcripts;
use spliceway_sdk::{Choice, upstreams};

static GREETED: Counter = Counter::new("greeted_total", "Clients that said hello.");

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Greeter {
    allow: String,
}

impl Config for Greeter {
    fn check(&self) -> Result<(), String> {
        if self.allow.is_empty() {
            return Err("allow: names nobody".into());
        }
        Ok(())
    }

    fn metrics() -> Vec<&'static dyn Metric> {
        vec![&GREETED]
    }
}

impl Router for Greeter {
    fn route(&self, window: &Window, connection: &Connection) -> Decision {
        let Some(end) = window.bytes.iter().position(|&byte| byte == b'\n') else {
            return Decision::Need(1);
        };
        if window.round == 0 {
            GREETED.add(1);
            let name = connection.text("tls.sni").unwrap_or_else(|| "nobody".to_owned());
            return Decision::exchange(end + 1, format!("welcome {name}\n"));
        }
        let line = String::from_utf8_lossy(&window.bytes[..end]);
        match upstreams::get(&line) {
            Some(upstream) => {
                connection.annotate("healthy", upstream.healthy);
                Choice::new(line).option("idle-timeout-ms", 1000).into()
            }
            None => Decision::refuse(Refusal::new("no upstream").reply("bye")),
        }
    }
}

struct FirstLine(&'static Greeter);

impl Inspector for FirstLine {
    type Config = Greeter;

    fn open(config: &'static Greeter, connection: &Connection) -> Self {
        if let Some(client) = connection.client() {
            connection.annotate("client", client);
        }
        Self(config)
    }

    fn interest(&self) -> Directions {
        Directions::Up
    }

    fn on_bytes(&mut self, chunk: Chunk, connection: &Connection) -> Verdict {
        let Some(end) = chunk.bytes.iter().position(|&byte| byte == b'\n') else {
            return if chunk.finished {
                Verdict::Forward
            } else {
                Verdict::Hold(1)
            };
        };
        let line = String::from_utf8_lossy(&chunk.bytes[..end]);
        connection.annotate("line", line.as_ref());
        if line == self.0.allow {
            Verdict::Detach
        } else {
            Verdict::refuse(Refusal::reset(format!("{line} is not allowed")))
        }
    }
}

impl Observer for Greeter {
    fn on_closed(&self, batch: &[Closed]) {
        for closed in batch {
            let line = closed.attribute("line").map(Value::to_string).unwrap_or_default();
            log::info!(
                outcome = closed.outcome.as_str(),
                up = closed.up.total(),
                line = line,
                "closed"
            );
        }
    }
}

#[test]
fn all_roles_of_a_filter_are_played_together() {
    greeter("tests/transcripts").play();
}

#[test]
#[should_panic(expected = "step 1 cut behind byte 1")]
fn a_filter_that_depends_on_the_cuts_fails() {
    struct Split;

    impl Inspector for Split {
        type Config = ();

        fn open(_config: &(), _connection: &Connection) -> Self {
            Self
        }

        fn on_bytes(&mut self, chunk: Chunk, _connection: &Connection) -> Verdict {
            if chunk.bytes.len() == 2 {
                Verdict::refuse("two")
            } else {
                Verdict::Forward
            }
        }
    }

    let file = Temporary::new("[[case]]\nname = \"x\"\nplay = [{ up = \"aab\" }]\nexpect = {}\n");
    Transcripts::of(&file.0).inspector::<Split>().play();
}

#[test]
#[should_panic(expected = "the filter failed: it panicked: hello")]
fn a_filter_that_panics_fails() {
    struct Panics;

    impl Inspector for Panics {
        type Config = ();

        fn open(_config: &(), _connection: &Connection) -> Self {
            panic!("hello")
        }

        fn on_bytes(&mut self, _chunk: Chunk, _connection: &Connection) -> Verdict {
            Verdict::Forward
        }
    }

    let file = Temporary::new("[[case]]\nname = \"x\"\nexpect = {}\n");
    Transcripts::of(&file.0).inspector::<Panics>().play();
}

#[test]
#[should_panic(expected = "an upstream says nothing before a router has chosen it")]
fn a_play_that_no_connection_can_have_fails() {
    let given = "[given]\nconfig = { allow = \"blue\" }\n";
    let file = Temporary::new(&format!(
        "{given}[[case]]\nname = \"x\"\nplay = [{{ down = \"a\" }}]\nexpect = {{}}\n"
    ));
    greeter(&file.0).play();
}

#[test]
#[should_panic(expected = "3: unknown field `expct`")]
fn a_transcript_that_cannot_be_read_fails() {
    let file = Temporary::new("[[case]]\nname = \"x\"\nexpct = {}\n");
    greeter(&file.0).play();
}

fn greeter(path: impl AsRef<std::path::Path>) -> Transcripts {
    Transcripts::of(path)
        .router::<Greeter>()
        .inspector::<FirstLine>()
        .observer::<Greeter>()
}

/// A transcript that is gone when its test is.
struct Temporary(std::path::PathBuf);

impl Temporary {
    fn new(text: &str) -> Self {
        let name = format!(
            "spliceway-{}-{:?}.toml",
            std::process::id(),
            std::thread::current().id()
        );
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}
