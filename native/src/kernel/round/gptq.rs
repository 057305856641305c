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
use crate::kernel::linalg::product::product;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

/// Rows that one thread solves at once: all rows are independent.
const STRIP: usize = 128;
const LEAST_STRIP: usize = 16;
/// Strips that a matrix is cut into at least, when it has the rows.
const STRIPS: usize = 16;

/// How columns are rounded once the inputs are factored.
#[derive(Clone, Copy, Debug)]
pub struct GptqSpec<'a> {
    pub grid: GridSpec<'a>,
    /// Grids to round on; chosen from the weight when absent. Given ones serve targets that are not the weight itself.
    pub grids: Option<&'a Grids>,
    /// Columns after which the rest of the matrix is updated by one product, at least 1.
    pub block_size: usize,
    /// First-order drift (FOEM): the part of a column's distance from its original weight that is taken back at every
    /// step, 0 for none.
    pub drift: f64,
}

/// What solving needs of the inputs, shared by all weights that see them. Columns whose input is always zero are rounded to
/// nearest: other data may bring them to life.
#[derive(Clone, Debug, PartialEq)]
pub struct InputFactor<T> {
    pub n: usize,
    pub order: Order,
    /// U (n, n), upper triangular, row-major, in the order of rounding: Uᵀ U = (H + damp·mean(diag H)·I)⁻¹.
    pub(super) u: Vec<T>,
    /// P (n, n), strictly upper triangular: what the present weight of a column adds to later ones (GPTAQ, eq. 15).
    p: Option<Vec<T>>,
    /// The part of the mean diagonal of H that was added to it, and how often it had to grow.
    pub damp: f64,
    pub retries: u32,
}

/// Factors the second moment of inputs `hessian` (n, n), symmetric; columns by falling diagonal with `by_activation`.
/// `pairs`: E[(x_full - x) xᵀ] (n, n) of the inputs as they were against those now, and how much of it counts.
pub fn factor_inputs<T: Real>(
    hessian: &[f64],
    n: usize,
    by_activation: bool,
    damping: Damping,
    pairs: Option<(&[f64], f64)>,
    control: &Control,
) -> Result<InputFactor<T>, Fault> {
    control.begin((n * n) as u64);
    let order = order_columns(hessian, n, by_activation)?;
    let InverseFactor { u, part, retries } = inverse_factor::<T>(hessian, n, &order, damping, control)?;
    let p = pairs.map(|(pairs, share)| pair_term(pairs, share, n, &order, &u)).transpose()?;
    control.advance((n * n) as u64)?;
    Ok(InputFactor { n, order, u, p, damp: part, retries })
}

/// P = α ((D Uᵀ) ∘ M) U with D in the order of rounding and M ones above the diagonal (GPTAQ, Li et al. 2025,
/// arXiv 2504.02692).
fn pair_term<T: Real>(pairs: &[f64], share: f64, n: usize, order: &Order, u: &[T]) -> Result<Vec<T>, Fault> {
    expect_length("the pairs", pairs.len(), n * n)?;
    let ordered: Vec<T> = order
        .columns
        .iter()
        .flat_map(|&i| order.columns.iter().map(move |&j| T::from_f64(share * pairs[i * n + j])))
        .collect();
    let mut left = vec![T::default(); n * n];
    let factor = MatRef::from_row_major_slice(u, n, n);
    product(
        MatMut::from_row_major_slice_mut(&mut left, n, n),
        Accum::Replace,
        MatRef::from_row_major_slice(&ordered, n, n),
        factor.transpose(),
        T::from_f64(1.0),
    );
    left.par_chunks_mut(n).enumerate().for_each(|(row, values)| values[..=row].fill(T::default()));
    let mut p = vec![T::default(); n * n];
    product(
        MatMut::from_row_major_slice_mut(&mut p, n, n),
        Accum::Replace,
        MatRef::from_row_major_slice(&left, n, n),
        factor,
        T::from_f64(1.0),
    );
    Ok(p)
}

/// What GPTQ found.
#[derive(Clone, Debug, PartialEq)]
pub struct Solved {
    /// In natural order of columns.
    pub rounded: Rounded,
    /// E_r (H + damp) E_rᵀ of each row r of the error E, dead columns left out; without pairs and drift.
    pub losses: Vec<f64>,
}

/// Rounds `weight` (rows, columns) for inputs that were factored. `T` is the precision of the updates.
pub fn gptq<T: Real>(
    weight: &[f32],
    size: Size,
    factor: &InputFactor<T>,
    spec: &GptqSpec,
    control: &Control,
) -> Result<Solved, Fault> {
    expect_length("weight", weight.len(), size.count())?;
    let n = size.columns;
    expect_length("the columns of the factor", factor.n, n)?;
    control.begin(2 * size.count() as u64);
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
    let decayed = (spec.drift > 0.0).then(|| decayed(&factor.u, n, 1.0 - spec.drift));
    let height = strip_height(size.rows);
    let groups = spec.grid.groups(n);
    let u = decayed.as_deref().unwrap_or(&factor.u);
    let mut live = vec![true; n];
    factor.order.dead.iter().for_each(|&column| live[column] = false);
    let solver = Solver { n, u, p: factor.p.as_deref(), order: &factor.order, live, spec, control };
    let mut codes = vec![0; size.count()];
    let mut losses = vec![0.0; size.rows];
    weight
        .par_chunks(height * n)
        .zip(codes.par_chunks_mut(height * n))
        .zip(losses.par_chunks_mut(height))
        .enumerate()
        .try_for_each(|(strip, ((weight, codes), losses))| {
            let grids = StripGrids::new(&grids, groups, strip * height, losses.len(), spec.grid.codes());
            solver.solve(weight, &grids, codes, losses)
        })?;
    Ok(Solved { rounded: Rounded { codes, grids }, losses })
}

/// U with U_ij for j > i times keep^(j-i): what is left of a step's correction when every later step takes a part of the
/// drift back.
fn decayed<T: Real>(u: &[T], n: usize, keep: f64) -> Vec<T> {
    let mut powers = vec![1.0; n];
    (1..n).for_each(|i| powers[i] = powers[i - 1] * keep);
    let mut result = u.to_vec();
    result.par_chunks_mut(n).enumerate().for_each(|(row, values)| {
        for (value, power) in values[row..].iter_mut().zip(&powers) {
            *value = T::from_f64(value.to_f64() * power);
        }
    });
    result
}

/// Depends on the matrix alone, so that results do not depend on the number of threads.
fn strip_height(rows: usize) -> usize {
    rows.div_ceil(STRIPS).next_multiple_of(8).clamp(LEAST_STRIP, STRIP)
}

struct Solver<'a, T> {
    n: usize,
    /// (n, n), upper triangular, row-major, in the order of rounding.
    u: &'a [T],
    p: Option<&'a [T]>,
    order: &'a Order,
    /// By natural column: whether its input is ever anything but zero.
    live: Vec<bool>,
    spec: &'a GptqSpec<'a>,
    control: &'a Control,
}

impl<T: Real> Solver<'_, T> {
    /// Rounds a strip of rows; adds the squares of its scaled errors to the losses of its rows.
    fn solve(&self, weight: &[f32], grids: &StripGrids, codes: &mut [u8], losses: &mut [f64]) -> Result<(), Fault> {
        let (n, height) = (self.n, grids.height);
        let width = self.spec.block_size.min(n);
        // Columns in the order of rounding, each contiguous: w and found are (n, height).
        let mut w = self.ordered(weight, height);
        let original = (self.spec.drift > 0.0).then(|| w.clone());
        let mut found = vec![0; n * height];
        let mut errors = vec![T::default(); width * height];
        // Columns of the block as they stood when they were rounded, for the pairs.
        let mut stood = vec![T::default(); if self.p.is_some() { width * height } else { 0 }];
        let mut factors = vec![T::default(); width];
        let mut uncounted = vec![0.0; height];
        for begin in (0..n).step_by(width) {
            let end = (begin + width).min(n);
            for i in begin..end {
                let done = i - begin;
                let column = &mut w[i * height..][..height];
                if let Some(p) = self.p {
                    for k in 0..done {
                        factors[k] = T::from_f64(-p[(begin + k) * n + i].to_f64());
                    }
                    T::eliminate(column, &stood[..done * height], &factors[..done]);
                }
                for k in 0..done {
                    factors[k] = self.u[(begin + k) * n + i];
                }
                T::eliminate(column, &errors[..done * height], &factors[..done]);
                if self.p.is_some() {
                    stood[done * height..][..height].copy_from_slice(column);
                }
                let group = self.order.columns[i] / self.spec.grid.group_size;
                let pivot = self.u[i * n + i];
                let error = &mut errors[done * height..][..height];
                let losses = if self.live[self.order.columns[i]] { &mut *losses } else { &mut uncounted };
                grids.round(group, column, pivot, &mut found[i * height..][..height], error, losses);
                if let Some(original) = &original {
                    for ((error, now), before) in error.iter_mut().zip(&*column).zip(&original[i * height..]) {
                        let drift = self.spec.drift * (now.to_f64() - before.to_f64());
                        *error = T::from_f64(error.to_f64() - drift / pivot.to_f64());
                    }
                }
            }
            let done = (end - begin) * height;
            self.update_rest(&mut w[end * height..], &errors[..done], self.u, begin..end, -1.0);
            if let Some(p) = self.p {
                self.update_rest(&mut w[end * height..], &stood[..done], p, begin..end, 1.0);
            }
            self.control.advance(done as u64)?;
        }
        for (row, codes) in codes.chunks_exact_mut(n).enumerate() {
            for (&column, found) in self.order.columns.iter().zip(found.chunks_exact(height)) {
                codes[column] = found[row];
            }
        }
        Ok(())
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

    /// W[:, end..] += sign · E M[begin..end, end..], M (n, n).
    fn update_rest(&self, rest: &mut [T], columns: &[T], matrix: &[T], block: std::ops::Range<usize>, sign: f64) {
        let (n, width) = (self.n, block.len());
        let height = columns.len() / width;
        let m = MatRef::from_row_major_slice(matrix, n, n).submatrix(block.start, block.end, width, n - block.end);
        matmul(
            MatMut::from_column_major_slice_mut(rest, height, n - block.end),
            Accum::Add,
            MatRef::from_column_major_slice(columns, height, width),
            m,
            T::from_f64(sign),
            Par::Seq,
        );
    }
}

#[cfg(test)]
#[path = "gptq_tests.rs"]
mod tests;
