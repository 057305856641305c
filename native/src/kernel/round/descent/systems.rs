//! Each row's own system of its scales: U A Uᵀ, U the row's codes less zero points, each in the line of its group.

use super::refit::Fit;
use crate::kernel::linalg::Real;
use crate::kernel::linalg::product::product;
use faer::{Accum, MatMut, MatRef};
use rayon::prelude::*;

/// Cholesky factors of the systems of a block's rows, (rows, groups, groups), in single precision: they start and guide
/// a search that takes nothing else from them.
pub(super) struct Systems {
    groups: usize,
    factors: Vec<f32>,
    /// B_ii of each row.
    own: Vec<f64>,
}

impl Systems {
    pub(super) fn new<T: Real>(fit: &Fit<T>, own: Vec<f64>) -> Self {
        let groups = fit.groups;
        let mut systems = lower_systems(fit);
        let mut factors = vec![0f32; systems.len()];
        let rows = systems.par_chunks_mut(groups * groups).zip(factors.par_chunks_mut(groups * groups));
        rows.for_each(|(system, factor)| {
            factor_ridged(system, groups);
            factor.iter_mut().zip(system).for_each(|(factor, value)| *factor = *value as f32);
        });
        Systems { groups, factors, own }
    }

    /// Each row's own solution of right sides (rows, groups): B_ii U A Uᵀ x = right.
    pub(super) fn solve(&self, right: &[f64]) -> Vec<f64> {
        let mut solution = right.to_vec();
        let factors = self.factors.par_chunks(self.groups * self.groups).zip(&self.own);
        solution.par_chunks_mut(self.groups).zip(factors).for_each(|(right, (factor, own))| {
            solve_factored(factor, right);
            right.iter_mut().for_each(|value| *value = if *own > 0.0 { *value / own } else { 0.0 });
        });
        solution
    }

    /// Bytes that the systems of so many rows take.
    pub(super) fn bytes(rows: usize, groups: usize) -> usize {
        rows * groups * groups * size_of::<f32>()
    }
}

/// The lower triangles of U A Uᵀ of each row, (rows, groups, groups).
fn lower_systems<T: Real>(fit: &Fit<T>) -> Vec<f64> {
    let (n, groups, height) = (fit.columns(), fit.groups, fit.height);
    let mut systems = vec![0.0; height * groups * groups];
    let mut through = vec![T::default(); height * n];
    let units = MatRef::from_row_major_slice(&fit.units, height, n);
    let a = MatRef::from_row_major_slice(&fit.inputs.a, n, n);
    for group in 0..groups {
        let range = fit.inputs.range(group);
        let rest = n - range.start;
        let through = &mut through[..height * rest];
        product(
            MatMut::from_row_major_slice_mut(through, height, rest),
            Accum::Replace,
            units.subcols(range.start, range.len()),
            a.submatrix(range.start, range.start, range.len(), rest),
            T::from_f64(1.0),
        );
        let rows = through.par_chunks(rest).zip(fit.units.par_chunks(n));
        systems.par_chunks_mut(groups * groups).zip(rows).for_each(|(system, (through, units))| {
            for other in group..groups {
                let own = fit.inputs.range(other);
                let through = &through[own.start - range.start..own.end - range.start];
                system[other * groups + group] = T::dot(through, &units[own]);
            }
        });
    }
    systems
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
fn solve_factored(factor: &[f32], right: &mut [f64]) {
    let n = right.len();
    let at = |i: usize, k: usize| f64::from(factor[i * n + k]);
    for i in 0..n {
        for k in 0..i {
            right[i] -= at(i, k) * right[k];
        }
        right[i] /= at(i, i);
    }
    for i in (0..n).rev() {
        for k in i + 1..n {
            right[i] -= at(k, i) * right[k];
        }
        right[i] /= at(i, i);
    }
}
