//! `tls` of a listener, and of an upstream.

use std::path::Path;

use super::certificate::{certificate, pem};
use super::given::{apart, count_or_default, or_default, place, word_or_default};
use super::names::FirstUse;
use super::route::{alpn, patterns};
use crate::config::diagnostics::{Problem, Problems, Reported, Span, all};
use crate::config::pattern::NamePattern;
use crate::config::reader::Given;
use crate::config::units::Period;
use crate::config::word::Word;
use crate::config::{
    CertificateFiles, ClientAuth, Pattern, TlsIn, TlsOut, TlsStart, TlsVersion, defaults, file, ranges,
};

pub fn tls_in(given: Given<file::TlsIn>, directory: &Path, problems: &mut Problems) -> Result<TlsIn, Reported> {
    let typed = given.value()?;
    let start_at = place(&typed.start);
    let certificates = certificates(typed.certificates, directory, problems);
    let strict = typed.strict.map_or(Ok(false), Given::value);
    let start = word_or_default(typed.start);
    let passthrough = passthrough(typed.passthrough, start, start_at, problems);
    let client_auth = typed
        .client_auth
        .map(|given| client_auth(given.value()?, directory, problems))
        .transpose();
    let alpn = typed
        .alpn
        .map_or(Ok(Vec::new()), |given| alpn(given.value()?, problems));
    let min_version = min_version(typed.min_version);
    let timeout = or_default(
        typed.timeout,
        &ranges::TLS_TIMEOUT,
        Period(defaults::TLS_TIMEOUT),
        problems,
    );
    let handshakes = count_or_default(
        typed.max_handshakes,
        &ranges::TLS_HANDSHAKES,
        defaults::TLS_HANDSHAKES,
        problems,
    );
    Ok(TlsIn {
        certificates: certificates?,
        strict: strict?,
        start: start?,
        passthrough: passthrough?,
        client_auth: client_auth?,
        alpn: alpn?,
        min_version: min_version?,
        timeout: timeout?.0,
        handshakes: handshakes?,
    })
}

fn certificates(
    given: Given<Vec<Given<file::Certificate>>>,
    directory: &Path,
    problems: &mut Problems,
) -> Result<Vec<CertificateFiles>, Reported> {
    let (typed, span) = apart(given.0?);
    if typed.is_empty() {
        let problem = Problem::at(span, "without a certificate no client can be served");
        return Err(problems.report(problem.label("expected at least one, as in [\"a.pem\"]")));
    }
    let complaint = |files: &CertificateFiles| format!("the certificate `{}` is there already", files.chain.display());
    let mut seen = FirstUse::new(complaint);
    all(typed.into_iter().map(|given| {
        let span = given.0.as_ref().map_err(|reported| *reported)?.span();
        let files = certificate(given, directory, problems)?;
        seen.check(toml::Spanned::new(span, files), problems)
    }))
}

/// Which connections are passed on is known before the first byte is sent, and so before anybody could ask for TLS.
fn passthrough(
    given: Option<Given<Vec<Given<NamePattern>>>>,
    start: Result<TlsStart, Reported>,
    start_at: Option<Span>,
    problems: &mut Problems,
) -> Result<Vec<Pattern>, Reported> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let (typed, span) = apart(given.0?);
    let names = patterns(typed, |pattern: NamePattern| pattern.0, problems);
    if let (Ok(TlsStart::OnRequest), Some(start_at)) = (start, start_at) {
        let problem = Problem::at(span, "`passthrough` contradicts `start = \"on-request\"`");
        let problem = problem.label("clients ask for a name after they have asked for TLS");
        return Err(problems.report(problem.related(start_at, "TLS begins in the middle of a connection")));
    }
    names
}

fn client_auth(typed: file::ClientAuth, directory: &Path, problems: &mut Problems) -> Result<ClientAuth, Reported> {
    let authorities = pem(typed.authorities, directory, problems);
    let required = typed.required.map_or(Ok(defaults::CLIENT_AUTH_REQUIRED), Given::value);
    let revocations = typed
        .revocations
        .map(|given| pem(given, directory, problems))
        .transpose();
    Ok(ClientAuth {
        authorities: authorities?,
        required: required?,
        revocations: revocations?,
    })
}

/// `None`: servers are not spoken to in TLS. `unix` is where one of them is a unix socket.
pub fn tls_out(
    given: Given<file::TlsOut>,
    unix: Option<Span>,
    directory: &Path,
    problems: &mut Problems,
) -> Result<Option<TlsOut>, Reported> {
    let (typed, span) = apart(given.0?);
    let typed = match typed {
        file::TlsOut::Short(false) => return Ok(None),
        file::TlsOut::Short(true) => file::TlsOutTable::default(),
        file::TlsOut::Long(table) => *table,
    };
    let sound = check_trust(&typed, problems);
    let named = match unix {
        Some(unix) if typed.name.is_none() => {
            let problem = Problem::at(span, "a unix socket has no name that its certificate could be for");
            let problem = problem.label("say which with `name`, as in `name = \"db.example.com\"`");
            Err(problems.report(problem.related(unix, "this is a unix socket")))
        }
        _ => Ok(()),
    };
    let verify = typed.verify.map_or(Ok(defaults::TLS_VERIFY), Given::value);
    let name = typed.name.map(Given::value).transpose();
    let authorities = typed
        .authorities
        .map(|given| pem(given, directory, problems))
        .transpose();
    let certificate = typed
        .certificate
        .map(|given| certificate(given, directory, problems))
        .transpose();
    let alpn = typed
        .alpn
        .map_or(Ok(Vec::new()), |given| alpn(given.value()?, problems));
    let min_version = min_version(typed.min_version);
    sound.and(named)?;
    Ok(Some(TlsOut {
        verify: verify?,
        name: name?.map(|name| name.0),
        authorities: authorities?,
        certificate: certificate?,
        alpn: alpn?,
        min_version: min_version?,
    }))
}

/// Those who sign are asked where somebody has to prove something.
fn check_trust(typed: &file::TlsOutTable, problems: &mut Problems) -> Result<(), Reported> {
    if let Some(Given(Ok(verify))) = &typed.verify
        && !*verify.get_ref()
        && let Some(at) = place(&typed.authorities)
    {
        let problem = Problem::at(at, "`authorities` contradicts `verify = false`");
        let problem = problem.label("nobody would look at these");
        return Err(problems.report(problem.related(verify.span(), "servers have nothing to prove")));
    }
    Ok(())
}

fn min_version(given: Option<Given<Word<TlsVersion>>>) -> Result<TlsVersion, Reported> {
    given.map_or(Ok(defaults::TLS_MIN_VERSION), |given| given.value().map(|word| word.0))
}
