//! Coordinate descent on the codes of a rounded weight, in the Kronecker-factored curvature of its site: the quadratic
//! tr(B (Q - T A⁻¹) A (Q - T A⁻¹)ᵀ) falls with every change. A is the second moment of the inputs, B of the gradients at
//! the outputs (K-FAC, Martens and Grosse 2015; rounding in it: YAQA, arXiv 2505.22988), T = W·E[x_full xᵀ] the cross
//! moment that the exact weight would have. Between passes the scales of the groups are fitted to the codes.
//!
//! With E = T - Q A, changing weight (i, j) by δ changes the quadratic by -2δ (B E)_ij + δ² B_ii A_jj. Rows and columns
//! are visited in blocks, so that all but the changes inside a block are matrix products.

mod pass;
mod refit;
mod systems;

use super::rtn::Size;
use crate::kernel::control::Control;
use crate::kernel::fault::{Fault, expect_length};
use crate::kernel::linalg::Real;
use crate::kernel::linalg::product::product;
use faer::{Accum, MatMut, MatRef};
use rayon::prelude::*;
use std::ops::Range;
use systems::Systems;

/// Rows and columns of a block.
const BLOCK: usize = 64;

/// Columns that take in each other's moves block by block; all others take in the moves of so many by one product.
const PANEL: usize = 256;

/// A pass with fits that changes fewer than one code in so many is the last.
const SETTLED: u64 = 200;

/// What the codes stand for, and how long to descend.
#[derive(Clone, Copy, Debug)]
pub struct DescentSpec<'a> {
    /// Columns that share a scale; the last group may be shorter.
    pub group_size: usize,
    /// The greatest code.
    pub greatest: u8,
    /// (rows, groups), or one for all.
    pub zero_points: &'a [u8],
    /// At most so many.
    pub passes: u32,
    /// Fit the scales of the groups after each pass.
    pub refit: bool,
    /// How a fitted scale is stored.
    pub store_scale: fn(f32) -> f32,
    /// Part of the mean diagonal of B that is added to its diagonal.
    pub ridge: f64,
    /// Compute the quadratic before and after, which takes as long as half a pass.
    pub measure: bool,
}

/// The second moments that define the quadratic.
#[derive(Clone, Copy, Debug)]
pub struct Metric<'a, T> {
    /// T (rows, columns).
    pub target: &'a [f64],
    /// A (columns, columns), symmetric.
    pub inputs: &'a [f64],
    /// White noise in the inputs as they were and as they are, and W (rows, columns), which it asks for: A + noise · I and
    /// T + noise · W take the place of A and T.
    pub noise: f64,
    pub weight: Option<&'a [f32]>,
    /// B (rows, rows), symmetric; the identity when absent.
    pub outputs: Option<&'a [T]>,
}

/// What the descent found.
#[derive(Clone, Debug, PartialEq)]
pub struct Descended {
    pub codes: Vec<u8>,
    pub scales: Vec<f32>,
    /// Changes of codes, over all passes.
    pub changes: u64,
    /// tr(B Q A Qᵀ) - 2 tr(B Q Tᵀ), before and after: the quadratic without its constant; 0 where it is not measured.
    pub before: f64,
    pub after: f64,
}

/// Descends from `codes` and `scales` (rows, groups). `T` is the precision of the products.
pub fn descend<T: Real>(
    codes: &[u8],
    scales: &[f32],
    size: Size,
    metric: &Metric<T>,
    spec: &DescentSpec,
    control: &Control,
) -> Result<Descended, Fault> {
    let Size { rows, columns } = size;
    let groups = columns.div_ceil(spec.group_size);
    expect_length("codes", codes.len(), size.count())?;
    expect_length("scales", scales.len(), rows * groups)?;
    expect_length("target", metric.target.len(), size.count())?;
    expect_length("input moment", metric.inputs.len(), columns * columns)?;
    if spec.zero_points.len() != 1 {
        expect_length("zero points", spec.zero_points.len(), rows * groups)?;
    }
    if let Some(weight) = metric.weight {
        expect_length("weight", weight.len(), size.count())?;
    }
    if let Some(outputs) = metric.outputs {
        expect_length("output moment", outputs.len(), rows * rows)?;
    }
    control.begin(u64::from(spec.passes) * size.count() as u64);
    let inputs = Inputs::<T>::new(metric, columns, spec);
    let found = match metric.outputs {
        Some(_) => Descent::new(codes, scales, 0..rows, &inputs, metric, spec).run(control)?,
        // Rows do not see each other: blocks of them descend side by side.
        None => {
            let each = |first: usize| {
                let block = first..(first + BLOCK).min(rows);
                let codes = &codes[first * columns..block.end * columns];
                let scales = &scales[first * groups..block.end * groups];
                Descent::new(codes, scales, block, &inputs, metric, spec).run(control)
            };
            let starts: Vec<usize> = (0..rows).step_by(BLOCK).collect();
            joined(starts.into_par_iter().map(each).collect::<Result<Vec<Descended>, Fault>>()?)
        }
    };
    Ok(found)
}

/// Blocks of rows as one.
fn joined(parts: Vec<Descended>) -> Descended {
    let mut whole = Descended { codes: vec![], scales: vec![], changes: 0, before: 0.0, after: 0.0 };
    for part in parts {
        whole.codes.extend(part.codes);
        whole.scales.extend(part.scales);
        whole.changes += part.changes;
        whole.before += part.before;
        whole.after += part.after;
    }
    whole
}

/// What all rows share.
struct Inputs<T> {
    group_size: usize,
    /// Columns by falling diagonal of A: the order in which they are visited.
    order: Vec<usize>,
    /// A with the noise in it, (columns, columns).
    a: Vec<T>,
    /// A between the columns of each panel of that order.
    near: Vec<Vec<T>>,
}

impl<T: Real> Inputs<T> {
    fn new(metric: &Metric<T>, columns: usize, spec: &DescentSpec) -> Self {
        let moment = metric.inputs;
        let mut order: Vec<usize> = (0..columns).collect();
        let diagonal = |column: usize| moment[column * columns + column];
        order.sort_by(|&x, &y| diagonal(y).total_cmp(&diagonal(x)));
        let mut a: Vec<T> = moment.iter().map(|&value| T::from_f64(value)).collect();
        for column in 0..columns {
            a[column * (columns + 1)] = T::from_f64(diagonal(column) + metric.noise);
        }
        let near = order.chunks(PANEL).map(|own| gathered(&a, columns, own, own)).collect();
        Inputs { group_size: spec.group_size, order, a, near }
    }

    fn columns(&self) -> usize {
        self.order.len()
    }

    /// The columns of a group.
    fn range(&self, group: usize) -> Range<usize> {
        group * self.group_size..((group + 1) * self.group_size).min(self.columns())
    }
}

/// Some rows and columns of a matrix with `n` columns.
fn gathered<T: Copy>(matrix: &[T], n: usize, rows: &[usize], columns: &[usize]) -> Vec<T> {
    rows.iter().flat_map(|&row| columns.iter().map(move |&column| matrix[row * n + column])).collect()
}

/// The state of a descent over some rows.
struct Descent<'a, T> {
    size: Size,
    /// Of the whole weight: the number of the first row here.
    first: usize,
    groups: usize,
    spec: &'a DescentSpec<'a>,
    inputs: &'a Inputs<T>,
    /// (rows, rows); none stand for the identity.
    b: Option<Vec<T>>,
    codes: Vec<u8>,
    scales: Vec<f32>,
    /// T and T - Q A, (rows, columns).
    target: Vec<T>,
    error: Vec<T>,
    /// What earlier fits of each block of rows have left.
    systems: Vec<Option<Systems>>,
}

impl<'a, T: Real> Descent<'a, T> {
    fn new(
        codes: &[u8],
        scales: &[f32],
        block: Range<usize>,
        inputs: &'a Inputs<T>,
        metric: &Metric<T>,
        spec: &'a DescentSpec,
    ) -> Self {
        let (rows, columns) = (block.len(), inputs.columns());
        let target = &metric.target[block.start * columns..block.end * columns];
        let target: Vec<T> = match metric.weight {
            Some(weight) => {
                let weight = &weight[block.start * columns..block.end * columns];
                let noisy = |(&t, &w): (&f64, &f32)| T::from_f64(t + metric.noise * f64::from(w));
                target.iter().zip(weight).map(noisy).collect()
            }
            None => target.iter().map(|&value| T::from_f64(value)).collect(),
        };
        let mut descent = Descent {
            size: Size { rows, columns },
            first: block.start,
            groups: columns.div_ceil(spec.group_size),
            spec,
            inputs,
            b: metric.outputs.map(|outputs| with_ridge(outputs, rows, spec.ridge)),
            codes: codes.to_vec(),
            scales: scales.to_vec(),
            error: target.clone(),
            target,
            systems: (0..rows.div_ceil(BLOCK)).map(|_| None).collect(),
        };
        let values = descent.values();
        product(
            MatMut::from_row_major_slice_mut(&mut descent.error, rows, columns),
            Accum::Add,
            MatRef::from_row_major_slice(&values, rows, columns),
            MatRef::from_row_major_slice(&inputs.a, columns, columns),
            T::from_f64(-1.0),
        );
        descent
    }

    fn run(mut self, control: &Control) -> Result<Descended, Fault> {
        let measure = |state: &Self| if state.spec.measure { state.quadratic() } else { 0.0 };
        let before = measure(&self);
        let mut changes = 0;
        for turn in 0..self.spec.passes {
            let thorough = turn == 0 || turn + 1 == self.spec.passes;
            let changed = self.pass(thorough, control)?;
            changes += changed;
            // Fits of the scales always let a few codes move: what they gain no longer shows.
            let settled = if self.spec.refit { changed * SETTLED < self.size.count() as u64 } else { changed == 0 };
            if settled {
                break;
            }
        }
        let after = measure(&self);
        if !self.error.iter().map(|error| error.to_f64()).sum::<f64>().is_finite() {
            return Err(Fault::numeric("the moments of this site hold values that are not finite"));
        }
        Ok(Descended { codes: self.codes, scales: self.scales, changes, before, after })
    }

    fn zero(&self, row: usize, group: usize) -> f64 {
        let zeros = self.spec.zero_points;
        f64::from(if zeros.len() == 1 { zeros[0] } else { zeros[(self.first + row) * self.groups + group] })
    }

    fn scale(&self, row: usize, group: usize) -> f64 {
        f64::from(self.scales[row * self.groups + group])
    }

    /// Dequantized weights.
    fn values(&self) -> Vec<T> {
        let Size { rows, columns } = self.size;
        (0..rows)
            .flat_map(|row| {
                (0..columns).map(move |column| {
                    let group = column / self.spec.group_size;
                    let code = f64::from(self.codes[row * columns + column]);
                    T::from_f64((code - self.zero(row, group)) * self.scale(row, group))
                })
            })
            .collect()
    }

    /// tr(B Q A Qᵀ) - 2 tr(B Q Tᵀ) = -Σ (B (E + T)) ∘ Q.
    fn quadratic(&self) -> f64 {
        let Size { rows, columns } = self.size;
        let sum: Vec<T> =
            self.error.iter().zip(&self.target).map(|(e, t)| T::from_f64(e.to_f64() + t.to_f64())).collect();
        let weighted = self.b.as_ref().map(|b| {
            let mut weighted = vec![T::default(); rows * columns];
            product(
                MatMut::from_row_major_slice_mut(&mut weighted, rows, columns),
                Accum::Replace,
                MatRef::from_row_major_slice(b, rows, rows),
                MatRef::from_row_major_slice(&sum, rows, columns),
                T::from_f64(1.0),
            );
            weighted
        });
        let left = weighted.as_ref().unwrap_or(&sum);
        let values = self.values();
        -left.iter().zip(&values).map(|(x, q)| x.to_f64() * q.to_f64()).sum::<f64>()
    }
}

/// B + ridge · mean(diag B) · I.
fn with_ridge<T: Real>(outputs: &[T], rows: usize, ridge: f64) -> Vec<T> {
    let mean = (0..rows).map(|row| outputs[row * rows + row].to_f64()).sum::<f64>() / rows.max(1) as f64;
    let mut matrix = outputs.to_vec();
    for row in 0..rows {
        let own = &mut matrix[row * rows + row];
        *own = T::from_f64(own.to_f64() + ridge * mean);
    }
    matrix
}

#[cfg(test)]
#[path = "descent_tests.rs"]
mod tests;
