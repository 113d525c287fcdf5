//! A small seeded generator, fixed for good: files in the repository depend on its every bit, so it must not
//! change with the version of a crate.

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The generator of this seed.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, each as likely as the next up to `bound / 2^64`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// True in so many of a thousand cases.
    pub fn per_mille(&mut self, share: u64) -> bool {
        self.below(1_000) < share
    }

    /// One of these, which must not be none.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// `count` times in `[start, start + length)`, rising, one in each of `count` equal parts of the interval.
    pub fn times(&mut self, start: i64, length: u64, count: u64) -> Vec<i64> {
        let at = |part: u64| (u128::from(part) * u128::from(length) / u128::from(count.max(1))) as u64;
        (0..count).map(|part| start + (at(part) + self.below(at(part + 1) - at(part))).cast_signed()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_splitmix64() {
        // First outputs for seed 1234567 of the reference implementation (Vigna, splitmix64.c).
        let mut random = Random::seeded(1_234_567);
        let first: Vec<u64> = (0..5).map(|_| random.bits()).collect();
        let reference = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(first, reference);
    }

    #[test]
    fn times_rise_within_their_interval() {
        let times = Random::seeded(7).times(1_000, 500, 300);
        assert_eq!(times.len(), 300);
        assert!(times.is_sorted());
        assert!(times.iter().all(|t| (1_000..1_500).contains(t)));
    }
}
