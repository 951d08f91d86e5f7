//! The one source of random numbers: a seeded ChaCha stream whose place can be saved.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

/// Most arrivals that one draw gives, whatever its mean.
pub const MAX_ARRIVALS: u32 = 1000;

/// A seeded stream of random numbers. The same seed gives the same numbers on every machine.
#[derive(Clone, Debug)]
pub struct Rng {
    seed: u64,
    stream: ChaCha12Rng,
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RngPlace {
    /// The seed.
    pub seed: u64,
    /// Words drawn so far.
    pub words: u64,
}

impl Rng {
    /// The stream of a seed, from its beginning.
    #[must_use]
    pub fn new(seed: u64) -> Rng {
        Rng { seed, stream: ChaCha12Rng::seed_from_u64(seed) }
    }

    /// A stream where another one was left.
    #[must_use]
    pub fn at(place: RngPlace) -> Rng {
        let mut rng = Rng::new(place.seed);
        rng.stream.set_word_pos(u128::from(place.words));
        rng
    }

    /// Where the stream stands.
    #[must_use]
    pub fn place(&self) -> RngPlace {
        RngPlace { seed: self.seed, words: u64::try_from(self.stream.get_word_pos()).unwrap_or(u64::MAX) }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.stream.next_u64()
    }

    /// Evenly distributed from 0 (included) to 1 (excluded).
    pub fn unit(&mut self) -> f64 {
        // 53 bits fill a float's mantissa exactly.
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Normally distributed with mean 0 and deviation 1.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Number of arrivals when `mean` are expected, at most [`MAX_ARRIVALS`].
    pub fn poisson(&mut self, mean: f64) -> u32 {
        let limit = (-mean.clamp(0.0, 500.0)).exp();
        let (mut arrivals, mut product) = (0, self.unit());
        while product > limit && arrivals < MAX_ARRIVALS {
            arrivals += 1;
            product *= self.unit();
        }
        arrivals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_goes_on_where_it_was_left() {
        let mut rng = Rng::new(7);
        let skipped: Vec<u64> = (0..5).map(|_| rng.bits()).collect();
        let mut again = Rng::at(rng.place());
        assert_eq!(rng.bits(), again.bits());
        assert_eq!(skipped, (0..5).scan(Rng::new(7), |rng, _| Some(rng.bits())).collect::<Vec<_>>());
        assert_ne!(Rng::new(8).bits(), Rng::new(7).bits());
    }

    #[test]
    fn draws_have_their_mean() {
        let mut rng = Rng::new(1);
        let count: u32 = (0..10_000).map(|_| rng.poisson(0.6)).sum();
        assert!((5_500..6_500).contains(&count), "{count}");
        let mean = (0..10_000).map(|_| rng.normal()).sum::<f64>() / 10_000.0;
        assert!(mean.abs() < 0.05, "{mean}");
        assert_eq!(rng.poisson(0.0), 0);
    }
}
