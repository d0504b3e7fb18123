//! Which certificate a client gets.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;

/// The first certificate that is for the name that the client asks for. Where several are, those that it can check come
/// first, so that one for RSA can stand beside one for ECDSA. Where none is, the first of all, unless that is
/// forbidden.
#[derive(Debug)]
pub(super) struct Resolver {
    certificates: Vec<Arc<CertifiedKey>>,
    /// Their places, in order.
    exact: HashMap<String, Vec<usize>>,
    /// By what stands behind `*.`: any one label stands in front of it (RFC 9525, section 6.3).
    wildcard: HashMap<String, Vec<usize>>,
    strict: bool,
}

impl Resolver {
    pub(super) fn new(certificates: Vec<Certificate>, strict: bool) -> Self {
        let mut resolver = Self {
            certificates: Vec::with_capacity(certificates.len()),
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            strict,
        };
        for (place, certificate) in certificates.into_iter().enumerate() {
            resolver.certificates.push(certificate.key);
            for name in certificate.names {
                let places = match name.strip_prefix("*.") {
                    Some(parent) => resolver.wildcard.entry(parent.to_owned()),
                    None => resolver.exact.entry(name),
                };
                places.or_default().push(place);
            }
        }
        resolver
    }

    /// Whether a client that asks for `name`, or for none, gets a certificate.
    pub(super) fn serves(&self, name: Option<&str>) -> bool {
        !self.strict || name.is_some_and(|name| !self.places(name).is_empty())
    }

    /// Those that are for `name`, in order.
    fn places(&self, name: &str) -> Vec<usize> {
        let name = comparable(name);
        let exact = self.exact.get(&*name);
        let wildcard = name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        let mut places: Vec<_> = exact.into_iter().chain(wildcard).flatten().copied().collect();
        places.sort_unstable();
        places
    }

    /// `can_check` tells whether the client can check signatures of a key.
    fn choose(&self, name: Option<&str>, can_check: impl Fn(&CertifiedKey) -> bool) -> Option<&Arc<CertifiedKey>> {
        let places = name.map(|name| self.places(name)).unwrap_or_default();
        let mut fitting = places.iter().map(|place| &self.certificates[*place]);
        match places.len() {
            0 if self.strict => None,
            0 => self.certificates.first(),
            1 => fitting.next(),
            _ => fitting.clone().find(|key| can_check(key)).or_else(|| fitting.next()),
        }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let chosen = self.choose(hello.server_name(), |key| key.key.choose_scheme(schemes).is_some());
        chosen.cloned()
    }
}

/// In lower case, and without the dot that may stand behind it.
fn comparable(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => name.to_ascii_lowercase().into(),
        false => name.into(),
    }
}
