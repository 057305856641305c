//! The cross moment of two views of the same samples.

use super::CHUNK;
use super::patches::Patches;
use super::tiles::{PANEL, add_products, cut_panel};
use crate::kernel::fault::{Fault, expect_length};
use crate::kernel::float::first_non_finite;
use faer::MatRef;

/// FᵀX (m, n) of samples F (rows, m) and X (rows, n), accumulated in double precision over chunks in single precision.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossGram {
    m: usize,
    n: usize,
    totals: Vec<f64>,
    count: u64,
}

impl CrossGram {
    pub fn new(m: usize, n: usize) -> Self {
        CrossGram { m, n, totals: vec![0.0; m * n], count: 0 }
    }

    /// Samples seen.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum so far (m, n).
    pub fn matrix(&self) -> &[f64] {
        &self.totals
    }

    /// Adds samples: row i of `full` (rows, m) belongs to row i of `x` (rows, n). Fails on NaN and infinity before
    /// anything is added.
    pub fn add(&mut self, full: &[f32], x: &[f32], rows: usize) -> Result<(), Fault> {
        let (m, n) = (self.m, self.n);
        expect_length("full samples", full.len(), rows * m)?;
        expect_length("samples", x.len(), rows * n)?;
        for (values, columns) in [(full, m), (x, n)] {
            if let Some(index) = first_non_finite(values) {
                let (sample, column) = (index / columns, index % columns);
                return Err(Fault::numeric(format!("column {column} of sample {sample} is {}", values[index])));
            }
        }
        for (full, x) in full.chunks(CHUNK * m).zip(x.chunks(CHUNK * n)) {
            self.add_chunk(full, x);
        }
        Ok(())
    }

    /// Adds the unfolded inputs of a convolution, one sample per output position: `full` and `x` are unfolded alike.
    pub fn add_patches(&mut self, full: &[f32], x: &[f32], patches: &Patches) -> Result<(), Fault> {
        patches.check(full, self.m)?;
        patches.check(x, self.n)?;
        let total = patches.rows();
        let mut before = vec![0.0; CHUNK.min(total) * self.m];
        let mut now = vec![0.0; CHUNK.min(total) * self.n];
        for first in (0..total).step_by(CHUNK) {
            let rows = CHUNK.min(total - first);
            let (before, now) = (&mut before[..rows * self.m], &mut now[..rows * self.n]);
            patches.unfold(full, first, before);
            patches.unfold(x, first, now);
            self.add_chunk(before, now);
        }
        Ok(())
    }

    /// Adds samples that are known to be finite.
    fn add_chunk(&mut self, full: &[f32], x: &[f32]) {
        let (m, n) = (self.m, self.n);
        let rows = full.len() / m;
        let panels = self.totals.chunks_mut(PANEL * n).enumerate();
        let tiles = panels.flat_map(|(panel, totals)| cut_panel(panel * PANEL, totals, n)).collect();
        let full = MatRef::from_row_major_slice(full, rows, m);
        add_products(tiles, full, MatRef::from_row_major_slice(x, rows, n));
        self.count += rows as u64;
    }

    /// Adds what another accumulator has seen.
    pub fn merge(&mut self, other: &CrossGram) -> Result<(), Fault> {
        expect_length("rows of the accumulator to merge", other.m, self.m)?;
        expect_length("columns of the accumulator to merge", other.n, self.n)?;
        self.totals.iter_mut().zip(&other.totals).for_each(|(into, from)| *into += from);
        self.count += other.count;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::{Random, with_threads};

    #[test]
    fn the_sum_equals_the_plain_twin() {
        let mut random = Random::new(81);
        for (m, n, rows) in [(1, 1, 1), (5, 9, 2100), (270, 30, 64)] {
            let (full, x) = (random.normals(rows * m), random.normals(rows * n));
            let mut cross = CrossGram::new(m, n);
            cross.add(&full, &x, rows).unwrap();
            for i in 0..m {
                for j in 0..n {
                    let expected: f64 =
                        (0..rows).map(|row| f64::from(full[row * m + i]) * f64::from(x[row * n + j])).sum();
                    assert!((cross.matrix()[i * n + j] - expected).abs() < 1e-4 * (rows as f64).sqrt());
                }
            }
        }
    }

    #[test]
    fn sums_never_depend_on_threads() {
        let (m, n, rows) = (530, 300, 1500);
        let mut random = Random::new(82);
        let (full, x) = (random.normals(rows * m), random.normals(rows * n));
        let run = || {
            let mut cross = CrossGram::new(m, n);
            cross.add(&full, &x, rows).unwrap();
            cross
        };
        let found = with_threads(1, run);
        for threads in [2, 3] {
            assert!(with_threads(threads, run) == found);
        }
    }

    #[test]
    fn parts_merge_and_bad_samples_are_refused() {
        let mut random = Random::new(83);
        let (full, x) = (random.normals(20), random.normals(30));
        let (mut whole, mut first, mut second) = (CrossGram::new(2, 3), CrossGram::new(2, 3), CrossGram::new(2, 3));
        whole.add(&full, &x, 10).unwrap();
        first.add(&full[..8], &x[..12], 4).unwrap();
        second.add(&full[8..], &x[12..], 6).unwrap();
        first.merge(&second).unwrap();
        assert_eq!(first.count(), 10);
        for (found, expected) in first.matrix().iter().zip(whole.matrix()) {
            assert!((found - expected).abs() < 1e-5);
        }
        assert!(first.merge(&CrossGram::new(3, 2)).is_err());
        assert!(first.add(&[f32::NAN, 0.0], &[0.0; 3], 1).is_err());
        assert_eq!(first.count(), 10);
    }

    #[test]
    fn patches_equal_the_unfolded_samples_of_their_group() {
        let mut random = Random::new(78);
        let patches = Patches {
            batch: 2,
            channels: 4,
            height: 5,
            width: 6,
            kernel: [3, 2],
            strides: [2, 1],
            dilations: [1, 2],
            pads: [1, 0, 1, 1],
            first_channel: 2,
            group_channels: 2,
        };
        let (n, total) = (patches.columns(), patches.rows());
        let (full, x) = (random.normals(2 * 4 * 5 * 6), random.normals(2 * 4 * 5 * 6));
        let mut found = CrossGram::new(n, n);
        found.add_patches(&full, &x, &patches).unwrap();
        let unfolded = |pictures: &[f32]| {
            let mut samples = vec![0.0; total * n];
            patches.unfold(pictures, 0, &mut samples);
            samples
        };
        let mut expected = CrossGram::new(n, n);
        expected.add(&unfolded(&full), &unfolded(&x), total).unwrap();
        assert_eq!(found, expected);
        assert!(found.add_patches(&full[1..], &x, &patches).is_err());
    }
}
