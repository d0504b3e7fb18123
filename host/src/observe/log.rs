//! The log on standard error: for people on a terminal, one JSON object a line otherwise.
//!
//! The proxy's own records come through tracing. Guests' records do not: an access log has one for each connection, and
//! what tracing takes for a record is more than all the rest of it.

mod last;

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::io::{self, IsTerminal, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use jiff::fmt::temporal::DateTimePrinter;
use serde::Serialize;
use tracing::field::{Field as EventField, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

pub use last::{Line, last};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// How lines look: decided once, for the process.
#[derive(Debug, Clone, Copy)]
struct Style {
    format: Format,
    colours: bool,
}

static STYLE: OnceLock<Style> = OnceLock::new();

/// What is logged of guests' records: the number of a level, 0 is nothing.
static GUESTS: AtomicU8 = AtomicU8::new(0);

/// What is logged, as it was said; and how that is changed.
static LEVEL: Mutex<String> = Mutex::new(String::new());
static CHANGE: OnceLock<Box<dyn Fn(EnvFilter) -> anyhow::Result<()> + Send + Sync>> = OnceLock::new();

/// Starts logging, once for the process. `level` is a level, or directives as `tracing_subscriber::EnvFilter` reads them.
///
/// # Errors
/// `level` is neither.
pub fn start(format: Option<Format>, level: &str) -> anyhow::Result<()> {
    let terminal = io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { Format::Text } else { Format::Json });
    let filter = filter(level)?;
    let style = *STYLE.get_or_init(|| Style {
        format,
        colours: terminal,
    });
    let subscriber = tracing_subscriber::fmt()
        .with_writer(|| Output)
        .with_ansi(terminal)
        .with_env_filter(filter)
        .event_format(style)
        .with_filter_reloading();
    let handle = subscriber.reload_handle();
    let _ = CHANGE.set(Box::new(move |filter| Ok(handle.reload(filter)?)));
    subscriber.init();
    remember(level);
    Ok(())
}

/// Logs at another level from now on.
///
/// # Errors
/// `level` is none.
pub fn change(level: &str) -> anyhow::Result<()> {
    let filter = filter(level)?;
    if let Some(change) = CHANGE.get() {
        change(filter)?;
    }
    remember(level);
    Ok(())
}

/// The level, or the directives, that were given last.
pub fn level() -> String {
    LEVEL.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn remember(said: &str) {
    GUESTS.store(most_of_guests(), Ordering::Relaxed);
    said.clone_into(&mut LEVEL.lock().unwrap_or_else(PoisonError::into_inner));
}

fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    for directive in level.split(',') {
        // The library would take any word for the name of a module.
        anyhow::ensure!(
            directive.contains('=') || directive.parse::<Level>().is_ok() || directive == "off",
            "`{directive}` is no level: expected error, warn, info, debug, trace or off"
        );
    }
    // These narrate what they do.
    let directives = format!(
        "{level},cranelift=warn,wasmtime=warn,regalloc2=warn,notify=warn,hickory_resolver=error,hickory_net=error"
    );
    Ok(EnvFilter::builder().parse(directives)?)
}

/// How lines look, in the word that `--log-format` takes.
pub fn format_in_force() -> &'static str {
    match STYLE.get() {
        Some(Style {
            format: Format::Text, ..
        }) => "text",
        _ => "json",
    }
}

thread_local! {
    /// What this thread has logged within [`batch`].
    static BATCH: Cell<Option<Vec<u8>>> = const { Cell::new(None) };
}

/// How many bytes of lines wait. A system call for each line would be most of its cost; one for a hundred is not seen.
const FULL: usize = 64 << 10;

/// Runs `work`, and writes what it logs in large pieces, the last one at its end.
pub fn batch<T>(work: impl FnOnce() -> T) -> T {
    BATCH.set(Some(Vec::with_capacity(FULL + (FULL >> 3))));
    let done = work();
    write_out(&BATCH.take().unwrap_or_default());
    done
}

/// Adds a line, or several, to the log.
fn put(line: impl FnOnce(&mut Vec<u8>)) {
    let Some(mut lines) = BATCH.take() else {
        let mut lines = Vec::with_capacity(512);
        line(&mut lines);
        return write_out(&lines);
    };
    add(&mut lines, line, write_out);
    BATCH.set(Some(lines));
}

fn add(lines: &mut Vec<u8>, line: impl FnOnce(&mut Vec<u8>), write: impl FnOnce(&[u8])) {
    line(lines);
    if lines.len() >= FULL {
        write(lines);
        lines.clear();
    }
}

/// A log that cannot be written cannot say so either.
fn write_out(lines: &[u8]) {
    let _ = io::stderr().write_all(lines);
}

/// Where tracing writes: a line at a time.
struct Output;

impl io::Write for Output {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        put(|lines| lines.extend_from_slice(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is known of a guest's record beside its fields.
pub struct Guest<'a> {
    pub level: Level,
    pub filter: &'a str,
    pub generation: u64,
    pub connection: Option<u64>,
    pub message: &'a str,
}

/// Records of a guest's that differ in their fields alone: what their lines begin with is put together once.
pub struct Records {
    style: Style,
    level: Level,
    beginning: Vec<u8>,
    /// The same for those who ask for the last lines; empty where they would not hear of it.
    told: Vec<u8>,
}

pub type Field<'a> = (&'a str, Value<'a>);

/// What can be said of something in one word.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    Text(Cow<'a, str>),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Boolean(bool),
    Address(SocketAddr),
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        text(&mut out, self);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

/// Where guests' records are filed: `--log-level filter=debug` is about them alone.
const GUEST: &str = "filter";

fn most_of_guests() -> u8 {
    macro_rules! first_enabled {
        ($($level:ident)+) => {
            $(if tracing::enabled!(target: GUEST, Level::$level) {
                return number(Level::$level);
            })+
        };
    }
    first_enabled!(TRACE DEBUG INFO WARN ERROR);
    0
}

fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// Asked for each record of each guest's: hence found out once, and when the level changes.
pub fn guest_enabled(level: Level) -> bool {
    number(level) <= GUESTS.load(Ordering::Relaxed)
}

impl Records {
    /// `None` where they are not logged.
    pub fn of(guest: &Guest<'_>) -> Option<Self> {
        let style = STYLE.get().filter(|_| guest_enabled(guest.level))?;
        Some(Self::in_style(*style, guest))
    }

    fn in_style(style: Style, guest: &Guest<'_>) -> Self {
        let mut beginning = Vec::with_capacity(256);
        style.begin(&mut beginning, guest.level, GUEST, guest.message);
        style.guest(&mut beginning, guest);
        let told = match last::is_kept(guest.level) {
            true => {
                let mut told = printable(guest.message).as_bytes().to_vec();
                last::STYLE.guest(&mut told, guest);
                told
            }
            false => Vec::new(),
        };
        Self {
            style,
            level: guest.level,
            beginning,
            told,
        }
    }

    /// Writes one of them.
    pub fn write(&self, fields: &[Field<'_>]) {
        put(|lines| self.line(lines, fields));
        last::keep(self.level, |text| {
            text.extend_from_slice(&self.told);
            last::STYLE.object(text, fields);
        });
    }

    fn line(&self, out: &mut Vec<u8>, fields: &[Field<'_>]) {
        out.extend_from_slice(&self.beginning);
        self.style.object(out, fields);
        self.style.end(out);
    }
}

/// Without the formatter of the standard library, which takes as long again.
const TO_THE_MICROSECOND: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

impl Style {
    /// What every line begins with.
    fn begin(self, out: &mut Vec<u8>, level: Level, target: &str, message: &str) {
        let now = jiff::Timestamp::now();
        match self.format {
            Format::Json => {
                out.extend_from_slice(b"{\"timestamp\":\"");
                let _ = TO_THE_MICROSECOND.print_timestamp(&now, &mut *out);
                out.extend_from_slice(b"\",\"level\":\"");
                out.extend_from_slice(level.as_str().as_bytes());
                out.extend_from_slice(b"\",\"target\":");
                json(out, target);
                out.extend_from_slice(b",\"message\":");
                json(out, message);
            }
            Format::Text => {
                let (dim, colour, plain) = (self.paint("\x1b[2m"), self.paint(colour(level)), self.paint("\x1b[0m"));
                let message = printable(message);
                write(
                    out,
                    format_args!("{dim}{now:.3}{plain} {colour}{level:>5}{plain} {message}"),
                );
            }
        }
    }

    fn field(self, out: &mut Vec<u8>, key: &str, value: &Value<'_>) {
        match self.format {
            Format::Json => {
                out.push(b',');
                entry(out, key, value);
            }
            Format::Text => {
                let (dim, plain) = (self.paint("\x1b[2m"), self.paint("\x1b[0m"));
                write(out, format_args!(" {dim}{}={plain}", printable(key)));
                text(out, value);
            }
        }
    }

    /// Whose record it is.
    fn guest(self, out: &mut Vec<u8>, guest: &Guest<'_>) {
        self.field(out, "filter", &Value::Text(guest.filter.into()));
        self.field(out, "generation", &Value::Unsigned(guest.generation));
        if let Some(connection) = guest.connection {
            self.field(out, "connection", &Value::Unsigned(connection));
        }
    }

    /// A guest's fields: in JSON an object of their own, since their names may be any.
    fn object(self, out: &mut Vec<u8>, fields: &[Field<'_>]) {
        match self.format {
            Format::Json if fields.is_empty() => {}
            Format::Json => {
                out.extend_from_slice(b",\"fields\":");
                for (number, (key, value)) in fields.iter().enumerate() {
                    out.push(if number == 0 { b'{' } else { b',' });
                    entry(out, key, value);
                }
                out.push(b'}');
            }
            Format::Text => fields.iter().for_each(|(key, value)| self.field(out, key, value)),
        }
    }

    fn end(self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self.format {
            Format::Json => b"}\n",
            Format::Text => b"\n",
        });
    }

    fn paint(self, escape: &'static str) -> &'static str {
        if self.colours { escape } else { "" }
    }
}

impl<S, N> FormatEvent<S, N> for Style
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields {
            style: *self,
            message: String::new(),
            rest: Vec::new(),
        };
        event.record(&mut fields);
        let mut line = Vec::new();
        let metadata = event.metadata();
        self.begin(&mut line, *metadata.level(), metadata.target(), &fields.message);
        line.append(&mut fields.rest);
        self.end(&mut line);
        last::keep(*metadata.level(), |text| {
            let mut fields = Fields {
                style: last::STYLE,
                message: String::new(),
                rest: Vec::new(),
            };
            event.record(&mut fields);
            text.extend_from_slice(printable(&fields.message).as_bytes());
            text.append(&mut fields.rest);
        });
        writer.write_str(&String::from_utf8_lossy(&line))
    }
}

/// The fields of an event. The message is the first of them on most days, but nobody promises it.
struct Fields {
    style: Style,
    message: String,
    /// The others, as the line will have them.
    rest: Vec<u8>,
}

impl Fields {
    fn put(&mut self, field: &EventField, value: &Value<'_>) {
        match (field.name(), value) {
            ("message", Value::Text(text)) => self.message = text.as_ref().to_owned(),
            (name, value) => self.style.field(&mut self.rest, name, value),
        }
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &EventField, value: i64) {
        self.put(field, &Value::Integer(value));
    }

    fn record_u64(&mut self, field: &EventField, value: u64) {
        self.put(field, &Value::Unsigned(value));
    }

    fn record_u128(&mut self, field: &EventField, value: u128) {
        self.put(field, &Value::Unsigned(u64::try_from(value).unwrap_or(u64::MAX)));
    }

    fn record_f64(&mut self, field: &EventField, value: f64) {
        self.put(field, &Value::Float(value));
    }

    fn record_bool(&mut self, field: &EventField, value: bool) {
        self.put(field, &Value::Boolean(value));
    }

    fn record_str(&mut self, field: &EventField, value: &str) {
        self.put(field, &Value::Text(value.into()));
    }

    fn record_debug(&mut self, field: &EventField, value: &dyn fmt::Debug) {
        self.put(field, &Value::Text(format!("{value:?}").into()));
    }
}

/// One of a JSON object.
fn entry(out: &mut Vec<u8>, key: &str, value: &Value<'_>) {
    json(out, key);
    out.push(b':');
    match value {
        Value::Text(text) => json(out, text.as_ref()),
        Value::Integer(number) => json(out, number),
        Value::Unsigned(number) => json(out, number),
        Value::Float(number) => json(out, number),
        Value::Boolean(truth) => json(out, truth),
        Value::Address(address) => {
            out.push(b'"');
            self::address(out, *address);
            out.push(b'"');
        }
    }
}

/// Memory takes everything, and nothing here has a form that JSON has not.
fn json(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    let _ = serde_json::to_writer(out, value);
}

/// Most lines of an access log have two, and the standard library's way to print one takes as long as half of the line.
fn address(out: &mut Vec<u8>, address: SocketAddr) {
    let SocketAddr::V4(address) = address else {
        return write(out, format_args!("{address}"));
    };
    for (number, octet) in address.ip().octets().iter().enumerate() {
        if number > 0 {
            out.push(b'.');
        }
        json(out, octet);
    }
    out.push(b':');
    json(out, &address.port());
}

fn write(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
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
fn text(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Text(text) if text.is_empty() || text.contains([' ', '"', '=']) => json(out, text.as_ref()),
        Value::Text(text) => out.extend_from_slice(printable(text).as_bytes()),
        Value::Integer(number) => json(out, number),
        Value::Unsigned(number) => json(out, number),
        Value::Float(number) => json(out, number),
        Value::Boolean(truth) => json(out, truth),
        Value::Address(address) => self::address(out, *address),
    }
}

/// Bytes from outside end up in messages; a terminal must not obey them.
fn printable(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(obeyed) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if obeyed(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Style = Style {
        format: Format::Json,
        colours: false,
    };
    const TEXT: Style = Style {
        format: Format::Text,
        colours: false,
    };

    fn line(style: Style, message: &str, fields: &[Field<'_>]) -> String {
        let guest = Guest {
            level: Level::INFO,
            filter: "test",
            generation: 3,
            connection: Some(7),
            message,
        };
        let mut line = Vec::new();
        Records::in_style(style, &guest).line(&mut line, fields);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_guest_s_record_is_one_json_object_a_line() {
        let fields = [
            ("text", Value::Text("blue".into())),
            ("integer", Value::Integer(-1)),
            ("truth", Value::Boolean(true)),
            ("address", Value::Address("[2001:db8::1]:443".parse().unwrap())),
        ];
        let line = line(JSON, "closed", &fields);
        let (timestamp, rest) = line.split_at(r#"{"timestamp":"2026-11-22T05:40:20.519640Z","#.len());
        assert!(
            timestamp.starts_with(r#"{"timestamp":"2"#) && timestamp.ends_with(r#"Z","#),
            "{line}"
        );
        assert_eq!(
            rest,
            "\"level\":\"INFO\",\"target\":\"filter\",\"message\":\"closed\",\"filter\":\"test\",\"generation\":3,\
             \"connection\":7,\"fields\":{\"text\":\"blue\",\"integer\":-1,\"truth\":true,\
             \"address\":\"[2001:db8::1]:443\"}}\n"
        );
    }

    #[test]
    fn no_text_of_a_guest_s_ends_its_line_or_its_object() {
        let hostile = "\"}\n{\u{1b}[2J\u{0}";
        let line = line(JSON, hostile, &[(hostile, Value::Text(hostile.into()))]);
        assert_eq!(line.lines().count(), 1, "{line:?}");
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["message"], hostile);
        assert_eq!(object["fields"][hostile], hostile);
    }

    #[test]
    fn a_terminal_gets_nothing_to_obey() {
        let hostile = "\u{1b}]0;title\u{7}";
        let fields = [
            (hostile, Value::Text(hostile.into())),
            ("spaced", Value::Text("\u{1b}[2J and more".into())),
        ];
        let line = line(TEXT, hostile, &fields);
        assert!(!line.contains(['\u{1b}', '\u{7}']), "{line:?}");
        assert!(
            line.contains(" INFO \\u{1b}]0;title\\u{7} filter=test generation=3 connection=7 "),
            "{line:?}"
        );
    }

    #[test]
    fn addresses_look_as_everywhere_else() {
        for text in [
            "0.0.0.0:0",
            "192.0.2.7:40000",
            "255.255.255.255:65535",
            "[::1]:80",
            "[fe80::1%3]:443",
        ] {
            let mut printed = Vec::new();
            address(&mut printed, text.parse().unwrap());
            assert_eq!(String::from_utf8_lossy(&printed), text);
        }
    }

    #[test]
    fn a_batch_waits_in_bounded_memory() {
        let (mut waiting, mut written) = (Vec::new(), Vec::new());
        for number in 0..10_000 {
            let line = format!("{number:0>99}\n");
            add(
                &mut waiting,
                |lines| lines.extend_from_slice(line.as_bytes()),
                |lines| written.extend_from_slice(lines),
            );
            assert!(waiting.len() < FULL);
        }
        written.append(&mut waiting);
        let written = String::from_utf8(written).unwrap();
        let numbers = written.lines().map(|line| line.parse::<usize>().unwrap());
        assert!(numbers.eq(0..10_000));
    }
}
