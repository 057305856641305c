//! Sums of scaled vectors, elementwise.

use crate::kernel::dispatch::dispatched;

dispatched! {
    /// `total += scale · values`.
    pub fn add_scaled(total: &mut [f64], values: &[f64], scale: f64) {
        for (total, value) in total.iter_mut().zip(values) {
            *total += scale * value;
        }
    }
}

dispatched! {
    /// `total += scale · values`, with values in single precision.
    pub fn add_scaled_single(total: &mut [f64], values: &[f32], scale: f64) {
        for (total, value) in total.iter_mut().zip(values) {
            *total += scale * f64::from(*value);
        }
    }
}

dispatched! {
    /// `total += scale · values`, in single precision.
    pub fn add_scaled_f32(total: &mut [f32], values: &[f32], scale: f32) {
        for (total, value) in total.iter_mut().zip(values) {
            *total += scale * value;
        }
    }
}

/// Running sums of a product of vectors, added in a fixed order.
const LANES: usize = 8;

macro_rules! dot {
    ($name:ident, $real:ty) => {
        dispatched! {
            /// Σ x · y in double precision.
            pub fn $name(x: &[$real], y: &[$real]) -> f64 {
                let mut sums = [0f64; LANES];
                let (x_lines, x_rest) = x.as_chunks::<LANES>();
                let (y_lines, y_rest) = y.as_chunks::<LANES>();
                for (x, y) in x_lines.iter().zip(y_lines) {
                    for lane in 0..LANES {
                        sums[lane] += f64::from(x[lane]) * f64::from(y[lane]);
                    }
                }
                for (sum, (x, y)) in sums.iter_mut().zip(x_rest.iter().zip(y_rest)) {
                    *sum += f64::from(*x) * f64::from(*y);
                }
                sums.iter().sum()
            }
        }
    };
}

dot!(dot_f32, f32);
dot!(dot_f64, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_of_vectors_is_the_plain_sum() {
        for length in [0, 1, 7, 8, 33] {
            let x: Vec<f32> = (0..length).map(|i| i as f32 - 4.0).collect();
            let y: Vec<f32> = (0..length).map(|i| 0.5 * i as f32).collect();
            let plain: f64 = x.iter().zip(&y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            assert_eq!(dot_f32(&x, &y), plain);
            let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
            assert_eq!(dot_f64(&wide(&x), &wide(&y)), plain);
        }
    }

    #[test]
    fn both_precisions_add_alike() {
        let values: Vec<f32> = (0..37).map(|i| (i as f32) * 0.25 - 3.0).collect();
        let wide: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
        let (mut a, mut b) = (vec![1.0; 37], vec![1.0; 37]);
        add_scaled(&mut a, &wide, -0.3);
        add_scaled_single(&mut b, &values, -0.3);
        assert_eq!(a, b);
        assert_eq!(a[2], 1.0 - 0.3 * -2.5);
        let mut single = vec![1f32; 37];
        add_scaled_f32(&mut single, &values, -0.5);
        assert_eq!(single[2], 1.0 - 0.5 * -2.5);
    }
}
