//! Chance that can be repeated: a seed says everything that a random case does.

/// xorshift64
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Seeds that lie close together differ at once.
    pub fn new(seed: u64) -> Dice {
        let mut dice = Dice((seed.wrapping_add(1)).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        dice.bits();
        dice
    }

    /// 64 of them.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to `sides` - 1.
    pub fn roll(&mut self, sides: u64) -> u64 {
        (self.bits() >> 11) % sides
    }

    /// True so often in a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }
}

/// The seeds a random case is played with: `STORE_SEED` if it is set, else `few`, or as many as `STORE_SEEDS` says.
pub fn seeds(few: u64) -> std::ops::Range<u64> {
    #[expect(clippy::disallowed_methods, reason = "tests are small unless somebody asks for more")]
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("STORE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("STORE_SEEDS").unwrap_or(few),
    }
}
