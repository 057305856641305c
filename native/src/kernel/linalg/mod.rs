//! Dense linear algebra over faer. Products and factorisations are cut into parts of fixed size, each computed by one
//! thread, so that sums have the same order whatever the number of threads.

pub mod add;
pub mod cholesky;
pub mod dense;
pub mod eliminate;
pub mod product;
pub mod spectral;

use add::{add_scaled, add_scaled_f32, add_scaled_single, dot_f32, dot_f64};
use eliminate::{eliminate_f32, eliminate_f64};
use faer::traits::RealField;

/// The two precisions that kernels are written for.
pub trait Real: RealField + Copy + Default + Send + Sync + 'static {
    /// The distance of 1 from the next number.
    const EPSILON: f64;
    fn from_f64(value: f64) -> Self;
    fn to_f64(self) -> f64;
    /// `column[r] -= Σ_k errors[k][r] · factors[k]`.
    fn eliminate(column: &mut [Self], errors: &[Self], factors: &[Self]);
    /// `total += scale · values`, in double precision.
    fn accumulate(total: &mut [f64], values: &[Self], scale: f64);
    /// `total += scale · values`, in the precision of both.
    fn add_scaled(total: &mut [Self], values: &[Self], scale: Self);
    /// Σ x · y, in double precision.
    fn dot(x: &[Self], y: &[Self]) -> f64;
}

impl Real for f32 {
    const EPSILON: f64 = f32::EPSILON as f64;

    fn from_f64(value: f64) -> Self {
        value as f32
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    fn eliminate(column: &mut [f32], errors: &[f32], factors: &[f32]) {
        eliminate_f32(column, errors, factors);
    }

    fn accumulate(total: &mut [f64], values: &[f32], scale: f64) {
        add_scaled_single(total, values, scale);
    }

    fn add_scaled(total: &mut [f32], values: &[f32], scale: f32) {
        add_scaled_f32(total, values, scale);
    }

    fn dot(x: &[f32], y: &[f32]) -> f64 {
        dot_f32(x, y)
    }
}

impl Real for f64 {
    const EPSILON: f64 = f64::EPSILON;

    fn from_f64(value: f64) -> Self {
        value
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn eliminate(column: &mut [f64], errors: &[f64], factors: &[f64]) {
        eliminate_f64(column, errors, factors);
    }

    fn accumulate(total: &mut [f64], values: &[f64], scale: f64) {
        add_scaled(total, values, scale);
    }

    fn add_scaled(total: &mut [f64], values: &[f64], scale: f64) {
        add_scaled(total, values, scale);
    }

    fn dot(x: &[f64], y: &[f64]) -> f64 {
        dot_f64(x, y)
    }
}
