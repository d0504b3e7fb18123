//! `socket-file` of a listener.

use std::fs;

use super::given::apart;
use crate::config::diagnostics::{Problem, Problems, Reported};
use crate::config::reader::Given;
use crate::config::{ListenAddress, SocketFile, file};

pub fn socket_file(
    given: Option<Given<file::SocketFile>>,
    address: Result<&ListenAddress, Reported>,
    problems: &mut Problems,
) -> Result<SocketFile, Reported> {
    let Some(given) = given else {
        return Ok(SocketFile::default());
    };
    let (typed, span) = apart(given.0?);
    if !matches!(address?, ListenAddress::Unix(_)) {
        let problem = Problem::at(
            span,
            "only the socket file of a `unix:` address has an owner and permissions",
        );
        return Err(problems.report(problem.label("remove this, or listen on `unix:/PATH`")));
    }
    let mode = typed.mode.map(|given| mode(given, problems)).transpose();
    let owner = typed
        .owner
        .map(|given| number_of(given, "/etc/passwd", "user", problems))
        .transpose();
    let group = typed
        .group
        .map(|given| number_of(given, "/etc/group", "group", problems))
        .transpose();
    Ok(SocketFile {
        mode: mode?,
        owner: owner?,
        group: group?,
    })
}

fn mode(given: Given<String>, problems: &mut Problems) -> Result<u32, Reported> {
    let (text, span) = apart(given.0?);
    let digits = text.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(&text);
    let mode = u32::from_str_radix(digits, 8).ok().filter(|_| digits.len() == 3);
    mode.ok_or_else(|| {
        let problem = Problem::at(span, format!("`{text}` are no permissions"));
        problems.report(problem.label("expected three octal digits, as in \"0660\""))
    })
}

/// The third word of the line that begins with the name: passwd(5), group(5). Who is known by other means (NSS) is known by
/// number.
fn number_of(given: Given<String>, table: &str, what: &str, problems: &mut Problems) -> Result<u32, Reported> {
    let (name, span) = apart(given.0?);
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let known = fs::read_to_string(table).unwrap_or_default();
    let number = known.lines().find_map(|line| {
        let mut words = line.split(':');
        (words.next() == Some(&name)).then(|| words.nth(1)?.parse().ok())?
    });
    number.ok_or_else(|| {
        let problem = Problem::at(span, format!("there is no {what} `{name}` in {table}"));
        problems.report(problem.label("expected a name from there, or a number"))
    })
}
