//! A reader that is written from the specification, and not from the writer.

use proptest::prelude::*;

use super::*;

#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    pub kind: u32,
    pub body: Vec<u8>,
}

/// Every block of a file, or where it is broken.
pub fn blocks(mut file: &[u8]) -> Result<Vec<Read>, String> {
    let mut blocks = Vec::new();
    while !file.is_empty() {
        let word = |at: usize| -> Result<u32, String> {
            let bytes = file.get(at..at + 4).ok_or("cut off")?;
            Ok(u32::from_le_bytes(bytes.try_into().unwrap()))
        };
        let (kind, length) = (word(0)?, word(4)? as usize);
        if length < 12 || !length.is_multiple_of(4) {
            return Err(format!("a block of {length} bytes"));
        }
        if word(length - 4)? as usize != length {
            return Err("its two lengths differ".to_owned());
        }
        blocks.push(Read {
            kind,
            body: file[8..length - 4].to_vec(),
        });
        file = &file[length..];
    }
    Ok(blocks)
}

/// Codes and values, up to the one that ends them.
pub fn options(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut options = Vec::new();
    while bytes.len() >= 4 {
        let code = u16::from_le_bytes(bytes[..2].try_into().unwrap());
        let length = u16::from_le_bytes(bytes[2..4].try_into().unwrap()) as usize;
        if code == 0 {
            assert_eq!((length, bytes.len()), (0, 4), "behind the last option");
            return options;
        }
        options.push((code, bytes[4..4 + length].to_vec()));
        bytes = &bytes[4 + length.next_multiple_of(4)..];
    }
    panic!("no end of options");
}

fn time_of(high_and_low: &[u8]) -> Duration {
    let [high, low] = [0, 4].map(|at| u64::from(u32::from_le_bytes(high_and_low[at..at + 4].try_into().unwrap())));
    Duration::from_nanos(high << 32 | low)
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        headers in prop::collection::vec(any::<u8>(), 0..60),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        more in 0_usize..1000,
        nanoseconds in any::<u64>(),
        comment in "\\PC{0,40}",
        inbound: bool,
        lost in 0_u64..3,
    ) {
        let mut out = Vec::new();
        let length = headers.len() + payload.len() + more;
        let time = Duration::from_nanos(nanoseconds);
        packet(&mut out, &Packet {
            interface: 1, time, headers: &headers, payload: &payload, length, inbound, comments: &[&comment, "two"], lost,
        });
        let read = blocks(&out).unwrap();
        prop_assert_eq!(read.len(), 1);
        let body = &read[0].body;
        prop_assert_eq!((read[0].kind, &body[..4]), (6, &1_u32.to_le_bytes()[..]));
        prop_assert_eq!(time_of(&body[4..12]), time);
        let kept = headers.len() + payload.len();
        prop_assert_eq!(&body[12..16], &(kept as u32).to_le_bytes());
        prop_assert_eq!(&body[16..20], &(length as u32).to_le_bytes());
        prop_assert_eq!(&body[20..20 + kept], &[headers, payload].concat()[..]);
        let options = options(&body[20 + kept.next_multiple_of(4)..]);
        let of = |code| options.iter().filter(|(of, _)| *of == code).map(|(_, value)| value.clone()).collect::<Vec<_>>();
        prop_assert_eq!(of(1), vec![comment.into_bytes(), b"two".to_vec()]);
        prop_assert_eq!(of(2), vec![vec![if inbound { 1 } else { 2 }, 0, 0, 0]]);
        prop_assert_eq!(of(4).concat(), if lost > 0 { lost.to_le_bytes().to_vec() } else { Vec::new() });
    }
}

#[test]
fn a_file_says_what_it_is_and_what_became_of_its_interfaces() {
    let mut out = Vec::new();
    section(&mut out, "spliceway", "made up");
    interface(&mut out, "client", "between");
    let began = Duration::from_nanos(5);
    statistics(
        &mut out,
        &Statistics {
            interface: 0,
            began,
            ended: Duration::from_secs(7),
            received: 3,
            lost: 2,
        },
    );
    let read = blocks(&out).unwrap();
    assert_eq!(
        read.iter().map(|block| block.kind).collect::<Vec<_>>(),
        [0x0A0D_0D0A, 1, 5]
    );
    assert_eq!(&read[0].body[..8], &[0x4D, 0x3C, 0x2B, 0x1A, 1, 0, 0, 0]);
    assert_eq!(&read[0].body[8..16], &[0xFF; 8]);
    assert!(options(&read[0].body[16..]).contains(&(1, b"made up".to_vec())));
    assert_eq!(&read[1].body[..2], &101_u16.to_le_bytes());
    assert!(options(&read[1].body[8..]).contains(&(2, b"client".to_vec())));
    assert!(options(&read[1].body[8..]).contains(&(9, vec![9])));
    assert_eq!(time_of(&read[2].body[4..12]), Duration::from_secs(7));
    let told = options(&read[2].body[12..]);
    assert_eq!(time_of(&told[0].1), began);
    assert_eq!(
        told[2..],
        [(4, 3_u64.to_le_bytes().to_vec()), (5, 2_u64.to_le_bytes().to_vec())]
    );
}

#[test]
fn a_comment_is_cut_between_characters() {
    let mut out = Vec::new();
    let long = "ä".repeat(LONGEST_COMMENT);
    section(&mut out, "spliceway", &long);
    let read = blocks(&out).unwrap();
    let comment = options(&read[0].body[16..]).remove(0).1;
    assert_eq!(String::from_utf8(comment).unwrap(), "ä".repeat(LONGEST_COMMENT / 2));
}
