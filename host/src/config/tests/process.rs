//! `[process]`

use std::time::Duration;

use super::super::{Account, ProcessConfig, UpgradeSocket, defaults};
use super::{COMPLETE, LEAST, accepted, with_listener};

#[test]
fn without_a_table_the_process_stays_who_it_is() {
    let process = accepted(LEAST).process;
    assert_eq!(process, ProcessConfig::default());
    assert_eq!(process.upgrade_socket.path(), Some(defaults::UPGRADE_SOCKET.into()));
}

#[test]
fn everything_can_be_said() {
    let process = accepted(COMPLETE).process;
    assert_eq!(
        process.upgrade_socket,
        UpgradeSocket::At("/etc/spliceway/upgrade.sock".into())
    );
    assert_eq!(process.upgrade_timeout, Duration::from_secs(120));
    assert_eq!(process.upgrade_linger, Some(Duration::from_secs(24 * 3_600)));
    let none = accepted(&format!("process.upgrade-socket = '-'\n{LEAST}")).process;
    assert_eq!(none.upgrade_socket.path(), None);
}

/// Every system has this one (base-passwd), and it is a member of no group.
#[test]
fn a_user_is_known_by_name_or_by_number_and_has_a_group() {
    let user = |keys: &str| accepted(&format!("process = {{ {keys} }}\n{LEAST}")).process.user;
    let daemon = |name: &str, user, group| {
        Some(Account {
            name: name.to_owned(),
            user,
            group,
            groups: Vec::new(),
        })
    };
    assert_eq!(user("user = 'daemon'"), daemon("daemon", 1, 1));
    assert_eq!(user("user = '1'"), daemon("1", 1, 1));
    assert_eq!(user("user = 'daemon', group = '7'"), daemon("daemon", 1, 7));
    assert_eq!(
        user("user = '4000000', group = 'daemon'"),
        daemon("4000000", 4_000_000, 1)
    );
}

#[test]
fn a_user_that_is_not_known_or_is_root_is_refused() {
    with_listener(
        r#"
[process]
user = "nobody-at-all"
"#,
        r#"
error: there is no user `nobody-at-all` in /etc/passwd
 --> proxy.toml:2:8
  |
2 | user = "nobody-at-all"
  |        ^^^^^^^^^^^^^^^ expected a name from there, or a number
  |
  = help: `useradd --system --shell /usr/sbin/nologin nobody-at-all` makes one
"#,
    );
    with_listener(
        r#"
[process]
user = "root"
"#,
        r#"
error: root keeps every privilege
 --> proxy.toml:2:8
  |
2 | user = "root"
  |        ^^^^^^ expected another user; to stay root, leave `user` out
"#,
    );
    with_listener(
        r#"
[process]
user = "4000000"
"#,
        r#"
error: user 4000000 is not in /etc/passwd, so that its group is unknown
 --> proxy.toml:2:8
  |
2 | user = "4000000"
  |        ^^^^^^^^^ expected `group = ...` beside it
"#,
    );
    with_listener(
        r#"
[process]
group = "daemon"
"#,
        r#"
error: a group alone takes no privileges away
 --> proxy.toml:2:9
  |
2 | group = "daemon"
  |         ^^^^^^^^ add `user`, or remove this
"#,
    );
}
