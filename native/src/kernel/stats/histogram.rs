//! A histogram of a stream whose range is not known beforehand.

use super::CHUNK;
use super::range::{Extremes, extremes};
use crate::kernel::fault::{Fault, expect_length};
use rayon::prelude::*;

/// Counts in bins of equal width over -2^k .. 2^k, the least power of two that holds everything seen. When the range
/// doubles, bins merge by twos, so counts are exact and do not depend on the order of the values.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    counts: Vec<u64>,
    /// k: the range is ±2^k.
    exponent: i32,
    extremes: Extremes,
}

/// The range before anything is seen: ±2^-126, the least normal number.
const LEAST_EXPONENT: i32 = -126;

impl Histogram {
    /// `bins` must be a positive multiple of 4, so that bins merge by twos on both sides of zero.
    pub fn new(bins: usize) -> Result<Self, Fault> {
        if bins == 0 || !bins.is_multiple_of(4) {
            return Err(Fault::internal(format!("{bins} bins are no positive multiple of 4")));
        }
        Ok(Histogram { counts: vec![0; bins], exponent: LEAST_EXPONENT, extremes: Extremes::NONE })
    }

    /// Counts of the bins; bin i holds values from -range + i · 2 · range / bins on; the last one its upper end too.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Half the width of the range.
    pub fn range(&self) -> f64 {
        2f64.powi(self.exponent)
    }

    /// Extremes of the finite values and the number of others.
    pub fn extremes(&self) -> Extremes {
        self.extremes
    }

    /// Counts values; those that are not finite are only tallied.
    pub fn add(&mut self, values: &[f32]) {
        let seen = extremes(values);
        self.extremes = self.extremes.merge(seen);
        if seen.minimum > seen.maximum {
            return;
        }
        self.widen(exponent_for(seen.minimum.abs().max(seen.maximum.abs())));
        let (bins, range) = (self.counts.len(), self.range());
        let per_unit = bins as f64 / 2.0 / range;
        let counts = values
            .par_chunks(CHUNK)
            .fold(
                || vec![0u64; bins],
                |mut counts, values| {
                    for &value in values.iter().filter(|value| value.is_finite()) {
                        let bin = ((f64::from(value) + range) * per_unit) as usize;
                        counts[bin.min(bins - 1)] += 1;
                    }
                    counts
                },
            )
            .reduce(
                || vec![0u64; bins],
                |mut into, from| {
                    into.iter_mut().zip(from).for_each(|(into, from)| *into += from);
                    into
                },
            );
        self.counts.iter_mut().zip(counts).for_each(|(into, from)| *into += from);
    }

    /// Adds what another histogram with as many bins has seen.
    pub fn merge(&mut self, other: &Histogram) -> Result<(), Fault> {
        expect_length("the histogram to merge", other.counts.len(), self.counts.len())?;
        let mut other = other.clone();
        self.widen(other.exponent);
        other.widen(self.exponent);
        self.counts.iter_mut().zip(&other.counts).for_each(|(into, from)| *into += from);
        self.extremes = self.extremes.merge(other.extremes);
        Ok(())
    }

    fn widen(&mut self, exponent: i32) {
        while self.exponent < exponent {
            let bins = self.counts.len();
            let mut wider = vec![0; bins];
            for (bin, count) in self.counts.iter().enumerate() {
                wider[bins / 4 + bin / 2] += count;
            }
            self.counts = wider;
            self.exponent += 1;
        }
    }
}

/// The least k with 2^k ≥ magnitude.
fn exponent_for(magnitude: f32) -> i32 {
    let mut exponent = LEAST_EXPONENT;
    while 2f64.powi(exponent) < f64::from(magnitude) {
        exponent += 1;
    }
    exponent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::Random;

    #[test]
    fn counts_are_those_of_the_definition() {
        let mut histogram = Histogram::new(8).unwrap();
        histogram.add(&[0.0, 1.0, -1.0, 0.25, 0.24, -0.01, f32::NAN]);
        assert_eq!(histogram.range(), 1.0);
        assert_eq!(histogram.counts(), [1, 0, 0, 1, 2, 1, 0, 1]);
        assert_eq!(histogram.extremes().non_finite, 1);
        assert_eq!((histogram.extremes().minimum, histogram.extremes().maximum), (-1.0, 1.0));
    }

    #[test]
    fn order_and_division_of_the_stream_do_not_matter() {
        let mut random = Random::new(121);
        let mut values: Vec<f32> =
            (0..90_000).map(|_| (random.normal() * 10f64.powf(8.0 * random.unit() - 6.0)) as f32).collect();
        values[5] = 1e-44;
        values[6] = 0.0;
        let mut whole = Histogram::new(2048).unwrap();
        whole.add(&values);
        let mut pieces = Histogram::new(2048).unwrap();
        values.chunks(777).rev().for_each(|part| pieces.add(part));
        assert!(pieces == whole);
        let (mut left, mut right) = (Histogram::new(2048).unwrap(), Histogram::new(2048).unwrap());
        left.add(&values[..10]);
        right.add(&values[10..]);
        left.merge(&right).unwrap();
        assert!(left == whole);
        assert_eq!(whole.counts().iter().sum::<u64>(), values.len() as u64);
        assert!(left.merge(&Histogram::new(4).unwrap()).is_err());
    }

    #[test]
    fn the_greatest_number_has_a_place() {
        let mut histogram = Histogram::new(4).unwrap();
        histogram.add(&[f32::MAX, -f32::MAX]);
        assert_eq!(histogram.counts(), [1, 0, 0, 1]);
        assert_eq!(histogram.range(), 2f64.powi(128));
    }

    #[test]
    fn odd_numbers_of_bins_are_refused() {
        assert!(Histogram::new(0).is_err());
        assert!(Histogram::new(6).is_err());
    }
}
