//! `source` of an upstream.

use std::net::IpAddr;

use super::given::apart;
use super::names::FirstUse;
use crate::config::diagnostics::{Problem, Problems, Reported, all};
use crate::config::file;
use crate::config::reader::Given;
use crate::config::source_address::SourceAddress;

/// `None`: from each client's.
pub fn source(given: Given<file::Source>, problems: &mut Problems) -> Result<Option<Vec<IpAddr>>, Reported> {
    let (source, span) = apart(given.0?);
    let addresses = match source {
        file::Source::Client => return Ok(None),
        file::Source::One(address) => vec![address],
        file::Source::Several(addresses) => addresses,
    };
    if addresses.is_empty() {
        let problem = Problem::at(span, "there is no address to connect from");
        return Err(problems.report(problem.label("leave the key out, and the system chooses one")));
    }
    let complaint = |address: &SourceAddress| format!("`{}` is one of the addresses already", address.0);
    let mut seen = FirstUse::new(complaint);
    let addresses = addresses.into_iter();
    all(addresses.map(|address| Ok(seen.check(address.0?, problems)?.0))).map(Some)
}
