//! Round to nearest, and the steps it is made of: choose grids, take codes on given grids, and go back.

use super::grid::{GridSpec, Grids, RowFault, Step, fit_row};
use crate::kernel::control::Control;
use crate::kernel::dispatch::dispatched;
use crate::kernel::fault::{Fault, expect_length};
use rayon::prelude::*;

/// Elements that one task works on, at least one row.
const TASK: usize = 1 << 16;

/// A matrix by its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub rows: usize,
    pub columns: usize,
}

impl Size {
    pub fn count(self) -> usize {
        self.rows * self.columns
    }

    /// Rows that one task works on when each element is looked at `looks` times. A stop is seen between tasks.
    fn task_rows(self, looks: u32) -> usize {
        (TASK / self.columns.max(1) / looks as usize).max(1)
    }
}

/// How often choosing a grid looks at an element.
fn looks(spec: &GridSpec) -> u32 {
    spec.clip.map_or(1, |clip| clip.candidates())
}

/// Codes (rows, columns) and the grids they lie on.
#[derive(Clone, Debug, PartialEq)]
pub struct Rounded {
    pub codes: Vec<u8>,
    pub grids: Grids,
}

/// Chooses grids for `weight` and rounds every weight to the nearest code.
pub fn quantize_rtn(weight: &[f32], size: Size, spec: &GridSpec, control: &Control) -> Result<Rounded, Fault> {
    expect_length("weight", weight.len(), size.count())?;
    let groups = spec.groups(size.columns);
    let mut grids = Grids::zeroed(size.rows, groups);
    let mut codes = vec![0; size.count()];
    let rows = size.task_rows(looks(spec));
    control.begin(size.count() as u64);
    weight
        .par_chunks(rows * size.columns)
        .zip(codes.par_chunks_mut(rows * size.columns))
        .zip(grids.scales.par_chunks_mut(rows * groups))
        .zip(grids.zero_points.par_chunks_mut(rows * groups))
        .enumerate()
        .try_for_each(|(task, (((weight, codes), scales), zero_points))| {
            fit_rows(spec, size.columns, weight, scales, zero_points)
                .map_err(|(row, fault)| fault.at(task * rows + row))?;
            code_rows(spec, size.columns, weight, scales, zero_points, codes);
            control.advance(weight.len() as u64)
        })?;
    Ok(Rounded { codes, grids })
}

/// Chooses grids for `weight` without rounding.
pub fn choose_grid(weight: &[f32], size: Size, spec: &GridSpec, control: &Control) -> Result<Grids, Fault> {
    control.begin(size.count() as u64);
    fit_grids(weight, size, spec, control)
}

/// `choose_grid` as a part of longer work: it counts the weights it is done with.
pub fn fit_grids(weight: &[f32], size: Size, spec: &GridSpec, control: &Control) -> Result<Grids, Fault> {
    expect_length("weight", weight.len(), size.count())?;
    let groups = spec.groups(size.columns);
    let mut grids = Grids::zeroed(size.rows, groups);
    let rows = size.task_rows(looks(spec));
    weight
        .par_chunks(rows * size.columns)
        .zip(grids.scales.par_chunks_mut(rows * groups))
        .zip(grids.zero_points.par_chunks_mut(rows * groups))
        .enumerate()
        .try_for_each(|(task, ((weight, scales), zero_points))| {
            fit_rows(spec, size.columns, weight, scales, zero_points)
                .map_err(|(row, fault)| fault.at(task * rows + row))?;
            control.advance(weight.len() as u64)
        })?;
    Ok(grids)
}

/// Rounds every weight to the nearest code of a grid that is already there.
pub fn quantize_on_grid(
    weight: &[f32],
    size: Size,
    spec: &GridSpec,
    grids: &Grids,
    control: &Control,
) -> Result<Vec<u8>, Fault> {
    expect_length("weight", weight.len(), size.count())?;
    let groups = spec.groups(size.columns);
    expect_length("scales", grids.scales.len(), size.rows * groups)?;
    expect_length("zero points", grids.zero_points.len(), size.rows * groups)?;
    let mut codes = vec![0; size.count()];
    let rows = size.task_rows(1);
    control.begin(size.count() as u64);
    weight
        .par_chunks(rows * size.columns)
        .zip(codes.par_chunks_mut(rows * size.columns))
        .zip(grids.scales.par_chunks(rows * groups))
        .zip(grids.zero_points.par_chunks(rows * groups))
        .try_for_each(|(((weight, codes), scales), zero_points)| {
            code_rows(spec, size.columns, weight, scales, zero_points, codes);
            control.advance(weight.len() as u64)
        })?;
    Ok(codes)
}

/// What the codes stand for. `zero_points` (rows, groups), or one for all.
pub fn dequantize(
    codes: &[u8],
    size: Size,
    group_size: usize,
    scales: &[f32],
    zero_points: ZeroPoints,
) -> Result<Vec<f32>, Fault> {
    expect_length("codes", codes.len(), size.count())?;
    let groups = size.columns.div_ceil(group_size);
    expect_length("scales", scales.len(), size.rows * groups)?;
    if let ZeroPoints::Each(zero_points) = zero_points {
        expect_length("zero points", zero_points.len(), scales.len())?;
    }
    let mut values = vec![0.0; codes.len()];
    let rows = size.task_rows(1);
    values
        .par_chunks_mut(rows * size.columns)
        .zip(codes.par_chunks(rows * size.columns))
        .zip(scales.par_chunks(rows * groups))
        .enumerate()
        .for_each(|(task, ((values, codes), scales))| {
            let zero_points = match zero_points {
                ZeroPoints::Each(all) => ZeroPoints::Each(&all[task * rows * groups..][..scales.len()]),
                same => same,
            };
            value_rows(size.columns, group_size, codes, scales, zero_points, values);
        });
    Ok(values)
}

/// Zero points: one for each (row, group), or the same everywhere.
#[derive(Clone, Copy, Debug)]
pub enum ZeroPoints<'a> {
    Each(&'a [u8]),
    Same(u8),
}

dispatched! {
    fn fit_rows(
        spec: &GridSpec,
        columns: usize,
        weight: &[f32],
        scales: &mut [f32],
        zero_points: &mut [u8],
    ) -> Result<(), (usize, RowFault)> {
        let groups = spec.groups(columns);
        for (index, row) in weight.chunks_exact(columns).enumerate() {
            let at = index * groups..(index + 1) * groups;
            fit_row(spec, row, &mut scales[at.clone()], &mut zero_points[at]).map_err(|fault| (index, fault))?;
        }
        Ok(())
    }
}

dispatched! {
    fn code_rows(
        spec: &GridSpec,
        columns: usize,
        weight: &[f32],
        scales: &[f32],
        zero_points: &[u8],
        codes: &mut [u8],
    ) {
        let groups = spec.groups(columns);
        let (least, greatest) = spec.codes();
        for (index, (row, codes)) in weight.chunks_exact(columns).zip(codes.chunks_exact_mut(columns)).enumerate() {
            let grouped = row.chunks(spec.group_size).zip(codes.chunks_mut(spec.group_size));
            for (group, (weights, codes)) in grouped.enumerate() {
                let at = index * groups + group;
                let step = Step { scale: scales[at], zero: f32::from(zero_points[at]), least, greatest };
                for (code, &weight) in codes.iter_mut().zip(weights) {
                    // SAFETY: `Step::code` returns a whole number within 0..=255 for every finite weight, and its
                    // lower bound for NaN.
                    *code = unsafe { step.code(weight).to_int_unchecked::<i32>() } as u8;
                }
            }
        }
    }
}

dispatched! {
    fn value_rows(
        columns: usize,
        group_size: usize,
        codes: &[u8],
        scales: &[f32],
        zero_points: ZeroPoints,
        values: &mut [f32],
    ) {
        let groups = columns.div_ceil(group_size);
        for (index, (codes, values)) in codes.chunks_exact(columns).zip(values.chunks_exact_mut(columns)).enumerate() {
            let grouped = codes.chunks(group_size).zip(values.chunks_mut(group_size));
            for (group, (codes, values)) in grouped.enumerate() {
                let at = index * groups + group;
                let scale = scales[at];
                let zero = match zero_points {
                    ZeroPoints::Each(zero_points) => zero_points[at],
                    ZeroPoints::Same(zero) => zero,
                };
                for (value, &code) in values.iter_mut().zip(codes) {
                    *value = (i32::from(code) - i32::from(zero)) as f32 * scale;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::clip::Clip;
    use super::super::grid::{ScaleType, Scheme};
    use super::super::power::Norm;
    use super::*;
    use crate::kernel::testing::Random;

    const SCHEMES: [Scheme; 3] = [Scheme::Asymmetric, Scheme::Symmetric, Scheme::SymmetricNarrow];

    fn spec(bits: u32, group_size: usize, scheme: Scheme) -> GridSpec<'static> {
        GridSpec { bits, group_size, scheme, scale_type: ScaleType::Float32, clip: None }
    }

    /// The plain twin: one weight after another, in double precision where the kernel says so.
    fn plain(weight: &[f32], size: Size, spec: &GridSpec) -> (Vec<u8>, Vec<f32>) {
        let top = f64::from((1u32 << spec.bits) - 1);
        let middle = 2f64.powi(spec.bits as i32 - 1);
        let (mut codes, mut scales) = (vec![], vec![]);
        for row in weight.chunks(size.columns) {
            for group in row.chunks(spec.group_size) {
                let low = group.iter().fold(0.0, |low: f64, &weight| low.min(f64::from(weight)));
                let high = group.iter().fold(0.0, |high: f64, &weight| high.max(f64::from(weight)));
                let scale = match spec.scheme {
                    _ if low == 0.0 && high == 0.0 => 1.0,
                    Scheme::Asymmetric => (high - low) / top,
                    Scheme::Symmetric => (if high >= -low { -high } else { -low }) / middle,
                    Scheme::SymmetricNarrow => high.max(-low) / (middle - 1.0),
                } as f32;
                let zero = match spec.scheme {
                    Scheme::Asymmetric => (-low / f64::from(scale)).round_ties_even().clamp(0.0, top),
                    _ => middle,
                };
                let least = if spec.scheme == Scheme::SymmetricNarrow { 1.0 } else { 0.0 };
                scales.push(scale);
                codes.extend(
                    group
                        .iter()
                        .map(|weight| (f64::from((weight / scale).round_ties_even()) + zero).clamp(least, top) as u8),
                );
            }
        }
        (codes, scales)
    }

    #[test]
    fn the_kernel_equals_its_plain_twin() {
        let mut random = Random::new(21);
        for (rows, columns, group_size) in [(1, 1, 1), (3, 40, 16), (9, 33, 33), (70, 1000, 128), (2, 100_003, 32)] {
            let size = Size { rows, columns };
            let mut weight = random.normals(size.count());
            weight[..group_size.min(columns)].fill(0.0);
            for scheme in SCHEMES {
                for bits in [2, 3, 4, 8] {
                    let spec = spec(bits, group_size, scheme);
                    let found = quantize_rtn(&weight, size, &spec, &Control::default()).unwrap();
                    let (codes, scales) = plain(&weight, size, &spec);
                    assert_eq!(found.grids.scales, scales);
                    assert_eq!(found.codes, codes, "{scheme:?} {bits} bits {rows}×{columns}");
                }
            }
        }
    }

    #[test]
    fn grids_chosen_first_give_the_same_codes() {
        let mut random = Random::new(22);
        let size = Size { rows: 17, columns: 90 };
        let weight = random.normals(size.count());
        let importance: Vec<f32> = (0..90).map(|_| random.unit() as f32).collect();
        let clip = Clip { grid: 20, max_shrink: 0.5, norm: Norm::Power(2.4), weights: Some(&importance) };
        for scheme in SCHEMES {
            let spec = GridSpec { clip: Some(clip), ..spec(3, 32, scheme) };
            let whole = quantize_rtn(&weight, size, &spec, &Control::default()).unwrap();
            let grids = choose_grid(&weight, size, &spec, &Control::default()).unwrap();
            assert_eq!(grids, whole.grids);
            let codes = quantize_on_grid(&weight, size, &spec, &grids, &Control::default()).unwrap();
            assert_eq!(codes, whole.codes);
        }
    }

    #[test]
    fn rounding_what_was_rounded_changes_nothing() {
        let mut random = Random::new(23);
        let size = Size { rows: 12, columns: 64 };
        let weight = random.normals(size.count());
        for scheme in SCHEMES {
            let spec = spec(4, 16, scheme);
            let first = quantize_rtn(&weight, size, &spec, &Control::default()).unwrap();
            let zeros = ZeroPoints::Each(&first.grids.zero_points);
            let values = dequantize(&first.codes, size, 16, &first.grids.scales, zeros).unwrap();
            let again = quantize_on_grid(&values, size, &spec, &first.grids, &Control::default()).unwrap();
            assert_eq!(again, first.codes);
        }
    }

    #[test]
    fn the_full_signed_range_has_less_error_than_the_narrow_one() {
        let mut random = Random::new(24);
        let size = Size { rows: 200, columns: 320 };
        let weight = random.normals(size.count());
        let error = |scheme| {
            let spec = spec(4, 32, scheme);
            let found = quantize_rtn(&weight, size, &spec, &Control::default()).unwrap();
            let zeros = ZeroPoints::Each(&found.grids.zero_points);
            let values = dequantize(&found.codes, size, 32, &found.grids.scales, zeros).unwrap();
            weight.iter().zip(&values).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / weight.len() as f64
        };
        assert!((error(Scheme::Symmetric) - 0.0074).abs() < 0.0004, "{}", error(Scheme::Symmetric));
        assert!((error(Scheme::SymmetricNarrow) - 0.00945).abs() < 0.0005);
        assert!((error(Scheme::Asymmetric) - 0.00653).abs() < 0.0004);
    }

    #[test]
    fn codes_fit_the_scales_as_stored_in_half_precision() {
        let mut random = Random::new(25);
        let size = Size { rows: 5, columns: 64 };
        let weight = random.normals(size.count());
        let spec = GridSpec { scale_type: ScaleType::Float16, ..spec(8, 64, Scheme::Symmetric) };
        let found = quantize_rtn(&weight, size, &spec, &Control::default()).unwrap();
        for scale in &found.grids.scales {
            assert_eq!(half::f16::from_f32(*scale).to_f32(), *scale);
        }
        let codes = quantize_on_grid(&weight, size, &spec, &found.grids, &Control::default()).unwrap();
        assert_eq!(codes, found.codes);
    }

    #[test]
    fn bad_weights_name_their_row_and_a_stop_is_honoured() {
        let size = Size { rows: 40, columns: 5000 };
        let mut weight = vec![1.0; size.count()];
        weight[23 * 5000 + 77] = f32::NAN;
        let spec = spec(4, 32, Scheme::Symmetric);
        let fault = quantize_rtn(&weight, size, &spec, &Control::default()).unwrap_err();
        assert!(fault.message.contains("row 23 "), "{}", fault.message);
        let control = Control::default();
        control.stop();
        assert_eq!(quantize_rtn(&vec![1.0; size.count()], size, &spec, &control).unwrap_err(), Fault::interrupted());
    }
}
