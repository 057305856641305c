//! One pass of coordinate descent: every weight once, in blocks whose moves reach the other blocks as matrix products.

use super::{BLOCK, Descent};
use crate::kernel::control::Control;
use crate::kernel::fault::Fault;
use crate::kernel::linalg::Real;
use crate::kernel::linalg::add::add_scaled;
use crate::kernel::linalg::product::product;
use crate::kernel::round::rtn::Size;
use faer::{Accum, MatMut, MatRef};
use std::ops::Range;

impl<T: Real> Descent<'_, T> {
    /// Visits every weight once; how many codes changed.
    pub(super) fn pass(&mut self, control: &Control) -> Result<u64, Fault> {
        let Size { rows, columns } = self.size;
        let mut changes = 0;
        for first in (0..rows).step_by(BLOCK) {
            let last = (first + BLOCK).min(rows);
            let mut slope = self.slope(first, last);
            for begin in (0..columns).step_by(BLOCK) {
                let end = (begin + BLOCK).min(columns);
                let (moves, changed) = self.visit(first..last, begin..end, &slope);
                changes += changed;
                if changed > 0 {
                    self.apply(first, &moves, begin..end, first..last, &mut slope);
                }
            }
            if self.spec.refit {
                self.refit(first..last, &mut slope);
            }
            control.advance(((last - first) * columns) as u64)?;
        }
        Ok(changes)
    }

    /// F = B E for a block of rows: half the negative gradient, (rows of the block, columns).
    fn slope(&self, first: usize, last: usize) -> Vec<T> {
        let Size { rows, columns } = self.size;
        let Some(b) = &self.b else {
            return self.error[first * columns..last * columns].to_vec();
        };
        let mut slope = vec![T::default(); (last - first) * columns];
        product(
            MatMut::from_row_major_slice_mut(&mut slope, last - first, columns),
            Accum::Replace,
            MatRef::from_row_major_slice(&b[first * rows..last * rows], last - first, rows),
            MatRef::from_row_major_slice(&self.error, rows, columns),
            T::from_f64(1.0),
        );
        slope
    }

    pub(super) fn weight_of(&self, row: usize, other: usize) -> f64 {
        match &self.b {
            Some(b) => b[row * self.size.rows + other].to_f64(),
            None => f64::from(u8::from(row == other)),
        }
    }

    /// Moves every weight of a block to the code where its parabola is least, given all moves before it. The moves
    /// (rows of the block, columns of the block) and how many there are.
    fn visit(&mut self, block: Range<usize>, columns: Range<usize>, slope: &[T]) -> (Vec<T>, u64) {
        let n = self.size.columns;
        let width = columns.len();
        let mut moves = vec![T::default(); block.len() * width];
        // What the moves of each row so far take off its own E, inside these columns.
        let mut taken: Vec<f64> = vec![0.0; block.len() * width];
        let mut changed = 0;
        let mut here = vec![0.0; width];
        for (local, row) in block.clone().enumerate() {
            let own = self.weight_of(row, row);
            for (value, f) in here.iter_mut().zip(&slope[local * n + columns.start..]) {
                *value = f.to_f64();
            }
            if self.b.is_some() {
                for earlier in 0..local {
                    let weight = self.weight_of(row, block.start + earlier);
                    add_scaled(&mut here, &taken[earlier * width..][..width], -weight);
                }
            }
            let mine = &mut taken[local * width..][..width];
            for (offset, column) in columns.clone().enumerate() {
                let curvature = own * self.inputs.a[column * n + column].to_f64();
                if curvature <= 0.0 {
                    continue;
                }
                let scale = f64::from(self.scales[row * self.groups + self.inputs.group[column]]);
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
                T::accumulate(mine, &self.inputs.a[column * n + columns.start..][..width], step);
            }
        }
        (moves, changed)
    }

    /// Takes moves of some rows, (rows, columns of `columns`), off E and off the slope of the block that they stand in.
    pub(super) fn apply(
        &mut self,
        first: usize,
        moves: &[T],
        columns: Range<usize>,
        block: Range<usize>,
        slope: &mut [T],
    ) {
        let n = self.size.columns;
        let width = columns.len();
        let height = moves.len() / width;
        let mut shift = vec![T::default(); height * n];
        product(
            MatMut::from_row_major_slice_mut(&mut shift, height, n),
            Accum::Replace,
            MatRef::from_row_major_slice(moves, height, width),
            MatRef::from_row_major_slice(&self.inputs.a[columns.start * n..columns.end * n], width, n),
            T::from_f64(1.0),
        );
        T::subtract(&mut self.error[first * n..][..height * n], &shift);
        let Some(b) = &self.b else {
            let offset = (first - block.start) * n;
            T::subtract(&mut slope[offset..][..height * n], &shift);
            return;
        };
        let rows = self.size.rows;
        let weights = MatRef::from_row_major_slice(b, rows, rows).submatrix(block.start, first, block.len(), height);
        product(
            MatMut::from_row_major_slice_mut(slope, block.len(), n),
            Accum::Add,
            weights,
            MatRef::from_row_major_slice(&shift, height, n),
            T::from_f64(-1.0),
        );
    }
}
