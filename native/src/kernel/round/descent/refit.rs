//! Fitting the scales of groups to codes that are fixed: least squares in the metric of the descent.

use super::Descent;
use crate::kernel::linalg::Real;
use crate::kernel::linalg::product::product;
use faer::{Accum, MatMut, MatRef};
use rayon::prelude::*;

/// Rows whose scales are fitted together.
const REFIT_ROWS: usize = 8;

/// Columns by group, and the rows of A in that order: products over one group read them in one piece.
pub(super) struct ByGroup<T> {
    columns: Vec<usize>,
    a: Vec<T>,
}

impl<T: Real> ByGroup<T> {
    /// From A (columns, columns) and the group of each of its columns; empty where no scale will be fitted.
    pub(super) fn new(a: &[T], group: &[usize], refit: bool) -> Self {
        if !refit {
            return ByGroup { columns: vec![], a: vec![] };
        }
        let n = group.len();
        let mut columns: Vec<usize> = (0..n).collect();
        columns.sort_by_key(|&column| group[column]);
        let a = columns.iter().flat_map(|&column| a[column * n..][..n].iter().copied()).collect();
        ByGroup { columns, a }
    }
}

impl<T: Real> Descent<'_, T> {
    /// Fits the scales of a block's rows to their codes: least squares in the metric, a few rows at a time, each by a
    /// step along the fitted direction that is never longer than where the quadratic is least.
    pub(super) fn refit(&mut self, block: std::ops::Range<usize>, slope: &mut [T]) {
        let n = self.size.columns;
        let mut systems = self.scale_systems(block.clone());
        let each = self.groups * self.groups;
        for first in block.clone().step_by(REFIT_ROWS) {
            let last = (first + REFIT_ROWS).min(block.end);
            let own = &mut systems[(first - block.start) * each..(last - block.start) * each];
            let wanted = self.fitted_steps(first..last, block.start, slope, own);
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

    /// U A Uᵀ of each row, (rows, groups, groups): U (groups, columns) holds the row's codes less zero points, each in
    /// the line of its group.
    fn scale_systems(&self, rows: std::ops::Range<usize>) -> Vec<f64> {
        let by_group = &self.inputs.by_group;
        let (n, groups, height) = (self.size.columns, self.groups, rows.len());
        let units: Vec<Vec<f64>> = rows.map(|row| self.steps_of(row)).collect();
        let mut systems = vec![0.0; height * groups * groups];
        let mut through = vec![T::default(); height * n];
        let mut begin = 0;
        for group in 0..groups {
            let width = by_group.columns[begin..].iter().take_while(|&&column| self.group_of(column) == group).count();
            let members = &by_group.columns[begin..begin + width];
            let left: Vec<T> = units.iter().flat_map(|units| members.iter().map(|&c| T::from_f64(units[c]))).collect();
            product(
                MatMut::from_row_major_slice_mut(&mut through, height, n),
                Accum::Replace,
                MatRef::from_row_major_slice(&left, height, width),
                MatRef::from_row_major_slice(&by_group.a[begin * n..(begin + width) * n], width, n),
                T::from_f64(1.0),
            );
            let lines = systems.par_chunks_mut(groups * groups).zip(units.par_iter().zip(through.par_chunks(n)));
            lines.for_each(|(system, (units, through))| {
                let line = &mut system[group * groups..][..groups];
                for (column, (unit, value)) in units.iter().zip(through).enumerate() {
                    line[self.group_of(column)] += unit * value.to_f64();
                }
            });
            begin += width;
        }
        systems
    }

    /// The change of each scale that is best for its row alone: (U A Uᵀ) Δs = U F / B_ii.
    fn fitted_steps(
        &self,
        rows: std::ops::Range<usize>,
        block: usize,
        slope: &[T],
        systems: &mut [f64],
    ) -> Vec<f64> {
        let (n, groups) = (self.size.columns, self.groups);
        let mut steps = vec![0.0; rows.len() * groups];
        let lines = steps.par_chunks_mut(groups).zip(systems.par_chunks_mut(groups * groups)).enumerate();
        lines.for_each(|(local, (right, system))| {
            let row = rows.start + local;
            let own = self.weight_of(row, row);
            for (column, (unit, f)) in self.steps_of(row).iter().zip(&slope[(row - block) * n..]).enumerate() {
                right[self.group_of(column)] += unit * f.to_f64() / own;
            }
            solve_ridged(system, right);
        });
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
            MatRef::from_row_major_slice(&self.inputs.a, n, n),
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
