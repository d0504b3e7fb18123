//! One hash for everything that is balanced by key.
//!
//! Two proxies, or one before and after an update, send a client to the same server only if they hash alike: so this is
//! written down here and never changes, other than the hashers of std. Strangers choose the keys, and may choose ones
//! that collide: then they share a server, which they could have had by using one key.

/// A key for [`Lineup::pick`](super::Lineup::pick), of a client's address, an SNI, or what a filter says.
///
/// FNV-1a of 64 bits, and a finaliser because the high bits of short keys differ little otherwise.
pub fn hash_key(bytes: &[u8]) -> u64 {
    mix(fnv_1a(bytes))
}

/// <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>
fn fnv_1a(bytes: &[u8]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes
        .iter()
        .fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// Every bit of what is given concerns every bit of what comes out, and no two come out alike: the finaliser of
/// SplitMix64 (Steele, Lea and Flood 2014; the constants are Stafford's 13th).
pub(super) fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A row of numbers that looks random, another for each seed: SplitMix64, where one may begin anywhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row(u64);

impl Row {
    pub(super) fn of(seed: u64) -> Self {
        // Of seeds that differ by a multiple of the step, one row would be the other's end.
        Self(mix(seed ^ 0x5350_4c49_4345_5741))
    }

    pub(super) fn at(self, index: u64) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        mix(self.0.wrapping_add((index + 1).wrapping_mul(STEP)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever changes these moves all keys of everybody who updates.
    #[test]
    fn a_key_has_the_same_hash_in_every_process_and_version() {
        // From the reference's table of test vectors.
        assert_eq!(fnv_1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv_1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv_1a(b"foobar"), 0x8594_4171_f739_67e8);
        // The first that SplitMix64 gives for the seeds 0 and 1234567.
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0xe220_a839_7b1d_cdaf);
        assert_eq!(
            mix(1_234_567_u64.wrapping_add(0x9e37_79b9_7f4a_7c15)),
            6_457_827_717_110_365_317
        );
        // From another implementation of the two, in Python.
        assert_eq!(hash_key(b""), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(hash_key(b"192.0.2.1"), 0x4d0e_1bc6_8452_59f5);
        assert_eq!(hash_key(b"www.example.com"), 0x0ba2_7c93_fb15_17b5);
    }

    #[test]
    fn keys_that_differ_in_their_last_bit_differ_in_half_of_their_hash() {
        let differing: u32 = (0..=255_u8)
            .map(|last| (hash_key(&[192, 0, 2, last]) ^ hash_key(&[192, 0, 2, last ^ 1])).count_ones())
            .sum();
        let mean = f64::from(differing) / 256.0;
        assert!((30.0..34.0).contains(&mean), "{mean}");
    }
}
