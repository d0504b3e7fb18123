//! `[admin]`

use std::path::PathBuf;

use super::{COMPLETE, LEAST, accepted, with_listener};
use crate::config::AdminConfig;

fn admin(table: &str) -> AdminConfig {
    accepted(&format!("admin = {{ {table} }}\n{LEAST}")).admin.unwrap()
}

#[test]
fn an_empty_table_is_a_socket_for_its_owner_alone() {
    assert_eq!(accepted(LEAST).admin, None);
    let least = admin("");
    assert_eq!(least.address, "unix:/run/spliceway/admin.sock".parse().unwrap());
    assert_eq!(least.socket_file.mode, Some(0o600));
    assert_eq!(least.token_file, None);
}

#[test]
fn a_socket_may_be_others_and_want_a_token_too() {
    let admin =
        admin("listen = 'unix:/run/a', socket-file = { mode = '0660', group = '7' }, token-file = '/etc/token'");
    assert_eq!(admin.address, "unix:/run/a".parse().unwrap());
    assert_eq!(
        (admin.socket_file.mode, admin.socket_file.group),
        (Some(0o660), Some(7))
    );
    assert_eq!(admin.token_file, Some(PathBuf::from("/etc/token")));
}

#[test]
fn an_address_of_the_network_wants_a_token() {
    let admin = accepted(COMPLETE).admin.unwrap();
    assert_eq!(admin.address, "127.0.0.1:9465".parse().unwrap());
    assert_eq!(admin.socket_file.mode, None);
    assert_eq!(admin.token_file, Some(PathBuf::from("/etc/spliceway/admin.token")));
    with_listener(
        r#"
[admin]
listen = "127.0.0.1:9465"
"#,
        r#"
error: whoever reaches `127.0.0.1:9465` could give orders
 --> proxy.toml:2:10
  |
2 | listen = "127.0.0.1:9465"
  |          ^^^^^^^^^^^^^^^^ expected a `unix:` address, or `token-file` beside this one
  |
  = help: `openssl rand -hex 32 > admin.token` makes a token; then `token-file = "admin.token"`
"#,
    );
}

#[test]
fn permissions_are_those_of_a_socket_file() {
    with_listener(
        r#"
[admin]
listen = "localhost:9465"
token-file = ""
socket-file = { mode = "0600" }
"#,
        r#"
error: this is no path of a file
 --> proxy.toml:3:14
  |
3 | token-file = ""
  |              ^^ expected a path, as in "admin.token"

error: only the socket file of a `unix:` address has an owner and permissions
 --> proxy.toml:4:15
  |
4 | socket-file = { mode = "0600" }
  |               ^^^^^^^^^^^^^^^^^ remove this, or listen on `unix:/PATH`
"#,
    );
}
