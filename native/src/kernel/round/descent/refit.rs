//! Fitting the scales of groups to codes that are fixed: least squares in the metric of the descent, for a block of rows
//! at once by conjugate gradients, whose preconditioner solves each row as if it were alone.

use super::systems::Systems;
use super::{BLOCK, Descent, Inputs};
use crate::kernel::linalg::Real;
use crate::kernel::linalg::product::product;
use faer::{Accum, MatMut, MatRef};
use rayon::prelude::*;
use std::ops::Range;

/// Steps of conjugate gradients: rows see each other only through the off-diagonal of B, so few are needed. One alone
/// in every pass costs a few hundredths of the divergence of the model; one in the passes between the first, which has
/// the most to gain, and the last, whose scales stay, costs nothing.
const THOROUGH: usize = 2;
const BETWEEN: usize = 1;

/// Systems of a whole weight are kept from one pass to the next up to so many bytes: codes change little after the first.
const KEPT_BYTES: usize = 1 << 26;

/// The rows that are fitted together.
pub(super) struct Fit<'a, T> {
    pub(super) inputs: &'a Inputs<T>,
    pub(super) groups: usize,
    pub(super) height: usize,
    /// Codes less zero points, (rows, columns).
    pub(super) units: Vec<T>,
    /// B of these rows, (rows, rows); none for the identity.
    b: Option<Vec<T>>,
}

/// Steps of the scales (rows, groups), and S A with S the weights that they add, (rows, columns).
struct Steps<T> {
    steps: Vec<f64>,
    shift: Vec<T>,
}

impl<'a, T: Real> Descent<'a, T> {
    /// Fits the scales of a block's rows to their codes, given F of these rows, more closely where it is to be thorough. The
    /// quadratic never rises, but for the rounding of scales.
    pub(super) fn refit(&mut self, block: Range<usize>, slope: &[T], thorough: bool) {
        let n = self.size.columns;
        let fit = self.fit_of(block.clone());
        let number = block.start / BLOCK;
        let systems = self.systems[number]
            .take()
            .unwrap_or_else(|| Systems::new(&fit, block.clone().map(|row| self.weight_of(row, row)).collect()));
        let found = fit.solve(&systems, slope, if thorough { THOROUGH } else { BETWEEN });
        let scales = &self.scales[block.start * self.groups..block.end * self.groups];
        let stored: Vec<f32> = found
            .steps
            .iter()
            .zip(scales)
            .map(|(&step, &scale)| {
                let stored = (self.spec.store_scale)((f64::from(scale) + step) as f32);
                if stored.is_finite() && stored != 0.0 { stored } else { scale }
            })
            .collect();
        let steps: Vec<f64> =
            stored.iter().zip(scales).map(|(&stored, &scale)| f64::from(stored) - f64::from(scale)).collect();
        let as_found = |((taken, found), scale): ((&f64, &f64), &f32)| {
            (taken - found).abs() <= <T as Real>::EPSILON * f64::from(scale.abs())
        };
        let shift =
            if steps.iter().zip(&found.steps).zip(scales).all(as_found) { found.shift } else { fit.through(&steps) };
        let error = self.error[block.start * n..block.end * n].par_chunks_mut(n);
        error.zip(shift.par_chunks(n)).for_each(|(error, shift)| {
            for (error, shift) in error.iter_mut().zip(shift) {
                *error = T::from_f64(error.to_f64() - shift.to_f64());
            }
        });
        self.scales[block.start * self.groups..block.end * self.groups].copy_from_slice(&stored);
        if Systems::bytes(self.size.rows, self.groups) <= KEPT_BYTES {
            self.systems[number] = Some(systems);
        }
    }

    fn fit_of(&self, block: Range<usize>) -> Fit<'a, T> {
        let (n, groups, height) = (self.size.columns, self.groups, block.len());
        let inputs = self.inputs;
        let mut units = vec![T::default(); height * n];
        units.par_chunks_mut(n).zip(block.clone().into_par_iter()).for_each(|(units, row)| {
            for group in 0..groups {
                let zero = self.zero(row, group);
                for column in inputs.range(group) {
                    units[column] = T::from_f64(f64::from(self.codes[row * n + column]) - zero);
                }
            }
        });
        let rows = self.size.rows;
        let b = self.b.as_ref().map(|b| {
            block.clone().flat_map(|row| b[row * rows + block.start..row * rows + block.end].iter().copied()).collect()
        });
        Fit { inputs, groups, height, units, b }
    }
}

impl<T: Real> Fit<'_, T> {
    pub(super) fn columns(&self) -> usize {
        self.inputs.columns()
    }

    /// Σ over the columns of each group of units times values: (rows, groups) of (rows, columns).
    fn group_sums(&self, values: &[T]) -> Vec<f64> {
        let n = self.columns();
        let mut sums = vec![0.0; self.height * self.groups];
        let rows = values.par_chunks(n).zip(self.units.par_chunks(n));
        sums.par_chunks_mut(self.groups).zip(rows).for_each(|(sums, (values, units))| {
            for (group, sum) in sums.iter_mut().enumerate() {
                let range = self.inputs.range(group);
                *sum = T::dot(&values[range.clone()], &units[range]);
            }
        });
        sums
    }

    /// S A, S the weights that steps (rows, groups) of the scales add.
    fn through(&self, steps: &[f64]) -> Vec<T> {
        let (n, height) = (self.columns(), self.height);
        let mut moves = vec![T::default(); height * n];
        let rows = moves.par_chunks_mut(n).zip(self.units.par_chunks(n)).zip(steps.par_chunks(self.groups));
        rows.for_each(|((moves, units), steps)| {
            for (group, &step) in steps.iter().enumerate() {
                let range = self.inputs.range(group);
                for (value, unit) in moves[range.clone()].iter_mut().zip(&units[range]) {
                    *value = T::from_f64(unit.to_f64() * step);
                }
            }
        });
        let mut target = vec![T::default(); height * n];
        product(
            MatMut::from_row_major_slice_mut(&mut target, height, n),
            Accum::Replace,
            MatRef::from_row_major_slice(&moves, height, n),
            MatRef::from_row_major_slice(&self.inputs.a, n, n),
            T::from_f64(1.0),
        );
        target
    }

    /// Σ over the columns of each group of units times B X, X (rows, columns).
    fn weighted_sums(&self, x: &[T]) -> Vec<f64> {
        let Some(b) = &self.b else { return self.group_sums(x) };
        let (n, height) = (self.columns(), self.height);
        let mut weighted = vec![T::default(); height * n];
        product(
            MatMut::from_row_major_slice_mut(&mut weighted, height, n),
            Accum::Replace,
            MatRef::from_row_major_slice(b, height, height),
            MatRef::from_row_major_slice(x, height, n),
            T::from_f64(1.0),
        );
        self.group_sums(&weighted)
    }

    /// Steps of the scales towards the least quadratic, from half its negative gradient F (rows, columns), by `count`
    /// steps of the search.
    fn solve(&self, systems: &Systems, slope: &[T], count: usize) -> Steps<T> {
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let mut steps = vec![0.0; self.height * self.groups];
        let mut shift = vec![T::default(); self.height * self.columns()];
        let mut rest = self.group_sums(slope);
        let mut direction = systems.solve(&rest);
        let mut energy = dot(&rest, &direction);
        for step in 0..count {
            let through = self.through(&direction);
            let image = self.weighted_sums(&through);
            let curvature = dot(&direction, &image);
            if !(curvature > 0.0 && energy > 0.0) {
                break;
            }
            let length = energy / curvature;
            steps.iter_mut().zip(&direction).for_each(|(steps, direction)| *steps += length * direction);
            shift.par_iter_mut().zip(&through).for_each(|(shift, through)| {
                *shift = T::from_f64(shift.to_f64() + length * through.to_f64());
            });
            if step + 1 == count {
                break;
            }
            rest.iter_mut().zip(&image).for_each(|(rest, image)| *rest -= length * image);
            let preconditioned = systems.solve(&rest);
            let next = dot(&rest, &preconditioned);
            let share = next / energy;
            direction
                .iter_mut()
                .zip(&preconditioned)
                .for_each(|(direction, new)| *direction = new + share * *direction);
            energy = next;
        }
        Steps { steps, shift }
    }
}
