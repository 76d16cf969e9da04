//! Zipf-distributed ranks: rank k (from 1) of n is drawn with probability proportional to 1/k^exponent.
//!
//! Rejection-inversion (Hörmann and Derflinger, 1996) rather than YCSB's approximation: exact for every n, no table and no
//! sum over n at the start, about one round a draw, and n may grow between draws at the price of one logarithm.

use super::random::Random;

/// Draws ranks below a population that may grow.
#[derive(Debug, Clone)]
pub struct Zipf {
    exponent: f64,
    population: u64,
    /// The integral of the hat at 3/2 minus the mass of rank 1, and at population + 1/2: the range that is inverted.
    integral_first: f64,
    integral_last: f64,
    /// Ranks this close above the inverted point are accepted without evaluating the hat.
    squeeze: f64,
}

impl Zipf {
    /// Ranks of `population` (at least 1) items; `exponent` is positive and not 1.
    pub fn new(population: u64, exponent: f64) -> Zipf {
        assert!(population > 0, "a distribution needs something to draw");
        assert!(
            exponent > 0.0 && (exponent - 1.0).abs() > 1e-9,
            "exponent {exponent} is not supported"
        );
        let mut zipf = Zipf {
            exponent,
            population: 0,
            integral_first: 0.0,
            integral_last: 0.0,
            squeeze: 0.0,
        };
        zipf.integral_first = zipf.integral(1.5) - 1.0;
        zipf.squeeze = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.mass(2.0));
        zipf.grow(population);
        zipf
    }

    /// Draws from `population` items from now on.
    pub fn grow(&mut self, population: u64) {
        if population != self.population {
            self.population = population;
            self.integral_last = self.integral(population as f64 + 0.5);
        }
    }

    /// A rank from 0 (the most frequent) to population − 1.
    pub fn draw(&self, random: &mut Random) -> u64 {
        loop {
            let area = self.integral_last + random.fraction() * (self.integral_first - self.integral_last);
            let point = self.inverse(area);
            let rank = ((point + 0.5) as u64).clamp(1, self.population);
            let rank_float = rank as f64;
            if rank_float - point <= self.squeeze || area >= self.integral(rank_float + 0.5) - self.mass(rank_float) {
                return rank - 1;
            }
        }
    }

    /// The unnormalised probability of a rank.
    fn mass(&self, rank: f64) -> f64 {
        (-self.exponent * rank.ln()).exp()
    }

    /// The integral of `mass` from 1 to `point`.
    fn integral(&self, point: f64) -> f64 {
        let power = 1.0 - self.exponent;
        (power * point.ln()).exp_m1() / power
    }

    /// The point whose integral is `area`.
    fn inverse(&self, area: f64) -> f64 {
        let power = 1.0 - self.exponent;
        // Below -1 only by rounding at the far end, where the logarithm would be undefined.
        ((area * power).max(-1.0).ln_1p() / power).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::Zipf;

    /// The sum of 1/k^exponent for k from `first` to `last`, by Euler and Maclaurin beyond the first thousand terms.
    fn zeta(last: u64, exponent: f64) -> f64 {
        let direct = last.min(1_000);
        let sum: f64 = (1..=direct).map(|rank| (rank as f64).powf(-exponent)).sum();
        if last == direct {
            return sum;
        }
        let integral = |point: f64| point.powf(1.0 - exponent) / (1.0 - exponent);
        let edge = |point: f64| point.powf(-exponent);
        sum + integral(last as f64) - integral(direct as f64) + (edge(last as f64) - edge(direct as f64)) / 2.0
    }

    #[test]
    fn the_frequencies_of_all_ranks_pass_a_chi_square_test() {
        let (population, draws) = (100, 1_000_000);
        let zipf = Zipf::new(population, 0.99);
        let mut random = Random::new(3);
        let mut counts = vec![0u64; population as usize];
        for _ in 0..draws {
            counts[zipf.draw(&mut random) as usize] += 1;
        }
        let total = zeta(population, 0.99);
        let chi_square: f64 = (1..=population)
            .map(|rank| {
                let expected = draws as f64 * (rank as f64).powf(-0.99) / total;
                (counts[rank as usize - 1] as f64 - expected).powi(2) / expected
            })
            .sum();
        // 99 degrees of freedom: the 99.99th percentile is 161.
        assert!(chi_square < 161.0, "chi-square {chi_square}: {counts:?}");
    }

    #[test]
    fn the_moments_are_those_of_the_distribution() {
        let population = 10_000u64;
        let zipf = Zipf::new(population, 0.99);
        let mut random = Random::new(4);
        let draws = 400_000;
        let (mut sum, mut sum_of_squares) = (0.0, 0.0);
        for _ in 0..draws {
            let rank = zipf.draw(&mut random) as f64 + 1.0;
            sum += rank;
            sum_of_squares += rank * rank;
        }
        let total = zeta(population, 0.99);
        let mean = zeta_of_power(population, 1.0) / total;
        let second = zeta_of_power(population, 2.0) / total;
        assert!(
            (sum / draws as f64 / mean - 1.0).abs() < 0.01,
            "mean {} against {mean}",
            sum / draws as f64
        );
        assert!(
            (sum_of_squares / draws as f64 / second - 1.0).abs() < 0.02,
            "second moment against {second}"
        );
    }

    fn zeta_of_power(population: u64, power: f64) -> f64 {
        (1..=population).map(|rank| (rank as f64).powf(power - 0.99)).sum()
    }

    #[test]
    fn a_hundred_billion_items_have_the_right_share_of_hot_ones() {
        let population = 100_000_000_000;
        let zipf = Zipf::new(population, 0.99);
        let mut random = Random::new(5);
        let draws = 400_000;
        let (mut first, mut hot, mut cold) = (0.0, 0.0, 0.0);
        for _ in 0..draws {
            let rank = zipf.draw(&mut random);
            assert!(rank < population);
            first += f64::from(u8::from(rank == 0));
            hot += f64::from(u8::from(rank < 1_000_000));
            cold += f64::from(u8::from(rank >= population / 2));
        }
        let total = zeta(population, 0.99);
        let near = |measured: f64, expected: f64| (measured / f64::from(draws) / expected - 1.0).abs() < 0.03;
        assert!(near(first, 1.0 / total), "{first}");
        assert!(near(hot, zeta(1_000_000, 0.99) / total), "{hot}");
        assert!(near(cold, 1.0 - zeta(population / 2, 0.99) / total), "{cold}");
    }

    #[test]
    fn a_grown_distribution_equals_a_new_one_and_one_item_is_always_drawn() {
        let mut grown = Zipf::new(1, 0.99);
        let mut random = Random::new(6);
        assert!((0..100).all(|_| grown.draw(&mut random) == 0));
        grown.grow(5_000);
        let fresh = Zipf::new(5_000, 0.99);
        let draw = |zipf: &Zipf| {
            let mut random = Random::new(7);
            (0..1_000).map(|_| zipf.draw(&mut random)).collect::<Vec<_>>()
        };
        assert_eq!(draw(&grown), draw(&fresh));
    }
}
