//! `proxy-protocol` of a listener, and of an upstream.

use toml::Spanned;

use super::given::{apart, or_default};
use super::names::FirstUse;
use crate::config::diagnostics::{Problem, Problems, Reported, Span, all};
use crate::config::network::Network;
use crate::config::reader::Given;
use crate::config::tlv_type::TlvType;
use crate::config::units::{Period, Size};
use crate::config::word::Word;
use crate::config::{ListenAddress, ProxyIn, ProxyOut, ProxyVersion, SentTlv, Trusted, defaults, file, ranges};

/// The TLV that is computed from the others: another header's is wrong in this one.
const CRC32C: u8 = 0x03;

pub fn proxy_in(
    given: Given<file::ProxyIn>,
    address: Option<&ListenAddress>,
    problems: &mut Problems,
) -> Result<ProxyIn, Reported> {
    let typed = given.value()?;
    let required = typed.required.map_or(Ok(defaults::PROXY_IN_REQUIRED), Given::value);
    let trusted = trusted(typed.trusted, address, problems);
    let default = Period(defaults::PROXY_IN_TIMEOUT);
    let timeout = or_default(typed.timeout, &ranges::PROXY_IN_TIMEOUT, default, problems);
    let default = Size(defaults::PROXY_IN_LONGEST);
    let longest = or_default(typed.max_length, &ranges::PROXY_IN_LONGEST, default, problems);
    Ok(ProxyIn {
        required: required?,
        trusted: trusted?,
        timeout: timeout?.0,
        longest: longest.map(|Size(bytes)| usize::try_from(bytes).unwrap_or(usize::MAX))?,
    })
}

/// Somebody must be trusted, and must be able to come.
fn trusted(
    given: Given<Vec<Given<Network>>>,
    address: Option<&ListenAddress>,
    problems: &mut Problems,
) -> Result<Trusted, Reported> {
    let (typed, span) = apart(given.0?);
    if typed.is_empty() {
        let problem = Problem::at(span, "nobody is trusted, so no header would be believed");
        return Err(problems.report(problem.label("expected at least one network, as in [\"10.0.0.0/8\"]")));
    }
    let mut trusted = Trusted::default();
    for network in all(typed.into_iter().map(Given::value))? {
        match network {
            Network::Ip(network) => trusted.networks.push(network),
            Network::Unix => trusted.unix = true,
        }
    }
    if matches!(address, Some(ListenAddress::Unix(_))) && !trusted.unix {
        let problem = Problem::at(
            span,
            "who comes by a unix socket has no address, so nobody here is trusted",
        );
        return Err(problems.report(problem.label("expected [\"unix\"]")));
    }
    Ok(trusted)
}

pub fn proxy_out(given: Given<file::ProxyOut>, problems: &mut Problems) -> Result<ProxyOut, Reported> {
    let typed = match given.value()? {
        file::ProxyOut::Short(version) => {
            return Ok(ProxyOut {
                version: version.0,
                tlvs: Vec::new(),
                pass: Vec::new(),
            });
        }
        file::ProxyOut::Long(table) => table,
    };
    let places = [place(typed.tlvs.as_ref()), place(typed.pass.as_ref())];
    let version = typed.version.value().map(|version| version.0);
    let tlvs = typed.tlvs.map_or(Ok(Vec::new()), |given| tlvs(given, problems));
    let pass = typed.pass.map_or(Ok(Vec::new()), |given| pass(given, problems));
    if let Ok(ProxyVersion::V1) = version {
        check_text_only(places, problems)?;
    }
    Ok(ProxyOut {
        version: version?,
        tlvs: tlvs?,
        pass: pass?,
    })
}

fn place<T>(given: Option<&Given<T>>) -> Option<Span> {
    given?.0.as_ref().ok().map(Spanned::span)
}

fn check_text_only(places: [Option<Span>; 2], problems: &mut Problems) -> Result<(), Reported> {
    let reports = places.into_iter().flatten().map(|span| {
        let problem = Problem::at(span, "a header of version 1 has addresses only");
        Err(problems.report(problem.label("expected `version = \"v2\"`, or no such key")))
    });
    all(reports).map(|_: Vec<()>| ())
}

fn tlvs(given: Given<Vec<Given<Word<SentTlv>>>>, problems: &mut Problems) -> Result<Vec<SentTlv>, Reported> {
    let mut sent = FirstUse::new(|tlv: &Word<SentTlv>| format!("`{}` is there already", Word::of(tlv.0)));
    all(given
        .value()?
        .into_iter()
        .map(|tlv| sent.check(tlv.0?, problems).map(|word| word.0)))
}

fn pass(given: Given<Vec<Given<TlvType>>>, problems: &mut Problems) -> Result<Vec<u8>, Reported> {
    let mut passed = FirstUse::new(|tlv: &TlvType| format!("`0x{:02X}` is there already", tlv.0));
    all(given.value()?.into_iter().map(|tlv| {
        let tlv = tlv.0?;
        if tlv.get_ref().0 == CRC32C {
            let problem = Problem::at(tlv.span(), "the checksum of one header is wrong in another");
            return Err(problems.report(problem.label("expected `crc32c` among `tlvs`, which computes its own")));
        }
        passed.check(tlv, problems).map(|tlv| tlv.0)
    }))
}
