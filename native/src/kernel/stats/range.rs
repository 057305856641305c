//! Least and greatest values.

use super::{CHUNK, LANES};
use crate::kernel::dispatch::dispatched;
use crate::kernel::fault::{Fault, expect_length};
use rayon::prelude::*;

/// The finite values' extremes; ∞ and -∞ before the first one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extremes {
    pub minimum: f32,
    pub maximum: f32,
    /// Infinite and NaN values, which are otherwise passed over.
    pub non_finite: u64,
}

impl Extremes {
    pub const NONE: Extremes = Extremes { minimum: f32::INFINITY, maximum: f32::NEG_INFINITY, non_finite: 0 };

    pub fn merge(self, other: Extremes) -> Extremes {
        Extremes {
            minimum: self.minimum.min(other.minimum),
            maximum: self.maximum.max(other.maximum),
            non_finite: self.non_finite + other.non_finite,
        }
    }
}

/// The extremes of all values.
pub fn extremes(values: &[f32]) -> Extremes {
    values.par_chunks(CHUNK).map(extremes_of).reduce(|| Extremes::NONE, Extremes::merge)
}

/// The extremes of each channel of values (outer, channels, inner).
pub fn extremes_by_channel(
    values: &[f32],
    outer: usize,
    channels: usize,
    inner: usize,
) -> Result<Vec<Extremes>, Fault> {
    expect_length("values", values.len(), outer * channels * inner)?;
    let mut found = vec![Extremes::NONE; channels];
    if values.is_empty() {
        return Ok(found);
    }
    if inner == 1 {
        // Channels lie beside each other: every task takes rows and keeps extremes for all channels.
        let rows = (CHUNK / channels).max(1);
        let parts = values.par_chunks(rows * channels).map(|rows| {
            let mut part = vec![Extremes::NONE; channels];
            rows.chunks_exact(channels).for_each(|row| {
                part.iter_mut().zip(row).for_each(|(part, &value)| *part = part.merge(extremes_of_one(value)));
            });
            part
        });
        return Ok(parts.reduce(
            || vec![Extremes::NONE; channels],
            |mut into, from| {
                into.iter_mut().zip(from).for_each(|(into, from)| *into = into.merge(from));
                into
            },
        ));
    }
    found.par_iter_mut().enumerate().for_each(|(channel, found)| {
        for outer in 0..outer {
            *found = found.merge(extremes_of(&values[(outer * channels + channel) * inner..][..inner]));
        }
    });
    Ok(found)
}

fn extremes_of_one(value: f32) -> Extremes {
    if value.is_finite() {
        Extremes { minimum: value, maximum: value, non_finite: 0 }
    } else {
        Extremes { non_finite: 1, ..Extremes::NONE }
    }
}

dispatched! {
    fn extremes_of(values: &[f32]) -> Extremes {
        let mut least = [f32::INFINITY; LANES];
        let mut greatest = [f32::NEG_INFINITY; LANES];
        let mut finite = 0u64;
        let (lines, rest) = values.as_chunks::<LANES>();
        for block in lines.chunks(4096) {
            let mut counts = [0u32; LANES];
            for line in block {
                for lane in 0..LANES {
                    let value = line[lane];
                    let good = value.to_bits() & 0x7f80_0000 != 0x7f80_0000;
                    let low = if good { value } else { f32::INFINITY };
                    let high = if good { value } else { f32::NEG_INFINITY };
                    least[lane] = if low < least[lane] { low } else { least[lane] };
                    greatest[lane] = if high > greatest[lane] { high } else { greatest[lane] };
                    counts[lane] += u32::from(good);
                }
            }
            finite += counts.iter().map(|&count| u64::from(count)).sum::<u64>();
        }
        let whole = Extremes {
            minimum: least.into_iter().fold(f32::INFINITY, f32::min),
            maximum: greatest.into_iter().fold(f32::NEG_INFINITY, f32::max),
            non_finite: (lines.len() * LANES) as u64 - finite,
        };
        rest.iter().fold(whole, |found, &value| found.merge(extremes_of_one(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::Random;

    fn plain(values: impl Iterator<Item = f32>) -> Extremes {
        values.fold(Extremes::NONE, |found, value| found.merge(extremes_of_one(value)))
    }

    fn noisy(random: &mut Random, count: usize) -> Vec<f32> {
        let mut values = random.normals(count);
        for index in (0..count).step_by(13) {
            values[index] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][random.below(3)];
        }
        values
    }

    #[test]
    fn extremes_pass_over_what_is_not_finite_and_count_it() {
        let mut random = Random::new(111);
        for count in [0, 1, 7, 8, 9, 100_000] {
            let values = noisy(&mut random, count);
            assert_eq!(extremes(&values), plain(values.iter().copied()));
        }
        assert_eq!(extremes(&[]), Extremes::NONE);
    }

    #[test]
    fn channels_are_told_apart_in_every_layout() {
        let mut random = Random::new(112);
        for (outer, channels, inner) in [(1, 1, 1), (500, 300, 1), (3, 5, 77), (2, 1, 40_000)] {
            let values = noisy(&mut random, outer * channels * inner);
            let found = extremes_by_channel(&values, outer, channels, inner).unwrap();
            for (channel, found) in found.iter().enumerate() {
                let own = values.chunks(inner).skip(channel).step_by(channels).flatten().copied();
                assert_eq!(*found, plain(own));
            }
        }
        assert!(extremes_by_channel(&[1.0], 1, 2, 1).is_err());
    }
}
