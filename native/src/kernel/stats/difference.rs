//! How far one array is from another.

use super::{CHUNK, LANES};
use crate::kernel::dispatch::dispatched;
use crate::kernel::fault::{Fault, expect_length};
use rayon::prelude::*;

/// Sums over pairs of elements, in double precision.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Difference {
    /// Σ a².
    pub signal: f64,
    /// Σ (a - b)².
    pub noise: f64,
    /// Σ a b.
    pub dot: f64,
    /// Σ b².
    pub other: f64,
    /// max |a - b|; NaN when any difference is.
    pub greatest: f64,
}

/// Compares `b` with `a`, element by element.
pub fn difference(a: &[f32], b: &[f32]) -> Result<Difference, Fault> {
    expect_length("the array to compare", b.len(), a.len())?;
    let parts: Vec<Difference> =
        a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK)).map(|(a, b)| difference_of(a, b)).collect();
    Ok(parts.into_iter().fold(Difference::default(), |total, part| Difference {
        signal: total.signal + part.signal,
        noise: total.noise + part.noise,
        dot: total.dot + part.dot,
        other: total.other + part.other,
        greatest: greater(total.greatest, part.greatest),
    }))
}

/// The greater of two, NaN when either is.
#[inline(always)]
fn greater(a: f64, b: f64) -> f64 {
    if a >= b || a.is_nan() { a } else { b }
}

dispatched! {
    fn difference_of(a: &[f32], b: &[f32]) -> Difference {
        let mut signal = [0f64; LANES];
        let mut noise = [0f64; LANES];
        let mut dot = [0f64; LANES];
        let mut other = [0f64; LANES];
        let mut greatest = [0f64; LANES];
        let mut pair = |lane: usize, a: f32, b: f32| {
            let (a, b) = (f64::from(a), f64::from(b));
            let error = a - b;
            signal[lane] += a * a;
            noise[lane] += error * error;
            dot[lane] += a * b;
            other[lane] += b * b;
            greatest[lane] = greater(greatest[lane], error.abs());
        };
        let (a_lines, a_rest) = a.as_chunks::<LANES>();
        let (b_lines, b_rest) = b.as_chunks::<LANES>();
        for (a, b) in a_lines.iter().zip(b_lines) {
            for lane in 0..LANES {
                pair(lane, a[lane], b[lane]);
            }
        }
        for (lane, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
            pair(lane, a, b);
        }
        Difference {
            signal: signal.iter().sum(),
            noise: noise.iter().sum(),
            dot: dot.iter().sum(),
            other: other.iter().sum(),
            greatest: greatest.into_iter().fold(0.0, greater),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::{Random, with_threads};

    #[test]
    fn the_sums_are_those_of_the_definition() {
        let found = difference(&[1.0, 2.0, -3.0], &[1.5, 2.0, -1.0]).unwrap();
        assert_eq!(found, Difference { signal: 14.0, noise: 4.25, dot: 8.5, other: 7.25, greatest: 2.0 });
        assert_eq!(difference(&[], &[]).unwrap(), Difference::default());
        assert!(difference(&[1.0], &[]).is_err());
    }

    #[test]
    fn long_sums_agree_with_the_plain_twin_and_never_depend_on_threads() {
        let mut random = Random::new(131);
        let (a, b) = (random.normals(200_003), random.normals(200_003));
        let found = with_threads(1, || difference(&a, &b).unwrap());
        for threads in [2, 3] {
            assert_eq!(with_threads(threads, || difference(&a, &b).unwrap()), found);
        }
        let pairs = || a.iter().zip(&b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        let close = |found: f64, expected: f64| (found - expected).abs() <= 1e-9 * a.len() as f64;
        assert!(close(found.signal, pairs().map(|(a, _)| a * a).sum()));
        assert!(close(found.noise, pairs().map(|(a, b)| (a - b) * (a - b)).sum()));
        assert!(close(found.dot, pairs().map(|(a, b)| a * b).sum()));
        assert!(close(found.other, pairs().map(|(_, b)| b * b).sum()));
        assert_eq!(found.greatest, pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f64::max));
    }

    #[test]
    fn a_nan_anywhere_shows_in_every_figure_it_touches() {
        for position in 0..20 {
            let (mut a, b) = ([1f32; 20], [1f32; 20]);
            a[position] = f32::NAN;
            let found = difference(&a, &b).unwrap();
            assert!(found.signal.is_nan() && found.noise.is_nan() && found.greatest.is_nan());
            assert_eq!(found.other, 20.0);
        }
    }
}
