//! The simulation of Avellaneda and Stoikov (2008), section 3.3, in the paper's own terms.
//!
//! s = 100, T = 1, sigma = 2, dt = 0.005, q = 0, k = 1.5, A = 140. In each step the quotes are computed from the state;
//! then, with probability lambda(distance of the ask) dt, one unit is sold at the ask, and with probability lambda(distance
//! of the bid) dt one is bought at the bid (a probability above 1 is 1); then the mid moves by sigma sqrt(dt) up or down
//! with equal chances. The benchmark quotes the average spread of the inventory strategy around the mid.

use neo_market::model::{AvellanedaStoikov, Distances, Intensity};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// Initial mid, horizon, volatility, steps (T / dt), decay, arrivals.
const S: f64 = 100.0;
const T: f64 = 1.0;
const SIGMA: f64 = 2.0;
const STEPS: u32 = 200;
const K: f64 = 1.5;
const A: f64 = 140.0;
/// Paths of each strategy, as in the paper.
pub const PATHS: u32 = 1_000;

/// One row of the paper's tables.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub strategy: &'static str,
    pub spread: f64,
    pub profit: f64,
    pub profit_deviation: f64,
    pub inventory: f64,
    pub inventory_deviation: f64,
}

const fn row(strategy: &'static str, spread: f64, profit: (f64, f64), inventory: (f64, f64)) -> Row {
    Row {
        strategy,
        spread,
        profit: profit.0,
        profit_deviation: profit.1,
        inventory: inventory.0,
        inventory_deviation: inventory.1,
    }
}

/// What the paper prints for a risk aversion: its tables 1 (0.1), 2 (0.01) and 3 (1), read in the text of the published
/// article, Quantitative Finance 8(3), pages 222 and 223. It has no table for 0.5.
pub fn published(gamma: f64) -> Option<[Row; 2]> {
    let tables = [
        (0.1, [row("inventory", 1.49, (65.0, 6.6), (0.08, 2.9)), row("symmetric", 1.49, (68.4, 12.7), (0.26, 8.4))]),
        (0.01, [row("inventory", 1.35, (68.6, 8.7), (0.12, 5.1)), row("symmetric", 1.35, (68.8, 12.8), (0.09, 8.7))]),
        (1.0, [row("inventory", 3.02, (31.4, 5.0), (0.02, 1.7)), row("symmetric", 3.02, (44.0, 11.0), (0.0, 5.1))]),
    ];
    tables.into_iter().find(|(known, _)| (known - gamma).abs() < 1e-12).map(|(_, rows)| rows)
}

/// Both strategies over [`PATHS`] paths each; the same seed gives both the same moves of the mid.
pub fn simulate(gamma: f64, seed: u64) -> [Row; 2] {
    let model = AvellanedaStoikov::new(gamma, SIGMA, K).unwrap();
    let dt = T / f64::from(STEPS);
    let left = |step: u32| T - f64::from(step) * dt;
    let spread = (0..STEPS).map(|step| model.spread(left(step))).sum::<f64>() / f64::from(STEPS);
    let inventory = run("inventory", spread, seed, |q, step| model.distances(q, left(step)));
    let symmetric = run("symmetric", spread, seed, |_, _| Distances { bid: spread / 2.0, ask: spread / 2.0 });
    [inventory, symmetric]
}

fn run(strategy: &'static str, spread: f64, seed: u64, quotes: impl Fn(f64, u32) -> Distances) -> Row {
    let ends: Vec<(f64, f64)> = (0..PATHS).map(|number| path(seed, number, &quotes)).collect();
    let (profit, profit_deviation) = moments(ends.iter().map(|end| end.0));
    let (inventory, inventory_deviation) = moments(ends.iter().map(|end| end.1));
    Row { strategy, spread, profit, profit_deviation, inventory, inventory_deviation }
}

/// Profit and inventory at the end of one path.
fn path(seed: u64, number: u32, quotes: impl Fn(f64, u32) -> Distances) -> (f64, f64) {
    let law = Intensity::new(A, K).unwrap();
    let mut chance = ChaCha12Rng::seed_from_u64(seed);
    chance.set_stream(number.into());
    let mut unit = move || (chance.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let dt = T / f64::from(STEPS);
    let (mut s, mut q, mut cash) = (S, 0.0, 0.0);
    for step in 0..STEPS {
        let distance = quotes(q, step);
        // Three draws a step whatever happens, so that both strategies see the same mid.
        let (sold, bought, up) =
            (unit() < law.rate(distance.ask) * dt, unit() < law.rate(distance.bid) * dt, unit() < 0.5);
        if sold {
            (q, cash) = (q - 1.0, cash + s + distance.ask);
        }
        if bought {
            (q, cash) = (q + 1.0, cash - s + distance.bid);
        }
        s += SIGMA * dt.sqrt() * if up { 1.0 } else { -1.0 };
    }
    (cash + q * s, q)
}

/// Mean and deviation (n - 1).
fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let squares = values.map(|value| (value - mean).powi(2)).sum::<f64>();
    (mean, (squares / (count - 1.0)).sqrt())
}
