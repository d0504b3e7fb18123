//! From the first bytes of a connection to a header.

use super::{Header, binary, text};

/// What the first bytes are. Once it is not `NeedMore`, bytes that follow change nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Parsed {
    /// They may become a header.
    NeedMore,
    /// They begin with one of that length.
    Header { header: Header, length: usize },
    /// They do not begin as a header does.
    Absent,
    /// They begin as a header does, and are none.
    Bad(&'static str),
}

/// Looks for a header of up to `longest` bytes, which is more than any of version 1 has.
pub(super) fn parse(bytes: &[u8], longest: usize) -> Parsed {
    if let Some(rest) = bytes.strip_prefix(binary::SIGNATURE) {
        return binary::parse(bytes, rest, longest);
    }
    if let Some(rest) = bytes.strip_prefix(text::SIGNATURE) {
        return text::parse(rest);
    }
    match binary::SIGNATURE.starts_with(bytes) || text::SIGNATURE.starts_with(bytes) {
        true => Parsed::NeedMore,
        false => Parsed::Absent,
    }
}
