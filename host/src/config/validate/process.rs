//! `[process]`

use std::fs;
use std::path::Path;

use super::given::{apart, or_default, path, place, timeout_or_default};
use crate::config::diagnostics::{Problem, Problems, Reported, Span};
use crate::config::reader::Given;
use crate::config::units::Period;
use crate::config::{Account, ProcessConfig, UpgradeSocket, defaults, file, ranges};

/// The length of a unix socket's path (unix(7)).
const LONGEST: usize = 107;

pub fn process(typed: file::Process, directory: &Path, problems: &mut Problems) -> Result<ProcessConfig, Reported> {
    let user = account(typed.user, typed.group, problems);
    let socket = typed
        .upgrade_socket
        .map_or(Ok(UpgradeSocket::Usual), |given| socket(given, directory, problems));
    let timeout = or_default(
        typed.upgrade_timeout,
        &ranges::UPGRADE_TIMEOUT,
        Period(defaults::UPGRADE_TIMEOUT),
        problems,
    );
    let linger = timeout_or_default(
        typed.upgrade_linger,
        &ranges::TIMEOUT,
        defaults::UPGRADE_LINGER,
        problems,
    );
    Ok(ProcessConfig {
        user: user?,
        upgrade_socket: socket?,
        upgrade_timeout: timeout?.0,
        upgrade_linger: linger?,
    })
}

fn socket(given: Given<String>, directory: &Path, problems: &mut Problems) -> Result<UpgradeSocket, Reported> {
    let (text, span) = apart(given.0?);
    if text == "-" {
        return Ok(UpgradeSocket::None);
    }
    let expected = "a path, as in \"/run/spliceway/upgrade.sock\", or \"-\" for none";
    let path = path(&text, span.clone(), expected, directory, problems)?;
    if path.as_os_str().len() > LONGEST {
        let problem = Problem::at(
            span,
            format!("the path of a socket has {LONGEST} bytes at the most (unix(7))"),
        );
        return Err(problems.report(problem.label("expected a shorter one")));
    }
    Ok(UpgradeSocket::At(path))
}

fn account(
    user: Option<Given<String>>,
    group: Option<Given<String>>,
    problems: &mut Problems,
) -> Result<Option<Account>, Reported> {
    let group_at = place(&group);
    let group = group.map(|given| find_group(given, problems)).transpose();
    let Some(user) = user else {
        if let (Ok(Some(_)), Some(at)) = (&group, group_at) {
            let problem = Problem::at(at, "a group alone takes no privileges away");
            return Err(problems.report(problem.label("add `user`, or remove this")));
        }
        return group.map(|_| None);
    };
    let (name, span) = apart(user.0?);
    let known = read("/etc/passwd");
    let number = name.parse::<u32>().ok();
    // NAME:PASSWORD:UID:GID:... (passwd(5))
    let entry = known.iter().find_map(|words| {
        let uid: u32 = words.get(2)?.parse().ok()?;
        let is_it = number.map_or(words[0] == name, |number| uid == number);
        is_it.then(|| Some((words[0].clone(), uid, words.get(3)?.parse::<u32>().ok()?)))?
    });
    let group = group?;
    let (login, user, own) = match (entry, number, group) {
        (Some(entry), _, _) => entry,
        (None, Some(number), Some(group)) => (name.clone(), number, group),
        (None, Some(_), None) => {
            let problem = Problem::at(
                span,
                format!("user {name} is not in /etc/passwd, so that its group is unknown"),
            );
            return Err(problems.report(problem.label("expected `group = ...` beside it")));
        }
        (None, None, _) => return Err(problems.report(nobody(&name, span))),
    };
    if user == 0 {
        let problem = Problem::at(span, "root keeps every privilege");
        return Err(problems.report(problem.label("expected another user; to stay root, leave `user` out")));
    }
    let groups = groups_of(&login);
    Ok(Some(Account {
        name,
        user,
        group: group.unwrap_or(own),
        groups,
    }))
}

fn nobody(name: &str, span: Span) -> Problem {
    let problem = Problem::at(span, format!("there is no user `{name}` in /etc/passwd"));
    let problem = problem.label("expected a name from there, or a number");
    problem.help(format!("`useradd --system --shell /usr/sbin/nologin {name}` makes one"))
}

fn find_group(given: Given<String>, problems: &mut Problems) -> Result<u32, Reported> {
    let (name, span) = apart(given.0?);
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let known = read("/etc/group");
    let found = known.iter().find(|words| words[0] == name);
    let number = found.and_then(|words| words.get(2)?.parse().ok());
    number.ok_or_else(|| {
        let problem = Problem::at(span, format!("there is no group `{name}` in /etc/group"));
        problems.report(problem.label("expected a name from there, or a number"))
    })
}

/// NAME:PASSWORD:GID:MEMBER,MEMBER,... (group(5))
fn groups_of(login: &str) -> Vec<u32> {
    let lists = |words: &&Vec<String>| {
        let members = words.get(3).map(String::as_str).unwrap_or_default();
        members.split(',').any(|member| member == login)
    };
    let known = read("/etc/group");
    let groups = known.iter().filter(lists);
    groups.filter_map(|words| words.get(2)?.parse().ok()).collect()
}

/// The lines of such a table. Who is known by other means (NSS) is known by number.
fn read(table: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(table).unwrap_or_default();
    let words = |line: &str| line.split(':').map(str::to_owned).collect();
    text.lines().filter(|line| !line.is_empty()).map(words).collect()
}
