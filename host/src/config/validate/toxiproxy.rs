//! `[toxiproxy]`

use super::given::apart;
use super::metrics::stays_here;
use crate::config::diagnostics::{Problem, Problems, Reported};
use crate::config::{ListenAddress, defaults, file};

pub fn toxiproxy(typed: file::Toxiproxy, problems: &mut Problems) -> Result<ListenAddress, Reported> {
    let Some(given) = typed.listen else {
        return Ok(ListenAddress::Socket(defaults::TOXIPROXY));
    };
    let (address, span) = apart(given.0?);
    if stays_here(&address) {
        return Ok(address);
    }
    let problem = Problem::at(
        span,
        format!("whoever reaches `{address}` could do faults to all connections"),
    );
    let problem = problem.label("expected an address of this machine alone, as in \"127.0.0.1:8474\"");
    let help = "Toxiproxy's clients know no token; who is elsewhere comes by `ssh -L 8474:127.0.0.1:8474 HOST`, or has \
                measures of the admin interface";
    Err(problems.report(problem.help(help)))
}
