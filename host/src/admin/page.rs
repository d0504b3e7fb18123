//! The page: what a proxy does, for whoever looks with a browser.
//!
//! Its files are in the program. They hold no secrets, so they are there without a token; what they show they ask for as
//! everybody does.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use super::api::not_with_this_method;

/// Nothing comes from elsewhere, nothing goes elsewhere, and no other page shows this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Where each file is, what it is, and what is in it.
const FILES: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("page/index.html")),
    ("/page/style.css", CSS, include_str!("page/style.css")),
    ("/page/icon.svg", SVG, include_str!("page/icon.svg")),
    ("/page/app.js", SCRIPT, include_str!("page/app.js")),
    ("/page/source.js", SCRIPT, include_str!("page/source.js")),
    ("/page/rates.js", SCRIPT, include_str!("page/rates.js")),
    ("/page/chart.js", SCRIPT, include_str!("page/chart.js")),
    ("/page/tables.js", SCRIPT, include_str!("page/tables.js")),
    ("/page/words.js", SCRIPT, include_str!("page/words.js")),
];

pub fn routes() -> Router {
    let router = FILES.iter().fold(Router::new(), |router, (path, kind, text)| {
        router.route(path, file(kind, text))
    });
    router.method_not_allowed_fallback(not_with_this_method)
}

fn file(kind: &'static str, text: &'static str) -> MethodRouter {
    get(async move || answer(kind, text))
}

fn answer(kind: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        // Another version of the proxy has another page.
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    (headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_on_the_page_comes_from_elsewhere_or_is_taken_for_markup() {
        for (path, _, text) in FILES {
            for forbidden in [
                "https://",
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "localStorage",
                " style=\"",
                " onclick=",
            ] {
                assert!(!text.contains(forbidden), "{path}: {forbidden}");
            }
            // The name of SVG in XML is an address that nobody asks.
            let addresses = text.matches("http://").count();
            assert_eq!(addresses, text.matches("http://www.w3.org/2000/svg").count(), "{path}");
        }
    }

    #[test]
    fn every_file_that_the_page_names_is_there() {
        let named = FILES.iter().flat_map(|(_, _, text)| text.split(['"', '\'']));
        let named = named.filter_map(|word| word.strip_prefix("./").or_else(|| word.strip_prefix("/page/")));
        let named: Vec<_> = named.map(|name| format!("/page/{name}")).collect();
        assert!(named.len() >= FILES.len() - 1, "{named:?}");
        for name in named {
            assert!(FILES.iter().any(|(path, _, _)| *path == name), "{name}");
        }
    }
}
