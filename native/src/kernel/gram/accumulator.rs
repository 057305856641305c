//! The Gram matrix XᵀX of a stream of samples.

use super::patches::Patches;
use super::tiles::{PANEL, add_products, cut_panel};
use super::{CHUNK, Precision};
use crate::kernel::fault::{Fault, FaultKind, expect_length};
use crate::kernel::float::first_non_finite;
use crate::kernel::linalg::Real;
use faer::MatRef;
use rayon::prelude::*;

/// XᵀX (n, n), the column sums and the number of samples seen. Only the lower triangle is stored, in panels of rows:
/// panel p holds rows p·128 .. and as many columns as its last row has up to the diagonal.
#[derive(Clone, Debug, PartialEq)]
pub struct Gram {
    n: usize,
    panels: Vec<Vec<f64>>,
    sums: Vec<f64>,
    count: u64,
}

impl Gram {
    pub fn new(n: usize) -> Self {
        let panels = (0..n)
            .step_by(PANEL)
            .map(|first| {
                let end = (first + PANEL).min(n);
                vec![0.0; (end - first) * end]
            })
            .collect();
        Gram { n, panels, sums: vec![0.0; n], count: 0 }
    }

    /// Bytes that the sums take.
    pub fn bytes(&self) -> usize {
        self.panels.iter().map(|panel| std::mem::size_of_val(&panel[..])).sum()
    }

    /// Samples seen.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Sums of the columns (n).
    pub fn sums(&self) -> &[f64] {
        &self.sums
    }

    /// Adds samples, the rows of `x` (rows, n). Fails on NaN and infinity before anything is added.
    pub fn add(&mut self, x: &[f32], rows: usize, precision: Precision) -> Result<(), Fault> {
        expect_length("samples", x.len(), rows * self.n)?;
        if let Some(index) = first_non_finite(x) {
            return Err(Fault::numeric(format!(
                "column {} of sample {} is {}",
                index % self.n,
                index / self.n,
                x[index]
            )));
        }
        x.chunks(CHUNK * self.n).for_each(|chunk| self.add_chunk(chunk, precision));
        Ok(())
    }

    /// Adds the unfolded inputs of a convolution, one sample per output position.
    pub fn add_patches(&mut self, x: &[f32], patches: &Patches, precision: Precision) -> Result<(), Fault> {
        patches.check(x, self.n)?;
        let total = patches.rows();
        let mut chunk = vec![0.0; CHUNK.min(total) * self.n];
        for first in (0..total).step_by(CHUNK) {
            let rows = CHUNK.min(total - first);
            let chunk = &mut chunk[..rows * self.n];
            patches.unfold(x, first, chunk);
            self.add_chunk(chunk, precision);
        }
        Ok(())
    }

    fn add_chunk(&mut self, chunk: &[f32], precision: Precision) {
        match precision {
            Precision::Single => self.add_products(chunk),
            Precision::Double => {
                let wide: Vec<f64> = chunk.iter().map(|&value| f64::from(value)).collect();
                self.add_products(&wide);
            }
        }
        self.sums.par_chunks_mut(PANEL).enumerate().for_each(|(panel, sums)| {
            for row in chunk.chunks_exact(self.n) {
                sums.iter_mut().zip(&row[panel * PANEL..]).for_each(|(sum, &value)| *sum += f64::from(value));
            }
        });
        self.count += (chunk.len() / self.n) as u64;
    }

    fn add_products<T: Real>(&mut self, x: &[T]) {
        let (rows, n) = (x.len() / self.n, self.n);
        let x = MatRef::from_row_major_slice(x, rows, n);
        let panels = self.panels.iter_mut().enumerate();
        let tiles = panels
            .flat_map(|(panel, totals)| {
                let first = panel * PANEL;
                cut_panel(first, totals, (first + PANEL).min(n))
            })
            .collect();
        add_products(tiles, x, x);
    }

    /// The diagonal (n): sums of squares of the columns.
    pub fn diagonal(&self) -> Vec<f64> {
        (0..self.n).map(|row| self.row(row)[row]).collect()
    }

    /// Row `row` of the lower triangle, up to the diagonal.
    fn row(&self, row: usize) -> &[f64] {
        let panel = row / PANEL;
        let end = ((panel + 1) * PANEL).min(self.n);
        &self.panels[panel][(row % PANEL) * end..][..row + 1]
    }

    /// The whole symmetric matrix (n, n).
    pub fn matrix(&self) -> Vec<f64> {
        let n = self.n;
        let mut matrix = vec![0.0; n * n];
        matrix.par_chunks_mut(PANEL * n).enumerate().for_each(|(panel, rows)| {
            let first = panel * PANEL;
            for (index, target) in rows.chunks_exact_mut(n).enumerate() {
                let row = self.row(first + index);
                target[..row.len()].copy_from_slice(row);
            }
            for column in first + 1..n {
                let source = &self.row(column)[first..];
                for (index, &value) in source.iter().enumerate().take(rows.len() / n) {
                    if first + index < column {
                        rows[index * n + column] = value;
                    }
                }
            }
        });
        matrix
    }

    /// Adds what another accumulator has seen.
    pub fn merge(&mut self, other: &Gram) -> Result<(), Fault> {
        expect_length("the accumulator to merge", other.n, self.n)?;
        self.panels.par_iter_mut().zip(&other.panels).for_each(|(into, from)| {
            into.iter_mut().zip(from).for_each(|(into, from)| *into += from);
        });
        self.sums.iter_mut().zip(&other.sums).for_each(|(into, from)| *into += from);
        self.count += other.count;
        Ok(())
    }

    /// Everything as little-endian bytes: n, count, sums, then the rows of the lower triangle up to the diagonal.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(byte_length(self.n));
        bytes.extend_from_slice(&(self.n as u64).to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        let rows = (0..self.n).flat_map(|row| self.row(row));
        bytes.extend(self.sums.iter().chain(rows).flat_map(|value| value.to_le_bytes()));
        bytes
    }

    /// The inverse of `to_bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        let malformed = || Fault::new(FaultKind::Malformed, "these bytes are no saved Gram matrix");
        let (words, []) = bytes.as_chunks::<8>() else { return Err(malformed()) };
        let [n, count, numbers @ ..] = words else { return Err(malformed()) };
        let n = u64::from_le_bytes(*n);
        if n > u64::from(u32::MAX) || byte_length(n as usize) != bytes.len() {
            return Err(malformed());
        }
        let mut gram = Gram::new(n as usize);
        gram.count = u64::from_le_bytes(*count);
        let mut numbers = numbers.iter().map(|bytes| f64::from_le_bytes(*bytes));
        gram.sums.iter_mut().zip(&mut numbers).for_each(|(sum, value)| *sum = value);
        for row in 0..gram.n {
            let end = ((row / PANEL + 1) * PANEL).min(gram.n);
            let target = &mut gram.panels[row / PANEL][(row % PANEL) * end..][..row + 1];
            target.iter_mut().zip(&mut numbers).for_each(|(target, value)| *target = value);
        }
        Ok(gram)
    }
}

fn byte_length(n: usize) -> usize {
    8 * (2 + n + n * (n + 1) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::{Random, with_threads};

    /// The plain twin: X Xᵀ summed sample by sample in double precision.
    pub fn plain(x: &[f32], n: usize) -> Vec<f64> {
        let mut matrix = vec![0.0; n * n];
        for row in x.chunks(n) {
            for i in 0..n {
                for j in 0..n {
                    matrix[i * n + j] += f64::from(row[i]) * f64::from(row[j]);
                }
            }
        }
        matrix
    }

    fn gram_of(x: &[f32], n: usize, precision: Precision) -> Gram {
        let mut gram = Gram::new(n);
        gram.add(x, x.len() / n, precision).unwrap();
        gram
    }

    #[test]
    fn the_sum_equals_the_plain_twin_in_either_precision() {
        let mut random = Random::new(61);
        for (n, rows) in [(1, 1), (7, 3000), (128, 65), (300, 1500)] {
            let x = random.normals(rows * n);
            let expected = plain(&x, n);
            for (precision, tolerance) in [(Precision::Single, 1e-4), (Precision::Double, 1e-11)] {
                let gram = gram_of(&x, n, precision);
                assert_eq!(gram.count(), rows as u64);
                for (found, expected) in gram.matrix().iter().zip(&expected) {
                    assert!((found - expected).abs() <= tolerance * (rows as f64).sqrt(), "{n} {rows}");
                }
                for (column, sum) in gram.sums().iter().enumerate() {
                    let expected: f64 = x.iter().skip(column).step_by(n).map(|&value| f64::from(value)).sum();
                    assert!((sum - expected).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn the_matrix_is_symmetric_and_its_diagonal_is_the_diagonal() {
        let n = 260;
        let gram = gram_of(&Random::new(62).normals(40 * n), n, Precision::Single);
        let (matrix, diagonal) = (gram.matrix(), gram.diagonal());
        for i in 0..n {
            assert_eq!(matrix[i * n + i], diagonal[i]);
            for j in 0..i {
                assert_eq!(matrix[i * n + j], matrix[j * n + i]);
            }
        }
    }

    #[test]
    fn sums_never_depend_on_threads() {
        let (n, rows) = (700, 2100);
        let x = Random::new(63).normals(rows * n);
        let found = with_threads(1, || gram_of(&x, n, Precision::Single));
        for threads in [2, 3] {
            assert!(with_threads(threads, || gram_of(&x, n, Precision::Single)) == found);
        }
    }

    #[test]
    fn parts_merge_to_the_whole_and_bytes_come_back() {
        let (n, rows) = (150, 3 * CHUNK);
        let x = Random::new(64).normals(rows * n);
        let (head, tail) = x.split_at(CHUNK * n);
        let mut parts = gram_of(head, n, Precision::Single);
        parts.merge(&gram_of(tail, n, Precision::Single)).unwrap();
        let whole = gram_of(&x, n, Precision::Single);
        assert_eq!(parts.count(), whole.count());
        for (found, expected) in parts.matrix().iter().zip(whole.matrix()) {
            assert!((found - expected).abs() < 1e-9);
        }
        let read = Gram::from_bytes(&whole.to_bytes()).unwrap();
        assert!(read.matrix() == whole.matrix() && read.sums() == whole.sums() && read.count() == whole.count());
        assert!(Gram::from_bytes(&whole.to_bytes()[8..]).is_err());
        assert!(Gram::from_bytes(&[]).is_err());
        assert!(Gram::from_bytes(&[255; 16]).is_err());
        assert!(parts.merge(&Gram::new(3)).is_err());
    }

    #[test]
    fn a_bad_sample_is_named_and_nothing_is_added() {
        let n = 5;
        let mut x = vec![1.0; 4 * n];
        x[2 * n + 3] = f32::INFINITY;
        let mut gram = Gram::new(n);
        let fault = gram.add(&x, 4, Precision::Single).unwrap_err();
        assert!(fault.message.contains("column 3 of sample 2"), "{}", fault.message);
        assert!(gram == Gram::new(n));
    }
}
