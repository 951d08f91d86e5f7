//! The chance that simulated markets draw from.
#![allow(clippy::float_arithmetic, dead_code, reason = "each test of a simulation uses a part of it")]

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

pub struct Chance(ChaCha12Rng);

impl Chance {
    pub fn of(seed: u64) -> Chance {
        Chance(ChaCha12Rng::seed_from_u64(seed))
    }

    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    pub fn normal(&mut self) -> f64 {
        (2.0 * self.exponential()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// How many come in a time in which `mean` come on average.
    pub fn arrivals(&mut self, mean: f64) -> u32 {
        let (mut at, mut count) = (self.exponential(), 0);
        while at < mean {
            (at, count) = (at + self.exponential(), count + 1);
        }
        count
    }
}
