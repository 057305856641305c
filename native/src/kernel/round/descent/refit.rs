//! Fitting the scales of groups to codes that are fixed: least squares in the metric of the descent, for a block of rows
//! at once by conjugate gradients, whose preconditioner solves each row as if it were alone.

use super::Descent;
use crate::kernel::linalg::Real;
use crate::kernel::linalg::product::product;
use faer::{Accum, MatMut, MatRef};
use rayon::prelude::*;
use std::ops::Range;

/// Steps of conjugate gradients: rows see each other only through the off-diagonal of B, so few are needed.
const STEPS: usize = 2;

/// Columns by group: what one group needs lies in one piece.
pub(super) struct ByGroup<T> {
    /// Place here → column of the descent.
    columns: Vec<usize>,
    /// Where each group begins, and the number of columns.
    begins: Vec<usize>,
    /// A with rows and columns in this order.
    a: Vec<T>,
}

impl<T: Real> ByGroup<T> {
    /// From A (columns, columns) and the group of each of its columns; empty where no scale will be fitted.
    pub(super) fn new(a: &[T], group: &[usize], refit: bool) -> Self {
        if !refit {
            return ByGroup { columns: vec![], begins: vec![], a: vec![] };
        }
        let n = group.len();
        let mut columns: Vec<usize> = (0..n).collect();
        columns.sort_by_key(|&column| group[column]);
        let mut begins: Vec<usize> =
            (0..n).filter(|&at| at == 0 || group[columns[at]] != group[columns[at - 1]]).collect();
        begins.push(n);
        let mut ordered = vec![T::default(); n * n];
        ordered.par_chunks_mut(n).zip(&columns).for_each(|(row, &i)| {
            let source = &a[i * n..(i + 1) * n];
            row.iter_mut().zip(&columns).for_each(|(value, &j)| *value = source[j]);
        });
        ByGroup { columns, begins, a: ordered }
    }

    fn range(&self, group: usize) -> Range<usize> {
        self.begins[group]..self.begins[group + 1]
    }
}

/// The rows that are fitted together.
struct Fit<'a, T> {
    by_group: &'a ByGroup<T>,
    groups: usize,
    height: usize,
    /// Codes less zero points, (rows, columns by group).
    units: Vec<T>,
    /// B of these rows, (rows, rows); none for the identity.
    b: Option<Vec<T>>,
    /// Cholesky factors of B_ii U A Uᵀ of each row, (rows, groups, groups).
    factors: Vec<f64>,
}

impl<T: Real> Descent<'_, T> {
    /// Fits the scales of a block's rows to their codes. The quadratic never rises, but for the rounding of scales.
    pub(super) fn refit(&mut self, block: Range<usize>, slope: &mut [T]) {
        let n = self.size.columns;
        let fit = self.fit_of(block.clone());
        let grouped = fit.gathered(slope);
        let wanted = fit.solve(grouped);
        let scales = &self.scales[block.start * self.groups..block.end * self.groups];
        let stored: Vec<f32> = wanted
            .iter()
            .zip(scales)
            .map(|(&step, &scale)| {
                let found = (self.spec.store_scale)((f64::from(scale) + step) as f32);
                if found.is_finite() && found != 0.0 { found } else { scale }
            })
            .collect();
        let steps: Vec<f64> =
            stored.iter().zip(scales).map(|(&found, &scale)| f64::from(found) - f64::from(scale)).collect();
        if steps.iter().all(|&step| step == 0.0) {
            return;
        }
        let mut moves = vec![T::default(); block.len() * n];
        for (row, moves) in moves.chunks_exact_mut(n).enumerate() {
            for group in 0..self.groups {
                let step = steps[row * self.groups + group];
                for at in fit.by_group.range(group) {
                    moves[fit.by_group.columns[at]] = T::from_f64(fit.units[row * n + at].to_f64() * step);
                }
            }
        }
        self.scales[block.start * self.groups..block.end * self.groups].copy_from_slice(&stored);
        self.apply(block.start, &moves, 0..n, block, slope);
    }

    fn fit_of(&self, block: Range<usize>) -> Fit<'_, T> {
        let (n, groups, height) = (self.size.columns, self.groups, block.len());
        let by_group = &self.inputs.by_group;
        let mut units = vec![T::default(); height * n];
        for (row, units) in block.clone().zip(units.chunks_exact_mut(n)) {
            for group in 0..groups {
                let zero = self.zero(row, group);
                for at in by_group.range(group) {
                    let code = self.codes[row * n + by_group.columns[at]];
                    units[at] = T::from_f64(f64::from(code) - zero);
                }
            }
        }
        let rows = self.size.rows;
        let b = self.b.as_ref().map(|b| {
            block.clone().flat_map(|row| b[row * rows + block.start..row * rows + block.end].iter().copied()).collect()
        });
        let mut fit = Fit { by_group, groups, height, units, b, factors: vec![] };
        fit.factors = fit.systems();
        for (local, factor) in fit.factors.chunks_exact_mut(groups * groups).enumerate() {
            let own = self.weight_of(block.start + local, block.start + local);
            factor.iter_mut().for_each(|value| *value *= own);
            factor_ridged(factor, groups);
        }
        fit
    }
}

impl<T: Real> Fit<'_, T> {
    fn columns(&self) -> usize {
        self.by_group.columns.len()
    }

    /// Rows (height, columns of the descent) with their columns by group.
    fn gathered(&self, rows: &[T]) -> Vec<T> {
        let columns = &self.by_group.columns;
        rows.chunks_exact(columns.len()).flat_map(|row| columns.iter().map(|&column| row[column])).collect()
    }

    /// U A Uᵀ of each row, (rows, groups, groups): U holds the row's units, each in the line of its group.
    fn systems(&self) -> Vec<f64> {
        let (n, groups, height) = (self.columns(), self.groups, self.height);
        let mut systems = vec![0.0; height * groups * groups];
        let mut through = vec![T::default(); height * n];
        for group in 0..groups {
            let range = self.by_group.range(group);
            let left = MatRef::from_row_major_slice(&self.units, height, n).subcols(range.start, range.len());
            product(
                MatMut::from_row_major_slice_mut(&mut through, height, n),
                Accum::Replace,
                left,
                MatRef::from_row_major_slice(&self.by_group.a[range.start * n..range.end * n], range.len(), n),
                T::from_f64(1.0),
            );
            let sums = self.group_sums(&through);
            for (system, sums) in systems.chunks_exact_mut(groups * groups).zip(sums.chunks_exact(groups)) {
                system[group * groups..][..groups].copy_from_slice(sums);
            }
        }
        systems
    }

    /// Σ over the columns of each group of units times values: (rows, groups) of (rows, columns).
    fn group_sums(&self, values: &[T]) -> Vec<f64> {
        let n = self.columns();
        let mut sums = vec![0.0; self.height * self.groups];
        let rows = values.par_chunks(n).zip(self.units.par_chunks(n));
        sums.par_chunks_mut(self.groups).zip(rows).for_each(|(sums, (values, units))| {
            for (group, sum) in sums.iter_mut().enumerate() {
                let range = self.by_group.range(group);
                *sum = T::dot(&values[range.clone()], &units[range]);
            }
        });
        sums
    }

    /// B (S A), S the weights that steps (rows, groups) of the scales add.
    fn slope_of(&self, steps: &[f64]) -> Vec<T> {
        let (n, height) = (self.columns(), self.height);
        let mut moves = vec![T::default(); height * n];
        for (row, moves) in moves.chunks_exact_mut(n).enumerate() {
            for group in 0..self.groups {
                let step = steps[row * self.groups + group];
                let range = self.by_group.range(group);
                for (value, unit) in moves[range.clone()].iter_mut().zip(&self.units[row * n..][range]) {
                    *value = T::from_f64(unit.to_f64() * step);
                }
            }
        }
        let mut through = vec![T::default(); height * n];
        let one = T::from_f64(1.0);
        product(
            MatMut::from_row_major_slice_mut(&mut through, height, n),
            Accum::Replace,
            MatRef::from_row_major_slice(&moves, height, n),
            MatRef::from_row_major_slice(&self.by_group.a, n, n),
            one,
        );
        let Some(b) = &self.b else { return through };
        product(
            MatMut::from_row_major_slice_mut(&mut moves, height, n),
            Accum::Replace,
            MatRef::from_row_major_slice(b, height, height),
            MatRef::from_row_major_slice(&through, height, n),
            one,
        );
        moves
    }

    /// The preconditioner: each row's own solution.
    fn alone(&self, right: &[f64]) -> Vec<f64> {
        let mut solution = right.to_vec();
        let factors = self.factors.par_chunks(self.groups * self.groups);
        solution.par_chunks_mut(self.groups).zip(factors).for_each(|(right, factor)| solve_factored(factor, right));
        solution
    }

    /// Steps of the scales (rows, groups) towards the least quadratic, from half its negative gradient F (rows, columns).
    fn solve(&self, slope: Vec<T>) -> Vec<f64> {
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let mut found = vec![0.0; self.height * self.groups];
        let mut rest = self.group_sums(&slope);
        let mut direction = self.alone(&rest);
        let mut energy = dot(&rest, &direction);
        for step in 0..STEPS {
            let image = self.group_sums(&self.slope_of(&direction));
            let curvature = dot(&direction, &image);
            if !(curvature > 0.0 && energy > 0.0) {
                break;
            }
            let length = energy / curvature;
            found.iter_mut().zip(&direction).for_each(|(found, direction)| *found += length * direction);
            if step + 1 == STEPS {
                break;
            }
            rest.iter_mut().zip(&image).for_each(|(rest, image)| *rest -= length * image);
            let preconditioned = self.alone(&rest);
            let next = dot(&rest, &preconditioned);
            let share = next / energy;
            direction
                .iter_mut()
                .zip(&preconditioned)
                .for_each(|(direction, new)| *direction = new + share * *direction);
            energy = next;
        }
        found
    }
}

/// The Cholesky factor of a small symmetric positive semi-definite system in place, with a trace of ridge; a system of
/// zeros becomes infinite, so that its unknowns stay 0.
fn factor_ridged(matrix: &mut [f64], n: usize) {
    let mean = (0..n).map(|i| matrix[i * n + i]).sum::<f64>() / n as f64;
    if mean <= 0.0 {
        matrix.fill(0.0);
        (0..n).for_each(|i| matrix[i * n + i] = f64::INFINITY);
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
}

/// Solves L Lᵀ x = right in place.
fn solve_factored(factor: &[f64], right: &mut [f64]) {
    let n = right.len();
    for i in 0..n {
        for k in 0..i {
            right[i] -= factor[i * n + k] * right[k];
        }
        right[i] /= factor[i * n + i];
    }
    for i in (0..n).rev() {
        for k in i + 1..n {
            right[i] -= factor[k * n + i] * right[k];
        }
        right[i] /= factor[i * n + i];
    }
}
