//! `[registries]`

use std::path::Path;

use super::certificate::pem;
use super::given::{apart, path};
use crate::config::diagnostics::{Problem, Problems, Reported, all};
use crate::config::reader::Given;
use crate::config::reference::registry_of;
use crate::config::{Registries, file};

pub fn registries(typed: file::Registries, directory: &Path, problems: &mut Problems) -> Result<Registries, Reported> {
    let cache = typed.cache.map(|given| {
        let (typed, span) = apart(given.0?);
        path(
            &typed,
            span,
            "a path, as in \"/var/cache/spliceway\"",
            directory,
            problems,
        )
    });
    let cache = cache.transpose();
    let insecure = typed.insecure.map_or(Ok(Vec::new()), |given| {
        let hosts = given.value()?;
        all(hosts.into_iter().map(|host| registry(host, problems)))
    });
    let authorities = typed
        .authorities
        .map(|given| pem(given, directory, problems))
        .transpose();
    Ok(Registries {
        cache: cache?,
        insecure: insecure?,
        authorities: authorities?,
    })
}

fn registry(given: Given<String>, problems: &mut Problems) -> Result<String, Reported> {
    let (typed, span) = apart(given.0?);
    registry_of(&typed).map_err(|_| {
        let problem = Problem::at(span, format!("`{typed}` is no registry"));
        problems.report(problem.label("expected `HOST` or `HOST:PORT`, as in \"registry.internal:5000\""))
    })
}
