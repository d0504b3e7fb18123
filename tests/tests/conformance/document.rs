//! `docs/conformance.md`: what the suite asks, and what Spliceway and others answer. Written by the suite itself where `BLESS`
//! is set, and otherwise compared with it.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use spliceway_tests::artifacts;

use super::CHAPTERS;
use super::behaviour::{Behaviour, Case};
use super::scene::{Subject, Way};

/// The columns, from left to right.
const SUBJECTS: [Subject; 7] = [
    Subject::Spliceway(Way::Copy),
    Subject::Spliceway(Way::Splice),
    Subject::Spliceway(Way::Filtered),
    Subject::Spliceway(Way::Transformed),
    Subject::Nginx { half_close: true },
    Subject::Nginx { half_close: false },
    Subject::Haproxy,
];

/// How many of them are Spliceway.
const OURS: usize = 4;

const YES: &str = "yes";
const NOT_ASKED: &str = "–";

#[test]
fn has_a_row_for_every_behaviour_and_ours_are_all_kept() {
    if env::var_os("BLESS").is_some() {
        fs::write(path(), written()).expect("the document can be written");
    }
    let text = fs::read_to_string(path()).expect("the document exists");
    let rows: Vec<&str> = text.lines().filter(|line| line.contains("<br>`")).collect();
    let promised: Vec<String> = CHAPTERS
        .iter()
        .flat_map(|(_, behaviours)| behaviours.iter().map(our_part))
        .collect();
    let ours: Vec<&str> = rows.iter().map(|row| without_the_others(row)).collect();
    assert_eq!(
        ours, promised,
        "the left part of the rows; BLESS=1 writes the document anew"
    );
}

fn path() -> PathBuf {
    artifacts::workspace().join("docs/conformance.md")
}

/// The part of a row that the ordinary test vouches for.
fn our_part(behaviour: &Behaviour) -> String {
    let mut row = format!("| {}<br>`{}` | {} |", behaviour.what, behaviour.name, behaviour.source);
    for subject in &SUBJECTS[..OURS] {
        let cell = if asked(behaviour, *subject) { YES } else { NOT_ASKED };
        write!(row, " {cell} |").expect("a string takes everything");
    }
    row
}

fn without_the_others(row: &str) -> &str {
    let bars: Vec<usize> = row.match_indices('|').map(|(at, _)| at).collect();
    row.get(..=bars[bars.len() - 1 - (SUBJECTS.len() - OURS)])
        .unwrap_or(row)
}

fn asked(behaviour: &Behaviour, subject: Subject) -> bool {
    match subject {
        Subject::Spliceway(way) => behaviour.ways.contains(&way),
        Subject::Nginx { .. } | Subject::Haproxy => behaviour.rivals && subject.has(&behaviour.timeouts),
    }
}

/// The whole document, after every scene was played with the others.
fn written() -> String {
    let mut notes = Vec::new();
    let mut text = introduction();
    for (chapter, behaviours) in CHAPTERS {
        write!(text, "\n## {chapter}\n\n| behaviour | source |").expect("a string takes everything");
        for subject in SUBJECTS {
            write!(text, " {subject} |").expect("a string takes everything");
        }
        writeln!(text, "\n|{}", " --- |".repeat(2 + SUBJECTS.len())).expect("a string takes everything");
        for behaviour in *behaviours {
            eprintln!("{}", behaviour.name);
            text += &row(behaviour, &mut notes);
        }
    }
    text += "\n## What happened instead\n\n";
    for (number, note) in notes.iter().enumerate() {
        writeln!(text, "{}. {note}", number + 1).expect("a string takes everything");
    }
    text
}

/// Ours are not played again: each is a test of its own, and the suite is red where one of them is wrong.
fn row(behaviour: &Behaviour, notes: &mut Vec<String>) -> String {
    let mut row = our_part(behaviour);
    for subject in &SUBJECTS[OURS..] {
        let cell = if asked(behaviour, *subject) {
            played(behaviour, *subject, notes)
        } else {
            NOT_ASKED.to_owned()
        };
        write!(row, " {cell} |").expect("a string takes everything");
    }
    row + "\n"
}

fn played(behaviour: &Behaviour, subject: Subject, notes: &mut Vec<String>) -> String {
    let failed = |case: &Case| Some(format!("{}: {}", case.name, in_a_line(case.result.as_ref().err()?)));
    let mut cases = behaviour.play(&[subject]);
    if cases.iter().any(|case| case.result.is_err()) {
        // On a machine of two cores, a scene may go wrong by itself.
        cases = behaviour.play(&[subject]);
    }
    let failed: Vec<String> = cases.iter().filter_map(failed).collect();
    if failed.is_empty() {
        return YES.to_owned();
    }
    notes.push(format!("`{}`, {}.", behaviour.name, failed.join("; ")));
    let word = if failed.len() < cases.len() { "partly" } else { "no" };
    format!("{word} ({})", notes.len())
}

fn in_a_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn introduction() -> String {
    format!(
        "# Conformance of the relay\n\n\
         What a TCP proxy owes to two peers that finish, reset, stall, dribble and vanish, and who keeps it. Each row is a \
         test: the scene in `tests/tests/conformance` that has its name, played between raw sockets with the client and with \
         the upstream in the leading part. `make test` plays all of them with Spliceway: with bytes that it copies, that the \
         kernel splices, and that a filter is shown.\n\n\
         The same scenes were played with {nginx}, with `proxy_half_close on` and without, and with {haproxy} in \
         `mode tcp`, each as it comes otherwise, on {kernel}. They are here to show what the questions are worth, not to be \
         judged: a different answer may be one that somebody wanted. A dash means that the scene was not played: the bytes \
         cannot go that way, or there is no such setting. Who said no was asked twice.\n\n\
         This file is written by `BLESS=1 cargo test --package spliceway-tests --test conformance document`, which takes some \
         minutes and needs nginx and HAProxy. The ordinary test checks that it has every behaviour.\n",
        nginx = version("/usr/sbin/nginx", &["-v"]).replace("nginx version: nginx/", "nginx "),
        haproxy = version("/usr/sbin/haproxy", &["-v"])
            .split('-')
            .next()
            .unwrap_or_default()
            .replace("version ", ""),
        kernel = version("uname", &["-sr"]),
    )
}

/// The first line of what a program says of itself, wherever it says it.
fn version(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; the document is written with all of them"));
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}
