//! Hellos of real clients, and of none.

mod corpus;
mod ja4;
mod malformed;
mod oracles;
mod records;

use crate::detect::laws::{LIMITS, in_records, read};
use crate::detect::{Hello, HelloReader, Reading};

/// A ClientHello that is put together field by field.
#[derive(Clone)]
struct Draft {
    version: u16,
    session_id: Vec<u8>,
    ciphers: Vec<u16>,
    compressions: Vec<u8>,
    /// `None` leaves their length out too.
    extensions: Option<Vec<(u16, Vec<u8>)>>,
}

impl Draft {
    fn new() -> Self {
        Self {
            version: 0x0303,
            session_id: vec![7; 32],
            ciphers: vec![0x1301, 0xc02f],
            compressions: vec![0],
            extensions: Some(Vec::new()),
        }
    }

    fn with(mut self, kind: u16, data: impl Into<Vec<u8>>) -> Self {
        self.extensions.get_or_insert_default().push((kind, data.into()));
        self
    }

    fn naming(self, host: &[u8]) -> Self {
        self.with(0, after_u16(&[&[0][..], &after_u16(host)].concat()))
    }

    fn offering(self, protocols: &[&[u8]]) -> Self {
        let names: Vec<u8> = protocols.iter().flat_map(|name| after_u8(name)).collect();
        self.with(16, after_u16(&names))
    }

    fn of_versions(self, versions: &[u16]) -> Self {
        self.with(43, after_u8(&u16s(versions)))
    }

    /// The handshake message, with its head.
    fn message(&self) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend([5; 32]);
        body.extend(after_u8(&self.session_id));
        body.extend(after_u16(&u16s(&self.ciphers)));
        body.extend(after_u8(&self.compressions));
        if let Some(extensions) = &self.extensions {
            let one = |(kind, data): &(u16, Vec<u8>)| [&kind.to_be_bytes()[..], &after_u16(data)].concat();
            body.extend(after_u16(&extensions.iter().flat_map(one).collect::<Vec<u8>>()));
        }
        message(&body)
    }

    fn read(&self) -> Reading {
        read(&in_one_record(&self.message()))
    }

    fn hello(&self) -> Hello {
        hello(self.read())
    }
}

fn message(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1][..], &length[1..], body].concat()
}

fn in_one_record(message: &[u8]) -> Vec<u8> {
    assert!(message.len() <= 1 << 14);
    in_records(message, |_| message.len())
}

fn after_u8(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
}

fn after_u16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn u16s(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

#[track_caller]
fn hello(reading: Reading) -> Hello {
    match reading {
        Reading::Hello(hello) => *hello,
        other => panic!("{other:?}"),
    }
}

// ---- what a hello says ----

#[test]
fn a_hello_without_extensions_says_its_version() {
    let mut draft = Draft::new();
    draft.version = 0x0301;
    for extensions in [None, Some(Vec::new())] {
        draft.extensions = extensions;
        let hello = draft.hello();
        assert_eq!(
            (hello.server_name, hello.alpn, hello.has_ech),
            (None, Vec::new(), false)
        );
        assert_eq!(hello.version, 0x0301);
    }
}

#[test]
fn a_name_is_read_as_it_is_compared() {
    let hello = Draft::new().naming(b"Shop.EXAMPLE.").hello();
    assert_eq!(hello.server_name.as_deref(), Some("shop.example"));
}

#[test]
fn names_of_other_kinds_are_passed_over() {
    let other = [&[9][..], &after_u16(b"\xff\0")].concat();
    let host = [&[0][..], &after_u16(b"a.example")].concat();
    for list in [[&other[..], &host].concat(), [&host[..], &other, &other].concat()] {
        let hello = Draft::new().with(0, after_u16(&list)).hello();
        assert_eq!(hello.server_name.as_deref(), Some("a.example"));
    }
    let hello = Draft::new().with(0, after_u16(&other)).hello();
    assert_eq!(hello.server_name, None);
    assert_eq!(&hello.ja4.unwrap()[..4], "t12d", "the extension is there");
}

#[test]
fn protocols_keep_their_order_and_lose_what_means_nothing() {
    let hello = Draft::new()
        .offering(&[b"\x2a\x2a", b"h2", b"\xff", b"http/1.1", b"\xfa\xfa"])
        .hello();
    assert_eq!(hello.alpn, ["h2", "http/1.1"]);
    let ja4 = |names: &[&[u8]]| Draft::new().offering(names).hello().ja4.unwrap()[8..10].to_owned();
    assert_eq!(ja4(&[b"\x2a\x2a", b"h2"]), "h2");
    assert_eq!(ja4(&[b"\xff", b"h2"]), "ff");
    assert_eq!(ja4(&[b"\x2a\x2a"]), "00");
}

#[test]
fn the_version_is_the_highest_that_is_offered() {
    for (versions, highest) in [
        (&[0x0303, 0x0304][..], 0x0304),
        (&[0x3a3a, 0x0304, 0x0303, 0xfafa], 0x0304),
        (&[0x0302, 0x0301], 0x0302),
        // Nothing but GREASE offers nothing.
        (&[0x0a0a], 0x0303),
    ] {
        assert_eq!(Draft::new().of_versions(versions).hello().version, highest);
    }
}

#[test]
fn encrypted_client_hello_is_seen_beside_the_outer_name() {
    let hello = Draft::new().with(0xfe0d, [0, 1, 2]).naming(b"outer.example").hello();
    assert!(hello.has_ech);
    assert_eq!(hello.server_name.as_deref(), Some("outer.example"));
    assert!(!Draft::new().naming(b"outer.example").hello().has_ech);
}

#[test]
fn the_fingerprint_is_made_only_where_it_is_asked_for() {
    let bytes = in_one_record(&Draft::new().message());
    let mut hello = hello(HelloReader::new(LIMITS, false).read(&bytes));
    assert_eq!(hello.ja4.take(), None);
}
