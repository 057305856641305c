//! Weights that are rounded to their grid in every forward pass, and the gradients that pass straight through the
//! rounding (Bengio, Léonard, Courville 2013; scales as in LSQ, Esser et al. 2020, section 2.1).

use crate::kernel::dispatch::dispatched;
use crate::kernel::fault::{Fault, expect_length};
use rayon::prelude::*;

/// A grid over a matrix (rows, columns): `weight = (code - zero) · scale`, one scale and zero for each group of columns.
#[derive(Clone, Copy)]
pub struct Grid<'a> {
    pub rows: usize,
    pub columns: usize,
    pub group_size: usize,
    /// Greatest code.
    pub greatest: u8,
    /// (rows, groups).
    pub scales: &'a [f32],
    /// (rows, groups), or one for all.
    pub zeros: &'a [u8],
}

impl Grid<'_> {
    fn groups(&self) -> usize {
        self.columns.div_ceil(self.group_size)
    }

    fn check(&self, matrix: usize) -> Result<(), Fault> {
        if self.columns == 0 || self.group_size == 0 {
            return Err(Fault::internal(format!("{} columns in groups of {}", self.columns, self.group_size)));
        }
        expect_length("the matrix", matrix, self.rows * self.columns)?;
        let count = self.rows * self.groups();
        expect_length("scales", self.scales.len(), count)?;
        if self.zeros.len() != 1 {
            expect_length("zero points", self.zeros.len(), count)?;
        }
        Ok(())
    }

    fn zero(&self, group: usize) -> f32 {
        f32::from(if self.zeros.len() == 1 { self.zeros[0] } else { self.zeros[group] })
    }
}

/// The place of a weight on its grid, before rounding; on a group of scale zero everything is at the zero point.
#[inline(always)]
fn place(weight: f32, inverse: f32, zero: f32) -> f32 {
    weight * inverse + zero
}

#[inline(always)]
fn inverse_of(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// Adding and subtracting 1.5 · 2^23 rounds to a whole number, halves to even; `x` must be within ±2^22.
#[inline(always)]
fn nearest(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    (x + ROUND) - ROUND
}

#[inline(always)]
fn limited(x: f32, greatest: f32) -> f32 {
    let low = if x > 0.0 { x } else { 0.0 };
    if low < greatest { low } else { greatest }
}

/// The codes of a matrix, one a byte: the nearest of each weight's grid, halves to even.
pub fn codes(weights: &[f32], grid: Grid) -> Result<Vec<u8>, Fault> {
    grid.check(weights.len())?;
    let mut found = vec![0u8; weights.len()];
    let groups = grid.groups();
    found.par_chunks_mut(grid.columns).zip(weights.par_chunks(grid.columns)).enumerate().for_each(
        |(row, (to, from))| {
            for (group, (to, from)) in to.chunks_mut(grid.group_size).zip(from.chunks(grid.group_size)).enumerate() {
                let at = row * groups + group;
                let (inverse, zero) = (inverse_of(grid.scales[at]), grid.zero(at));
                for (to, &weight) in to.iter_mut().zip(from) {
                    let limit = f32::from(grid.greatest);
                    *to = nearest(limited(place(weight, inverse, zero), limit)) as u8;
                }
            }
        },
    );
    Ok(found)
}

/// What the grid makes of a matrix: `(code - zero) · scale` of the nearest codes.
pub fn round(weights: &[f32], grid: Grid, rounded: &mut [f32]) -> Result<(), Fault> {
    grid.check(weights.len())?;
    expect_length("the rounded matrix", rounded.len(), weights.len())?;
    let groups = grid.groups();
    let rows = rounded.par_chunks_mut(grid.columns).zip(weights.par_chunks(grid.columns));
    rows.enumerate().for_each(|(row, (to, from))| {
        for (group, (to, from)) in to.chunks_mut(grid.group_size).zip(from.chunks(grid.group_size)).enumerate() {
            let at = row * groups + group;
            round_group(from, grid.scales[at], grid.zero(at), f32::from(grid.greatest), to);
        }
    });
    Ok(())
}

dispatched! {
    fn round_group(weights: &[f32], scale: f32, zero: f32, greatest: f32, rounded: &mut [f32]) {
        let inverse = inverse_of(scale);
        for (to, &weight) in rounded.iter_mut().zip(weights) {
            *to = (nearest(limited(place(weight, inverse, zero), greatest)) - zero) * scale;
        }
    }
}

/// Gradients of the rounded matrix become those of the weights (in place: zero where the grid has no code near
/// enough) and of the scales: `Σ g · (code - place)` within the grid and `Σ g · (code - zero)` beyond its ends.
pub fn pull_back(weights: &[f32], grid: Grid, gradients: &mut [f32], scale_gradients: &mut [f32]) -> Result<(), Fault> {
    grid.check(weights.len())?;
    expect_length("the gradient", gradients.len(), weights.len())?;
    expect_length("the gradient of scales", scale_gradients.len(), grid.scales.len())?;
    let groups = grid.groups();
    gradients
        .par_chunks_mut(grid.columns)
        .zip(weights.par_chunks(grid.columns))
        .zip(scale_gradients.par_chunks_mut(groups))
        .enumerate()
        .for_each(|(row, ((gradients, weights), sums))| {
            let parts = gradients.chunks_mut(grid.group_size).zip(weights.chunks(grid.group_size)).zip(sums);
            for (group, ((gradients, weights), sum)) in parts.enumerate() {
                let at = row * groups + group;
                *sum = pull_back_group(weights, grid.scales[at], grid.zero(at), f32::from(grid.greatest), gradients);
            }
        });
    Ok(())
}

const LANES: usize = 8;

dispatched! {
    fn pull_back_group(weights: &[f32], scale: f32, zero: f32, greatest: f32, gradients: &mut [f32]) -> f32 {
        let inverse = inverse_of(scale);
        let mut sums = [0f32; LANES];
        let element = |sum: &mut f32, gradient: &mut f32, weight: f32| {
            let x = place(weight, inverse, zero);
            let inside = x >= -0.5 && x <= greatest + 0.5;
            let code = nearest(limited(x, greatest));
            *sum += *gradient * (code - if inside { x } else { zero });
            *gradient = if inside { *gradient } else { 0.0 };
        };
        let (lines, rest) = gradients.as_chunks_mut::<LANES>();
        let (weight_lines, weight_rest) = weights.as_chunks::<LANES>();
        for (line, weights) in lines.iter_mut().zip(weight_lines) {
            for lane in 0..LANES {
                element(&mut sums[lane], &mut line[lane], weights[lane]);
            }
        }
        for ((sum, gradient), &weight) in sums.iter_mut().zip(rest).zip(weight_rest) {
            element(sum, gradient, weight);
        }
        sums.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::{Random, with_threads};

    #[test]
    fn rounding_takes_the_nearest_point_of_the_grid() {
        let grid = Grid { rows: 1, columns: 6, group_size: 4, greatest: 3, scales: &[0.5, -1.0], zeros: &[1, 2] };
        let weights = [0.2, -0.3, 9.0, 0.25, 1.4, -5.0];
        let mut rounded = [0.0; 6];
        round(&weights, grid, &mut rounded).unwrap();
        assert_eq!(rounded, [0.0, -0.5, 1.0, 0.5, 1.0, -1.0]);
        assert_eq!(codes(&weights, grid).unwrap(), [1, 0, 3, 2, 1, 3]);
    }

    #[test]
    fn points_of_the_grid_stay_and_everything_else_moves_at_most_half_a_step() {
        let (rows, columns, group_size) = (7, 45, 16);
        let mut random = Random::new(11);
        let scales: Vec<f32> = random.normals(rows * 3).iter().map(|s| s * 0.1 + 0.2).collect();
        let zeros: Vec<u8> = (0..rows * 3).map(|_| random.below(16) as u8).collect();
        let grid = Grid { rows, columns, group_size, greatest: 15, scales: &scales, zeros: &zeros };
        let weights = random.normals(rows * columns);
        let mut rounded = vec![0.0; weights.len()];
        round(&weights, grid, &mut rounded).unwrap();
        let mut again = vec![0.0; weights.len()];
        round(&rounded, grid, &mut again).unwrap();
        assert_eq!(again, rounded);
        let found = codes(&weights, grid).unwrap();
        for (at, &weight) in weights.iter().enumerate() {
            let group = at / columns * 3 + at % columns / group_size;
            let (scale, zero) = (scales[group], f32::from(zeros[group]));
            assert_eq!(rounded[at], (f32::from(found[at]) - zero) * scale);
            let (one, other) = (-zero * scale, (15.0 - zero) * scale);
            if weight > one.min(other) && weight < one.max(other) {
                assert!((weight - rounded[at]).abs() <= scale.abs() * 0.501);
            } else {
                assert!(rounded[at] == one || rounded[at] == other);
            }
        }
    }

    #[test]
    fn gradients_pass_within_the_grid_and_stop_beyond_it() {
        let grid = Grid { rows: 1, columns: 3, group_size: 3, greatest: 3, scales: &[1.0], zeros: &[1] };
        let mut gradients = [2.0, 3.0, 5.0];
        let mut scales = [0.0];
        pull_back(&[0.25, 7.0, -7.0], grid, &mut gradients, &mut scales).unwrap();
        assert_eq!(gradients, [2.0, 0.0, 0.0]);
        assert_eq!(scales, [2.0 * (1.0 - 1.25) + 3.0 * (3.0 - 1.0) + 5.0 * (0.0 - 1.0)]);
    }

    #[test]
    fn the_scale_gradient_is_the_derivative_where_codes_do_not_change() {
        // With codes fixed, d/ds of (code - zero) s is code - zero; straight-through adds the movement of the place.
        fn grid(scales: &[f32]) -> Grid<'_> {
            Grid { rows: 1, columns: 40, group_size: 40, greatest: 7, scales, zeros: &[0] }
        }
        let weights = vec![100.0; 40];
        let direction = Random::new(9).normals(40);
        let value = |scale: f32| {
            let mut rounded = vec![0.0; 40];
            round(&weights, grid(&[scale]), &mut rounded).unwrap();
            rounded.iter().zip(&direction).map(|(a, b)| f64::from(a * b)).sum::<f64>()
        };
        let (mut gradients, mut scales) = (direction.clone(), [0.0]);
        pull_back(&weights, grid(&[0.5]), &mut gradients, &mut scales).unwrap();
        let slope = (value(0.501) - value(0.499)) / 0.002;
        assert!((f64::from(scales[0]) - slope).abs() < 1e-3 * slope.abs());
    }

    #[test]
    fn threads_change_no_bit_and_broken_promises_are_faults() {
        let (rows, columns) = (300, 70);
        let weights = Random::new(21).normals(rows * columns);
        let scales = vec![0.3; rows * 3];
        let grid = Grid { rows, columns, group_size: 32, greatest: 15, scales: &scales, zeros: &[8] };
        let run = || {
            let (mut gradients, mut sums) = (Random::new(22).normals(rows * columns), vec![0.0; rows * 3]);
            let mut rounded = vec![0.0; rows * columns];
            round(&weights, grid, &mut rounded).unwrap();
            pull_back(&weights, grid, &mut gradients, &mut sums).unwrap();
            (rounded, gradients, sums)
        };
        assert!(with_threads(1, run) == with_threads(3, run));
        assert!(codes(&weights, Grid { scales: &scales[1..], ..grid }).is_err());
        assert!(codes(&weights[1..], grid).is_err());
    }
}
