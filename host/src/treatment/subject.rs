//! The connection that something may be done to: all that it is chosen by.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use super::capture;
use super::measure::Measure;
use super::regimen::Regimen;
use crate::config::{TreatmentConfig, part};
use crate::filter::{Facts, Value};
use crate::listener::Listener;
use crate::upstream::Upstream;
use crate::worker::Worker;

pub struct Subject<'a> {
    pub id: u64,
    pub listener: &'a Listener,
    /// The route that it took.
    pub route: Option<usize>,
    pub upstream: &'a Upstream,
    /// `None` on a unix socket.
    pub client: Option<SocketAddr>,
    pub facts: Option<&'a Facts>,
    /// What a filter has asked for.
    pub prescribed: Option<&'a Prescription>,
}

/// What a filter asks for with the upstream that it chooses.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Prescription {
    pub regimen: Option<Arc<Regimen>>,
    /// The hash of the key that it gives the connection.
    pub key: Option<u64>,
    /// The upstream that is sent a copy.
    pub mirror: Option<Arc<str>>,
}

/// Connections whose filters ask for the same, in the same words, share it.
static PRESCRIBED: LazyLock<Mutex<HashMap<String, Weak<Regimen>>>> = LazyLock::new(Mutex::default);

/// How many words are remembered before those are forgotten that no connection has.
const REMEMBERED: usize = 1024;

impl Prescription {
    /// A treatment in the words of a file, on one line: `{ bandwidth = { down = "1MiB/s" } }`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn regimen(typed: &str) -> Result<Arc<Regimen>, String> {
        let known = || PRESCRIBED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(regimen) = known().get(typed).and_then(Weak::upgrade) {
            return Ok(regimen);
        }
        let config = part::typed_treatment(typed).map_err(|problems| problems.to_string())?;
        capture::check(&config).map_err(|error| format!("{error:#}"))?;
        let regimen = Arc::new(Regimen::new(config));
        let mut known = known();
        if known.len() >= REMEMBERED {
            known.retain(|_, regimen| regimen.strong_count() > 0);
        }
        known.insert(typed.to_owned(), Arc::downgrade(&regimen));
        Ok(regimen)
    }

    /// What a stranger may not ask for: files in a directory that no capture of this listener, or of its routes, has.
    ///
    /// # Errors
    /// It asks for that.
    pub fn check(&self, listener: &Listener) -> Result<(), String> {
        let Some(asked) = &self.regimen else { return Ok(()) };
        let own = listener.treatment.iter().chain(listener.treatments.iter().flatten());
        let captures = own.flat_map(|regimen| &regimen.config().captures);
        let allowed: Vec<_> = captures.map(|capture| &*capture.files.directory).collect();
        match forbidden(asked.config(), &allowed) {
            None => Ok(()),
            Some(directory) => Err(format!(
                "its option \"treatment\" captures to {}, where the listener has no capture: one with `share = \"0%\"` allows it",
                directory.display()
            )),
        }
    }
}

fn forbidden<'a>(asked: &'a TreatmentConfig, allowed: &[&Path]) -> Option<&'a Path> {
    let mut directories = asked.captures.iter().map(|capture| &*capture.files.directory);
    directories.find(|directory| !allowed.contains(directory))
}

impl Subject<'_> {
    /// All that are for it: the listener's, the route's, the upstream's, the filter's, and what operators have asked for.
    pub fn regimens(&self, worker: &Worker) -> Vec<Arc<Regimen>> {
        let terms = self.upstream.terms();
        let configured = [
            self.listener.treatment.as_ref(),
            self.route
                .and_then(|route| self.listener.treatments.get(route)?.as_ref()),
            terms.treatment.as_ref(),
            self.prescribed.and_then(|prescribed| prescribed.regimen.as_ref()),
        ];
        let measures = worker.measures();
        let measures = measures.iter().filter(|measure| measure.scope.has(self));
        let measured = measures.map(|measure: &Arc<Measure>| &measure.regimen);
        configured.into_iter().flatten().chain(measured).cloned().collect()
    }

    /// The name that it has asked for in TLS.
    pub fn sni(&self) -> Option<String> {
        match self.facts?.known_as("tls.sni")? {
            Value::Text(name) => Some(name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_captures_to_where_the_configuration_does_and_nowhere_else() {
        let asked = part::typed_treatment("{ capture = [{ directory = \"/a\" }, { directory = \"/b\" }] }").unwrap();
        let [a, b] = ["/a", "/b"].map(Path::new);
        assert_eq!(forbidden(&asked, &[a, b]), None);
        assert_eq!(forbidden(&asked, &[a]), Some(b));
        assert_eq!(forbidden(&asked, &[]), Some(a));
        assert_eq!(forbidden(&TreatmentConfig::default(), &[]), None);
    }
}
