//! Routes a MySQL session by the database and the user that its client names. README.md has the details.
//!
//! In MySQL the server speaks first, and what a client says next fits what the server has said. So this filter has two roles.
//! The router greets the client itself, reads who comes, and chooses. The transformer stands between that client and the
//! server that was chosen, until they have agreed:
//!
//! ```text
//! client               router, transformer                server
//!    ◄── greeting ──────────┤
//!    ├── response ──────────►  reads, chooses
//!                           │  ◄────────────── greeting ─────┤   kept back
//!                           ├─── response for a method that ─►
//!                           │    no server has
//!    ◄──────────── the server's own request to authenticate ─┤
//!    ├──────────── the answer, which fits the server ────────►
//! ```

mod greeting;
mod packet;
mod response;
mod session;

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::Pattern;
use spliceway_sdk::prelude::*;

use packet::Read;
use response::{Message, Response};
use session::Session;

/// Where sessions go: the first route that matches, or else the default.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct MysqlRouter {
    /// Tried in order.
    #[serde(default)]
    routes: Vec<Route>,
    /// The upstream of what no route matches. It is refused where this is not set.
    default: Option<String>,
    /// The version that clients are told: that of the servers, since clients go by it.
    #[serde(default = "server_version")]
    server_version: String,
    /// Whether clients are offered TLS. The listener has to have certificates, and `start = "on-request"`.
    #[serde(default)]
    tls: bool,
}

/// A route without a pattern for the database, or for the user, takes any.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Route {
    database: Option<Pattern>,
    user: Option<Pattern>,
    upstream: String,
}

fn server_version() -> String {
    "8.0.36".to_owned()
}

/// A greeting has to be short enough for clients of all ages.
const LONGEST_VERSION: usize = 64;

impl Config for MysqlRouter {
    fn check(&self) -> Result<(), String> {
        if self.routes.is_empty() && self.default.is_none() {
            return Err("neither a route nor a default: every session would be refused".into());
        }
        let version = &self.server_version;
        if version.is_empty() || version.len() > LONGEST_VERSION || !version.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(format!(
                "server-version: {version:?} is none, as in \"8.0.36\" or \"5.5.5-10.11.6-MariaDB\""
            ));
        }
        match self
            .routes
            .iter()
            .position(|route| route.database.is_none() && route.user.is_none())
        {
            Some(index) => Err(format!(
                "routes[{index}]: names neither a database nor a user; is it the default?"
            )),
            None => Ok(()),
        }
    }
}

impl Router for MysqlRouter {
    fn route(&self, window: &Window, connection: &Connection) -> Decision {
        if window.round == 0 {
            return Decision::exchange(0, greeting::own(&self.server_version, self.tls));
        }
        let packet = match packet::read(&window.bytes) {
            Ok(Read::Whole(packet)) => packet,
            Ok(Read::Partial { missing }) => return wait(window, missing),
            Err(reason) => return Decision::refuse(reason),
        };
        match response::read(packet.payload) {
            Ok(Message::TlsRequest) => self.start_tls(window, packet.length(), connection),
            Ok(Message::Response(response)) => self.choose(&response, packet.sequence, connection),
            Err(reason) => {
                Decision::refuse(Refusal::new(reason).reply(packet::error(packet.sequence, 1043, "08S01", reason)))
            }
        }
    }
}

export_config!(MysqlRouter, schema = "../schema.json");
export_router!(MysqlRouter);
export_transformer!(Session);

impl MysqlRouter {
    /// The client goes on with TLS at once, so that what is behind its request is the beginning of that.
    fn start_tls(&self, window: &Window, request: usize, connection: &Connection) -> Decision {
        if window.round > 1 {
            return Decision::refuse("a second request for TLS");
        }
        if !self.tls || !connection.start_tls() {
            return Decision::refuse("a request for TLS, which was not offered");
        }
        Decision::exchange(request, [])
    }

    fn choose(&self, response: &Response<'_>, sequence: u8, connection: &Connection) -> Decision {
        let (database, user) = (response.database_text(), response.user_text());
        if !database.is_empty() {
            connection.annotate("mysql.database", database.as_str());
        }
        connection.annotate("mysql.user", user.as_str());
        match self.upstream(response) {
            Some(upstream) => Decision::route(upstream),
            None => {
                let reason = format!("no upstream for database \"{database}\", user \"{user}\"");
                let reply = packet::error(sequence, 1049, "42000", &reason);
                Decision::refuse(Refusal::new(reason).reply(reply))
            }
        }
    }

    fn upstream(&self, response: &Response<'_>) -> Option<&str> {
        let fits =
            |pattern: &Option<Pattern>, name: &[u8]| pattern.as_ref().is_none_or(|pattern| pattern.matches(name));
        let mut routes = self.routes.iter();
        let route = routes.find(|route| fits(&route.database, response.database) && fits(&route.user, response.user));
        route
            .map(|route| &route.upstream)
            .or(self.default.as_ref())
            .map(String::as_str)
    }
}

fn wait(window: &Window, missing: usize) -> Decision {
    if window.timed_out {
        Decision::refuse("no answer to the greeting in time")
    } else if window.finished {
        Decision::refuse("the client finished before it had answered the greeting")
    } else if window.full {
        Decision::refuse("the answer to the greeting is longer than the proxy holds")
    } else {
        Decision::Need(missing)
    }
}

#[cfg(test)]
mod tests;
