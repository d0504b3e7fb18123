//! `[admin]`

use std::path::Path;

use super::given::{apart, path};
use super::socket_file::socket_file;
use crate::config::diagnostics::{Problem, Problems, Reported};
use crate::config::{AdminConfig, ListenAddress, SocketFile, defaults, file};

pub fn admin(typed: file::Admin, directory: &Path, problems: &mut Problems) -> Result<AdminConfig, Reported> {
    let (address, span) = match typed.listen.map(|given| given.0.map(apart)).transpose()? {
        Some((address, span)) => (address, Some(span)),
        None => (ListenAddress::Unix(defaults::ADMIN_SOCKET.into()), None),
    };
    let is_unix = matches!(address, ListenAddress::Unix(_));
    let socket = socket_file(typed.socket_file, Ok(&address), problems);
    let has_token = typed.token_file.is_some();
    let token = typed.token_file.map(|given| {
        let (typed, span) = apart(given.0?);
        path(&typed, span, "a path, as in \"admin.token\"", directory, problems)
    });
    let token_file = token.transpose();
    // A unix socket has an owner and permissions. Whoever reaches an address has none.
    if let Some(span) = span.filter(|_| !is_unix && !has_token) {
        let problem = Problem::at(span, format!("whoever reaches `{address}` could give orders"));
        let problem = problem.label("expected a `unix:` address, or `token-file` beside this one");
        let help = "`openssl rand -hex 32 > admin.token` makes a token; then `token-file = \"admin.token\"`";
        return Err(problems.report(problem.help(help)));
    }
    let socket = socket?;
    Ok(AdminConfig {
        address,
        socket_file: SocketFile {
            mode: socket.mode.or_else(|| is_unix.then_some(defaults::ADMIN_SOCKET_MODE)),
            ..socket
        },
        token_file: token_file?,
    })
}
