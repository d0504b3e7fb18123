//! WASI for components whose language cannot do without: an empty world. There are no files, no network, no environment and
//! no arguments, and what is printed goes to the log under the filter's name. There are clocks and random numbers, since
//! a standard library does not begin without: they are real where that is granted. Otherwise it is for ever the beginning of
//! 1970, and the random numbers are the same in each instance: what a filter does then depends on what it is shown alone.
//!
//! wasmtime-wasi's own synchronous bindings enter a tokio runtime to wait in, which a worker is in already. Nothing here has
//! anything to wait for, so each of its futures is polled once; one that is not ready then belongs to a filter that tries
//! to sleep, and that is refused.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::AsyncWrite;
use wasmtime::component::{Component, HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock, WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{self, sync};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, OutputStream, Pollable, StreamError, StreamResult,
};
use wasmtime_wasi::random::{Deterministic, WasiRandom};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_io::bindings::wasi::io::{error, poll, streams};

use super::allowance::Allowance;
use super::generation::Generation;
use super::host::say_lost;
use super::instance::State;
use crate::config::Grant;
use crate::observe::log;

/// One instance's WASI: its resources, and what it printed last.
pub(super) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
    printers: [Printer; 2],
}

impl Wasi {
    pub(super) fn new(generation: &Generation) -> Self {
        let last_line = Arc::default();
        let printer = |level| Printer {
            filter: Arc::clone(generation.name()),
            generation: generation.number(),
            level,
            allowance: Arc::clone(&generation.kept().log),
            begun: Arc::default(),
            last_line: Arc::clone(&last_line),
        };
        let printers = [printer(tracing::Level::INFO), printer(tracing::Level::WARN)];
        let [stdout, stderr] = printers.clone();
        let mut builder = WasiCtx::builder();
        builder.stdout(stdout).stderr(stderr).max_random_size(MOST_RANDOM);
        let grants = &generation.terms().grants;
        if !grants.contains(&Grant::WasiClocks) {
            builder.wall_clock(StoppedClock).monotonic_clock(StoppedClock);
        }
        if !grants.contains(&Grant::WasiRandom) {
            let dice = || Deterministic::new(REHEARSED.to_vec());
            builder
                .secure_random(dice())
                .insecure_random(dice())
                .insecure_random_seed(REHEARSED_SEED);
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(MOST_RESOURCES);
        Self {
            context: builder.build(),
            table,
            printers,
        }
    }

    /// What the guest printed last: if it trapped, most likely why.
    pub(super) fn last_words(&self) -> Option<String> {
        for printer in &self.printers {
            printer.end_line(&mut printer.begun.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let [printer, _] = &self.printers;
        printer.last_line.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Bytes of one request for random numbers.
const MOST_RANDOM: u64 = 64 << 10;

/// Streams, errors and timers that one instance has at a time; a program has a handful.
const MOST_RESOURCES: usize = 1024;

/// It is always zero.
struct StoppedClock;

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for StoppedClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

/// What falls where nothing random is granted, over and over. No two neighbours of eight bytes are alike, so that who waits
/// for another number gets one.
const REHEARSED: [u8; 1024] = rehearsed();

const REHEARSED_SEED: u128 = 0x243f_6a88_85a3_08d3_1319_8a2e_0370_7344;

/// By SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
const fn rehearsed() -> [u8; 1024] {
    let mut bytes = [0; 1024];
    let mut state = 0_u64;
    let mut at = 0;
    while at < bytes.len() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        let eight = word.to_le_bytes();
        let mut byte = 0;
        while byte < eight.len() {
            bytes[at] = eight[byte];
            at += 1;
            byte += 1;
        }
    }
    bytes
}

/// Adds the empty world. Whatever else of WASI the component imports exists, and traps when it is called.
pub(super) fn link(linker: &mut Linker<State>, component: &Component) -> wasmtime::Result<()> {
    for (_, add) in INTERFACES {
        add(linker)?;
    }
    trap_the_rest(linker, component)
}

type Add = fn(&mut Linker<State>) -> wasmtime::Result<()>;

/// The interfaces of the empty world. Each is there as a whole, at a version that is compatible with every other 0.2.
const INTERFACES: [(&str, Add); 20] = {
    use bindings::{cli, clocks, filesystem, random};
    [
        ("wasi:clocks/wall-clock", |linker| {
            clocks::wall_clock::add_to_linker::<State, WasiClocks>(linker, State::clocks)
        }),
        ("wasi:clocks/monotonic-clock", |linker| {
            clocks::monotonic_clock::add_to_linker::<State, WasiClocks>(linker, State::clocks)
        }),
        ("wasi:random/random", |linker| {
            random::random::add_to_linker::<State, WasiRandom>(linker, |state| state.ctx().ctx.random())
        }),
        ("wasi:random/insecure", |linker| {
            random::insecure::add_to_linker::<State, WasiRandom>(linker, |state| state.ctx().ctx.random())
        }),
        ("wasi:random/insecure-seed", |linker| {
            random::insecure_seed::add_to_linker::<State, WasiRandom>(linker, |state| state.ctx().ctx.random())
        }),
        ("wasi:filesystem/preopens", |linker| {
            filesystem::preopens::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)
        }),
        // Of no use without a directory to begin with, and there is none.
        ("wasi:filesystem/types", |linker| {
            sync::filesystem::types::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)
        }),
        ("wasi:cli/exit", |linker| {
            cli::exit::add_to_linker::<State, WasiCli>(linker, State::cli)
        }),
        ("wasi:cli/environment", |linker| {
            cli::environment::add_to_linker::<State, WasiCli>(linker, State::cli)
        }),
        ("wasi:cli/stdin", |linker| {
            cli::stdin::add_to_linker::<State, WasiCli>(linker, State::cli)
        }),
        ("wasi:cli/stdout", |linker| {
            cli::stdout::add_to_linker::<State, WasiCli>(linker, State::cli)
        }),
        ("wasi:cli/stderr", |linker| {
            cli::stderr::add_to_linker::<State, WasiCli>(linker, State::cli)
        }),
        ("wasi:cli/terminal-input", |linker| {
            cli::terminal_input::add_to_linker::<State, WasiCli>(linker, State::cli)
        }),
        ("wasi:cli/terminal-output", |linker| {
            cli::terminal_output::add_to_linker::<State, WasiCli>(linker, State::cli)
        }),
        ("wasi:cli/terminal-stdin", |linker| {
            cli::terminal_stdin::add_to_linker::<State, WasiCli>(linker, State::cli)
        }),
        ("wasi:cli/terminal-stdout", |linker| {
            cli::terminal_stdout::add_to_linker::<State, WasiCli>(linker, State::cli)
        }),
        ("wasi:cli/terminal-stderr", |linker| {
            cli::terminal_stderr::add_to_linker::<State, WasiCli>(linker, State::cli)
        }),
        ("wasi:io/error", |linker| {
            error::add_to_linker::<State, Streams>(linker, |state| state.ctx().table)
        }),
        ("wasi:io/poll", |linker| {
            sync::io::poll::add_to_linker::<State, NoWait>(linker, |state| Table(state.ctx().table))
        }),
        ("wasi:io/streams", |linker| {
            sync::io::streams::add_to_linker::<State, NoWait>(linker, |state| Table(state.ctx().table))
        }),
    ]
};

/// Not `define_unknown_imports_as_traps`: it makes an instance of exactly the version that the component names, which then
/// hides ours of a compatible version.
fn trap_the_rest(linker: &mut Linker<State>, component: &Component) -> wasmtime::Result<()> {
    use wasmtime::component::ResourceType;
    use wasmtime::component::types::ComponentItem;
    let engine = linker.engine().clone();
    for (name, item) in component.component_type().imports(&engine) {
        let interface = name.split('@').next().unwrap_or(name);
        let known = INTERFACES.iter().any(|(known, _)| *known == interface);
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            continue;
        };
        if known || !name.starts_with("wasi:") {
            continue;
        }
        let mut stubs = linker.instance(name)?;
        for (export, item) in instance.exports(&engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    let called = format!("{name}#{export}");
                    stubs.func_new(export, move |_, _, _, _| {
                        Err(wasmtime::Error::msg(format!("a filter has no `{called}`")))
                    })?;
                }
                ComponentItem::Resource(_) => stubs.resource(export, ResourceType::host::<()>(), |_, _| Ok(()))?,
                _ => {}
            }
        }
    }
    Ok(())
}

impl WasiView for State {
    /// # Panics
    /// Never: the interfaces that ask are linked for components with WASI only, and those have a context.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self
            .wasi
            .as_mut()
            .unwrap_or_else(|| unreachable!("WASI without a context"));
        WasiCtxView {
            ctx: &mut wasi.context,
            table: &mut wasi.table,
        }
    }
}

struct Streams;

impl HasData for Streams {
    type Data<'a> = &'a mut ResourceTable;
}

struct NoWait;

impl HasData for NoWait {
    type Data<'a> = Table<'a>;
}

/// The resources of an instance, for calls that wait elsewhere and here do not.
struct Table<'a>(&'a mut ResourceTable);

/// The answer of a future that has nothing to wait for.
fn once<T>(future: impl Future<Output = T>) -> wasmtime::Result<T> {
    let refused = || wasmtime::Error::msg("a filter may not wait");
    // Timers need a runtime to exist at all; the thread of the observers has none.
    tokio::runtime::Handle::try_current().map_err(|_| refused())?;
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Ok(answer),
        Poll::Pending => Err(refused()),
    }
}

/// As [`once`], for what a stream answers.
fn stream_once<T>(future: impl Future<Output = StreamResult<T>>) -> StreamResult<T> {
    once(future).map_err(StreamError::Trap)?
}

impl sync::io::poll::Host for Table<'_> {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        once(poll::Host::poll(self.0, pollables))?
    }
}

impl sync::io::poll::HostPollable for Table<'_> {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        once(poll::HostPollable::ready(self.0, pollable))?
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        once(poll::HostPollable::block(self.0, pollable))?
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(self.0, pollable)
    }
}

impl sync::io::streams::Host for Table<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<sync::io::streams::StreamError> {
        streams::Host::convert_stream_error(self.0, error).map(Into::into)
    }
}

type Output = Resource<DynOutputStream>;
type Input = Resource<DynInputStream>;

impl sync::io::streams::HostOutputStream for Table<'_> {
    fn check_write(&mut self, stream: Output) -> StreamResult<u64> {
        streams::HostOutputStream::check_write(self.0, stream)
    }

    fn write(&mut self, stream: Output, bytes: Vec<u8>) -> StreamResult<()> {
        streams::HostOutputStream::write(self.0, stream, bytes)
    }

    fn blocking_write_and_flush(&mut self, stream: Output, bytes: Vec<u8>) -> StreamResult<()> {
        // Without the library's loop, which asks for a runtime: a printer takes everything at once.
        streams::HostOutputStream::write(self.0, stream, bytes)
    }

    fn flush(&mut self, stream: Output) -> StreamResult<()> {
        streams::HostOutputStream::flush(self.0, stream)
    }

    fn blocking_flush(&mut self, stream: Output) -> StreamResult<()> {
        streams::HostOutputStream::flush(self.0, stream)
    }

    fn subscribe(&mut self, stream: Output) -> wasmtime::Result<Resource<DynPollable>> {
        streams::HostOutputStream::subscribe(self.0, stream)
    }

    fn write_zeroes(&mut self, stream: Output, length: u64) -> StreamResult<()> {
        streams::HostOutputStream::write_zeroes(self.0, stream, length)
    }

    fn blocking_write_zeroes_and_flush(&mut self, stream: Output, length: u64) -> StreamResult<()> {
        streams::HostOutputStream::write_zeroes(self.0, stream, length)
    }

    fn splice(&mut self, stream: Output, source: Input, length: u64) -> StreamResult<u64> {
        stream_once(streams::HostOutputStream::blocking_splice(
            self.0, stream, source, length,
        ))
    }

    fn blocking_splice(&mut self, stream: Output, source: Input, length: u64) -> StreamResult<u64> {
        stream_once(streams::HostOutputStream::blocking_splice(
            self.0, stream, source, length,
        ))
    }

    fn drop(&mut self, stream: Output) -> wasmtime::Result<()> {
        self.0.delete(stream)?;
        Ok(())
    }
}

impl sync::io::streams::HostInputStream for Table<'_> {
    fn read(&mut self, stream: Input, length: u64) -> StreamResult<Vec<u8>> {
        streams::HostInputStream::read(self.0, stream, length)
    }

    fn blocking_read(&mut self, stream: Input, length: u64) -> StreamResult<Vec<u8>> {
        stream_once(streams::HostInputStream::blocking_read(self.0, stream, length))
    }

    fn skip(&mut self, stream: Input, length: u64) -> StreamResult<u64> {
        streams::HostInputStream::skip(self.0, stream, length)
    }

    fn blocking_skip(&mut self, stream: Input, length: u64) -> StreamResult<u64> {
        stream_once(streams::HostInputStream::blocking_skip(self.0, stream, length))
    }

    fn subscribe(&mut self, stream: Input) -> wasmtime::Result<Resource<DynPollable>> {
        streams::HostInputStream::subscribe(self.0, stream)
    }

    fn drop(&mut self, stream: Input) -> wasmtime::Result<()> {
        self.0.delete(stream)?;
        Ok(())
    }
}

/// Standard output or standard error: a log record for each line.
#[derive(Clone)]
struct Printer {
    filter: Arc<str>,
    generation: u64,
    level: tracing::Level,
    allowance: Arc<Allowance>,
    /// A line that was begun: what a program prints at once comes in several writes.
    begun: Arc<Mutex<Vec<u8>>>,
    last_line: Arc<Mutex<Option<String>>>,
}

/// The longest line; what is over begins another one.
const LONGEST_LINE: usize = 4 << 10;

impl Printer {
    fn print(&self, bytes: &[u8]) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            begun.extend_from_slice(part);
            if part.ends_with(b"\n") || begun.len() >= LONGEST_LINE {
                self.end_line(&mut begun);
            }
        }
    }

    fn end_line(&self, begun: &mut Vec<u8>) {
        let message = String::from_utf8_lossy(begun).trim().to_owned();
        begun.clear();
        // What follows a panic message explains how to get a backtrace.
        if message.is_empty() || message.starts_with("note: ") {
            return;
        }
        let records = log::Records::of(&log::Guest {
            level: self.level,
            filter: &self.filter,
            generation: self.generation,
            connection: None,
            message: &message,
        });
        if let Some(records) = records {
            if self.allowance.take(1) == 1 {
                records.write(&[]);
            }
            say_lost(&self.allowance, &self.filter);
        }
        *self.last_line.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
    }
}

impl IsTerminal for Printer {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printer {
    /// Asked for by WASI 0.3 only, which no filter speaks.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Printer {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.print(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(LONGEST_LINE)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Printer {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use wasmtime::component::ResourceType;

    use super::*;

    #[test]
    fn each_interface_is_added_under_the_name_that_stands_beside_it() {
        let engine = wasmtime::Engine::default();
        for (name, add) in INTERFACES {
            let mut linker = Linker::new(&engine);
            add(&mut linker).unwrap();
            // A name that is taken cannot be defined again.
            let is_taken = |version: String| {
                let resource = ResourceType::host::<()>();
                linker.root().resource(&version, resource, |_, _| Ok(())).is_err()
            };
            let mut versions = (0..100).map(|patch| format!("{name}@0.2.{patch}"));
            assert!(versions.any(is_taken), "{name}");
        }
    }
}
