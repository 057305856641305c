//! Grids: which scale and zero point a group of weights gets.

use super::clip::{Clip, best_shrink};
use crate::kernel::fault::Fault;
use crate::kernel::float::through_f16;

/// How a grid lies around zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// From the least to the greatest weight, zero included; the zero point is an integer of its own.
    Asymmetric,
    /// Zero point 2^(bits-1); the weight of largest magnitude, with its sign, is the lowest code, so that the whole
    /// range is used and the scale may be negative.
    Symmetric,
    /// Zero point 2^(bits-1), codes within ±(2^(bits-1) - 1) around it, positive scales.
    SymmetricNarrow,
}

/// The type that scales are stored in; codes are chosen for the scales as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleType {
    Float32,
    Float16,
}

impl ScaleType {
    /// The least positive scale worth storing.
    fn least(self) -> f64 {
        match self {
            ScaleType::Float32 => f64::from(f32::MIN_POSITIVE),
            ScaleType::Float16 => 2f64.powi(-24),
        }
    }

    fn store(self, scale: f64) -> f32 {
        let least = self.least();
        let scale = if scale.abs() < least { least.copysign(scale) } else { scale } as f32;
        match self {
            ScaleType::Float32 => scale,
            ScaleType::Float16 => through_f16(scale),
        }
    }
}

/// What a grid is made by.
#[derive(Clone, Copy, Debug)]
pub struct GridSpec<'a> {
    /// Bits of a code, 1..=8 (2..=8 for the narrow scheme).
    pub bits: u32,
    /// Columns that share a scale, at least 1.
    pub group_size: usize,
    pub scheme: Scheme,
    pub scale_type: ScaleType,
    /// Search for a smaller range, or take the range of the weights.
    pub clip: Option<Clip<'a>>,
}

impl GridSpec<'_> {
    /// Groups of a row with this many columns.
    pub fn groups(&self, columns: usize) -> usize {
        columns.div_ceil(self.group_size)
    }

    /// Least and greatest code that may be used.
    pub fn codes(&self) -> (f32, f32) {
        let least = if self.scheme == Scheme::SymmetricNarrow { 1.0 } else { 0.0 };
        (least, ((1u32 << self.bits) - 1) as f32)
    }

    /// The zero point of the symmetric schemes.
    pub fn middle(&self) -> f32 {
        (1u32 << (self.bits - 1)) as f32
    }
}

/// The scale and zero point of one group, and the codes it may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub scale: f32,
    pub zero: f32,
    pub least: f32,
    pub greatest: f32,
}

impl Step {
    /// The nearest code, halves to even, within the range.
    #[inline(always)]
    pub fn code(&self, weight: f32) -> f32 {
        let code = (weight / self.scale).round_ties_even() + self.zero;
        let code = if code > self.least { code } else { self.least };
        if code < self.greatest { code } else { self.greatest }
    }

    /// What a code stands for.
    #[inline(always)]
    pub fn value(&self, code: f32) -> f32 {
        (code - self.zero) * self.scale
    }
}

/// Least and greatest weight of a group, zero included, and whether all are finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub least: f32,
    pub greatest: f32,
    pub finite: bool,
}

/// The range of a group. The loop keeps eight independent extremes so that it vectorises.
#[inline(always)]
pub fn range_of(weights: &[f32]) -> Range {
    let mut least = [0f32; 8];
    let mut greatest = [0f32; 8];
    let mut poison = [0f32; 8];
    let (blocks, rest) = weights.as_chunks::<8>();
    for block in blocks {
        for lane in 0..8 {
            let weight = block[lane];
            least[lane] = if weight < least[lane] { weight } else { least[lane] };
            greatest[lane] = if weight > greatest[lane] { weight } else { greatest[lane] };
            poison[lane] += weight * 0.0;
        }
    }
    for (lane, &weight) in rest.iter().enumerate() {
        least[lane] = if weight < least[lane] { weight } else { least[lane] };
        greatest[lane] = if weight > greatest[lane] { weight } else { greatest[lane] };
        poison[lane] += weight * 0.0;
    }
    Range {
        least: least.into_iter().fold(0.0, f32::min),
        greatest: greatest.into_iter().fold(0.0, f32::max),
        finite: poison.into_iter().sum::<f32>() == 0.0,
    }
}

/// The grid that spans `range` times `shrink`. A range of nothing but zeros gets scale 1.
#[inline(always)]
pub fn step_for(spec: &GridSpec, range: Range, shrink: f64) -> Step {
    let (least, greatest) = spec.codes();
    let middle = spec.middle();
    let (low, high) = (f64::from(range.least) * shrink, f64::from(range.greatest) * shrink);
    let zero_range = range.least == 0.0 && range.greatest == 0.0;
    match spec.scheme {
        _ if zero_range => {
            let zero = if spec.scheme == Scheme::Asymmetric { 0.0 } else { middle };
            Step { scale: 1.0, zero, least, greatest }
        }
        Scheme::Asymmetric => {
            let scale = spec.scale_type.store((high - low) / f64::from(greatest));
            let zero = (-low / f64::from(scale)).round_ties_even().clamp(0.0, f64::from(greatest)) as f32;
            Step { scale, zero, least, greatest }
        }
        Scheme::Symmetric => {
            let extreme = if high >= -low { high } else { low };
            Step { scale: spec.scale_type.store(-extreme / f64::from(middle)), zero: middle, least, greatest }
        }
        Scheme::SymmetricNarrow => {
            let extreme = high.max(-low);
            Step { scale: spec.scale_type.store(extreme / f64::from(middle - 1.0)), zero: middle, least, greatest }
        }
    }
}

/// Grids of a whole matrix, both (rows, groups).
#[derive(Clone, Debug, PartialEq)]
pub struct Grids {
    pub scales: Vec<f32>,
    pub zero_points: Vec<u8>,
}

impl Grids {
    pub fn zeroed(rows: usize, groups: usize) -> Self {
        Grids { scales: vec![0.0; rows * groups], zero_points: vec![0; rows * groups] }
    }
}

/// Chooses the grid of every group of one row. Fails on weights that are not finite and on scales that do not fit.
#[inline(always)]
pub fn fit_row(spec: &GridSpec, row: &[f32], scales: &mut [f32], zero_points: &mut [u8]) -> Result<(), RowFault> {
    for (group, weights) in row.chunks(spec.group_size).enumerate() {
        let range = range_of(weights);
        if !range.finite {
            return Err(RowFault::NotFinite);
        }
        let shrink = match &spec.clip {
            Some(clip) => best_shrink(spec, clip, group * spec.group_size, weights, range),
            None => 1.0,
        };
        let step = step_for(spec, range, shrink);
        if !step.scale.is_finite() {
            return Err(RowFault::ScaleTooLarge);
        }
        scales[group] = step.scale;
        zero_points[group] = step.zero as u8;
    }
    Ok(())
}

/// What can be wrong with a row of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFault {
    NotFinite,
    ScaleTooLarge,
}

impl RowFault {
    pub fn at(self, row: usize) -> Fault {
        Fault::numeric(match self {
            RowFault::NotFinite => format!("row {row} of the weight has NaN or infinite values"),
            RowFault::ScaleTooLarge => format!("row {row} of the weight needs a scale that its type cannot hold"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::Random;

    fn spec(bits: u32, scheme: Scheme) -> GridSpec<'static> {
        GridSpec { bits, group_size: 1 << 20, scheme, scale_type: ScaleType::Float32, clip: None }
    }

    #[test]
    fn the_range_always_includes_zero_and_sees_what_is_not_finite() {
        assert_eq!(range_of(&[1.0, 2.0]), Range { least: 0.0, greatest: 2.0, finite: true });
        assert_eq!(range_of(&[-3.0]), Range { least: -3.0, greatest: 0.0, finite: true });
        for position in 0..20 {
            let mut weights = [1.0; 20];
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                weights[position] = bad;
                assert!(!range_of(&weights).finite);
            }
        }
    }

    #[test]
    fn the_signed_extreme_is_the_lowest_code_exactly() {
        for extreme in [-3.0, 3.0] {
            let step = step_for(&spec(4, Scheme::Symmetric), range_of(&[extreme, extreme / -2.0]), 1.0);
            assert_eq!(step.scale, extreme / -8.0);
            assert_eq!(step.code(extreme), 0.0);
            assert_eq!(step.value(0.0), extreme);
        }
    }

    #[test]
    fn an_unclipped_grid_is_never_further_than_half_a_step() {
        let mut random = Random::new(7);
        for scheme in [Scheme::Asymmetric, Scheme::Symmetric, Scheme::SymmetricNarrow] {
            for bits in 2..=8 {
                let weights = random.normals(100);
                let step = step_for(&spec(bits, scheme), range_of(&weights), 1.0);
                for &weight in &weights {
                    let error = (step.value(step.code(weight)) - weight).abs();
                    let limit = match scheme {
                        // The end opposite to the extreme has one code less.
                        Scheme::Symmetric => 1.0001,
                        Scheme::Asymmetric | Scheme::SymmetricNarrow => 0.5001,
                    };
                    assert!(error <= step.scale.abs() * limit, "{scheme:?} {bits} {weight} {error}");
                }
            }
        }
    }

    #[test]
    fn zeros_stay_zeros_in_every_scheme() {
        for scheme in [Scheme::Asymmetric, Scheme::Symmetric, Scheme::SymmetricNarrow] {
            let step = step_for(&spec(3, scheme), range_of(&[0.0; 9]), 1.0);
            assert_eq!(step.scale, 1.0);
            assert_eq!(step.code(0.0), step.zero);
        }
    }

    #[test]
    fn tiny_and_huge_ranges_are_stored_as_far_as_the_type_goes() {
        let half = GridSpec { scale_type: ScaleType::Float16, ..spec(4, Scheme::Symmetric) };
        assert_eq!(step_for(&half, range_of(&[1e-20]), 1.0).scale, -(2f32.powi(-24)));
        assert_eq!(step_for(&spec(4, Scheme::Symmetric), range_of(&[-1e-45]), 1.0).scale, f32::MIN_POSITIVE);
        let (mut scales, mut zeros) = ([0.0], [0]);
        assert_eq!(fit_row(&half, &[1e9], &mut scales, &mut zeros), Err(RowFault::ScaleTooLarge));
        assert_eq!(fit_row(&half, &[f32::NAN], &mut scales, &mut zeros), Err(RowFault::NotFinite));
        assert_eq!(fit_row(&half, &[1.0], &mut scales, &mut zeros), Ok(()));
    }
}
