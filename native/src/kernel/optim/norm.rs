//! The length of a gradient, over all of its tensors together.

use super::CHUNK;
use crate::kernel::dispatch::dispatched;
use rayon::prelude::*;

const LANES: usize = 8;

/// Σ g² in double precision; NaN or infinite when an element is.
pub fn sum_of_squares(gradients: &[&[f32]]) -> f64 {
    let chunks: Vec<&[f32]> = gradients.iter().flat_map(|gradient| gradient.chunks(CHUNK)).collect();
    let parts: Vec<f64> = chunks.into_par_iter().map(squares).collect();
    parts.into_iter().sum()
}

dispatched! {
    fn squares(values: &[f32]) -> f64 {
        let mut sums = [0f64; LANES];
        let (lines, rest) = values.as_chunks::<LANES>();
        for line in lines {
            for lane in 0..LANES {
                sums[lane] += f64::from(line[lane]) * f64::from(line[lane]);
            }
        }
        for (sum, &value) in sums.iter_mut().zip(rest) {
            *sum += f64::from(value) * f64::from(value);
        }
        sums.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::{Random, with_threads};

    #[test]
    fn the_sum_is_that_of_the_definition_for_any_number_of_threads() {
        assert_eq!(sum_of_squares(&[&[3.0], &[], &[4.0, 12.0]]), 169.0);
        let (a, b) = (Random::new(1).normals(123_457), Random::new(2).normals(99));
        let plain: f64 = a.iter().chain(&b).map(|&g| f64::from(g) * f64::from(g)).sum();
        let found = with_threads(1, || sum_of_squares(&[&a, &b]));
        assert_eq!(with_threads(4, || sum_of_squares(&[&a, &b])), found);
        assert!((found / plain - 1.0).abs() < 1e-12);
    }

    #[test]
    fn broken_numbers_show() {
        assert!(sum_of_squares(&[&[1.0], &[f32::NAN]]).is_nan());
        assert_eq!(sum_of_squares(&[&[f32::NEG_INFINITY, 1.0]]), f64::INFINITY);
    }
}
