//! One pass of coordinate descent: every weight once, in blocks whose moves reach the other blocks as matrix products.

use super::{BLOCK, Descent, PANEL, gathered};
use crate::kernel::control::Control;
use crate::kernel::fault::Fault;
use crate::kernel::linalg::Real;
use crate::kernel::linalg::add::add_scaled;
use crate::kernel::linalg::product::product;
use crate::kernel::round::rtn::Size;
use faer::{Accum, MatMut, MatRef};
use rayon::prelude::*;
use std::ops::Range;

/// Where fewer than one in so many weights of a panel move, their moves are taken off one by one.
const FEW: usize = 12;

/// Columns of E that few moves are taken off at a time, so that their part of A stays near.
const WINDOW: usize = 512;

/// E -= moves · A, E (rows, n), with most of the moves (rows, columns given) zero; A (n, n).
fn take_few<T: Real>(error: &mut [T], moves: &[T], columns: &[usize], a: &[T], n: usize) {
    for begin in (0..n).step_by(WINDOW) {
        let window = begin..(begin + WINDOW).min(n);
        let rows = error.par_chunks_mut(n).zip(moves.par_chunks(columns.len()));
        rows.for_each(|(error, moves)| {
            for (&step, &column) in moves.iter().zip(columns) {
                if step != T::default() {
                    let a = &a[column * n..][window.clone()];
                    T::add_scaled(&mut error[window.clone()], a, T::from_f64(-step.to_f64()));
                }
            }
        });
    }
}

/// B E and E of a block of rows, (rows of the block, some columns), when a pass came to it: where rows see each other.
struct Before<T> {
    slope: Vec<T>,
    error: Vec<T>,
}

impl<T: Real> Before<T> {
    /// Some of its `n` columns.
    fn at(&self, n: usize, columns: &[usize]) -> Self {
        let rows: Vec<usize> = (0..self.slope.len() / n).collect();
        Before { slope: gathered(&self.slope, n, &rows, columns), error: gathered(&self.error, n, &rows, columns) }
    }
}

/// The columns that are visited together.
#[derive(Clone, Copy)]
struct Panel<'a, T> {
    columns: &'a [usize],
    /// A between them.
    near: &'a [T],
}

impl<T: Real> Descent<'_, T> {
    /// Visits every weight once, and fits the scales, closely where it is to be thorough; how many codes changed.
    pub(super) fn pass(&mut self, thorough: bool, control: &Control) -> Result<u64, Fault> {
        let Size { rows, columns } = self.size;
        let mut changes = 0;
        for first in (0..rows).step_by(BLOCK) {
            let block = first..(first + BLOCK).min(rows);
            let before = self.before(block.clone());
            let inputs = self.inputs;
            for (columns, near) in inputs.order.chunks(PANEL).zip(&inputs.near) {
                changes += self.visit_panel(block.clone(), Panel { columns, near }, before.as_ref());
            }
            if self.spec.refit {
                let slope = self.slope(block.clone(), self.errors(block.clone()), before);
                self.refit(block.clone(), &slope, thorough);
            }
            control.advance((block.len() * columns) as u64)?;
        }
        Ok(changes)
    }

    /// E of a block of rows, (rows of the block, columns).
    fn errors(&self, block: Range<usize>) -> MatRef<'_, T> {
        let n = self.size.columns;
        MatRef::from_row_major_slice(&self.error[block.start * n..block.end * n], block.len(), n)
    }

    fn before(&self, block: Range<usize>) -> Option<Before<T>> {
        let Size { rows, columns } = self.size;
        let b = self.b.as_ref()?;
        let mut slope = vec![T::default(); block.len() * columns];
        product(
            MatMut::from_row_major_slice_mut(&mut slope, block.len(), columns),
            Accum::Replace,
            MatRef::from_row_major_slice(&b[block.start * rows..block.end * rows], block.len(), rows),
            MatRef::from_row_major_slice(&self.error, rows, columns),
            T::from_f64(1.0),
        );
        Some(Before { slope, error: self.error[block.start * columns..block.end * columns].to_vec() })
    }

    /// F = B E of a block of rows as it stands, half the negative gradient, in some columns: what it was `before`, and
    /// what the block's own rows have moved since. `errors`: E now, (rows of the block, these columns).
    fn slope(&self, block: Range<usize>, errors: MatRef<T>, before: Option<Before<T>>) -> Vec<T> {
        let (height, width) = (errors.nrows(), errors.ncols());
        let (Some(b), Some(Before { mut slope, error: mut moved })) = (&self.b, before) else {
            let mut slope = vec![T::default(); height * width];
            MatMut::from_row_major_slice_mut(&mut slope, height, width).copy_from(errors);
            return slope;
        };
        let mut difference = MatMut::from_row_major_slice_mut(&mut moved, height, width);
        difference -= errors;
        let rows = self.size.rows;
        product(
            MatMut::from_row_major_slice_mut(&mut slope, height, width),
            Accum::Add,
            MatRef::from_row_major_slice(b, rows, rows).submatrix(block.start, block.start, height, height),
            MatRef::from_row_major_slice(&moved, height, width),
            T::from_f64(-1.0),
        );
        slope
    }

    pub(super) fn weight_of(&self, row: usize, other: usize) -> f64 {
        match &self.b {
            Some(b) => b[row * self.size.rows + other].to_f64(),
            None => f64::from(u8::from(row == other)),
        }
    }

    /// Visits the columns of a panel block by block, then takes all their moves off E; how many codes changed.
    fn visit_panel(&mut self, block: Range<usize>, panel: Panel<T>, before: Option<&Before<T>>) -> u64 {
        let n = self.size.columns;
        let (height, width) = (block.len(), panel.columns.len());
        let mut changes = 0;
        let mut moves = vec![T::default(); height * width];
        let rows: Vec<usize> = block.clone().collect();
        let mut errors = gathered(&self.error, n, &rows, panel.columns);
        let near = MatRef::from_row_major_slice(panel.near, width, width);
        for begin in (0..width).step_by(BLOCK) {
            let end = (begin + BLOCK).min(width);
            let here = MatRef::from_row_major_slice(&errors, height, width).subcols(begin, end - begin);
            let columns = &panel.columns[begin..end];
            let slope = self.slope(block.clone(), here, before.map(|before| before.at(n, columns)));
            let (found, changed) = self.visit(block.clone(), panel, begin..end, &slope);
            if changed == 0 {
                continue;
            }
            changes += changed;
            for (moves, found) in moves.chunks_exact_mut(width).zip(found.chunks_exact(end - begin)) {
                moves[begin..end].copy_from_slice(found);
            }
            product(
                MatMut::from_row_major_slice_mut(&mut errors, height, width).subcols_mut(end, width - end),
                Accum::Add,
                MatRef::from_row_major_slice(&found, height, end - begin),
                near.submatrix(begin, end, end - begin, width - end),
                T::from_f64(-1.0),
            );
        }
        let error = &mut self.error[block.start * n..block.end * n];
        if changes as usize * FEW < height * width {
            take_few(error, &moves, panel.columns, &self.inputs.a, n);
        } else {
            let a: Vec<T> =
                panel.columns.iter().flat_map(|&column| self.inputs.a[column * n..][..n].iter().copied()).collect();
            product(
                MatMut::from_row_major_slice_mut(error, height, n),
                Accum::Add,
                MatRef::from_row_major_slice(&moves, height, width),
                MatRef::from_row_major_slice(&a, width, n),
                T::from_f64(-1.0),
            );
        }
        changes
    }

    /// Moves every weight of some columns of a panel to the code where its parabola is least, given all moves before
    /// it; `slope` is F of these rows and columns. The moves (rows of the block, these columns) and how many there are.
    fn visit(&mut self, block: Range<usize>, panel: Panel<T>, places: Range<usize>, slope: &[T]) -> (Vec<T>, u64) {
        let n = self.size.columns;
        let width = places.len();
        let mut moves = vec![T::default(); block.len() * width];
        // What the moves of each row so far take off its own E, inside these columns.
        let mut taken: Vec<f64> = vec![0.0; block.len() * width];
        let mut changed = 0;
        let mut here = vec![0.0; width];
        for (local, row) in block.clone().enumerate() {
            let own = self.weight_of(row, row);
            for (value, f) in here.iter_mut().zip(&slope[local * width..]) {
                *value = f.to_f64();
            }
            if self.b.is_some() {
                for earlier in 0..local {
                    let weight = self.weight_of(row, block.start + earlier);
                    add_scaled(&mut here, &taken[earlier * width..][..width], -weight);
                }
            }
            let mine = &mut taken[local * width..][..width];
            for (offset, place) in places.clone().enumerate() {
                let column = panel.columns[place];
                let near = &panel.near[place * panel.columns.len()..][places.clone()];
                let curvature = own * near[offset].to_f64();
                if curvature <= 0.0 {
                    continue;
                }
                let scale = self.scale(row, column / self.spec.group_size);
                let best = (here[offset] - own * mine[offset]) / curvature;
                let code = self.codes[row * n + column];
                let wanted = (f64::from(code) + best / scale).round_ties_even();
                let found = wanted.clamp(0.0, f64::from(self.spec.greatest)) as u8;
                if found == code {
                    continue;
                }
                let step = (f64::from(found) - f64::from(code)) * scale;
                self.codes[row * n + column] = found;
                moves[local * width + offset] = T::from_f64(step);
                changed += 1;
                T::accumulate(mine, near, step);
            }
        }
        (moves, changed)
    }
}
