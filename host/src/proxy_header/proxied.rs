//! What a header has told of a connection, for filters that ask.

use std::net::SocketAddr;

use super::tlv::{self, Tlvs};
use crate::filter::{Attributes, Value};

/// Beside the client's address.
#[derive(Debug)]
pub struct Proxied {
    /// Who sent the header; `None` on a unix socket.
    pub(super) peer: Option<SocketAddr>,
    /// Where the client connected to; `None` on a unix socket.
    pub(super) local: Option<SocketAddr>,
    pub(super) tlvs: Tlvs,
}

impl Proxied {
    pub fn tlvs(&self) -> &Tlvs {
        &self.tlvs
    }
}

impl Attributes for Proxied {
    fn attribute(&self, key: &str) -> Option<Value> {
        let tlvs = &self.tlvs;
        let ssl = |kind| text(tlvs.ssl()?.first(kind));
        match key.strip_prefix("proxy.")? {
            "peer" => self.peer.map(Value::Address),
            "authority" => text(tlvs.first(tlv::AUTHORITY)),
            "alpn" => text(tlvs.first(tlv::ALPN)),
            "unique-id" => bytes(tlvs.first(tlv::UNIQUE_ID)),
            "netns" => text(tlvs.first(tlv::NETNS)),
            "ssl.used" => tlvs.ssl().map(|ssl| Value::Boolean(ssl.is_used())),
            "ssl.verified" => tlvs.ssl().map(|ssl| Value::Boolean(ssl.is_verified())),
            "ssl.version" => ssl(tlv::SSL_VERSION),
            "ssl.cn" => ssl(tlv::SSL_CN),
            "ssl.cipher" => ssl(tlv::SSL_CIPHER),
            "ssl.sig-alg" => ssl(tlv::SSL_SIG_ALG),
            "ssl.key-alg" => ssl(tlv::SSL_KEY_ALG),
            "ssl.group" => ssl(tlv::SSL_GROUP),
            "ssl.sig-scheme" => ssl(tlv::SSL_SIG_SCHEME),
            "ssl.client-cert" => bytes(tlvs.ssl()?.first(tlv::SSL_CLIENT_CERT)),
            "aws.vpce-id" => tlvs.aws_vpce_id().map(|id| Value::Text(id.to_owned())),
            "azure.link-id" => tlvs.azure_link_id().map(|id| Value::Integer(id.into())),
            // It has 64 bits, and no sign.
            "gcp.psc-connection-id" => tlvs.gcp_psc_connection_id().map(|id| Value::Text(id.to_string())),
            other => bytes(tlvs.first(kind(other.strip_prefix("tlv.")?)?)),
        }
    }
}

/// `ea`: as a filter writes a type.
fn kind(digits: &str) -> Option<u8> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let two = digits.len() == 2 && digits.bytes().all(is_digit);
    u8::from_str_radix(digits, 16).ok().filter(|_| two)
}

/// What should be text and is not is no text.
fn text(value: Option<&[u8]>) -> Option<Value> {
    let text = str::from_utf8(value?).ok()?;
    Some(Value::Text(text.to_owned()))
}

fn bytes(value: Option<&[u8]>) -> Option<Value> {
    Some(Value::Bytes(value?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxied(tlvs: &[(u8, &[u8])]) -> Proxied {
        let mut bytes = Vec::new();
        for (kind, value) in tlvs {
            tlv::push(&mut bytes, *kind, value);
        }
        Proxied {
            peer: Some(([10, 0, 0, 1], 80).into()),
            local: None,
            tlvs: Tlvs::of(&bytes),
        }
    }

    fn text(text: &str) -> Option<Value> {
        Some(Value::Text(text.to_owned()))
    }

    #[test]
    fn what_has_a_name_is_found_by_it() {
        let proxied = proxied(&[
            (tlv::AUTHORITY, b"db.example"),
            (tlv::ALPN, b"postgresql"),
            (tlv::UNIQUE_ID, b"\x00\x01"),
            (tlv::NETNS, b"blue"),
        ]);
        assert_eq!(proxied.attribute("proxy.authority"), text("db.example"));
        assert_eq!(proxied.attribute("proxy.alpn"), text("postgresql"));
        assert_eq!(proxied.attribute("proxy.unique-id"), Some(Value::Bytes(vec![0, 1])));
        assert_eq!(proxied.attribute("proxy.netns"), text("blue"));
        let peer = Value::Address(([10, 0, 0, 1], 80).into());
        assert_eq!(proxied.attribute("proxy.peer"), Some(peer));
        for absent in ["proxy.ssl.version", "proxy.nothing", "authority", "proxy.", ""] {
            assert_eq!(proxied.attribute(absent), None, "{absent}");
        }
    }

    #[test]
    fn every_type_is_found_by_its_number_and_the_first_of_several_counts() {
        let proxied = proxied(&[(0xea, b"one"), (0xf0, b""), (0xea, b"two")]);
        assert_eq!(proxied.attribute("proxy.tlv.ea"), Some(Value::Bytes(b"one".to_vec())));
        assert_eq!(proxied.attribute("proxy.tlv.f0"), Some(Value::Bytes(Vec::new())));
        for absent in [
            "proxy.tlv.eb",
            "proxy.tlv.EA",
            "proxy.tlv.+a",
            "proxy.tlv.0ea",
            "proxy.tlv.",
        ] {
            assert_eq!(proxied.attribute(absent), None, "{absent}");
        }
    }

    #[test]
    fn what_is_not_text_is_still_bytes() {
        let proxied = proxied(&[(tlv::AUTHORITY, b"\xff")]);
        assert_eq!(proxied.attribute("proxy.authority"), None);
        assert_eq!(proxied.attribute("proxy.tlv.02"), Some(Value::Bytes(vec![0xff])));
    }

    fn with_ssl(flags: u8, verify: u32) -> Proxied {
        let mut value = vec![flags];
        value.extend(verify.to_be_bytes());
        tlv::push(&mut value, tlv::SSL_VERSION, b"TLSv1.3");
        tlv::push(&mut value, tlv::SSL_CN, b"alice");
        tlv::push(&mut value, tlv::SSL_CIPHER, b"TLS_AES_128_GCM_SHA256");
        tlv::push(&mut value, tlv::SSL_CLIENT_CERT, &[0x30, 0x82]);
        proxied(&[(tlv::SSL, &value)])
    }

    #[test]
    fn tls_that_was_ended_in_front_is_described() {
        let proxied = with_ssl(0x03, 0);
        assert_eq!(proxied.attribute("proxy.ssl.used"), Some(Value::Boolean(true)));
        assert_eq!(proxied.attribute("proxy.ssl.version"), text("TLSv1.3"));
        assert_eq!(proxied.attribute("proxy.ssl.cn"), text("alice"));
        assert_eq!(proxied.attribute("proxy.ssl.cipher"), text("TLS_AES_128_GCM_SHA256"));
        let certificate = Value::Bytes(vec![0x30, 0x82]);
        assert_eq!(proxied.attribute("proxy.ssl.client-cert"), Some(certificate));
        assert_eq!(proxied.attribute("proxy.ssl.group"), None);
    }

    #[test]
    fn a_client_is_verified_only_if_it_showed_a_certificate_that_was_good() {
        for (flags, verify, is_verified) in [(0x03, 0, true), (0x05, 0, true), (0x01, 0, false), (0x03, 20, false)] {
            let verified = with_ssl(flags, verify).attribute("proxy.ssl.verified");
            assert_eq!(verified, Some(Value::Boolean(is_verified)), "{flags} {verify}");
        }
        assert_eq!(proxied(&[]).attribute("proxy.ssl.verified"), None);
    }

    #[test]
    fn a_description_of_tls_that_is_cut_off_says_nothing() {
        for cut in [
            &b""[..],
            b"\x01\0\0\0",
            b"\x01\0\0\0\0\x21",
            b"\x01\0\0\0\0\x21\0\x05ab",
        ] {
            assert_eq!(proxied(&[(tlv::SSL, cut)]).attribute("proxy.ssl.used"), None, "{cut:?}");
        }
    }

    #[test]
    fn the_clouds_own_are_decoded() {
        let aws = proxied(&[(0xea, b"\x02other"), (0xea, b"\x01vpce-08d2bf15fac5001c9")]);
        assert_eq!(aws.attribute("proxy.aws.vpce-id"), text("vpce-08d2bf15fac5001c9"));
        let azure = proxied(&[(0xee, b"\x01\x78\x56\x34\x12")]);
        assert_eq!(
            azure.attribute("proxy.azure.link-id"),
            Some(Value::Integer(0x1234_5678))
        );
        let gcp = proxied(&[(0xe0, &u64::MAX.to_be_bytes())]);
        assert_eq!(
            gcp.attribute("proxy.gcp.psc-connection-id"),
            text("18446744073709551615")
        );

        let strange = proxied(&[(0xea, b"\x01a\nb"), (0xee, b"\x01\x00\x00"), (0xe0, b"1234567")]);
        for key in [
            "proxy.aws.vpce-id",
            "proxy.azure.link-id",
            "proxy.gcp.psc-connection-id",
        ] {
            assert_eq!(strange.attribute(key), None, "{key}");
        }
    }
}
