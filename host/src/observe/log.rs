//! The log on standard error: for people on a terminal, one JSON object a line otherwise.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write as _};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// Starts logging, once for the process. `level` is a level, or directives as `tracing_subscriber::EnvFilter` reads them.
///
/// # Errors
/// `level` is neither.
pub fn start(format: Option<Format>, level: &str) -> anyhow::Result<()> {
    let terminal = io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { Format::Text } else { Format::Json });
    for directive in level.split(',') {
        // The library would take any word for the name of a module.
        anyhow::ensure!(
            directive.contains('=') || directive.parse::<Level>().is_ok() || directive == "off",
            "`{directive}` is no level: expected error, warn, info, debug, trace or off"
        );
    }
    // These narrate what they do.
    let directives = format!("{level},cranelift=warn,wasmtime=warn,regalloc2=warn,notify=warn");
    let filter = EnvFilter::builder().parse(directives)?;
    tracing_subscriber::fmt()
        .with_writer(|| Output)
        .with_ansi(terminal)
        .with_env_filter(filter)
        .event_format(Line { format })
        .init();
    Ok(())
}

/// Where lines go: to standard error one by one, or, within [`batch`], all at once at its end.
struct Output;

thread_local! {
    static BATCH: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Runs `work`, and writes what it logs in one piece: a system call for each line would be most of a line's cost.
pub fn batch<T>(work: impl FnOnce() -> T) -> T {
    BATCH.with(|batch| batch.replace(Some(Vec::new())));
    let done = work();
    let lines = BATCH.with(RefCell::take).unwrap_or_default();
    // There is nobody left to tell that the log cannot be written.
    let _ = io::stderr().write_all(&lines);
    done
}

impl io::Write for Output {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        BATCH.with(|batch| match &mut *batch.borrow_mut() {
            Some(lines) => lines.write(line),
            None => io::stderr().write(line),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A record of a guest's.
pub struct Guest<'a> {
    pub level: Level,
    pub filter: &'a str,
    pub generation: u64,
    pub connection: Option<u64>,
    pub message: &'a str,
    pub fields: Map<String, Value>,
}

/// Where guests' records are filed: `--log-level filter=debug` is about them alone.
const GUEST: &str = "filter";

/// The name of the field that holds a JSON object and not a text.
const OBJECT: &str = "fields";

pub fn guest_enabled(level: Level) -> bool {
    match level {
        Level::TRACE => tracing::enabled!(target: GUEST, Level::TRACE),
        Level::DEBUG => tracing::enabled!(target: GUEST, Level::DEBUG),
        Level::INFO => tracing::enabled!(target: GUEST, Level::INFO),
        Level::WARN => tracing::enabled!(target: GUEST, Level::WARN),
        Level::ERROR => tracing::enabled!(target: GUEST, Level::ERROR),
    }
}

pub fn guest(record: Guest<'_>) {
    let Guest {
        filter,
        generation,
        connection,
        message,
        ..
    } = record;
    let fields = (!record.fields.is_empty()).then(|| serde_json::to_string(&record.fields).unwrap_or_default());
    let fields = fields.as_deref();
    macro_rules! emit {
        ($level:ident) => {
            tracing::event!(target: GUEST, Level::$level, filter, generation, connection, fields, "{message}")
        };
    }
    match record.level {
        Level::TRACE => emit!(TRACE),
        Level::DEBUG => emit!(DEBUG),
        Level::INFO => emit!(INFO),
        Level::WARN => emit!(WARN),
        Level::ERROR => emit!(ERROR),
    }
}

struct Line {
    format: Format,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let now = jiff::Timestamp::now();
        let level = *event.metadata().level();
        match self.format {
            Format::Json => {
                let mut object = Map::new();
                object.insert("timestamp".to_owned(), format!("{now:.6}").into());
                object.insert("level".to_owned(), level.as_str().into());
                object.insert("target".to_owned(), event.metadata().target().into());
                object.insert("message".to_owned(), fields.message.into());
                object.extend(fields.rest);
                let line = Value::Object(object).to_string();
                match (fields.object, line.strip_suffix('}')) {
                    // It is JSON already: a guest's record is not parsed to be written again.
                    (Some(guest), Some(open)) => writeln!(writer, "{open},\"{OBJECT}\":{guest}}}"),
                    _ => writeln!(writer, "{line}"),
                }
            }
            Format::Text => {
                let (dim, colour, plain) = match writer.has_ansi_escapes() {
                    true => ("\x1b[2m", colour(level), "\x1b[0m"),
                    false => ("", "", ""),
                };
                write!(
                    writer,
                    "{dim}{now:.3}{plain} {colour}{level:>5}{plain} {}",
                    printable(&fields.message)
                )?;
                let guest = fields.object.and_then(|object| serde_json::from_str(&object).ok());
                let guest: Map<String, Value> = guest.unwrap_or_default();
                for (key, value) in fields.rest.into_iter().chain(guest) {
                    write!(writer, " {dim}{key}={plain}{}", text(&value))?;
                }
                writeln!(writer)
            }
        }
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG | Level::TRACE => "\x1b[34m",
    }
}

/// A value as a person reads it: quoted only where it would run into the next.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains([' ', '"', '=']) => printable(text),
        other => other.to_string(),
    }
}

/// Bytes from outside end up in messages; a terminal must not obey them.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c if c.is_control() => _ = write!(out, "{}", c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: Map<String, Value>,
    /// A guest's own fields, as JSON.
    object: Option<String>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (OBJECT, Value::String(text)) => self.object = Some(text),
            (name, value) => _ = self.rest.insert(name.to_owned(), value),
        }
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put(field, u64::try_from(value).unwrap_or(u64::MAX).into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}
