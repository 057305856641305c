//! The clip search: a range smaller than that of the weights often rounds them with less error.

use super::grid::{GridSpec, Range, ScaleType, Scheme, Step, step_for};
use super::power::{Norm, power};

/// A search over the shrink factors 1 - i / grid for 0 ≤ i < max_shrink · grid (GPTQ, Frantar et al. 2022, reference
/// implementation). The unclipped range is always among them.
#[derive(Clone, Copy, Debug)]
pub struct Clip<'a> {
    /// Steps that a factor of 1 is divided into, at least 1.
    pub grid: u32,
    /// Largest part that may be cut off, 0..=1.
    pub max_shrink: f64,
    pub norm: Norm,
    /// Importance of each column, non-negative; all equal when absent.
    pub weights: Option<&'a [f32]>,
}

impl Clip<'_> {
    /// Number of factors tried.
    pub fn candidates(&self) -> u32 {
        ((self.max_shrink * f64::from(self.grid)).ceil() as u32).max(1)
    }
}

/// The factor with the least Σ importance · |weight - rounded|^norm; the largest of equal ones. Ends as soon as what the
/// extremes lose by being cut off is more than the least cost so far: smaller ranges cut off more.
#[inline(always)]
pub fn best_shrink(spec: &GridSpec, clip: &Clip, first_column: usize, group: &[f32], range: Range) -> f64 {
    if range.least == 0.0 && range.greatest == 0.0 {
        return 1.0;
    }
    let importance = clip.weights.map(|weights| &weights[first_column..first_column + group.len()]);
    let ends = Ends::of(spec, group, importance, range);
    let mut best = (1.0, f64::INFINITY);
    for candidate in 0..clip.candidates() {
        let shrink = 1.0 - f64::from(candidate) / f64::from(clip.grid);
        let (floor, cost) = match clip.norm {
            Norm::Absolute => ends.search(group, importance, spec, range, shrink, best.1, |error| error),
            Norm::Square => ends.search(group, importance, spec, range, shrink, best.1, |error| error * error),
            Norm::Power(exponent) => {
                ends.search(group, importance, spec, range, shrink, best.1, |error| power(error, exponent))
            }
        };
        if floor > best.1 {
            break;
        }
        if cost < best.1 {
            best = (shrink, cost);
        }
    }
    best.0
}

/// The extremes of a group and how much they count.
struct Ends {
    /// Distance from zero and importance of the greatest and of the least weight.
    ends: [(f64, f32); 2],
    /// How far beyond the shrunken range a code can reach, as a part of that range: half a step where the zero point is
    /// rounded, and what half precision may add to a scale.
    slack: f64,
    width: f64,
}

impl Ends {
    #[inline(always)]
    fn of(spec: &GridSpec, group: &[f32], importance: Option<&[f32]>, range: Range) -> Self {
        let counts = |extreme: f32| {
            let place = group.iter().position(|&weight| weight == extreme);
            place.map_or(0.0, |place| importance.map_or(1.0, |importance| importance[place]))
        };
        let mut ends = [(range.greatest, counts(range.greatest)), (-range.least, counts(range.least))];
        if spec.scheme != Scheme::Asymmetric {
            // Only the side of the largest magnitude ends where its range ends.
            let other = if ends[0].0 >= ends[1].0 { 1 } else { 0 };
            ends[other].1 = 0.0;
        }
        let half_step = if spec.scheme == Scheme::Asymmetric { 0.5 / f64::from(spec.codes().1) } else { 0.0 };
        let stored = if spec.scale_type == ScaleType::Float16 { 1e-3 } else { 0.0 };
        let slack = half_step + stored;
        let width = f64::from(range.greatest) - f64::from(range.least);
        Ends { ends: ends.map(|(size, counts)| (f64::from(size), counts)), slack, width }
    }

    /// What the extremes lose at least within a shrunken range, with a margin for rounding, and the cost of the whole
    /// group, which is only computed where that is not too much.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn search(
        &self,
        group: &[f32],
        importance: Option<&[f32]>,
        spec: &GridSpec,
        range: Range,
        shrink: f64,
        least: f64,
        norm: impl Fn(f32) -> f32 + Copy,
    ) -> (f64, f64) {
        let reach = self.slack * self.width * shrink;
        let lost = |(size, counts): (f64, f32)| {
            let cut = (size * (1.0 - shrink) - reach).max(0.0);
            f64::from(norm(cut as f32)) * f64::from(counts)
        };
        let floor = 0.999 * (lost(self.ends[0]) + lost(self.ends[1]));
        if floor > least {
            return (floor, f64::INFINITY);
        }
        (floor, cost_of(group, importance, &step_for(spec, range, shrink), least, norm))
    }
}

/// Elements whose costs are added in single precision before they go into the double-precision total.
const BLOCK: usize = 256;
const LANES: usize = 8;

/// Elements after which a cost that is too much already is given up.
const LOOK: usize = 16;

/// Σ importance · norm(|weight - rounded|), infinity once it is more than `least`. Eight running sums, added in a fixed
/// order. The costs of a few elements are written down before they are added, so that the first loop vectorises whatever
/// the norm.
#[inline(always)]
fn cost_of(
    group: &[f32],
    importance: Option<&[f32]>,
    step: &Step,
    least: f64,
    norm: impl Fn(f32) -> f32 + Copy,
) -> f64 {
    let mut total = 0.0;
    for (block, weights) in group.chunks(BLOCK).enumerate() {
        let mut sums = [0f32; LANES];
        for (part, weights) in weights.chunks(LOOK).enumerate() {
            let mut buffer = [0f32; LOOK];
            let costs = &mut buffer[..weights.len()];
            for (cost, &weight) in costs.iter_mut().zip(weights) {
                *cost = norm((weight - step.value(step.code(weight))).abs());
            }
            if let Some(importance) = importance {
                for (cost, &importance) in costs.iter_mut().zip(&importance[block * BLOCK + part * LOOK..]) {
                    *cost *= importance;
                }
            }
            let (lines, rest) = costs.as_chunks::<LANES>();
            for line in lines {
                for lane in 0..LANES {
                    sums[lane] += line[lane];
                }
            }
            for (sum, cost) in sums.iter_mut().zip(rest) {
                *sum += cost;
            }
            if total + sums.iter().map(|&sum| f64::from(sum)).sum::<f64>() > least {
                return f64::INFINITY;
            }
        }
        total += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
    }
    total
}

#[cfg(test)]
mod tests {
    use super::super::grid::range_of;
    use super::*;
    use crate::kernel::testing::Random;

    /// The plain twin: every candidate in double precision with the library's power.
    fn plain_costs(spec: &GridSpec, clip: &Clip, group: &[f32], exponent: f64) -> Vec<(f64, f64)> {
        let range = range_of(group);
        (0..clip.candidates())
            .map(|candidate| {
                let shrink = 1.0 - f64::from(candidate) / f64::from(clip.grid);
                let step = step_for(spec, range, shrink);
                let cost = group
                    .iter()
                    .enumerate()
                    .map(|(column, &weight)| {
                        let error = f64::from(weight) - f64::from(step.value(step.code(weight)));
                        let importance = clip.weights.map_or(1.0, |weights| f64::from(weights[column]));
                        importance * error.abs().powf(exponent)
                    })
                    .sum();
                (shrink, cost)
            })
            .collect()
    }

    #[test]
    fn the_search_finds_a_least_cost_of_the_plain_twin() {
        let mut random = Random::new(11);
        for round in 0..60 {
            let group = random.normals(5 + 37 * (round % 9));
            let importance: Vec<f32> = group.iter().map(|_| random.unit() as f32).collect();
            for scheme in [Scheme::Asymmetric, Scheme::Symmetric, Scheme::SymmetricNarrow] {
                let exponent = [1.0, 2.0, 2.4][round % 3];
                let weights = (round % 2 == 0).then_some(importance.as_slice());
                let clip = Clip { grid: 50, max_shrink: 0.8, norm: Norm::from(exponent), weights };
                let spec = GridSpec {
                    bits: 2 + (round % 3) as u32,
                    group_size: group.len(),
                    scheme,
                    scale_type: ScaleType::Float32,
                    clip: None,
                };
                let found = best_shrink(&spec, &clip, 0, &group, range_of(&group));
                let costs = plain_costs(&spec, &clip, &group, exponent);
                let least = costs.iter().map(|(_, cost)| *cost).fold(f64::INFINITY, f64::min);
                let chosen = costs.iter().find(|(shrink, _)| *shrink == found).unwrap().1;
                assert!(chosen <= least * (1.0 + 1e-4), "{scheme:?} {exponent}: {chosen} against {least}");
                assert!(chosen <= costs[0].1 * (1.0 + 1e-4));
            }
        }
    }
}
