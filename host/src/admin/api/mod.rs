//! What may be asked and told, and the description of it (OpenAPI 3.1).

mod config;
mod connections;
mod filters;
mod limits;
mod listeners;
mod measures;
mod overview;
mod process;
mod servers;
mod upstreams;

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State as Given};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa::IntoResponses;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::State;
use super::refused::Refused;
use super::said::Failure;
use super::take::LONGEST_BODY;

/// What any question may be answered with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it is described alone: `Refused` is what is answered")]
enum Any {
    /// The request is none that HTTP knows, or its path or its query is not what is expected.
    #[response(status = 400)]
    Malformed(#[to_schema] Failure),
    /// The token is missing or wrong.
    #[response(status = 401)]
    Unauthorized(#[to_schema] Failure),
    /// A browser says that another site's page asks.
    #[response(status = 403)]
    Forbidden(#[to_schema] Failure),
}

/// What a question with a body may be answered with besides.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it is described alone: `Refused` is what is answered")]
enum OfBody {
    /// The body does not come.
    #[response(status = 408)]
    Late(#[to_schema] Failure),
    /// The body is longer than 64 KiB; than 4 MiB, where it has a configuration.
    #[response(status = 413)]
    TooLong(#[to_schema] Failure),
    /// The body is JSON, but not what is expected.
    #[response(status = 422)]
    Meaningless(#[to_schema] Failure),
}

/// With a token, the description says so.
pub fn routes(has_token: bool) -> (Router<State>, OpenApi) {
    let (router, mut description) = OpenApiRouter::with_openapi(about())
        .routes(routes!(process::status))
        .routes(routes!(overview::overview))
        .routes(routes!(overview::events))
        .routes(routes!(config::config))
        .routes(routes!(listeners::listeners))
        .routes(routes!(upstreams::upstreams))
        .routes(routes!(upstreams::change, servers::remove))
        .routes(routes!(servers::add))
        .routes(routes!(limits::limits, limits::change))
        .routes(routes!(limits::of_listener, limits::change_of_listener))
        .routes(routes!(measures::measures, measures::add))
        .routes(routes!(measures::remove))
        .routes(routes!(filters::filters))
        .routes(routes!(filters::reload))
        .routes(routes!(filters::load))
        .routes(routes!(filters::promote))
        .routes(routes!(filters::roll_back))
        .routes(routes!(connections::connections))
        .routes(routes!(connections::connection))
        .routes(routes!(connections::kill))
        .routes(routes!(process::log_level, process::change_log_level))
        .routes(routes!(process::reload))
        .routes(routes!(process::plan))
        .routes(routes!(process::drain))
        .routes(routes!(describe))
        .split_for_parts();
    if has_token {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
        description.security = Some(vec![SecurityRequirement::new("token", [] as [&str; 0])]);
    }
    let router = router
        .fallback(async || {
            let hint = "GET /v1/openapi.json describes what there is";
            Refused::new(StatusCode::NOT_FOUND, "there is nothing at this path", hint)
        })
        .method_not_allowed_fallback(not_with_this_method)
        .layer(DefaultBodyLimit::max(LONGEST_BODY));
    (router, description)
}

/// There is something at this path, but not for that.
pub async fn not_with_this_method() -> Refused {
    let hint = "the header `Allow` has those that may; GET /v1/openapi.json describes them";
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method", hint)
}

/// As answers have lengths of time.
fn milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

fn about() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Spliceway")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Asks a proxy what it does, and tells it what to do."));
    OpenApiBuilder::new().info(info).build()
}

/// This description.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    responses((status = 200, description = "An OpenAPI document.", body = Object), Any)
)]
async fn describe(Given(state): Given<State>) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, state.description.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_of_the_description_has_a_body_and_every_path_its_version() {
        let (_, description) = routes(true);
        let description = serde_json::to_value(description).unwrap();
        assert_eq!(description["openapi"], "3.1.0");
        let paths = description["paths"].as_object().unwrap();
        assert_eq!(paths.len(), 25);
        for (path, methods) in paths {
            assert!(path.starts_with("/v1/"), "{path}");
            for (method, operation) in methods.as_object().unwrap() {
                let answers = operation["responses"].as_object().unwrap();
                assert!(answers.contains_key("401"), "{method} {path}");
                for (status, answer) in answers {
                    let is_stream = path.ends_with("/events") && status == "200";
                    let kind = match is_stream {
                        true => "text/event-stream",
                        false => "application/json",
                    };
                    let schema = &answer["content"][kind]["schema"];
                    assert!(schema.is_object(), "{method} {path} {status}");
                    assert!(answer["description"].as_str().is_some_and(|text| !text.is_empty()));
                }
            }
        }
    }
}
