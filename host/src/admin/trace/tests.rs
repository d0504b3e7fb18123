use super::routes::tried;
use super::ways::way;
use super::*;
use crate::config::{OnChange, Pattern, RouteConfig, TreatmentConfig};
use crate::filter::{Role, View};
use crate::observe::Moved;
use crate::protocol::Protocol;
use crate::relay::{Copying, Way, Where};
use crate::route::rules::Rules;

fn plain() -> Way {
    Way {
        moved: Moved {
            copied: 5,
            ..Moved::default()
        },
        at: Where::Copies(Copying::Small),
        view: View::Nothing,
        in_place: false,
        encrypted: [false; 2],
        captured: false,
        rate: None,
    }
}

fn watcher(filter: &str, up: Attention) -> Watcher {
    let interest = |attention| Interest { attention, held: 0 };
    Watcher {
        filter: filter.into(),
        role: Role::Inspector,
        up: interest(up),
        down: interest(Attention::Detached),
    }
}

fn up(up: Way, watchers: Vec<Watcher>) -> (bool, String) {
    let relaying = Relaying {
        ways: [up, plain()],
        watchers,
        failed: Vec::new(),
        tls: [None, None],
    };
    let way = way(Direction::Up, &relaying);
    (way.zero_copy, way.why)
}

#[test]
fn a_way_that_nobody_watches_says_why_it_is_not_spliced() {
    let bulk = Moved {
        spliced: 1 << 20,
        ..plain().moved
    };
    let at = |at| Way { at, ..plain() };
    for (way, is_spliced, why) in [
        (plain(), false, "copied: transfers are small so far"),
        (
            Way {
                moved: Moved::default(),
                ..plain()
            },
            false,
            "copied: nothing has come so far",
        ),
        (
            Way { moved: bulk, ..plain() },
            false,
            "copied: transfers have become small",
        ),
        (at(Where::Splices), true, "spliced"),
        (
            at(Where::Copies(Copying::NoPipe)),
            false,
            "copied: there was no pipe to be had",
        ),
        (
            at(Where::Copies(Copying::Refused)),
            false,
            "copied: the kernel refused to splice these sockets",
        ),
        (
            at(Where::Copies(Copying::Captured)),
            false,
            "copied: the connection was captured, and no bulk has come since",
        ),
        (
            Way {
                captured: true,
                ..at(Where::Splices)
            },
            false,
            "copied: the connection is captured",
        ),
        (
            Way {
                rate: Some(10 << 20),
                ..at(Where::Splices)
            },
            true,
            "spliced; held to 10.0 MiB/s",
        ),
        (at(Where::Ended), false, "over: the client has finished"),
        (at(Where::Broken), false, "over: the server takes nothing more"),
        (
            Way {
                encrypted: [true, false],
                ..at(Where::Copies(Copying::Refused))
            },
            false,
            "copied: the sockets cannot be spliced (TLS with the client)",
        ),
        (
            Way {
                encrypted: [false, true],
                ..plain()
            },
            false,
            "copied: the sockets cannot be spliced (TLS with the server)",
        ),
    ] {
        assert_eq!(up(way, Vec::new()), (is_spliced, why.to_owned()));
    }
}

#[test]
fn filters_are_named_that_keep_bytes_from_being_spliced() {
    let watched = Way {
        view: View::Next,
        ..plain()
    };
    let in_place = Way {
        at: Where::Splices,
        in_place: true,
        ..watched
    };
    let skipped = Way {
        at: Where::Splices,
        view: View::After(5000),
        ..plain()
    };
    let encrypted = Way {
        encrypted: [true, true],
        ..watched
    };
    let guard = || watcher("guard", Attention::Watching);
    for (way, watchers, is_spliced, why) in [
        (
            watched,
            vec![guard()],
            false,
            "not spliced up: filter guard is subscribed",
        ),
        (
            watched,
            vec![
                guard(),
                watcher("gone", Attention::Detached),
                watcher("late", Attention::Skipping(9)),
                watcher("log", Attention::Watching),
            ],
            false,
            "not spliced up: filters guard, log are subscribed",
        ),
        (
            watched,
            vec![watcher("short", Attention::Skipping(9))],
            false,
            "not spliced up: filter short is subscribed",
        ),
        (
            encrypted,
            vec![guard()],
            false,
            "not spliced up: filter guard is subscribed, and there is TLS with both",
        ),
        (
            in_place,
            vec![guard()],
            true,
            "spliced, where filter guard is looking at the bytes in the socket",
        ),
        (
            skipped,
            vec![watcher("late", Attention::Skipping(5000))],
            true,
            "spliced, while filter late is skipping 5000 bytes",
        ),
    ] {
        assert_eq!(up(way, watchers), (is_spliced, why.to_owned()));
    }
}

#[test]
fn a_watcher_says_what_it_wants_of_each_direction() {
    let mut watcher = watcher("guard", Attention::Skipping(7));
    watcher.down = Interest {
        attention: Attention::Watching,
        held: 1,
    };
    assert_eq!(
        watch(&watcher),
        "inspector: up it skips 7 bytes, down it sees what goes, and holds 1 byte"
    );
}

fn route(name: &str) -> RouteConfig {
    RouteConfig {
        name: name.to_owned(),
        sni: Vec::new(),
        alpn: Vec::new(),
        protocol: Vec::new(),
        client: None,
        destination: Vec::new(),
        tlvs: Vec::new(),
        subject: Vec::new(),
        target: RouteTarget::Upstream("only".to_owned()),
        treatment: TreatmentConfig::default(),
        on_change: OnChange::Keep,
    }
}

fn for_name(name: &str) -> RouteConfig {
    RouteConfig {
        sni: vec![Pattern::Exactly(name.to_owned())],
        ..route(name)
    }
}

fn asking_for(name: &str, route: Option<u32>) -> Looked {
    Looked {
        seen: 517,
        micros: 0,
        handshake: None,
        protocol: Some(Protocol::Tls),
        tls: Began::with_hello(Some(name), &[]),
        proxied: None,
        route,
        over: false,
        late: false,
    }
}

fn told(routes: &[RouteConfig], looked: Option<&Looked>) -> Vec<(StepResult, String)> {
    let steps = tried(&Rules::new(routes), None, looked);
    steps.into_iter().map(|step| (step.result, step.why)).collect()
}

#[test]
fn routes_are_tried_again_with_what_is_left() {
    let ssh = RouteConfig {
        protocol: vec![Protocol::Ssh],
        ..route("ssh")
    };
    let tls = RouteConfig {
        protocol: vec![Protocol::Ssh, Protocol::Tls],
        ..route("tls")
    };
    assert_eq!(
        told(&[for_name("b"), ssh, tls], Some(&asking_for("a", Some(2)))),
        [
            (StepResult::NoMatch, "sni: \"a\" is none of \"b\"".to_owned()),
            (
                StepResult::NoMatch,
                "protocol: the first bytes are not of ssh".to_owned()
            ),
            (StepResult::Matched, "protocol tls".to_owned()),
        ]
    );
    assert_eq!(
        told(&[for_name("b")], Some(&asking_for("a", None))),
        [(StepResult::NoMatch, "sni: \"a\" is none of \"b\"".to_owned())]
    );
    assert_eq!(told(&[], None), []);
}

#[test]
fn what_cannot_be_derived_is_not_made_up() {
    let h2 = RouteConfig {
        alpn: vec!["h2".to_owned()],
        ..route("h2")
    };
    assert_eq!(
        told(&[h2], Some(&asking_for("a", Some(0)))),
        [(StepResult::Matched, "what it was decided by is not kept".to_owned())]
    );
}

#[test]
fn a_long_list_of_routes_is_cut_short() {
    let routes: Vec<_> = (0..100).map(|number| for_name(&format!("n{number}"))).collect();
    let told = told(&routes, Some(&asking_for("n99", Some(99))));
    assert_eq!(told.len(), 33);
    assert_eq!(told[31].1, "68 routes between did not match either");
    assert_eq!(told[32], (StepResult::Matched, "sni \"n99\"".to_owned()));
}

#[test]
fn times_have_as_many_digits_as_matter() {
    for (micros, said) in [(7, "7us"), (1_234, "1.2ms"), (2_500_000, "2.5s")] {
        assert_eq!(time(micros), said);
    }
}
