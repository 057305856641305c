//! Fitting the scales of groups to codes that are fixed: least squares in the metric of the descent.

use super::Descent;
use crate::kernel::linalg::Real;
use crate::kernel::linalg::product::product;
use faer::{Accum, MatMut, MatRef};

/// Rows whose scales are fitted together.
const REFIT_ROWS: usize = 8;

impl<T: Real> Descent<'_, T> {
    /// Fits the scales of a block's rows to their codes: least squares in the metric, a few rows at a time, each by a
    /// step along the fitted direction that is never longer than where the quadratic is least.
    pub(super) fn refit(&mut self, block: std::ops::Range<usize>, slope: &mut [T]) {
        let n = self.size.columns;
        for first in block.clone().step_by(REFIT_ROWS) {
            let last = (first + REFIT_ROWS).min(block.end);
            let wanted = self.fitted_steps(first..last, block.start, slope);
            let length = self.best_length(first..last, block.start, &wanted, slope);
            if length <= 0.0 {
                continue;
            }
            let stored: Vec<f32> = wanted
                .iter()
                .zip(&self.scales[first * self.groups..last * self.groups])
                .map(|(&step, &scale)| {
                    let found = (self.spec.store_scale)((f64::from(scale) + length * step) as f32);
                    if found.is_finite() && found != 0.0 { found } else { scale }
                })
                .collect();
            let steps: Vec<f64> = stored
                .iter()
                .zip(&self.scales[first * self.groups..last * self.groups])
                .map(|(&found, &scale)| f64::from(found) - f64::from(scale))
                .collect();
            let moves = self.scale_moves(first..last, &steps);
            self.scales[first * self.groups..last * self.groups].copy_from_slice(&stored);
            self.apply(first, &moves, 0..n, block.clone(), slope);
        }
    }

    /// Codes less zero points of a row, in the order of columns here.
    fn steps_of(&self, row: usize) -> Vec<f64> {
        let n = self.size.columns;
        let of = |column: usize| f64::from(self.codes[row * n + column]) - self.zero(row, self.group_of(column));
        (0..n).map(of).collect()
    }

    /// What changing scales by `steps` (rows, groups) does to the weights of some rows.
    fn scale_moves(&self, rows: std::ops::Range<usize>, steps: &[f64]) -> Vec<T> {
        let first = rows.start;
        rows.flat_map(|row| {
            let steps = &steps[(row - first) * self.groups..][..self.groups];
            let units = self.steps_of(row);
            units.into_iter().enumerate().map(move |(column, unit)| T::from_f64(unit * steps[self.group_of(column)]))
        })
        .collect()
    }

    /// The change of each scale that is best for its row alone: (U A Uᵀ) Δs = U F / B_ii.
    fn fitted_steps(&self, rows: std::ops::Range<usize>, block: usize, slope: &[T]) -> Vec<f64> {
        let (n, groups, height) = (self.size.columns, self.groups, rows.len());
        let units: Vec<Vec<f64>> = rows.clone().map(|row| self.steps_of(row)).collect();
        let mut systems = vec![0.0; height * groups * groups];
        for group in 0..groups {
            let members: Vec<usize> = (0..n).filter(|&column| self.group_of(column) == group).collect();
            let left: Vec<T> = units.iter().flat_map(|units| members.iter().map(|&c| T::from_f64(units[c]))).collect();
            let right: Vec<T> = members.iter().flat_map(|&c| self.a[c * n..(c + 1) * n].iter().copied()).collect();
            let mut through = vec![T::default(); height * n];
            product(
                MatMut::from_row_major_slice_mut(&mut through, height, n),
                Accum::Replace,
                MatRef::from_row_major_slice(&left, height, members.len()),
                MatRef::from_row_major_slice(&right, members.len(), n),
                T::from_f64(1.0),
            );
            for (local, units) in units.iter().enumerate() {
                let system = &mut systems[(local * groups + group) * groups..][..groups];
                for (column, (unit, value)) in units.iter().zip(&through[local * n..]).enumerate() {
                    system[self.group_of(column)] += unit * value.to_f64();
                }
            }
        }
        let mut steps = vec![0.0; height * groups];
        for (local, row) in rows.enumerate() {
            let own = self.weight_of(row, row);
            let right = &mut steps[local * groups..][..groups];
            for (column, (unit, f)) in units[local].iter().zip(&slope[(row - block) * n..]).enumerate() {
                right[self.group_of(column)] += unit * f.to_f64() / own;
            }
            solve_ridged(&mut systems[local * groups * groups..][..groups * groups], right);
        }
        steps
    }

    /// How far to go along changes of scales, 0..=1: to where the quadratic is least.
    fn best_length(&self, rows: std::ops::Range<usize>, block: usize, steps: &[f64], slope: &[T]) -> f64 {
        let (n, height) = (self.size.columns, rows.len());
        let moves = self.scale_moves(rows.clone(), steps);
        let mut through = vec![T::default(); height * n];
        product(
            MatMut::from_row_major_slice_mut(&mut through, height, n),
            Accum::Replace,
            MatRef::from_row_major_slice(&moves, height, n),
            MatRef::from_row_major_slice(&self.a, n, n),
            T::from_f64(1.0),
        );
        let dot = |x: &[T], y: &[T]| x.iter().zip(y).map(|(x, y)| x.to_f64() * y.to_f64()).sum::<f64>();
        let gain = dot(&moves, &slope[(rows.start - block) * n..][..height * n]);
        let mut cost = 0.0;
        for (i, row) in rows.clone().enumerate() {
            for (k, other) in rows.clone().enumerate() {
                let weight = self.weight_of(row, other);
                if weight != 0.0 {
                    cost += weight * dot(&moves[i * n..][..n], &through[k * n..][..n]);
                }
            }
        }
        if cost > 0.0 && gain > 0.0 { (gain / cost).min(1.0) } else { 0.0 }
    }
}

/// Solves a small symmetric positive semi-definite system in place: x of `matrix` x = `right`, by Cholesky with a trace
/// of ridge; unknowns that nothing determines stay 0.
fn solve_ridged(matrix: &mut [f64], right: &mut [f64]) {
    let n = right.len();
    let mean = (0..n).map(|i| matrix[i * n + i]).sum::<f64>() / n as f64;
    if mean <= 0.0 {
        right.fill(0.0);
        return;
    }
    for j in 0..n {
        matrix[j * n + j] += 1e-9 * mean;
        for k in 0..j {
            matrix[j * n + j] -= matrix[j * n + k] * matrix[j * n + k];
        }
        let pivot = matrix[j * n + j].max(1e-12 * mean).sqrt();
        matrix[j * n + j] = pivot;
        for i in j + 1..n {
            for k in 0..j {
                matrix[i * n + j] -= matrix[i * n + k] * matrix[j * n + k];
            }
            matrix[i * n + j] /= pivot;
        }
    }
    for i in 0..n {
        for k in 0..i {
            right[i] -= matrix[i * n + k] * right[k];
        }
        right[i] /= matrix[i * n + i];
    }
    for i in (0..n).rev() {
        for k in i + 1..n {
            right[i] -= matrix[k * n + i] * right[k];
        }
        right[i] /= matrix[i * n + i];
    }
}
