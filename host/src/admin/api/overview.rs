//! Everything at a glance: once, or once a second.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body as HttpBody;
use axum::extract::State as Given;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use super::super::State;
use super::super::refused::Refused;
use super::super::said::{Ended, Failure, LogLine, Overview, ServerState, Servers, Traffic, Upstream, Worker};
use super::super::watching;
use super::{Any, connections, filters, listeners, milliseconds, process, upstreams};
use crate::connection::Past;
use crate::http::Carrier;
use crate::observe::{Pulse, Sums, Vitals, log};

/// Of all upstreams' servers, how many are told: each is some 200 bytes, once a second, for everybody who watches.
const MOST_SERVERS: usize = 1000;

/// How it is, what it does, and what has gone wrong. Connections that stand out are looked for among the 8192 oldest and the
/// 8192 newest of each worker, those that have moved the most among the 1024 oldest and newest. Those of a worker that does not
/// answer within half a second are missing.
#[utoipa::path(
    get,
    path = "/v1/overview",
    responses((status = 200, description = "As it is now.", body = Overview), Any)
)]
pub async fn overview(Given(state): Given<State>) -> Json<Overview> {
    Json(seen(&state).await)
}

/// The same once a second, as server-sent events: each has an overview as JSON for its `data`. It ends when the process stops
/// answering; whoever takes nothing for 10 seconds is let go.
#[utoipa::path(
    get,
    path = "/v1/overview/events",
    responses(
        (status = 200, description = "Without end.", body = String, content_type = "text/event-stream"),
        (status = 503, description = "Too many watch already.", body = Failure),
        Any,
    )
)]
pub async fn events(Given(state): Given<State>, Extension(carrier): Extension<Carrier>) -> Result<Response, Refused> {
    let of = state.clone();
    let look = move || {
        let state = of.clone();
        async move { serde_json::to_string(&seen(&state).await).unwrap_or_default() }
    };
    let watcher = state.watching.watch(carrier, look).ok_or_else(|| {
        let error = format!("{} watch already", watching::MOST);
        let hint = "GET /v1/overview says the same once; close a page that is open elsewhere";
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, error, hint)
    })?;
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, HttpBody::new(watcher.events())).into_response())
}

/// Counts first, and all of them at one time: what they count of what has ended is among what has ended lately.
async fn seen(state: &State) -> Overview {
    let counted = counted(state);
    let survey = state.desk.survey().await;
    Overview {
        biggest: survey.biggest.iter().map(connections::connection_of).collect(),
        slowest: survey.slowest.iter().map(connections::connection_of).collect(),
        recent: survey.recent.iter().map(ended).collect(),
        errors: log::last().into_iter().map(line).collect(),
        ..counted
    }
}

fn counted(state: &State) -> Overview {
    let in_force = state.present.load();
    let mut upstreams = upstreams::all(&in_force);
    let servers = count(&upstreams);
    shorten(&mut upstreams, MOST_SERVERS);
    Overview {
        at_ms: since_1970(SystemTime::now()),
        status: process::seen(state),
        traffic: traffic(&in_force.vitals),
        workers: in_force.vitals.pulses().map(|pulse| worker(&pulse)).collect(),
        listeners: listeners::all(&in_force),
        upstreams,
        servers,
        filters: filters::all(&in_force),
        biggest: Vec::new(),
        slowest: Vec::new(),
        recent: Vec::new(),
        errors: Vec::new(),
    }
}

fn count(upstreams: &[Upstream]) -> Servers {
    let servers = || upstreams.iter().flat_map(|upstream| &upstream.servers);
    Servers {
        all: servers().count() as u64,
        up: servers().filter(|server| server.state == ServerState::Up).count() as u64,
    }
}

/// Leaves so many of their servers, those that are not up before the others.
fn shorten(upstreams: &mut [Upstream], most: usize) {
    let Servers { all, up } = count(upstreams);
    let mut not_up = most.min((all - up).try_into().unwrap_or(most));
    let mut others = most - not_up;
    for upstream in upstreams {
        upstream.servers.retain(|server| {
            let room = match server.state {
                ServerState::Up => &mut others,
                _ => &mut not_up,
            };
            let fits = *room > 0;
            *room -= usize::from(fits);
            fits
        });
    }
}

fn traffic(vitals: &Vitals) -> Traffic {
    let mut all = Sums::default();
    vitals.moved().for_each(|moved| all += moved);
    Traffic {
        accepted: all.connections,
        up: all.up.into(),
        down: all.down.into(),
    }
}

fn worker(pulse: &Pulse) -> Worker {
    Worker {
        delay_us: pulse.delay.within(0.99).as_micros().try_into().unwrap_or(u64::MAX),
        silent_ms: milliseconds(pulse.last.elapsed()),
        pipes: pulse.pipes.lent as u64,
    }
}

fn ended(past: &Past) -> Ended {
    Ended {
        id: past.id,
        at_ms: since_1970(past.at),
        listener: past.listener.to_string(),
        client: past.client.map(|client| client.to_string()),
        upstream: past.upstream.as_deref().map(str::to_owned),
        server: past.server.as_ref().map(ToString::to_string),
        duration_ms: milliseconds(past.duration),
        outcome: past.outcome.to_string(),
        ok: past.outcome.is_finished(),
        up: past.up.into(),
        down: past.down.into(),
    }
}

fn line(line: log::Line) -> LogLine {
    LogLine {
        at_ms: since_1970(line.at),
        level: line.level.as_str().to_ascii_lowercase(),
        text: line.text,
    }
}

fn since_1970(time: SystemTime) -> u64 {
    milliseconds(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::super::said::{Server, ServerOrigin};
    use super::*;

    #[test]
    fn servers_that_are_not_up_are_told_before_the_others() {
        let server = |state| Server {
            address: String::new(),
            host: String::new(),
            origin: ServerOrigin::File,
            state,
            health: state,
            weight: 1,
            configured_weight: 1,
            backup: false,
            connections: 0,
            max_connections: None,
            transitions: 0,
            ejected_ms: None,
        };
        let upstream = |states: &[ServerState]| Upstream {
            name: String::new(),
            connections: 0,
            servers: states.iter().map(|state| server(*state)).collect(),
        };
        use ServerState::{Down, Draining, Up};
        let all = || vec![upstream(&[Up, Up, Down]), upstream(&[Draining, Up, Up])];
        assert_eq!(count(&all()), Servers { all: 6, up: 4 });
        for (most, told) in [
            (6, vec![vec![Up, Up, Down], vec![Draining, Up, Up]]),
            (4, vec![vec![Up, Up, Down], vec![Draining]]),
            (3, vec![vec![Up, Down], vec![Draining]]),
            (1, vec![vec![Down], vec![]]),
            (0, vec![vec![], vec![]]),
        ] {
            let mut upstreams = all();
            shorten(&mut upstreams, most);
            let states = |upstream: &Upstream| upstream.servers.iter().map(|server| server.state).collect::<Vec<_>>();
            assert_eq!(upstreams.iter().map(states).collect::<Vec<_>>(), told, "{most}");
        }
    }
}
