//! `mirror` of a treatment.

use super::super::{Directions, MirrorConfig};
use super::{LEAST, accepted, alone, refused};

#[test]
fn one_mirror_or_several_with_what_is_said_of_them() {
    let upstreams = "upstreams.b.servers = ['b:1']\nupstreams.c.servers = ['c:1']";
    let config = accepted(&format!(
        "{LEAST}\n{upstreams}\nupstreams.a.treatment.mirror = {{ upstream = 'b' }}"
    ));
    assert_eq!(config.upstreams[0].treatment.mirrors, [MirrorConfig::new("b")]);
    let config = accepted(&format!(
        "{LEAST}\n{upstreams}\nupstreams.a.treatment.mirror = [\
         {{ upstream = 'b' }}, \
         {{ upstream = 'c', direction = 'both', share = '10%', seed = 7, lag = '1GiB', compare = true }}]"
    ));
    let second = MirrorConfig {
        directions: Directions::Both,
        share: 10,
        seed: 7,
        lag: 1 << 30,
        compare: true,
        ..MirrorConfig::new("c")
    };
    assert_eq!(config.upstreams[0].treatment.mirrors, [MirrorConfig::new("b"), second]);
}

#[test]
fn a_mirror_leads_to_another_upstream_that_there_is() {
    alone(
        r#"
listeners = [{ name = 'a', address = ':1', upstream = 'main', treatment.mirror = { upstream = 'main' } }]
[upstreams.main]
servers = ["a:1"]
treatment.mirror = [{ upstream = "shadwo" }, { upstream = "main" }]
[upstreams.shadow]
servers = ["b:1"]
"#,
        r#"
error: `main` would get everything twice
 --> proxy.toml:1:95
  |
1 | listeners = [{ name = 'a', address = ':1', upstream = 'main', treatment.mirror = { upstream = 'main' } }]
  |                                                                                               ^^^^^^ expected another upstream than the connection's own

error: there is no upstream `shadwo`
 --> proxy.toml:4:34
  |
4 | treatment.mirror = [{ upstream = "shadwo" }, { upstream = "main" }]
  |                                  ^^^^^^^^ did you mean `shadow`?

error: `main` would get everything twice
 --> proxy.toml:4:59
  |
4 | treatment.mirror = [{ upstream = "shadwo" }, { upstream = "main" }]
  |                                                           ^^^^^^ expected another upstream than the connection's own
"#,
    );
}

#[test]
fn what_cannot_be_mirrored_is_said() {
    let of = |mirror: &str| {
        refused(&format!(
            "{LEAST}\nupstreams.b.servers = ['b:1']\nupstreams.a.treatment.mirror = {mirror}"
        ))
    };
    for (mirror, says) in [
        ("{ upstream = 'b', lag = '4KiB' }", "expected 1MiB to 1GiB"),
        ("{ upstream = 'b', share = '0%' }", "expected 1% to 100%"),
        ("{ upstream = 'b', seed = -1 }", "-1 is out of range"),
        (
            "{ upstream = 'b', direction = 'down', compare = true }",
            "nothing is asked of a mirror of `down`, so it has nothing to reply to",
        ),
        ("{ direction = 'both' }", "missing key `upstream`"),
        ("[]", "nothing is asked for here"),
        (
            "[{ upstream = 'b' }, { upstream = 'b' }, { upstream = 'b' }, { upstream = 'b' }, { upstream = 'b' }]",
            "expected 4 at the most",
        ),
    ] {
        let said = of(mirror);
        assert!(said.contains(says), "{mirror}:\n{said}");
    }
}
