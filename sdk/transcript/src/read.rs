//! From TOML to cases, with everything that is wrong with a file at once, as far as its TOML can be read.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value as Json;
use toml::Spanned;

use crate::{
    Case, Closed, Direction, Ending, Error, Expect, Given, Moved, PerDirection, Problem, Step, Transcript, Upstream,
    Value, bytes, raw,
};

/// Reads a transcript, or each `*.toml` of a directory in the order of their names.
///
/// # Errors
/// What cannot be read, of all files, with its place.
pub fn load(path: &Path) -> Result<Vec<Transcript>, Error> {
    let (mut transcripts, mut problems) = (Vec::new(), Vec::new());
    for file in files(path)? {
        let text = fs::read_to_string(&file).map_err(|error| Error::of_file(&file, format!("cannot be read: {error}")));
        match text.and_then(|text| parse(&file, &text)) {
            Ok(transcript) => transcripts.push(transcript),
            Err(error) => problems.extend(Vec::from(error)),
        }
    }
    if problems.is_empty() {
        Ok(transcripts)
    } else {
        Err(problems.into())
    }
}

/// Reads the text of a transcript. Files that it names are looked for beside `file`.
///
/// # Errors
/// What cannot be read, with its place.
pub fn parse(file: &Path, text: &str) -> Result<Transcript, Error> {
    let mut reader = Reader {
        file,
        text,
        directory: file.parent().unwrap_or_else(|| Path::new("")),
        problems: Vec::new(),
    };
    let cases = match toml::from_str::<raw::File>(text) {
        Ok(raw) => reader.cases(raw),
        Err(error) => {
            reader.problem(&error.span().unwrap_or_default(), error.message().to_owned());
            Vec::new()
        }
    };
    if reader.problems.is_empty() {
        Ok(Transcript {
            file: file.to_owned(),
            cases,
        })
    } else {
        Err(reader.problems.into())
    }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |error: std::io::Error| Error::of_file(path, format!("cannot be read: {error}"));
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|extension| extension == "toml") {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(Error::of_file(
            path,
            "has no transcript: expected files called NAME.toml".to_owned(),
        ));
    }
    files.sort();
    Ok(files)
}

struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    directory: &'a Path,
    problems: Vec<Problem>,
}

/// What is wrong with one thing; the reader knows where that is.
type Read<T> = Result<T, String>;

impl Reader<'_> {
    fn cases(&mut self, raw: raw::File) -> Vec<Case> {
        if raw.case.is_empty() {
            self.problem(
                &(0..0),
                "there is no case: expected [[case]] with a name, a play and what to expect".to_owned(),
            );
        }
        let mut cases: Vec<Case> = Vec::new();
        for raw_case in raw.case {
            let case = self.case(&raw.given, raw_case);
            if let Some(first) = cases.iter().find(|known| known.name == case.name) {
                let text = format!("the case of line {} has the name {:?} already", first.line, case.name);
                self.problem_at_line(case.line, text);
            }
            cases.push(case);
        }
        cases
    }

    fn case(&mut self, of_file: &raw::Given, case: Spanned<raw::Case>) -> Case {
        let line = self.line(&case.span());
        let raw = case.into_inner();
        if raw.name.get_ref().trim().is_empty() {
            self.problem(
                &raw.name.span(),
                "a case without a name: expected a sentence".to_owned(),
            );
        }
        let given = self.given(of_file, &raw.given);
        let mut play = Vec::new();
        for step in raw.play {
            let span = step.span();
            let steps = self.step(step.into_inner(), &given);
            play.extend(self.or_problem(&span, steps).unwrap_or_default());
        }
        let span = raw.expect.span();
        let expect = self.expect(raw.expect.into_inner());
        let expect = self.or_problem(&span, expect).unwrap_or_default();
        if expect.config_refused.is_some() && !play.is_empty() {
            self.problem(
                &span,
                "config-refused: a filter that refuses its configuration plays nothing".to_owned(),
            );
        }
        Case {
            name: raw.name.into_inner(),
            file: self.file.to_owned(),
            line,
            given,
            play,
            expect,
            cut: raw.cut,
        }
    }

    /// What a case gives counts, key by key; then what the file gives; then the default.
    fn given(&mut self, of_file: &raw::Given, of_case: &raw::Given) -> Given {
        let default = Given::default();
        let client = of_case.client.as_ref().or(of_file.client.as_ref());
        let local = of_case.local.as_ref().or(of_file.local.as_ref());
        let attributes = of_case.attributes.as_ref().or(of_file.attributes.as_ref());
        let upstreams = of_case.upstreams.as_ref().or(of_file.upstreams.as_ref());
        let listener = of_case.listener.as_ref().or(of_file.listener.as_ref());
        Given {
            config: of_case
                .config
                .as_ref()
                .or(of_file.config.as_ref())
                .cloned()
                .unwrap_or_default(),
            client: self.given_address("client", client, default.client),
            local: self.given_address("local", local, default.local),
            listener: listener.cloned().unwrap_or(default.listener),
            attributes: attributes
                .map(|attributes| self.attributes(attributes))
                .unwrap_or_default(),
            upstreams: upstreams.map(described).unwrap_or_default(),
            tls: of_case.tls.or(of_file.tls).unwrap_or(default.tls),
            store: of_case.store.or(of_file.store).unwrap_or(default.store),
        }
    }

    fn given_address(
        &mut self,
        key: &str,
        text: Option<&Spanned<String>>,
        default: Option<SocketAddr>,
    ) -> Option<SocketAddr> {
        let Some(text) = text else { return default };
        if text.get_ref() == "unix" {
            return None;
        }
        let address = address(text.get_ref()).map_err(|error| format!("{key}: {error}, nor \"unix\""));
        self.or_problem(&text.span(), address)
    }

    fn attributes(&mut self, raw: &BTreeMap<String, Spanned<Json>>) -> BTreeMap<String, Value> {
        let mut attributes = BTreeMap::new();
        for (key, json) in raw {
            let value = Value::read(json.get_ref()).map_err(|error| format!("attributes.{key}: {error}"));
            attributes.extend(self.or_problem(&json.span(), value).map(|value| (key.clone(), value)));
        }
        attributes
    }

    fn step(&self, raw: raw::Step, given: &Given) -> Read<Vec<Step>> {
        let repeated = raw.up_repeat.is_some() || raw.down_repeat.is_some();
        let mut found: Vec<Vec<Step>> = Vec::new();
        let written = [
            (Direction::Up, raw.up, raw.up_hex, raw.up_file, raw.up_repeat),
            (Direction::Down, raw.down, raw.down_hex, raw.down_file, raw.down_repeat),
        ];
        for (direction, plain, hex, file, repeat) in written {
            let ways = [
                plain.map(|json| bytes::read(&json, self.directory)),
                hex.map(|digits| bytes::from_hex(&digits)),
                file.map(|file| bytes::from_file(&self.directory.join(file))),
                repeat.map(|json| {
                    let times = raw.times.ok_or("a repetition without its number: expected times = 9")?;
                    bytes::repeated(&bytes::read(&json, self.directory)?, times)
                }),
            ];
            for bytes in ways.into_iter().flatten() {
                found.push(vec![Step::Bytes(direction, bytes?)]);
            }
        }
        found.extend(raw.finish.map(|finish| match finish {
            raw::Finish::Up => vec![Step::Finish(Direction::Up)],
            raw::Finish::Down => vec![Step::Finish(Direction::Down)],
            raw::Finish::Both => vec![Step::Finish(Direction::Up), Step::Finish(Direction::Down)],
        }));
        found.extend(flag("time-out", raw.time_out)?.map(|()| vec![Step::TimeOut]));
        found.extend(flag("full", raw.full)?.map(|()| vec![Step::Full]));
        if let Some(time) = raw.wait {
            found.push(vec![Step::Wait(duration(&time)?)]);
        }
        if let Some(closed) = raw.closed {
            found.push(vec![Step::Closed(batch(closed, given)?)]);
        }
        if raw.times.is_some() && !repeated {
            return Err("times: only up-repeat and down-repeat have a number".to_owned());
        }
        match <[Vec<Step>; 1]>::try_from(found) {
            Ok([steps]) => Ok(steps),
            Err(found) => Err(format!(
                "a step is one thing, and this one is {}: expected up, down (each with -hex, -file, -repeat), finish, time-out, \
                 full, wait or closed",
                found.len()
            )),
        }
    }

    fn expect(&self, raw: raw::Expect) -> Read<Expect> {
        let all_bytes = |key: &str, json: Option<Json>| -> Read<Option<Vec<u8>>> {
            json.map(|json| bytes::read(&json, self.directory).map_err(|error| format!("{key}: {error}")))
                .transpose()
        };
        let expect = Expect {
            options: values("options", &raw.options)?,
            ending: raw.ending.map(|ending| match ending {
                raw::Ending::Graceful => Ending::Graceful,
                raw::Ending::Reset => Ending::Reset,
            }),
            reply: all_bytes("reply", raw.reply)?,
            upstream_receives: all_bytes("upstream-receives", raw.upstream_receives)?,
            client_receives: all_bytes("client-receives", raw.client_receives)?,
            annotations: values("annotations", &raw.annotations)?,
            sees: PerDirection {
                up: raw.sees.up,
                down: raw.sees.down,
            },
            detached: raw.detached.into_iter().map(direction).collect(),
            upstream: raw.upstream,
            passes: raw.passes,
            waits: raw.waits,
            refused: raw.refused,
            metrics: raw.metrics,
            logs: raw.logs,
            config_refused: raw.config_refused,
        };
        if expect.refused.is_none() && (expect.ending.is_some() || expect.reply.is_some()) {
            return Err(
                "ending and reply are of a refusal: expected refused = \"a part of the reason\" beside them".to_owned(),
            );
        }
        if expect.config_refused.is_some() {
            let alone = Expect {
                config_refused: expect.config_refused.clone(),
                ..Expect::default()
            };
            if expect != alone {
                return Err("config-refused: nothing else comes of a filter that refuses its configuration".to_owned());
            }
        }
        let decisions = [expect.upstream.is_some(), expect.passes, expect.waits];
        if decisions.into_iter().filter(|expected| *expected).count() > 1 {
            return Err("a router decides one thing: expected only one of upstream, passes and waits".to_owned());
        }
        Ok(expect)
    }

    fn or_problem<T>(&mut self, span: &Range<usize>, read: Read<T>) -> Option<T> {
        read.map_err(|text| self.problem(span, text)).ok()
    }

    fn problem(&mut self, span: &Range<usize>, text: String) {
        self.problem_at_line(self.line(span), text);
    }

    fn problem_at_line(&mut self, line: usize, text: String) {
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line: Some(line),
            text,
        });
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }
}

fn described(raw: &raw::Upstreams) -> BTreeMap<String, Upstream> {
    let one = Upstream { servers: 1, healthy: 1 };
    match raw {
        raw::Upstreams::Names(names) => names.iter().map(|name| (name.clone(), one)).collect(),
        raw::Upstreams::Described(all) => all
            .iter()
            .map(|(name, raw)| {
                let upstream = Upstream {
                    servers: raw.servers,
                    healthy: raw.healthy.unwrap_or(raw.servers),
                };
                (name.clone(), upstream)
            })
            .collect(),
    }
}

fn batch(raw: raw::OneOrMore, given: &Given) -> Read<Vec<Closed>> {
    let all = match raw {
        raw::OneOrMore::One(one) => vec![*one],
        raw::OneOrMore::More(more) => more,
    };
    all.into_iter().map(|raw| closed(raw, given)).collect()
}

fn closed(raw: raw::Closed, given: &Given) -> Read<Closed> {
    let client = raw.client.as_deref().map(address).transpose()?;
    Ok(Closed {
        connection: raw.connection,
        listener: raw.listener.unwrap_or_else(|| given.listener.clone()),
        client: client.or(given.client),
        upstream: raw.upstream,
        server: raw.server.as_deref().map(address).transpose()?,
        up: Moved {
            copied: raw.bytes_up,
            spliced: raw.spliced_up,
            filtered: raw.filtered_up,
        },
        down: Moved {
            copied: raw.bytes_down,
            spliced: raw.spliced_down,
            filtered: raw.filtered_down,
        },
        duration: raw.duration.as_deref().map(duration).transpose()?.unwrap_or_default(),
        outcome: raw.outcome,
        attributes: raw.attributes.map(|raw| values("attributes", &raw)).transpose()?,
    })
}

fn values(of: &str, raw: &BTreeMap<String, Json>) -> Read<BTreeMap<String, Value>> {
    let value = |(key, json): (&String, &Json)| match Value::read(json) {
        Ok(value) => Ok((key.clone(), value)),
        Err(error) => Err(format!("{of}.{key}: {error}")),
    };
    raw.iter().map(value).collect()
}

fn direction(raw: raw::Direction) -> Direction {
    match raw {
        raw::Direction::Up => Direction::Up,
        raw::Direction::Down => Direction::Down,
    }
}

fn flag(key: &str, value: Option<bool>) -> Read<Option<()>> {
    match value {
        Some(false) => Err(format!("{key} happens or is not there: expected {key} = true")),
        Some(true) => Ok(Some(())),
        None => Ok(None),
    }
}

fn address(text: &str) -> Read<SocketAddr> {
    text.parse()
        .map_err(|_| format!("{text:?} is not an address and a port, as in \"192.0.2.1:40000\""))
}

/// "1500us", "20ms", "2s", "5m", "1h".
fn duration(text: &str) -> Read<Duration> {
    let unfit = || format!("{text:?} is no time: expected a whole number and us, ms, s, m or h, as in \"20ms\"");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| unfit())?;
    let micros = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return Err(unfit()),
    };
    number.checked_mul(micros).map(Duration::from_micros).ok_or_else(unfit)
}

#[cfg(test)]
mod tests;
