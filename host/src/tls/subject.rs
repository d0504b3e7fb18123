//! What the certificate of a client says of it.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, Oid, Tag};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::filter::Value;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    name: String,
    common_name: Option<String>,
    issuer: String,
    serial: String,
    fingerprint: String,
    alternatives: Option<String>,
    certificate: CertificateDer<'static>,
}

impl Subject {
    /// `None` where the certificate cannot be understood.
    pub(super) fn of(certificate: &CertificateDer<'static>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let serial = parsed.raw_serial();
        // A positive number whose first bit is set has a zero in front (X.690, section 8.3).
        let serial = serial
            .strip_prefix(&[0])
            .filter(|rest| !rest.is_empty())
            .unwrap_or(serial);
        Some(Self {
            name: distinguished(parsed.subject()),
            common_name: parsed
                .subject()
                .iter_common_name()
                .last()
                .and_then(|name| text(name.attr_value())),
            issuer: distinguished(parsed.issuer()),
            serial: hex(serial),
            fingerprint: hex(digest(&SHA256, certificate).as_ref()),
            alternatives: alternatives(&parsed),
            certificate: certificate.clone(),
        })
    }

    /// Its distinguished name as in RFC 4514: `CN=alice,O=Example`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The most specific common name in it.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    pub(super) fn attribute(&self, key: &str) -> Option<Value> {
        let text = |text: &str| Value::Text(text.to_owned());
        match key {
            "subject" => Some(text(&self.name)),
            "cn" => self.common_name().map(text),
            "issuer" => Some(text(&self.issuer)),
            "serial" => Some(text(&self.serial)),
            "fingerprint" => Some(text(&self.fingerprint)),
            "san" => self.alternatives.as_deref().map(text),
            "certificate" => Some(Value::Bytes(self.certificate.to_vec())),
            _ => None,
        }
    }
}

/// Names of hosts and URIs, with commas between them. A comma inside one is written `%2C`; what cannot be written on
/// one line is left out.
fn alternatives(certificate: &X509Certificate<'_>) -> Option<String> {
    let alternatives = certificate.subject_alternative_name().ok()??;
    let names = alternatives.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some(name),
        _ => None,
    });
    let names: Vec<_> = names
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()))
        .map(|name| name.replace(',', "%2C"))
        .collect();
    (!names.is_empty()).then(|| names.join(","))
}

/// As in RFC 4514: the most specific comes first, which is last in the certificate.
fn distinguished(name: &X509Name<'_>) -> String {
    let mut sets: Vec<_> = name.iter_rdn().collect();
    sets.reverse();
    let mut written = String::new();
    for (place, set) in sets.into_iter().enumerate() {
        if place > 0 {
            written.push(',');
        }
        for (place, attribute) in set.iter().enumerate() {
            if place > 0 {
                written.push('+');
            }
            write_attribute(&mut written, attribute);
        }
    }
    written
}

/// Section 2.3: a type that has no short name is written in numbers, and its value in hexadecimal then.
fn write_attribute(written: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let value = attribute.attr_value();
    match (short_name(attribute.attr_type()), text(value)) {
        (Some(name), Some(text)) => {
            written.push_str(name);
            written.push('=');
            escape(written, &text);
        }
        (name, _) => {
            match name {
                Some(name) => written.push_str(name),
                None => written.push_str(&attribute.attr_type().to_id_string()),
            }
            written.push_str("=#");
            written.push_str(&hex(&encoded(value)));
        }
    }
}

/// Those of RFC 4514, section 3, and those that OpenSSL writes beside them.
fn short_name(kind: &Oid<'_>) -> Option<&'static str> {
    let name = match kind.to_id_string().as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.42" => "GN",
        "2.5.4.97" => "organizationIdentifier",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    };
    Some(name)
}

/// `None` where it is no text.
fn text(value: &Any<'_>) -> Option<String> {
    let bytes = value.data;
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            str::from_utf8(bytes).ok().map(str::to_owned)
        }
        // Latin-1 is what everybody has ever written there.
        Tag::T61String => Some(bytes.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let (pairs, []) = bytes.as_chunks::<2>() else {
                return None;
            };
            let units: Vec<_> = pairs.iter().copied().map(u16::from_be_bytes).collect();
            String::from_utf16(&units).ok()
        }
        Tag::UniversalString => {
            let (quads, []) = bytes.as_chunks::<4>() else {
                return None;
            };
            quads
                .iter()
                .copied()
                .map(|quad| char::from_u32(u32::from_be_bytes(quad)))
                .collect()
        }
        _ => None,
    }
}

/// Section 2.4. Control characters are escaped as well, which it allows, so that the name stays on one line.
fn escape(written: &mut String, text: &str) {
    let last = text.len() - text.chars().next_back().map_or(0, char::len_utf8);
    for (place, character) in text.char_indices() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => written.extend(['\\', character]),
            '#' if place == 0 => written.push_str("\\#"),
            ' ' if place == 0 || place == last => written.push_str("\\ "),
            control if control.is_control() => {
                for byte in control.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(written, "\\{byte:02X}");
                }
            }
            other => written.push(other),
        }
    }
}

/// A value of a universal type as it stands in the certificate.
fn encoded(value: &Any<'_>) -> Vec<u8> {
    let constructed = if value.header.is_constructed() { 0x20 } else { 0 };
    // None of the types with higher numbers can stand in a name.
    let kind = u8::try_from(value.tag().0 & 0x1f).unwrap_or(0) | constructed;
    let length = value.data.len();
    let mut bytes = vec![kind];
    match u8::try_from(length) {
        Ok(short @ 0..0x80) => bytes.push(short),
        _ => {
            let digits = length.to_be_bytes();
            let digits = &digits[length.leading_zeros() as usize / 8..];
            bytes.push(0x80 | digits.len() as u8);
            bytes.extend(digits);
        }
    }
    bytes.extend(value.data);
    bytes
}

/// In lower case, without anything between the bytes.
fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use rcgen::string::{BmpString, PrintableString, TeletexString};
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, SanType, SerialNumber};

    use super::*;

    fn params(name: Vec<(DnType, DnValue)>) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in name {
            params.distinguished_name.push(kind, value);
        }
        params
    }

    fn subject(params: &CertificateParams) -> Subject {
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Subject::of(certificate.der()).unwrap()
    }

    fn named(text: &str) -> String {
        subject(&params(vec![(DnType::CommonName, text.into())])).name
    }

    #[test]
    fn what_has_a_meaning_in_a_name_is_escaped() {
        for (text, name) in [
            ("alice", "CN=alice"),
            ("a,b+c", "CN=a\\,b\\+c"),
            ("\"<>;\\=", "CN=\\\"\\<\\>\\;\\\\="),
            ("#a#", "CN=\\#a#"),
            (" a b ", "CN=\\ a b\\ "),
            (" ", "CN=\\ "),
            ("a\n\0", "CN=a\\0A\\00"),
            ("J\u{fc}rgen \u{85}", "CN=J\u{fc}rgen \\C2\\85"),
            ("", "CN="),
        ] {
            assert_eq!(named(text), name, "{text:?}");
        }
    }

    #[test]
    fn a_name_without_parts_is_empty() {
        let subject = subject(&params(Vec::new()));
        assert_eq!(subject.name, "");
        assert_eq!(subject.attribute("subject"), Some(Value::Text(String::new())));
        assert_eq!(subject.attribute("cn"), None);
        assert_eq!(subject.attribute("san"), None);
    }

    #[test]
    fn every_kind_of_text_is_read() {
        let unknown = DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 99_999, 1]);
        let subject = subject(&params(vec![
            (
                DnType::CountryName,
                DnValue::PrintableString(PrintableString::try_from("DE").unwrap()),
            ),
            (
                DnType::OrganizationName,
                DnValue::BmpString(BmpString::try_from("\u{c4}\u{20ac}").unwrap()),
            ),
            (
                DnType::LocalityName,
                DnValue::TeletexString(TeletexString::try_from("Ulm").unwrap()),
            ),
            (unknown, "ab".into()),
            (DnType::CommonName, "last".into()),
        ]));
        assert_eq!(
            subject.name,
            "CN=last,1.3.6.1.4.1.99999.1=#0c026162,L=Ulm,O=\u{c4}\u{20ac},C=DE"
        );
        assert_eq!(subject.common_name(), Some("last"));
    }

    #[test]
    fn numbers_and_alternatives_are_written_plainly() {
        let mut params = params(vec![(DnType::CommonName, "x".into())]);
        params.serial_number = Some(SerialNumber::from_slice(&[0x80, 1, 0xab]));
        params.subject_alt_names = vec![
            SanType::DnsName("a.example".try_into().unwrap()),
            SanType::URI("spiffe://a.example/b,c".try_into().unwrap()),
            SanType::URI("spiffe://a.example/d\ne".try_into().unwrap()),
            SanType::IpAddress([127, 0, 0, 1].into()),
        ];
        let subject = subject(&params);
        assert_eq!(subject.serial, "8001ab");
        assert_eq!(
            subject.alternatives.as_deref(),
            Some("a.example,spiffe://a.example/b%2Cc")
        );
        assert_eq!(subject.fingerprint, hex(digest(&SHA256, &subject.certificate).as_ref()));
    }

    /// OpenSSL as the second opinion.
    #[test]
    fn others_write_the_same_name() {
        let kinds = [
            vec![2, 5, 4, 5],
            vec![0, 9, 2342, 19_200_300, 100, 1, 25],
            vec![0, 9, 2342, 19_200_300, 100, 1, 1],
            vec![1, 2, 840, 113_549, 1, 9, 1],
            vec![2, 5, 4, 9],
            vec![2, 5, 4, 4],
            vec![2, 5, 4, 42],
            vec![2, 5, 4, 12],
            vec![2, 5, 4, 97],
        ];
        let custom = kinds.map(|kind| (DnType::CustomDnType(kind), "A b".into()));
        let mut name = vec![
            (DnType::CountryName, "DE".into()),
            (DnType::StateOrProvinceName, "B-W".into()),
            (DnType::LocalityName, "Ulm, a. d. D.".into()),
            (DnType::OrganizationName, " \"Example\" + Sons ".into()),
            (DnType::OrganizationalUnitName, "#1 <x>; \\y".into()),
            (DnType::CommonName, "alice".into()),
        ];
        name.extend(custom);
        let certificate = params(name).self_signed(&KeyPair::generate().unwrap()).unwrap();
        let mut openssl = Command::new("openssl")
            .args(["x509", "-noout", "-subject", "-nameopt", "RFC2253"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        openssl
            .stdin
            .take()
            .unwrap()
            .write_all(certificate.pem().as_bytes())
            .unwrap();
        let said = openssl.wait_with_output().unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        let subject = Subject::of(certificate.der()).unwrap();
        assert_eq!(said.trim_end().strip_prefix("subject=").unwrap(), subject.name);
    }
}
