//! The names of hosts, as they are compared.

use std::net::Ipv4Addr;

const LONGEST: usize = 253;
const LONGEST_LABEL: usize = 63;

/// A host's name as it is compared: in lower case, without the dot that may end it; `None` where it is none.
///
/// A name has up to 253 bytes, in labels of 1 to 63: letters and digits of ASCII, `-`, and `_`, which no host should have and
/// some do. Where in a label a hyphen stands does not matter. An address is no name (RFC 6066 section 3).
pub fn normalised(name: &[u8]) -> Option<String> {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &[u8]| (1..=LONGEST_LABEL).contains(&label.len()) && label.iter().all(is_plain);
    if name.len() > LONGEST || !name.split(|byte| *byte == b'.').all(is_label) {
        return None;
    }
    let name = str::from_utf8(name).ok()?;
    // One of IPv6 has colons.
    match name.parse::<Ipv4Addr>() {
        Ok(_) => None,
        Err(_) => Some(name.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(name: &str) -> Option<String> {
        normalised(name.as_bytes())
    }

    #[test]
    fn names_are_compared_in_lower_case_and_without_the_last_dot() {
        assert_eq!(of("EXAMPLE.Com.").as_deref(), Some("example.com"));
        for name in [
            "localhost",
            "a",
            "_dmarc.example",
            "xn--bcher-kva.example",
            "-.-",
            "1.2.3",
            "1.2.3.4.5",
            "web.1",
        ] {
            assert_eq!(of(name).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in [
            "",
            ".",
            "..",
            ".a",
            "a..b",
            "a.b..",
            "1.2.3.4",
            "1.2.3.4.",
            "::1",
            "[::1]",
            "2001:db8::1",
            "a b",
            "a/b",
            "a:443",
            "*.example",
            "bücher.example",
            "a\0b",
            "example.com\0",
            "a\n",
            "a\u{7f}",
        ] {
            assert_eq!(of(name), None, "{name:?}");
        }
        assert_eq!(normalised(b"a\xff"), None);
    }

    #[test]
    fn a_name_has_253_bytes_and_a_label_63() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), 253);
        assert_eq!(of(&longest).as_deref(), Some(&*longest));
        assert_eq!(of(&format!("{longest}.")).as_deref(), Some(&*longest));
        assert_eq!(of(&format!("{longest}a")), None);
        assert_eq!(of(&format!("{label}a.example")), None);
    }

    proptest! {
        #[test]
        fn what_is_normalised_stays_as_it_is(name in "[a-zA-Z0-9._-]{0,20}|\\PC{0,9}|[0-9]{1,3}(\\.[0-9]{1,3}){3}\\.?") {
            if let Some(once) = of(&name) {
                prop_assert_eq!(of(&once), Some(once.clone()));
                let is_same = name.strip_suffix('.').unwrap_or(&name).eq_ignore_ascii_case(&once);
                prop_assert!(is_same, "{once}");
            }
        }
    }
}
