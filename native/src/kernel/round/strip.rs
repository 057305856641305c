//! Rounding one column of a strip of rows.

use super::grid::{Grids, Step};
use crate::kernel::dispatch::dispatched;
use crate::kernel::linalg::Real;

/// Grids of a strip, transposed: for each group the scales and zero points of all rows.
pub struct StripGrids {
    pub height: usize,
    pub scales: Vec<f32>,
    pub zeros: Vec<f32>,
    pub least: f32,
    pub greatest: f32,
}

impl StripGrids {
    /// The grids of rows `first .. first + height`.
    pub fn new(grids: &Grids, groups: usize, first: usize, height: usize, (least, greatest): (f32, f32)) -> Self {
        let at = |row: usize, group: usize| (first + row) * groups + group;
        let order = || (0..groups).flat_map(move |group| (0..height).map(move |row| (row, group)));
        StripGrids {
            height,
            scales: order().map(|(row, group)| grids.scales[at(row, group)]).collect(),
            zeros: order().map(|(row, group)| f32::from(grids.zero_points[at(row, group)])).collect(),
            least,
            greatest,
        }
    }

    /// Rounds a column of weights to codes of `group`. Leaves (weight - rounded) / pivot in `errors` and adds its squares
    /// to `losses`, one for each row.
    pub fn round<T: Real>(
        &self,
        group: usize,
        column: &[T],
        pivot: T,
        codes: &mut [u8],
        errors: &mut [T],
        losses: &mut [f64],
    ) {
        let mut single = [0f32; BLOCK];
        let mut rounded = [0f32; BLOCK];
        let first = group * self.height;
        for start in (0..column.len()).step_by(BLOCK) {
            let end = (start + BLOCK).min(column.len());
            let (single, rounded) = (&mut single[..end - start], &mut rounded[..end - start]);
            single.iter_mut().zip(&column[start..end]).for_each(|(single, weight)| *single = weight.to_f64() as f32);
            let (scales, zeros) = (&self.scales[first + start..first + end], &self.zeros[first + start..first + end]);
            nearest(single, scales, zeros, self.least, self.greatest, &mut codes[start..end], rounded);
            let weights = column[start..end].iter().zip(&*rounded);
            for ((error, loss), (&weight, &rounded)) in
                errors[start..end].iter_mut().zip(&mut losses[start..end]).zip(weights)
            {
                *error = (weight - T::from_f64(f64::from(rounded))) / pivot;
                let wide = error.to_f64();
                *loss += wide * wide;
            }
        }
    }
}

const BLOCK: usize = 64;

dispatched! {
    fn nearest(
        weights: &[f32],
        scales: &[f32],
        zeros: &[f32],
        least: f32,
        greatest: f32,
        codes: &mut [u8],
        rounded: &mut [f32],
    ) {
        let grids = scales.iter().zip(zeros);
        for ((&weight, (&scale, &zero)), (code, rounded)) in
            weights.iter().zip(grids).zip(codes.iter_mut().zip(rounded))
        {
            let step = Step { scale, zero, least, greatest };
            let nearest = step.code(weight);
            *rounded = step.value(nearest);
            // SAFETY: `Step::code` returns a whole number within 0..=255.
            *code = unsafe { nearest.to_int_unchecked::<i32>() } as u8;
        }
    }
}
