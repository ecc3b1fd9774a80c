//! The seeded hash every value and fault is drawn from. It is not for cryptography, and has no state: the same
//! arguments always give the same draw, in every process.

/// A well mixed number from a seed and any two numbers (the finaliser of SplitMix64, Steele et al. 2014).
pub(crate) fn draw(seed: u64, stream: u64, index: u64) -> u64 {
    mix(mix(mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ stream) ^ index)
}

/// A number for a text (FNV-1a, 64 bits), to be mixed by [`draw`].
pub(crate) fn hash(bytes: &[u8], start: u64) -> u64 {
    bytes.iter().fold(start ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A draw as per cent, in `0.0..100.0`.
pub(crate) fn per_cent(draw: u64) -> f64 {
    (draw >> 11) as f64 / (1u64 << 53) as f64 * 100.0
}

fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
