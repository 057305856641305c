//! The inner loop of column-by-column solvers: subtracting multiples of earlier columns.

use crate::kernel::dispatch::dispatched;

/// Rows that are held in registers at once.
const LANES: usize = 32;

macro_rules! eliminate {
    ($name:ident, $real:ty) => {
        dispatched! {
            /// `column[r] -= Σ_k errors[k][r] · factors[k]`, k ascending. `errors` holds one column per factor, each as
            /// long as `column`.
            pub fn $name(column: &mut [$real], errors: &[$real], factors: &[$real]) {
                let height = column.len();
                let (blocks, rest) = column.as_chunks_mut::<LANES>();
                for (block, column) in blocks.iter_mut().enumerate() {
                    let mut sums = *column;
                    for (k, &factor) in factors.iter().enumerate() {
                        if let Some(error) = errors[k * height + block * LANES..].first_chunk::<LANES>() {
                            for lane in 0..LANES {
                                sums[lane] -= error[lane] * factor;
                            }
                        }
                    }
                    *column = sums;
                }
                let first = height - rest.len();
                for (k, &factor) in factors.iter().enumerate() {
                    for (value, error) in rest.iter_mut().zip(&errors[k * height + first..]) {
                        *value -= error * factor;
                    }
                }
            }
        }
    };
}

eliminate!(eliminate_f32, f32);
eliminate!(eliminate_f64, f64);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::Random;

    #[test]
    fn every_height_equals_the_plain_loop() {
        let mut random = Random::new(55);
        for height in [1, 31, 32, 33, 128, 200] {
            for count in [0, 1, 7] {
                let start = random.normals(height);
                let errors = random.normals(height * count);
                let factors = random.normals(count);
                let mut found = start.clone();
                eliminate_f32(&mut found, &errors, &factors);
                let mut expected = start;
                for k in 0..count {
                    (0..height).for_each(|row| expected[row] -= errors[k * height + row] * factors[k]);
                }
                assert_eq!(found, expected);
            }
        }
    }
}
