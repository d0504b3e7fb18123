//! What a browser may ask.
//!
//! Where there is no token, whoever reaches the socket may do everything; and behind `ssh -L`, whatever page is open in a browser
//! reaches it at `http://localhost`. Such a page cannot read the answers, unless its own name leads here (DNS rebinding), but its
//! requests would be carried out. Browsers say where a request comes from, and pages cannot say otherwise.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};

use super::refused::Refused;

/// What this machine is called by whoever means it; the last one is what `spliceway ctl` says.
const NAMES: [&str; 4] = ["localhost", "127.0.0.1", "[::1]", "spliceway"];

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Foreign {
    /// It means another machine.
    Host,
    /// Another site's page has sent it.
    Site,
}

/// Requests of other sites' pages are not answered, whatever they ask.
pub fn keep_out(router: Router, has_token: bool) -> Router {
    router.layer(from_fn(move |request: Request, next: Next| async move {
        let judged = judge(request.method(), request.uri().path(), request.headers(), has_token);
        let mut response = match judged {
            Ok(()) => next.run(request).await,
            Err(foreign) => foreign.into_response(),
        };
        let nosniff = HeaderValue::from_static("nosniff");
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        response
    }))
}

/// Programs that are no browsers say nothing of where they come from, and are not asked.
fn judge(method: &Method, path: &str, headers: &HeaderMap, has_token: bool) -> Result<(), Foreign> {
    let host = headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    // A page of another name does not know the token.
    if let Some(host) = host.filter(|_| !has_token)
        && !NAMES.iter().any(|name| name.eq_ignore_ascii_case(without_port(host)))
    {
        return Err(Foreign::Host);
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        let is_own = |(_, origin): (&str, &str)| host.is_some_and(|host| origin.eq_ignore_ascii_case(host));
        if !origin.is_some_and(is_own) {
            return Err(Foreign::Site);
        }
    }
    let said = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    match said(&FETCH_SITE) {
        None | Some("same-origin" | "none") => Ok(()),
        // A link to the page may be anywhere: it shows nothing to whoever has it, and asks for all else itself.
        Some(_) if method == Method::GET && path == "/" && said(&FETCH_DEST) == Some("document") => Ok(()),
        Some(_) => Err(Foreign::Site),
    }
}

fn without_port(host: &str) -> &str {
    // The colons of an IPv6 address stand in brackets.
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

impl IntoResponse for Foreign {
    fn into_response(self) -> Response {
        let (error, hint) = match self {
            Self::Host => (
                "the header `Host` names another machine",
                "without a token it is asked as `localhost`: `ssh -L 9901:/run/spliceway/admin.sock HOST`, then http://localhost:9901",
            ),
            Self::Site => (
                "the page of another site has sent this",
                "what is not at this address itself may not ask; programs send neither `Origin` nor `Sec-Fetch-Site`",
            ),
        };
        Refused::new(StatusCode::FORBIDDEN, error, hint).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(method: &Method, path: &str, headers: &[(&str, &str)], has_token: bool) -> Result<(), Foreign> {
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, value.parse().unwrap())
        });
        judge(method, path, &headers.collect(), has_token)
    }

    fn asked(headers: &[(&str, &str)]) -> Result<(), Foreign> {
        judged(&Method::POST, "/v1/drain", headers, false)
    }

    #[test]
    fn without_a_token_this_machine_has_to_be_meant() {
        for host in [
            "localhost",
            "localhost:9901",
            "LocalHost:9901",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:9901",
            "spliceway",
        ] {
            assert_eq!(asked(&[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9901",
            "localhost.evil.example",
            "127.0.0.1.evil.example:9901",
            "[::2]:9901",
            "localhost:9901:9901",
        ] {
            assert_eq!(asked(&[("host", host)]), Err(Foreign::Host), "{host}");
            let with_token = judged(&Method::POST, "/v1/drain", &[("host", host)], true);
            assert_eq!(with_token, Ok(()), "{host}");
        }
        assert_eq!(asked(&[]), Ok(()));
    }

    #[test]
    fn pages_of_other_sites_may_not_ask() {
        let host = ("host", "localhost:9901");
        for origin in ["http://localhost:9901", "http://LOCALHOST:9901"] {
            assert_eq!(asked(&[host, ("origin", origin)]), Ok(()), "{origin}");
        }
        for origin in [
            "http://evil.example",
            "http://localhost:9902",
            "http://localhost",
            "https://localhost:9901.evil.example",
            "null",
            "",
        ] {
            assert_eq!(asked(&[host, ("origin", origin)]), Err(Foreign::Site), "{origin}");
        }
        for (site, expected) in [
            ("same-origin", Ok(())),
            ("none", Ok(())),
            ("same-site", Err(Foreign::Site)),
            ("cross-site", Err(Foreign::Site)),
            ("whatever", Err(Foreign::Site)),
        ] {
            assert_eq!(asked(&[host, ("sec-fetch-site", site)]), expected, "{site}");
        }
    }

    #[test]
    fn a_link_leads_to_the_page_and_to_nothing_else() {
        let headers = |dest| {
            [
                ("host", "localhost:9901"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-dest", dest),
            ]
        };
        assert_eq!(judged(&Method::GET, "/", &headers("document"), false), Ok(()));
        for (method, path, dest) in [
            (Method::GET, "/", "iframe"),
            (Method::GET, "/v1/status", "document"),
            (Method::POST, "/", "document"),
        ] {
            let judged = judged(&method, path, &headers(dest), false);
            assert_eq!(judged, Err(Foreign::Site), "{method} {path} {dest}");
        }
    }
}
