//! Bytes as people type and read them.

/// `\r`, `\n`, `\t`, `\0`, `\\`, `\"` and `\xNN` stand for bytes; anything else for itself.
///
/// # Errors
/// A backslash stands in front of something else.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let mut letters = behind.chars();
        let byte = match letters.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('"') => b'"',
            Some('x') => {
                let digits = letters.as_str().get(..2).unwrap_or_default();
                letters = letters.as_str().get(2..).unwrap_or_default().chars();
                match digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    true => u8::from_str_radix(digits, 16).map_err(|_| UNKNOWN.to_owned())?,
                    false => return Err(UNKNOWN.to_owned()),
                }
            }
            _ => return Err(UNKNOWN.to_owned()),
        };
        bytes.push(byte);
        rest = letters.as_str();
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

const UNKNOWN: &str = "expected one of \\r, \\n, \\t, \\0, \\\\, \\\" and \\xNN behind a backslash";

/// Pairs of hexadecimal digits, with spaces or colons between them or not.
///
/// # Errors
/// There is anything else.
pub fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !matches!(byte, b' ' | b':' | b'\n'))
        .collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = pair
            .filter(|pair| pair.len() == 2)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        byte.ok_or_else(|| "expected pairs of hexadecimal digits, as in \"16 03 01\"".to_owned())
    };
    digits.chunks(2).map(byte).collect()
}

/// For people: in quotes where most of it is text, in digits otherwise, and no more than a line of it.
pub fn excerpt(bytes: &[u8]) -> String {
    const LONGEST: usize = 64;
    let shown = &bytes[..bytes.len().min(LONGEST)];
    let readable = |byte: &&u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\r' | b'\n' | b'\t');
    let text = match shown.iter().filter(readable).count() * 4 >= shown.len() * 3 {
        true => format!("\"{}\"", shown.escape_ascii()),
        false => shown
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .join(" "),
    };
    let rest = if bytes.len() > LONGEST { " ..." } else { "" };
    format!("{text}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_leaves_alone_becomes_bytes() {
        assert_eq!(unescape(r#"a\r\n\x00\xffé\\\""#).unwrap(), b"a\r\n\0\xff\xc3\xa9\\\"");
        for wrong in [r"\q", r"\x0", r"\x0g", r"\", r"\x+1", r"\xé"] {
            assert!(unescape(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hexadecimal_digits_may_be_apart() {
        assert_eq!(unhex("16 03:01\nff").unwrap(), [0x16, 3, 1, 0xff]);
        for wrong in ["1", "1g", "+1", "é"] {
            assert!(unhex(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_excerpt_is_one_line_that_no_terminal_obeys() {
        assert_eq!(excerpt(b"PING\r\n"), r#""PING\r\n""#);
        assert_eq!(excerpt(&[0x16, 3, 1]), "16 03 01");
        assert!(excerpt(&[b'x'; 100]).ends_with(r#"x" ..."#));
        assert!(!excerpt(b"text that goes on \x1b[2J").contains('\x1b'));
    }
}
