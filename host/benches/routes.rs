//! What it costs to find a connection's route: nanoseconds, by how many routes there are.
//!
//! `cargo bench -p spliceway --bench routes`. Best of five: whatever else the machine does only makes it longer. Each name
//! that is asked for is that of another route; "nobody's" is a name that no route is for.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "the answer of a benchmark is what it prints, and it has none where a route is not found"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use spliceway::rules::{
    Decided, Expression, First, Known, OnChange, Pattern, RouteConfig, RouteTarget, Rules, Tls, TreatmentConfig,
};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(30);

/// Routes for expressions in front of those for names.
const EXPRESSIONS: usize = 5;

/// The names of a column, and their routes.
type Column = (&'static str, fn(usize) -> Vec<Pattern>);

const COLUMNS: [Column; 3] = [
    ("exact", exact),
    ("wildcards", endings),
    ("exact, 5 expressions", mixed),
];

fn main() {
    println!("| names | routes | ns for one of them | ns for nobody's | compiled in ms |");
    println!("| --- | --- | --- | --- | --- |");
    for (title, patterns) in COLUMNS {
        for count in [10, 1000, 10_000] {
            let routes: Vec<_> = patterns(count).into_iter().map(route).collect();
            let begin = Instant::now();
            let rules = Rules::new(&routes);
            let compiled = begin.elapsed().as_secs_f64() * 1e3;
            let names: Vec<_> = (0..count.min(64))
                .map(|place| name(place * (count / count.min(64))))
                .collect();
            let found = best(|| decisions(&rules, &names, true));
            let none = best(|| decisions(&rules, &["db.example.org".to_owned()], false));
            println!("| {title} | {count} | {found:.0} | {none:.0} | {compiled:.2} |");
        }
    }
}

fn name(place: usize) -> String {
    format!("db.tenant-{place}.example.com")
}

fn exact(count: usize) -> Vec<Pattern> {
    (0..count).map(|place| Pattern::Exactly(name(place))).collect()
}

fn endings(count: usize) -> Vec<Pattern> {
    let ending = |place| Pattern::Ending(format!(".tenant-{place}.example.com"));
    (0..count).map(ending).collect()
}

fn mixed(count: usize) -> Vec<Pattern> {
    let expression = |number| {
        let typed = format!("web[0-9]+\\.group-{number}\\..*");
        let compiled = Expression::new(&format!("^(?:{typed})$")).expect("it is one");
        Pattern::Expression { typed, compiled }
    };
    (0..EXPRESSIONS).map(expression).chain(exact(count)).collect()
}

fn route(pattern: Pattern) -> RouteConfig {
    RouteConfig {
        name: pattern.to_string(),
        sni: vec![pattern],
        alpn: Vec::new(),
        protocol: Vec::new(),
        client: None,
        destination: Vec::new(),
        tlvs: Vec::new(),
        subject: Vec::new(),
        target: RouteTarget::Upstream("blue".to_owned()),
        treatment: TreatmentConfig::default(),
        on_change: OnChange::Keep,
    }
}

fn best(measure: impl Fn() -> f64) -> f64 {
    (0..ROUNDS).map(|_| measure()).fold(f64::INFINITY, f64::min)
}

/// Nanoseconds for each.
fn decisions(rules: &Rules, names: &[String], is_found: bool) -> f64 {
    let mut count = 0_u64;
    let begin = Instant::now();
    while begin.elapsed() < ROUND {
        for name in names {
            count += 1;
            let known = Known {
                client: None,
                destination: None,
                tlvs: None,
                subject: None,
                first: First::Bytes(&[]),
                tls: Tls::Hello {
                    name: Some(name),
                    offered: &[],
                },
                over: false,
            };
            let decided = black_box(rules.decide(black_box(&known)));
            assert_eq!(matches!(decided, Decided::Route(_)), is_found);
        }
    }
    begin.elapsed().as_secs_f64() * 1e9 / count as f64
}
