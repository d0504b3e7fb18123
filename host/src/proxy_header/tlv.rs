//! What a header of version 2 says beside the addresses: types, lengths and values (section 2.2).

pub(super) const ALPN: u8 = 0x01;
pub(super) const AUTHORITY: u8 = 0x02;
pub(super) const CRC32C: u8 = 0x03;
pub(super) const UNIQUE_ID: u8 = 0x05;
pub(super) const SSL: u8 = 0x20;
pub(super) const NETNS: u8 = 0x30;

/// Inside of that of SSL.
pub(super) const SSL_VERSION: u8 = 0x21;
pub(super) const SSL_CN: u8 = 0x22;
pub(super) const SSL_CIPHER: u8 = 0x23;
pub(super) const SSL_SIG_ALG: u8 = 0x24;
pub(super) const SSL_KEY_ALG: u8 = 0x25;
pub(super) const SSL_GROUP: u8 = 0x26;
pub(super) const SSL_SIG_SCHEME: u8 = 0x27;
pub(super) const SSL_CLIENT_CERT: u8 = 0x28;

/// Of those that anybody may give a meaning (0xE0 to 0xEF), what the large clouds do with theirs.
const GCP: u8 = 0xe0;
const AWS: u8 = 0xea;
const AZURE: u8 = 0xee;

/// All of a header's, in its order, duplicates too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tlvs(Box<[u8]>);

/// What a proxy that ended TLS says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ssl<'a> {
    flags: u8,
    verify: u32,
    inner: &'a [u8],
}

impl Tlvs {
    /// Of bytes that [`are_whole`].
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// Of types and values, in this order.
    pub fn of_values<'a>(values: impl IntoIterator<Item = (u8, &'a [u8])>) -> Self {
        let mut bytes = Vec::new();
        for (kind, value) in values {
            push(&mut bytes, kind, value);
        }
        Self(bytes.into())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn each(&self) -> impl Iterator<Item = (u8, &[u8])> {
        each(&self.0)
    }

    /// The values of one type.
    pub fn of_type(&self, kind: u8) -> impl Iterator<Item = &[u8]> {
        of_type(&self.0, kind)
    }

    pub(super) fn first(&self, kind: u8) -> Option<&[u8]> {
        self.of_type(kind).next()
    }

    pub(super) fn ssl(&self) -> Option<Ssl<'_>> {
        let (&flags, rest) = self.first(SSL)?.split_first()?;
        let (verify, inner) = rest.split_first_chunk::<4>()?;
        are_whole(inner).then_some(Ssl {
            flags,
            verify: u32::from_be_bytes(*verify),
            inner,
        })
    }

    /// The VPC endpoint by which the client came, as in `vpce-08d2bf15fac5001c9`.
    pub(super) fn aws_vpce_id(&self) -> Option<&str> {
        let id = self.of_type(AWS).find_map(|value| value.strip_prefix(&[1]))?;
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        id.iter().all(plain).then(|| str::from_utf8(id).ok())?
    }

    /// The private endpoint by which the client came.
    pub(super) fn azure_link_id(&self) -> Option<u32> {
        let id = self.of_type(AZURE).find_map(|value| value.strip_prefix(&[1]))?;
        Some(u32::from_le_bytes(id.try_into().ok()?))
    }

    /// The connection of Private Service Connect by which the client came.
    pub(super) fn gcp_psc_connection_id(&self) -> Option<u64> {
        Some(u64::from_be_bytes(self.first(GCP)?.try_into().ok()?))
    }
}

impl<'a> Ssl<'a> {
    const CLIENT_USES_TLS: u8 = 0x01;
    const CLIENT_CERT_CONN: u8 = 0x02;
    const CLIENT_CERT_SESS: u8 = 0x04;

    pub(super) fn is_used(&self) -> bool {
        self.flags & Self::CLIENT_USES_TLS != 0
    }

    /// Whether the client has shown a certificate, now or earlier in the session, that was found good. The field alone does
    /// not say it: HAProxy leaves it at 0 where there was no certificate.
    pub(super) fn is_verified(&self) -> bool {
        self.flags & (Self::CLIENT_CERT_CONN | Self::CLIENT_CERT_SESS) != 0 && self.verify == 0
    }

    pub(super) fn first(&self, kind: u8) -> Option<&'a [u8]> {
        of_type(self.inner, kind).next()
    }
}

/// Whether these are TLVs to the last byte.
pub(super) fn are_whole(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some((_, _, more)) = split(rest) {
        rest = more;
    }
    rest.is_empty()
}

/// As far as they are whole.
pub(super) fn each(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (kind, value, more) = split(rest)?;
        rest = more;
        Some((kind, value))
    })
}

fn of_type(bytes: &[u8], kind: u8) -> impl Iterator<Item = &[u8]> {
    each(bytes)
        .filter(move |(known, _)| *known == kind)
        .map(|(_, value)| value)
}

/// The first one's type and value, and what follows it.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, high, low], rest) = bytes.split_first_chunk::<3>()?;
    let (value, rest) = rest.split_at_checked(u16::from_be_bytes([high, low]).into())?;
    Some((kind, value, rest))
}

/// The value of the one that says what became of a client's TLS: its `inner` ones say how. `with_certificate`: the client has
/// shown one, and it was found good.
pub(super) fn write_ssl<'a>(with_certificate: bool, inner: impl Iterator<Item = (u8, &'a [u8])>) -> Vec<u8> {
    let (certificate, verify) = match with_certificate {
        true => (Ssl::CLIENT_CERT_CONN | Ssl::CLIENT_CERT_SESS, 0_u32),
        // "Non-zero" says section 2.2.6; which one is nobody's business.
        false => (0, 1),
    };
    let mut value = vec![Ssl::CLIENT_USES_TLS | certificate];
    value.extend(verify.to_be_bytes());
    inner.for_each(|(kind, inner)| push(&mut value, kind, inner));
    value
}

/// Appends one; a value that is too long for its length is cut off.
pub(super) fn push(bytes: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    bytes.push(kind);
    bytes.extend(length.to_be_bytes());
    bytes.extend(&value[..length.into()]);
}
