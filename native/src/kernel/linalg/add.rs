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

macro_rules! subtract {
    ($name:ident, $real:ty) => {
        dispatched! {
            /// `total -= values`.
            pub fn $name(total: &mut [$real], values: &[$real]) {
                for (total, value) in total.iter_mut().zip(values) {
                    *total -= value;
                }
            }
        }
    };
}

subtract!(subtract_f32, f32);
subtract!(subtract_f64, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_precisions_add_alike() {
        let values: Vec<f32> = (0..37).map(|i| (i as f32) * 0.25 - 3.0).collect();
        let wide: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
        let (mut a, mut b) = (vec![1.0; 37], vec![1.0; 37]);
        add_scaled(&mut a, &wide, -0.3);
        add_scaled_single(&mut b, &values, -0.3);
        assert_eq!(a, b);
        assert_eq!(a[2], 1.0 - 0.3 * -2.5);
        let mut rest = values.clone();
        subtract_f32(&mut rest, &values);
        let mut wide_rest = wide.clone();
        subtract_f64(&mut wide_rest, &wide);
        assert!(rest.iter().all(|value| *value == 0.0) && wide_rest.iter().all(|value| *value == 0.0));
    }
}
