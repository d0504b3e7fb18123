//! Routes a PostgreSQL session by the database and the user that its startup message names. README.md has the details.

mod startup;

use schemars::JsonSchema;
use serde::Deserialize;
use spliceway_sdk::Pattern;
use spliceway_sdk::prelude::*;

use startup::{Encryption, Message, Parameters};

/// Where sessions go: the first route that matches, or else the default.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PostgresRouter {
    /// Tried in order.
    #[serde(default)]
    routes: Vec<Route>,
    /// The upstream of what no route matches, and of all cancel requests, which name neither database nor user.
    default: Option<String>,
}

/// A route without a pattern for the database, or for the user, takes any.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Route {
    database: Option<Pattern>,
    user: Option<Pattern>,
    upstream: String,
}

/// PostgreSQL asks for encryption in one of two ways, and once in each.
const ENCRYPTION_REQUESTS: u32 = 2;

impl Config for PostgresRouter {
    fn check(&self) -> Result<(), String> {
        if self.routes.is_empty() && self.default.is_none() {
            return Err("neither a route nor a default: every session would be refused".into());
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

impl Router for PostgresRouter {
    fn route(&self, window: &Window, connection: &Connection) -> Decision {
        if let Some(parameters) = turned_away(window) {
            return Decision::refuse(no_route(&parameters));
        }
        match startup::read(&window.bytes) {
            Ok(Message::Startup(parameters)) => {
                connection.annotate("postgres.database", parameters.database_text());
                connection.annotate("postgres.user", parameters.user_text());
                match self.upstream(&parameters) {
                    Some(upstream) => Decision::route(upstream),
                    None => turn_away(&parameters),
                }
            }
            Ok(Message::EncryptionRequest(wanted)) => answer_encryption(wanted, window, connection),
            Ok(Message::CancelRequest) => match &self.default {
                Some(upstream) => Decision::route(upstream),
                None => Decision::refuse("a cancel request, and no default upstream"),
            },
            Ok(Message::Partial { missing }) => wait(window, missing),
            Err(reason) => Decision::refuse(reason),
        }
    }
}

export_config!(PostgresRouter, schema = "../schema.json");
export_router!(PostgresRouter);

impl PostgresRouter {
    fn upstream(&self, parameters: &Parameters<'_>) -> Option<&str> {
        let fits = |pattern: &Option<Pattern>, name| pattern.as_ref().is_none_or(|pattern| pattern.matches(name));
        let route = self
            .routes
            .iter()
            .find(|route| fits(&route.database, parameters.database) && fits(&route.user, parameters.user));
        route
            .map(|route| &route.upstream)
            .or(self.default.as_ref())
            .map(String::as_str)
    }
}

/// Bytes behind the request were sent before our answer could be known. From a client that would go on encrypted they
/// would be plaintext injected in front of its session (CVE-2021-23222): no honest client sends any.
fn answer_encryption(wanted: Encryption, window: &Window, connection: &Connection) -> Decision {
    if window.bytes.len() > startup::ENCRYPTION_REQUEST_LEN {
        return Decision::refuse("bytes behind a request for encryption");
    }
    if window.round >= ENCRYPTION_REQUESTS {
        return Decision::refuse("more requests for encryption than there are kinds");
    }
    let answer = match wanted {
        Encryption::Tls if connection.start_tls() => *b"S",
        Encryption::Tls | Encryption::Gss => *b"N",
    };
    Decision::exchange(startup::ENCRYPTION_REQUEST_LEN, answer)
}

/// Tells the client in its own protocol, and leaves the parameters in the window: by them the next call knows that
/// the client has its answer, since no message begins with a parameter.
fn turn_away(parameters: &Parameters<'_>) -> Decision {
    Decision::exchange(startup::HEADER_LEN, startup::fatal("3D000", &no_route(parameters)))
}

fn turned_away(window: &Window) -> Option<Parameters<'_>> {
    let begins_with_parameter = window.bytes.first().is_some_and(|&byte| byte != 0);
    if window.round == 0 || !begins_with_parameter {
        return None;
    }
    Parameters::read(&window.bytes).ok().map(|(parameters, _)| parameters)
}

fn no_route(parameters: &Parameters<'_>) -> String {
    format!(
        "no upstream for database \"{}\", user \"{}\"",
        parameters.database_text(),
        parameters.user_text()
    )
}

fn wait(window: &Window, missing: usize) -> Decision {
    if window.timed_out {
        Decision::refuse("no startup message in time")
    } else if window.finished {
        Decision::refuse("the client finished before its startup message")
    } else if window.full {
        Decision::refuse("the startup message is longer than the proxy holds")
    } else {
        Decision::Need(missing)
    }
}

#[cfg(test)]
mod tests;
