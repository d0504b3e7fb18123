//! Values that clients offer so that nobody learns to rely on a closed list (RFC 8701). They mean nothing.

/// A cipher suite, an extension, a group, a version or a signature algorithm: 0x0a0a, 0x1a1a and so on to 0xfafa.
pub(super) fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

/// The name of an application protocol.
pub(super) fn is_grease_name(name: &[u8]) -> bool {
    <[u8; 2]>::try_from(name).is_ok_and(|name| is_grease(u16::from_be_bytes(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_sixteen_values() {
        let all: Vec<u16> = (0..=u16::MAX).filter(|value| is_grease(*value)).collect();
        assert_eq!(all.len(), 16);
        assert_eq!(all[..2], [0x0a0a, 0x1a1a]);
        assert_eq!(all[15], 0xfafa);
        assert!(is_grease_name(&[0x2a, 0x2a]));
        assert!(!is_grease_name(b"h2"));
        assert!(!is_grease_name(&[0x2a]));
    }
}
