//! Against fingerprints that others published, with the raw lists that they were made of (`JA4_ro`: the client's order).

use super::{Draft, after_u16, u16s};

/// The hello of which those lists tell, with GREASE in each of them. What the lists leave out (SNI, ALPN, versions) is as the
/// fingerprint's first part says.
fn draft(raw: &str) -> Draft {
    let parts: Vec<&str> = raw.split('_').collect();
    let numbers = |list: &str| -> Vec<u16> {
        let number = |text| u16::from_str_radix(text, 16).unwrap();
        [0x1a1a].into_iter().chain(list.split(',').map(number)).collect()
    };
    let mut draft = Draft::new();
    draft.ciphers = numbers(parts[1]);
    for kind in numbers(parts[2]) {
        draft = match kind {
            0 => draft.naming(b"host.example"),
            13 => draft.with(13, after_u16(&u16s(&numbers(parts[3])))),
            16 => match parts[0].ends_with("h2") {
                true => draft.offering(&[b"h2", b"http/1.1"]),
                false => draft.offering(&[b"http/1.1"]),
            },
            43 => draft.of_versions(&[0x4a4a, 0x0303, 0x0304]),
            other => draft.with(other, []),
        };
    }
    draft
}

fn fingerprint(draft: &Draft) -> String {
    draft.hello().ja4.unwrap()
}

#[test]
fn published_fingerprints_come_out() {
    for (fingerprint_of, raw) in [
        // Chrome, the example of the specification.
        (
            "t13d1516h2_8daaf6152771_e5627efa2ab1",
            "t13d1516h2_1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035\
             _001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015\
             _0403,0804,0401,0503,0805,0501,0806,0601",
        ),
        // Edge, from FoxIO's browsers-x509.pcapng: the same in another order.
        (
            "t13d1516h2_8daaf6152771_e5627efa2ab1",
            "t13d1516h2_1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035\
             _000d,0000,000a,0005,000b,002b,001b,ff01,0033,4469,002d,0023,0017,0012,0010,0015\
             _0403,0804,0401,0503,0805,0501,0806,0601",
        ),
        // Firefox, from FoxIO's tls12.pcap.
        (
            "t13d1715h2_5b57614c22b0_3d5424432f57",
            "t13d1715h2_1301,1303,1302,c02b,c02f,cca9,cca8,c02c,c030,c00a,c009,c013,c014,009c,009d,002f,0035\
             _0000,0017,ff01,000a,000b,0023,0010,0005,0022,0033,002b,000d,002d,001c,0015\
             _0403,0503,0603,0804,0805,0806,0401,0501,0601,0203,0201",
        ),
        // FoxIO's badcurveball.pcap.
        (
            "t13d1615h2_46e7e9700bed_45f260be83e2",
            "t13d1615h2_1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035,000a\
             _0000,0017,ff01,000a,000b,0023,0010,0005,000d,0012,0033,002d,002b,001b,0015\
             _0403,0804,0401,0503,0805,0501,0806,0601,0201",
        ),
        // FoxIO's sigalg-grease.pcapng, whose signature algorithms have GREASE too.
        (
            "t13d1517h2_8daaf6152771_cb7bf5808d99",
            "t13d1517h2_1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035\
             _fe0d,0010,0017,0033,44cd,ff01,000a,000d,0023,002b,000b,ca34,002d,0000,0005,001b,0012\
             _0904,0905,0906,0403,0804,0401,0503,0805,0501,0806,0601",
        ),
    ] {
        assert_eq!(fingerprint(&draft(raw)), fingerprint_of);
    }
}

/// The specification's example once more: its extensions hash to that where nothing follows them.
#[test]
fn without_signature_algorithms_there_is_no_underscore() {
    let kinds = [
        0x0005, 0x000a, 0x000b, 0x0012, 0x0015, 0x0017, 0x001b, 0x0023, 0x002d, 0x0033, 0x4469, 0xff01,
    ];
    let draft = kinds.into_iter().fold(Draft::new(), |draft, kind| draft.with(kind, []));
    let draft = draft.of_versions(&[0x0304]).with(13, after_u16(&u16s(&[0x2a2a])));
    assert!(fingerprint(&draft).ends_with("_6d807ffa2a79"));
}

#[test]
fn a_list_of_nothing_is_zeros() {
    let mut draft = Draft::new();
    draft.ciphers = vec![0x0a0a];
    assert_eq!(fingerprint(&draft), "t12i000000_000000000000_000000000000");
    let draft = draft.naming(b"a.example").offering(&[b"h2"]);
    assert_eq!(fingerprint(&draft), "t12d0002h2_000000000000_000000000000");
}

#[test]
fn counts_end_at_99() {
    let mut draft = Draft::new();
    draft.ciphers = (0..=99).collect();
    for kind in 1000..1100 {
        draft = draft.with(kind, []);
    }
    assert!(fingerprint(&draft).starts_with("t12i999900_"));
}

#[test]
fn versions_have_two_characters() {
    for (version, text) in [
        (0x0304, "t13"),
        (0x0303, "t12"),
        (0x0302, "t11"),
        (0x0301, "t10"),
        (0x0300, "ts3"),
        (0x0505, "t00"),
    ] {
        let mut draft = Draft::new();
        draft.version = version;
        assert_eq!(&fingerprint(&draft)[..3], text);
    }
}
