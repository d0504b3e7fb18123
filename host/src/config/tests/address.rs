use super::super::address::AddressError;
use super::super::{Address, ListenAddress};

#[test]
fn addresses_are_shown_as_they_are_typed() {
    let long_name = format!(
        "{}.{}:1",
        "a".repeat(63),
        ["b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".")
    );
    let long_path = format!("unix:/{}", "x".repeat(106));
    for text in [
        "10.0.0.1:5432",
        "[::1]:5432",
        "[2001:db8::1]:1",
        "[fe80::1%2]:80",
        "db.example:5432",
        "db.example.:5432",
        "localhost:65535",
        "_pg._tcp.db-1.example:1",
        "1st:80",
        "10.0.0.1.nip.io:80",
        "0xcafe.example:80",
        "unix:/run/app.sock",
        "unix:/run/with a space:and colon",
        &long_name,
        &long_path,
    ] {
        let upstream: Address = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(upstream.to_string(), text);
        let listen: ListenAddress = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(listen.to_string(), text);
    }
}

#[test]
fn names_have_no_case() {
    assert_eq!(
        "DB.Example:5432".parse::<Address>().unwrap().to_string(),
        "db.example:5432"
    );
}

#[test]
fn a_listener_may_take_every_address_and_any_port() {
    for (text, shown) in [
        (":8080", "[::]:8080"),
        ("*:8080", "[::]:8080"),
        (":0", "[::]:0"),
        ("0.0.0.0:0", "0.0.0.0:0"),
        ("localhost:0", "localhost:0"),
    ] {
        assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), shown);
        assert!(text.parse::<Address>().is_err(), "{text}");
    }
}

#[test]
fn every_mistake_is_told_apart() {
    for (text, said) in [
        ("", "the port is missing: expected `:PORT`"),
        ("db.example", "the port is missing: expected `db.example:PORT`"),
        ("db.example:", "the port is missing: expected `db.example:PORT`"),
        ("10.0.0.1", "the port is missing: expected `10.0.0.1:PORT`"),
        ("[::1]", "the port is missing: expected `[::1]:PORT`"),
        ("[::1]:", "the port is missing: expected `[::1]:PORT`"),
        ("10.0.0.1:65536", "`65536` is not a port: expected a number up to 65535"),
        ("[::1]:http", "`http` is not a port: expected a number up to 65535"),
        ("db:http", "`http` is not a port: expected a number up to 65535"),
        ("db:+80", "`+80` is not a port: expected a number up to 65535"),
        ("db:0", "nobody can be reached on port 0: expected 1 to 65535"),
        ("[::1]:0", "nobody can be reached on port 0: expected 1 to 65535"),
        (":80", "the host is missing: expected `HOST:80`"),
        ("::1:5432", "an IPv6 address goes in brackets: write `[::1]:5432`"),
        (
            "2001:db8::1",
            "an IPv6 address goes in brackets: write `[2001:db8::1]:PORT`",
        ),
        (
            "2001:db8::face",
            "an IPv6 address goes in brackets: write `[2001:db8::face]:PORT`",
        ),
        ("::", "an IPv6 address goes in brackets: write `[::]:PORT`"),
        (
            "::ffff:1.2.3.4:80",
            "an IPv6 address goes in brackets: write `[::ffff:1.2.3.4]:80`",
        ),
        (
            "[db]:80",
            "expected an IPv6 address in the brackets, as in `[2001:db8::1]:5432`",
        ),
        ("[::1", "the port is missing: expected `[::1]:PORT`"),
        (
            "[",
            "expected an IPv6 address in the brackets, as in `[2001:db8::1]:5432`",
        ),
        (
            "1.2.3.4.5:80",
            "`1.2.3.4.5` is neither an IPv4 address (four numbers up to 255) nor a host name (its end is a number)",
        ),
        (
            "10.0.0.300:80",
            "`10.0.0.300` is neither an IPv4 address (four numbers up to 255) nor a host name (its end is a number)",
        ),
        (
            "0x7f.0x1:80",
            "`0x7f.0x1` is neither an IPv4 address (four numbers up to 255) nor a host name (its end is a number)",
        ),
        (
            "db..example:80",
            "expected 1 to 63 characters between the dots of a host name, found ``",
        ),
        (
            "-db.example:80",
            "a part of a host name neither begins nor ends with `-`, found `-db`",
        ),
        (
            "my db:80",
            "a host name has letters, digits, `-`, `_` and `.`, found ' '",
        ),
        ("dé:80", "a host name has letters, digits, `-`, `_` and `.`, found 'é'"),
        ("a/b:80", "a host name has letters, digits, `-`, `_` and `.`, found '/'"),
        ("tcp://10.0.0.1:80/", "an address has no scheme: write `10.0.0.1:80`"),
        (
            "unix:///run/x.sock",
            "an address has no scheme: write `unix:/run/x.sock`",
        ),
        (
            "unix:run/x",
            "expected an absolute path after `unix:`, as in `unix:/run/app.sock`",
        ),
        (
            "unix:@abstract",
            "expected an absolute path after `unix:`, as in `unix:/run/app.sock`",
        ),
        ("unix:/a\0b", "a path cannot contain a zero byte"),
    ] {
        match text.parse::<Address>() {
            Ok(address) => panic!("{text} is {address}"),
            Err(error) => assert_eq!(error.to_string(), said, "{text}"),
        }
    }
}

#[test]
fn lengths_end_where_the_kernel_and_dns_end_them() {
    let unix = |length: usize| format!("unix:/{}", "x".repeat(length - 1)).parse::<Address>();
    assert!(unix(107).is_ok());
    assert_eq!(unix(108), Err(AddressError::UnixTooLong { length: 108 }));

    let label = |length: usize| format!("{}:1", "x".repeat(length)).parse::<Address>();
    assert!(label(63).is_ok());
    assert!(matches!(label(64), Err(AddressError::LabelLength { .. })));

    let name = |length: usize| format!("{}:1", "x.".repeat(127)[..length].to_owned()).parse::<Address>();
    assert!(name(253).is_ok());
    let longer = format!("{}xx:1", "x.".repeat(126)).parse::<Address>();
    assert_eq!(longer, Err(AddressError::HostTooLong { length: 254 }));
}

#[test]
fn whatever_is_accepted_survives_a_round_trip() {
    let mut random = fastrand::Rng::with_seed(1);
    let alphabet: Vec<char> = "0123456789abcfx:.[]*-_/%é ".chars().collect();
    let mut accepted = 0;
    for _ in 0..200_000 {
        let length = random.usize(..12);
        let mut text: String = (0..length).map(|_| alphabet[random.usize(..alphabet.len())]).collect();
        match random.u8(..4) {
            0 => text.push_str(":80"),
            1 => text = format!("[{text}]:80"),
            2 => text.insert_str(0, "unix:/"),
            _ => {}
        }
        if let Ok(address) = text.parse::<Address>() {
            accepted += 1;
            assert_eq!(address.to_string().parse(), Ok(address), "{text}");
        }
        if let Ok(address) = text.parse::<ListenAddress>() {
            assert_eq!(address.to_string().parse(), Ok(address), "{text}");
        }
    }
    assert!(accepted > 10_000, "{accepted}: the texts are too wild to test anything");
}
