//! `spliceway demo`, as a newcomer runs it, but without a terminal.

use std::time::Duration;

use spliceway_tests::{alone, artifacts, spliceway};

#[test]
fn the_demo_cuts_no_connection_and_ends_by_itself() {
    let _alone = alone();
    for filter in ["postgres-router", "redis-guard", "access-log"] {
        artifacts::filter(filter);
    }
    let finished = spliceway(["demo"], Duration::from_secs(120));
    assert!(finished.status.success(), "{}\n{}", finished.stdout, finished.stderr);
    assert!(finished.stdout.contains("connections cut: 0"), "{}", finished.stdout);
    assert!(finished.stdout.contains("spliced"), "{}", finished.stdout);
}
