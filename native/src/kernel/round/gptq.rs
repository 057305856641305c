//! GPTQ (Frantar, Ashkboos, Hoefler, Alistarh 2022, arXiv 2210.17323, algorithm 1): columns are rounded one after
//! another, and what each lost is made good by the columns that follow. Grids come from the original weights, so that
//! the order of columns is free and codes need no reordering afterwards.

use super::curvature::{Damping, InverseFactor, Order, inverse_factor, order_columns};
use super::grid::{GridSpec, Grids};
use super::rtn::{Rounded, Size, fit_grids};
use super::strip::StripGrids;
use crate::kernel::control::Control;
use crate::kernel::fault::{Fault, expect_length};
use crate::kernel::linalg::Real;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

/// Rows that one thread solves at once: all rows are independent.
const STRIP: usize = 128;
const LEAST_STRIP: usize = 16;
/// Strips that a matrix is cut into at least, when it has the rows.
const STRIPS: usize = 16;

/// How GPTQ solves.
#[derive(Clone, Copy, Debug)]
pub struct GptqSpec<'a> {
    pub grid: GridSpec<'a>,
    /// Grids to round on; chosen from the weight when absent. Given ones serve targets that are not the weight itself.
    pub grids: Option<&'a Grids>,
    /// Columns by falling diagonal of H, or in natural order.
    pub by_activation: bool,
    pub damping: Damping,
    /// Columns after which the rest of the matrix is updated by one product, at least 1.
    pub block_size: usize,
}

/// What GPTQ found.
#[derive(Clone, Debug, PartialEq)]
pub struct Solved {
    /// In natural order of columns.
    pub rounded: Rounded,
    /// The part of the mean diagonal of H that was added to it.
    pub damp: f64,
    pub retries: u32,
    pub dead: Vec<usize>,
    /// ½ tr(E (H + damp) Eᵀ), E the difference to the weight (dead columns taken as zero).
    pub loss: f64,
}

/// Rounds `weight` (rows, columns) for inputs with second moment `hessian` (columns, columns), symmetric. `T` is the
/// precision of the updates.
pub fn gptq<T: Real>(
    weight: &[f32],
    size: Size,
    hessian: &[f64],
    spec: &GptqSpec,
    control: &Control,
) -> Result<Solved, Fault> {
    expect_length("weight", weight.len(), size.count())?;
    let n = size.columns;
    let factor_work = (2 * n * n / 3) as u64;
    control.begin(2 * size.count() as u64 + factor_work);
    let order = order_columns(hessian, n, spec.by_activation)?;
    let cleared = clear_columns(weight, n, &order.dead);
    let weight = cleared.as_deref().unwrap_or(weight);
    let grids = match spec.grids {
        None => fit_grids(weight, size, &spec.grid, control)?,
        Some(grids) => {
            let count = size.rows * spec.grid.groups(n);
            expect_length("scales", grids.scales.len(), count)?;
            expect_length("zero points", grids.zero_points.len(), count)?;
            control.advance(size.count() as u64)?;
            grids.clone()
        }
    };
    let InverseFactor { u, part, retries } = inverse_factor::<T>(hessian, n, &order, spec.damping, control)?;
    control.advance(factor_work)?;

    let height = strip_height(size.rows);
    let groups = spec.grid.groups(n);
    let solver = Solver { n, u: &u, order: &order, spec, control };
    let mut codes = vec![0; size.count()];
    let losses = weight
        .par_chunks(height * n)
        .zip(codes.par_chunks_mut(height * n))
        .enumerate()
        .map(|(strip, (weight, codes))| {
            let rows = weight.len() / n;
            let grids = StripGrids::new(&grids, groups, strip * height, rows, spec.grid.codes());
            solver.solve(weight, &grids, codes)
        })
        .collect::<Result<Vec<f64>, Fault>>()?;
    Ok(Solved {
        rounded: Rounded { codes, grids },
        damp: part,
        retries,
        dead: order.dead.clone(),
        loss: losses.iter().sum::<f64>() / 2.0,
    })
}

/// Depends on the matrix alone, so that results do not depend on the number of threads.
fn strip_height(rows: usize) -> usize {
    rows.div_ceil(STRIPS).next_multiple_of(8).clamp(LEAST_STRIP, STRIP)
}

/// The weight with zeros in the given columns; nothing when there are none.
fn clear_columns(weight: &[f32], n: usize, columns: &[usize]) -> Option<Vec<f32>> {
    if columns.is_empty() {
        return None;
    }
    let mut cleared = weight.to_vec();
    cleared.par_chunks_mut(n).for_each(|row| columns.iter().for_each(|&column| row[column] = 0.0));
    Some(cleared)
}

struct Solver<'a, T> {
    n: usize,
    /// (n, n), upper triangular, row-major, in the order of rounding.
    u: &'a [T],
    order: &'a Order,
    spec: &'a GptqSpec<'a>,
    control: &'a Control,
}

impl<T: Real> Solver<'_, T> {
    /// Rounds a strip of rows; the sum of squares of its scaled errors.
    fn solve(&self, weight: &[f32], grids: &StripGrids, codes: &mut [u8]) -> Result<f64, Fault> {
        let (n, height) = (self.n, grids.height);
        let width = self.spec.block_size.min(n);
        // Columns in the order of rounding, each contiguous: w and found are (n, height).
        let mut w = self.ordered(weight, height);
        let mut found = vec![0; n * height];
        let mut errors = vec![T::default(); width * height];
        let mut factors = vec![T::default(); width];
        let mut loss = 0.0;
        for begin in (0..n).step_by(width) {
            let end = (begin + width).min(n);
            for i in begin..end {
                let done = i - begin;
                for k in 0..done {
                    factors[k] = self.u[(begin + k) * n + i];
                }
                let column = &mut w[i * height..][..height];
                T::eliminate(column, &errors[..done * height], &factors[..done]);
                let group = self.order.columns[i] / self.spec.grid.group_size;
                let pivot = self.u[i * n + i];
                let error = &mut errors[done * height..][..height];
                loss += grids.round(group, column, pivot, &mut found[i * height..][..height], error);
            }
            self.update_rest(&mut w[end * height..], &errors[..(end - begin) * height], begin, end);
            self.control.advance(((end - begin) * height) as u64)?;
        }
        for (row, codes) in codes.chunks_exact_mut(n).enumerate() {
            for (&column, found) in self.order.columns.iter().zip(found.chunks_exact(height)) {
                codes[column] = found[row];
            }
        }
        Ok(loss)
    }

    fn ordered(&self, weight: &[f32], height: usize) -> Vec<T> {
        let mut w = vec![T::default(); weight.len()];
        for (&column, target) in self.order.columns.iter().zip(w.chunks_exact_mut(height)) {
            for (target, row) in target.iter_mut().zip(weight.chunks_exact(self.n)) {
                *target = T::from_f64(f64::from(row[column]));
            }
        }
        w
    }

    /// W[:, end..] -= E U[begin..end, end..].
    fn update_rest(&self, rest: &mut [T], errors: &[T], begin: usize, end: usize) {
        let (n, width) = (self.n, end - begin);
        let height = errors.len() / width;
        let u = MatRef::from_row_major_slice(self.u, n, n).submatrix(begin, end, width, n - end);
        matmul(
            MatMut::from_column_major_slice_mut(rest, height, n - end),
            Accum::Add,
            MatRef::from_column_major_slice(errors, height, width),
            u,
            T::from_f64(-1.0),
            Par::Seq,
        );
    }
}

#[cfg(test)]
#[path = "gptq_tests.rs"]
mod tests;
