//! `spliceway filter run`

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};
use spliceway_transcript::{Direction, Given as Begun, Step, Value, parse};

use super::given::{Given, component};
use super::test::{beside, read};
use crate::authoring::bytes::{excerpt, unescape, unhex};
use crate::authoring::hello::client_hello;
use crate::authoring::play::{Choice, Play, Scene, Told};
use crate::authoring::transcripts::{groups, scene, take};
use crate::cli::{FAILED, WRONG, complain, say, say_error};
use crate::config::FilterConfig;
use crate::filter::{Attribute, Candidate, Engine, Heard, Trial};
use crate::words::count;

#[derive(Debug, Args)]
#[command(
    after_help = "What the client sends comes from --sni, --file, --hex and --text, in this order, or from standard input. Bytes \
                  behind a backslash: \\r, \\n, \\t, \\0, \\\\, \\xNN.\n\n\
                  Exit codes: 0: the filter has answered, a refusal is an answer; 1: it failed, or does not load; 2: the command \
                  line is wrong."
)]
pub struct Run {
    /// The component's file, or the directory of a crate that was built
    #[arg(value_name = "FILE|DIRECTORY")]
    filter: PathBuf,

    #[command(flatten)]
    given: Given,

    #[command(flatten)]
    sent: Sent,

    #[command(flatten)]
    known: Known,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What happens.
#[derive(Debug, Default, Args)]
struct Sent {
    /// The client begins with TLS, and asks for that name
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,

    /// A protocol that it offers in TLS; may be repeated
    #[arg(long, value_name = "PROTOCOL", requires = "sni")]
    alpn: Vec<String>,

    /// It sends what is in the file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// It sends these bytes, in hexadecimal digits
    #[arg(long, value_name = "DIGITS", value_parser = hex)]
    hex: Option<Bytes>,

    /// It sends this
    #[arg(long, value_name = "TEXT", value_parser = text)]
    text: Option<Bytes>,

    /// Then the upstream sends this
    #[arg(long, value_name = "TEXT", value_parser = text)]
    down: Option<Bytes>,

    /// Then they finish
    #[arg(long, value_name = "DIRECTION", value_enum)]
    finish: Option<Finish>,

    /// The time for choosing an upstream is over, at the end
    #[arg(long)]
    time_out: bool,

    /// Bytes come in pieces of so many
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..))]
    pieces: Option<u32>,

    /// An observer is told of a connection: JSON, with "outcome", "upstream", "duration" and what else transcripts say
    #[arg(long, value_name = "JSON")]
    closed: Option<String>,

    /// Instead, what a case of the transcripts says: with this in its name
    #[arg(long, value_name = "CASE", conflicts_with_all = ["sni", "file", "hex", "text", "down", "finish", "closed"])]
    transcript: Option<String>,

    /// The transcripts: a file, or a directory of them [default: `transcripts` of the crate, or here]
    #[arg(long, value_name = "PATH", requires = "transcript")]
    transcripts: Option<PathBuf>,
}

/// What is known of the connection.
#[derive(Debug, Default, Args)]
struct Known {
    /// The client's address
    #[arg(long, value_name = "IP:PORT")]
    client: Option<SocketAddr>,

    /// What the proxy knows: text, or an integer, true or false; may be repeated
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = attribute)]
    attributes: Vec<(String, Value)>,

    /// An upstream of the proxy; may be repeated. Without any, a router may choose any name
    #[arg(long = "upstream", value_name = "NAME")]
    upstreams: Vec<String>,

    /// The listener offers TLS, so that a router can have it begin
    #[arg(long)]
    tls: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Finish {
    Up,
    Down,
    Both,
}

/// A type of its own: clap takes a plain list for several values.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bytes(Vec<u8>);

fn text(typed: &str) -> Result<Bytes, String> {
    unescape(typed).map(Bytes)
}

fn hex(typed: &str) -> Result<Bytes, String> {
    unhex(typed).map(Bytes)
}

fn attribute(typed: &str) -> Result<(String, Value), String> {
    let Some((key, value)) = typed.split_once('=').filter(|(key, _)| !key.is_empty()) else {
        return Err("expected KEY=VALUE, as in tls.sni=a.example".to_owned());
    };
    let integer = || value.parse().ok().map(Value::Integer);
    let boolean = || value.parse().ok().map(Value::Boolean);
    let value = integer()
        .or_else(boolean)
        .unwrap_or_else(|| Value::Text(value.to_owned()));
    Ok((key.to_owned(), value))
}

pub fn run(asked: &Run) -> ExitCode {
    let prepared = component(&asked.filter).and_then(|file| prepare(asked, &file));
    let (mut config, begun, steps) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return complain(WRONG, &error),
    };
    let file = config.source.clone();
    if asked.sent.transcript.is_some() {
        config.config = begun.config.clone();
        config.limits.store_entries = begun.store as u64;
    }
    let tried = Engine::new().and_then(|engine| {
        let candidate = Candidate::load(&engine, file.own_file()?, &config.grants)?;
        candidate.trial(config, Arc::new(groups(&begun)))
    });
    let trial = match tried {
        Ok(trial) => trial,
        Err(error) => {
            return complain(
                FAILED,
                &format!("{file}: {error:#}; `spliceway filter check` says more"),
            );
        }
    };
    let scene = Scene {
        upstreams: begun.upstreams.keys().cloned().collect(),
        detects: asked.sent.transcript.is_none(),
        ..scene(&begun)
    };
    let mut teller = Teller::new(asked.json);
    let mut play = Play::begin(&trial, &scene);
    teller.tell(play.told(), trial.heard());
    for step in &steps {
        teller.step(step);
        take(&mut play, step);
        teller.tell(play.told(), trial.heard());
    }
    teller.end(&play, &trial)
}

/// What is tried, what is known of the connection, and what happens to it.
fn prepare(asked: &Run, file: &Path) -> Result<(FilterConfig, Begun, Vec<Step>), String> {
    let config = asked.given.filter(file)?;
    let Run { sent, known, .. } = asked;
    let (mut begun, steps) = match &sent.transcript {
        Some(name) => {
            let path = sent.transcripts.clone().unwrap_or_else(|| beside(&asked.filter));
            case(&path, name)?
        }
        None => (Begun::default(), steps(sent)?),
    };
    if known.client.is_some() {
        begun.client = known.client;
    }
    begun.attributes.extend(known.attributes.iter().cloned());
    begun.tls |= known.tls;
    if !known.upstreams.is_empty() {
        begun.upstreams = upstreams(&known.upstreams)?;
    }
    let steps = match sent.pieces {
        Some(size) => steps.into_iter().flat_map(|step| pieces(step, size as usize)).collect(),
        None => steps,
    };
    Ok((config, begun, steps))
}

/// As a transcript would name them.
fn upstreams(names: &[String]) -> Result<BTreeMap<String, spliceway_transcript::Upstream>, String> {
    let case = json!({ "case": [{ "name": "run", "given": { "upstreams": names }, "play": [], "expect": {} }] });
    Ok(one_case(&case)?.0.upstreams)
}

fn closed(text: &str) -> Result<Vec<Step>, String> {
    let closed: Json = serde_json::from_str(text).map_err(|error| format!("--closed: this is no JSON: {error}"))?;
    let case = json!({ "case": [{ "name": "run", "play": [{ "closed": closed }], "expect": {} }] });
    one_case(&case)
        .map(|(_, steps)| steps)
        .map_err(|error| format!("--closed: {error}"))
}

fn one_case(case: &Json) -> Result<(Begun, Vec<Step>), String> {
    let text = toml::to_string(case).map_err(|error| error.to_string())?;
    let transcript = parse(Path::new("the command line"), &text).map_err(|error| error.to_string())?;
    let case = transcript.cases.into_iter().next();
    case.map(|case| (case.given, case.play))
        .ok_or_else(|| "there is nothing in it".to_owned())
}

fn case(path: &Path, name: &str) -> Result<(Begun, Vec<Step>), String> {
    let transcripts = read(path)?;
    let cases: Vec<_> = transcripts
        .into_iter()
        .flat_map(|transcript| transcript.cases)
        .collect();
    let found: Vec<_> = cases.iter().filter(|case| case.name.contains(name)).collect();
    match found.as_slice() {
        [case] => Ok((case.given.clone(), case.play.clone())),
        others => {
            let names = if others.is_empty() {
                cases.iter().collect()
            } else {
                others.to_vec()
            };
            let names: Vec<_> = names.iter().map(|case| format!("  {}", case.name)).collect();
            Err(format!(
                "{} in {} have \"{name}\" in their name: expected one of\n{}",
                count(others.len(), "case"),
                path.display(),
                names.join("\n")
            ))
        }
    }
}

fn steps(sent: &Sent) -> Result<Vec<Step>, String> {
    let mut up = Vec::new();
    if let Some(name) = &sent.sni {
        up.extend(client_hello(name, &sent.alpn)?);
    }
    let is_silent = sent.sni.is_none() && sent.hex.is_none() && sent.text.is_none() && sent.closed.is_none();
    match &sent.file {
        Some(file) if file != Path::new("-") => {
            up.extend(std::fs::read(file).map_err(|error| format!("--file {}: {error}", file.display()))?);
        }
        Some(_) => up.extend(standard_input()?),
        None if is_silent && sent.down.is_none() && !sent.time_out => up.extend(standard_input()?),
        None => {}
    }
    for Bytes(bytes) in [&sent.hex, &sent.text].into_iter().flatten() {
        up.extend_from_slice(bytes);
    }
    let mut steps = Vec::new();
    if !up.is_empty() {
        steps.push(Step::Bytes(Direction::Up, up));
    }
    if let Some(Bytes(down)) = &sent.down {
        steps.push(Step::Bytes(Direction::Down, down.clone()));
    }
    let finished = match sent.finish {
        None => &[][..],
        Some(Finish::Up) => &[Direction::Up],
        Some(Finish::Down) => &[Direction::Down],
        Some(Finish::Both) => &Direction::ALL,
    };
    steps.extend(finished.iter().map(|direction| Step::Finish(*direction)));
    if sent.time_out {
        steps.push(Step::TimeOut);
    }
    if let Some(text) = &sent.closed {
        steps.extend(closed(text)?);
    }
    Ok(steps)
}

fn standard_input() -> Result<Vec<u8>, String> {
    let mut input = std::io::stdin();
    if input.is_terminal() {
        say_error("what the client sends is read from here, until Ctrl-D");
    }
    let mut bytes = Vec::new();
    input
        .read_to_end(&mut bytes)
        .map_err(|error| format!("standard input: {error}"))?;
    Ok(bytes)
}

fn pieces(step: Step, size: usize) -> Vec<Step> {
    match step {
        Step::Bytes(direction, bytes) => bytes
            .chunks(size)
            .map(|piece| Step::Bytes(direction, piece.to_vec()))
            .collect(),
        other => vec![other],
    }
}

/// Says what is new since it said something last.
struct Teller {
    silent: bool,
    answers: usize,
    sent: [usize; 2],
    heard: Heard,
}

impl Teller {
    fn new(silent: bool) -> Self {
        Self {
            silent,
            answers: 0,
            sent: [0; 2],
            heard: Heard::default(),
        }
    }

    fn step(&self, step: &Step) {
        let text = match step {
            Step::Bytes(Direction::Up, bytes) => format!("client sends {}", shown(bytes)),
            Step::Bytes(Direction::Down, bytes) => format!("upstream sends {}", shown(bytes)),
            Step::Finish(Direction::Up) => "client finishes".to_owned(),
            Step::Finish(Direction::Down) => "upstream finishes".to_owned(),
            Step::TimeOut => "the time for choosing is over".to_owned(),
            Step::Full => "no more can be held".to_owned(),
            Step::Wait(time) => format!("{time:?} pass"),
            Step::Closed(batch) => count(batch.len(), "connection") + " ended",
        };
        self.line(&format!("> {text}"));
    }

    fn tell(&mut self, told: &Told, heard: Heard) {
        for answer in &told.answers[self.answers..] {
            self.line(&format!("  {}: {}", answer.role.name(), answer.text));
        }
        self.answers = told.answers.len();
        for (place, (peer, bytes)) in [("upstream", &told.to_upstream), ("client", &told.to_client)]
            .iter()
            .enumerate()
        {
            let new = &bytes[self.sent[place]..];
            if !new.is_empty() {
                self.line(&format!("  {peer} receives {}", shown(new)));
            }
            self.sent[place] = bytes.len();
        }
        for record in &heard.records {
            self.line(&format!("  log {}: {record}", record.level.as_str().to_lowercase()));
        }
        for failure in &heard.failures {
            self.line(&format!("  failed: {}", failure.replace('\n', "\n  ")));
        }
        self.heard.records.extend(heard.records);
        self.heard.failures.extend(heard.failures);
    }

    fn line(&self, line: &str) {
        if !self.silent {
            say(line);
        }
    }

    fn end(self, play: &Play<'_>, trial: &Trial) -> ExitCode {
        let told = play.told();
        let metrics: BTreeMap<String, f64> = trial
            .filter()
            .metrics()
            .map(|metric| (metric.name.clone(), metric.value()))
            .collect();
        if self.silent {
            say(&format!("{:#}", self.json(play, &metrics)));
        } else {
            self.line(&format!("= {}", verdict(told)));
            for Attribute { key, value } in play.annotations() {
                self.line(&format!("  annotation {key} = {}", Json::from(value)));
            }
            for (name, value) in metrics.iter().filter(|(_, value)| **value != 0.0) {
                self.line(&format!("  metric {name} = {value}"));
            }
        }
        match told.failure.is_some() || !self.heard.failures.is_empty() {
            true => ExitCode::from(FAILED),
            false => ExitCode::SUCCESS,
        }
    }

    fn json(&self, play: &Play<'_>, metrics: &BTreeMap<String, f64>) -> Json {
        let told = play.told();
        let (decision, upstream) = match &told.choice {
            Choice::None => (Json::Null, Json::Null),
            Choice::Passes => ("passes".into(), Json::Null),
            Choice::Waits => ("waits".into(), Json::Null),
            Choice::Upstream(name) => ("routes".into(), name.as_str().into()),
        };
        let pairs = |attributes: Vec<Attribute>| -> Json {
            let pairs = attributes
                .into_iter()
                .map(|attribute| (attribute.key, Json::from(attribute.value)));
            Json::Object(pairs.collect())
        };
        let refused = told.refused.as_ref().map(|refused| {
            json!({
                "reason": refused.reason,
                "ending": if refused.reset { "reset" } else { "graceful" },
                "reply": as_typed(&refused.reply),
            })
        });
        let answers = told
            .answers
            .iter()
            .map(|answer| json!({ "role": answer.role.name(), "answer": answer.text }));
        json!({
            "decision": decision,
            "upstream": upstream,
            "options": pairs(told.options.clone()),
            "refused": refused,
            "upstream-receives": as_typed(&told.to_upstream),
            "client-receives": as_typed(&told.to_client),
            "shown": { "up": told.shown[0], "down": told.shown[1] },
            "annotations": pairs(play.annotations()),
            "metrics": metrics,
            "logs": self.heard.records.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "answers": answers.collect::<Vec<_>>(),
            "failure": self.heard.failures.first().or(told.failure.as_ref()),
        })
    }
}

/// As transcripts have it.
fn as_typed(bytes: &[u8]) -> Json {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

fn shown(bytes: &[u8]) -> String {
    format!("{}: {}", count(bytes.len(), "byte"), excerpt(bytes))
}

/// The end of the story.
fn verdict(told: &Told) -> String {
    if let Some(refused) = &told.refused {
        let how = if refused.reset { "with a reset" } else { "with FIN" };
        let reply = match refused.reply.as_slice() {
            [] => String::new(),
            reply => format!(", and the client is told {}", shown(reply)),
        };
        return format!("refused {how}: {}{reply}", refused.reason);
    }
    if let Some(failure) = &told.failure {
        return format!("the connection is closed: {failure}");
    }
    match &told.choice {
        Choice::None => "goes on".to_owned(),
        Choice::Passes => "goes where the configuration says".to_owned(),
        Choice::Waits => "the router waits for more (--time-out says that there will be none)".to_owned(),
        Choice::Upstream(name) => format!("goes to \"{name}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_text_unless_they_are_something_else() {
        assert_eq!(
            attribute("tls.sni=a=b").unwrap(),
            ("tls.sni".into(), Value::Text("a=b".into()))
        );
        assert_eq!(attribute("n=7").unwrap().1, Value::Integer(7));
        assert_eq!(attribute("t=true").unwrap().1, Value::Boolean(true));
        for wrong in ["x", "=x"] {
            assert!(attribute(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_sent_comes_in_order() {
        let sent = Sent {
            hex: Some(Bytes(vec![1])),
            text: Some(Bytes(b"a".to_vec())),
            down: Some(Bytes(b"b".to_vec())),
            finish: Some(Finish::Both),
            time_out: true,
            ..Sent::default()
        };
        let expected = [
            Step::Bytes(Direction::Up, b"\x01a".to_vec()),
            Step::Bytes(Direction::Down, b"b".to_vec()),
            Step::Finish(Direction::Up),
            Step::Finish(Direction::Down),
            Step::TimeOut,
        ];
        assert_eq!(steps(&sent).unwrap(), expected);
        assert_eq!(pieces(expected[0].clone(), 1).len(), 2);
    }

    #[test]
    fn a_closed_connection_is_what_transcripts_take() {
        let steps = closed(r#"{ "outcome": "relay.finished.client", "duration": "2s" }"#).unwrap();
        assert!(matches!(steps.as_slice(), [Step::Closed(batch)] if batch.len() == 1));
        let error = closed(r#"{ "outcom": "x" }"#).unwrap_err();
        assert!(error.starts_with("--closed:") && error.contains("outcom"), "{error}");
    }

    #[test]
    fn upstreams_have_names() {
        assert_eq!(upstreams(&["a".into(), "b".into()]).unwrap().len(), 2);
    }
}
