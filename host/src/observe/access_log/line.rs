//! One entry in words.

use std::fmt::Display;
use std::io::Write as _;

use jiff::Timestamp;

use crate::config::{LogField, LogFormat, TemplatePart};
use crate::observe::{Entry, Event};

/// Appends a line. What a connection does not have is left out of a JSON line, and is `-` in a template.
pub(super) fn write(format: &LogFormat, entry: &Entry, line: &mut Vec<u8>) {
    match format {
        LogFormat::Json => write_json(entry, line),
        LogFormat::Template(parts) => {
            for part in parts {
                match part {
                    TemplatePart::Text(text) => line.extend_from_slice(text.as_bytes()),
                    TemplatePart::Field(field) => write_plain(*field, entry, line),
                }
            }
        }
    }
    line.push(b'\n');
}

fn write_json(entry: &Entry, line: &mut Vec<u8>) {
    let mut separator = b'{';
    for field in LogField::ALL {
        let start = line.len();
        line.push(separator);
        append(line, format_args!("\"{}\":", field.name()));
        let there = match value(*field, entry) {
            None => false,
            Some(Value::Number(number)) => {
                append(line, number);
                true
            }
            // Names and addresses have nothing in them that JSON would escape: the configuration saw to that.
            Some(Value::Text(text)) => serde_json::to_writer(&mut *line, &text).is_ok(),
            Some(Value::Json(json)) => {
                append(line, json);
                true
            }
        };
        match there {
            true => separator = b',',
            false => line.truncate(start),
        }
    }
    line.push(b'}');
}

fn write_plain(field: LogField, entry: &Entry, line: &mut Vec<u8>) {
    match value(field, entry) {
        None => line.push(b'-'),
        Some(Value::Number(number)) => append(line, number),
        Some(Value::Text(text)) => line.extend_from_slice(text.as_bytes()),
        // As JSON here too: filters wrote it, and a line break of theirs must not look like another line.
        Some(Value::Json(json)) => append(line, json),
    }
}

enum Value {
    Number(u64),
    Text(String),
    Json(serde_json::Value),
}

fn value(field: LogField, entry: &Entry) -> Option<Value> {
    let text = |text: &dyn Display| Some(Value::Text(text.to_string()));
    let number = |number: u64| Some(Value::Number(number));
    let microseconds = |time: std::time::Duration| Some(Value::Number(time.as_micros().try_into().unwrap_or(u64::MAX)));
    match field {
        LogField::Time => {
            let time = Timestamp::try_from(entry.time).ok()?;
            text(&format_args!("{time:.3}"))
        }
        LogField::Event => text(&match entry.event {
            Event::Open => "open",
            Event::Alive => "alive",
            Event::Close(_) => "close",
        }),
        LogField::Connection => number(entry.connection),
        LogField::Listener => text(&entry.listener),
        LogField::Client => text(entry.client.as_ref()?),
        LogField::Upstream => text(entry.upstream.as_ref()?),
        LogField::Server => text(entry.server.as_ref()?),
        LogField::Outcome => match entry.event {
            Event::Close(outcome) => text(&outcome),
            Event::Open | Event::Alive => None,
        },
        LogField::Up => number(entry.up.total()),
        LogField::Down => number(entry.down.total()),
        LogField::UpCopied => number(entry.up.copied),
        LogField::UpSpliced => number(entry.up.spliced),
        LogField::UpFiltered => number(entry.up.filtered),
        LogField::DownCopied => number(entry.down.copied),
        LogField::DownSpliced => number(entry.down.spliced),
        LogField::DownFiltered => number(entry.down.filtered),
        LogField::Connect => microseconds(entry.connect?),
        LogField::FirstByte => microseconds(entry.first_byte?),
        LogField::Duration => microseconds(entry.duration),
        LogField::ClientRtt => microseconds(entry.client_tcp?.rtt),
        LogField::ClientRetransmits => number(entry.client_tcp?.retransmits.into()),
        LogField::UpstreamRtt => microseconds(entry.upstream_tcp?.rtt),
        LogField::UpstreamRetransmits => number(entry.upstream_tcp?.retransmits.into()),
        LogField::OriginalDestination
        | LogField::Protocol
        | LogField::Sni
        | LogField::Alpn
        | LogField::Ja4
        | LogField::TlsVersion
        | LogField::ClientSubject => {
            let known = entry.known.iter().find(|(known, _)| *known == field);
            known.map(|(_, text)| Value::Text(printable(text)))
        }
        LogField::Route => text(entry.route.as_ref()?),
        LogField::KillReason => text(entry.kill_reason.as_ref().filter(|reason| !reason.is_empty())?),
        LogField::Annotations => {
            let annotations = entry.annotations.iter().cloned();
            (!entry.annotations.is_empty()).then(|| Value::Json(annotations.collect()))
        }
    }
}

/// Clients say what they like: a line break of theirs must not look like another line.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() {
            true => printable.extend(char.escape_default()),
            false => printable.push(char),
        }
    }
    printable
}

/// Writing to memory does not fail.
fn append(line: &mut Vec<u8>, what: impl Display) {
    let _ = write!(line, "{what}");
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use serde_json::json;

    use super::*;
    use crate::flow::Side;
    use crate::observe::Moved;
    use crate::outcome::{Cause, Outcome, Stage};

    fn entry() -> Entry {
        Entry {
            event: Event::Close(Outcome::new(Stage::Relay, Cause::Finished, Side::Client)),
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            connection: 7,
            listener: "web".into(),
            client: Some(([192, 0, 2, 1], 4711).into()),
            upstream: None,
            server: None,
            up: Moved {
                copied: 1,
                spliced: 2,
                filtered: 3,
            },
            down: Moved::default(),
            connect: Some(Duration::from_micros(250)),
            first_byte: None,
            duration: Duration::from_millis(5),
            client_tcp: None,
            upstream_tcp: None,
            route: None,
            kill_reason: None,
            known: vec![
                (LogField::Sni, "a.example.com".to_owned()),
                (LogField::Alpn, "h2\n".to_owned()),
            ],
            annotations: vec![("tenant".to_owned(), json!("a\nb"))],
        }
    }

    fn line(format: &LogFormat) -> String {
        let mut line = Vec::new();
        write(format, &entry(), &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_json_line_says_what_there_is() {
        let line = line(&LogFormat::Json);
        assert_eq!(line.matches('\n').count(), 1);
        let expected = json!({
            "time": "2023-11-14T22:13:20.123Z", "event": "close", "connection": 7, "listener": "web",
            "client": "192.0.2.1:4711", "outcome": "relay.finished.client", "up": 6, "down": 0,
            "up_copied": 1, "up_spliced": 2, "up_filtered": 3, "down_copied": 0, "down_spliced": 0, "down_filtered": 0,
            "connect_us": 250, "duration_us": 5000,
            "sni": "a.example.com", "alpn": "h2\\n", "annotations": { "tenant": "a\nb" },
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), expected);
    }

    #[test]
    fn a_template_is_filled_in_and_no_filter_breaks_its_line() {
        let field = TemplatePart::Field;
        let text = |text: &str| TemplatePart::Text(text.to_owned());
        let format = LogFormat::Template(vec![
            field(LogField::Client),
            text(" -> "),
            field(LogField::Server),
            text(" "),
            field(LogField::Annotations),
        ]);
        assert_eq!(line(&format), "192.0.2.1:4711 -> - {\"tenant\":\"a\\nb\"}\n");
    }
}
