use super::work::at_once;
use crate::kernel::optim::fake::{self, Grid};
use crate::kernel::optim::muon::{self, Shape};
use crate::kernel::optim::{adamw, average, norm, sign};
use napi::bindgen_prelude::{Float32Array, Uint8Array};
use napi_derive::napi;

fn borrowed(gradients: &[Float32Array]) -> Vec<&[f32]> {
    gradients.iter().map(|gradient| &gradient[..]).collect()
}

/// The memory of an array that JavaScript handed over for a call that ends before JavaScript goes on.
fn exclusive(array: &mut Float32Array) -> &mut [f32] {
    // SAFETY: calls below are synchronous on JavaScript's only thread, and the TypeScript side passes arrays that do not
    // overlap.
    unsafe { array.as_mut() }
}

/// Settings of AdamW.
#[napi(object)]
pub struct AdamwSettings {
    pub learning_rate: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub weight_decay: f64,
    pub gradient_scale: f64,
    pub step: u32,
}

#[napi]
pub fn adamw_step(
    mut parameters: Float32Array,
    gradients: Vec<Float32Array>,
    mut first: Float32Array,
    mut second: Float32Array,
    settings: AdamwSettings,
) -> napi::Result<()> {
    let settings = adamw::Adamw {
        learning_rate: settings.learning_rate,
        beta1: settings.beta1,
        beta2: settings.beta2,
        epsilon: settings.epsilon,
        weight_decay: settings.weight_decay,
        gradient_scale: settings.gradient_scale,
        step: settings.step,
    };
    let gradients = borrowed(&gradients);
    let (parameters, first, second) = (exclusive(&mut parameters), exclusive(&mut first), exclusive(&mut second));
    at_once(|| adamw::step(parameters, &gradients, first, second, &settings))
}

/// Settings of the optimizers with one state.
#[napi(object)]
pub struct MomentumSettings {
    pub learning_rate: f64,
    pub momentum: f64,
    pub weight_decay: f64,
    pub gradient_scale: f64,
}

#[napi]
pub fn sign_step(
    mut parameters: Float32Array,
    gradients: Vec<Float32Array>,
    mut momentum: Float32Array,
    settings: MomentumSettings,
) -> napi::Result<()> {
    let settings = sign::SignSgd {
        learning_rate: settings.learning_rate,
        momentum: settings.momentum,
        weight_decay: settings.weight_decay,
        gradient_scale: settings.gradient_scale,
    };
    let gradients = borrowed(&gradients);
    let (parameters, momentum) = (exclusive(&mut parameters), exclusive(&mut momentum));
    at_once(|| sign::step(parameters, &gradients, momentum, &settings))
}

/// Rows and columns of a matrix.
#[napi(object)]
pub struct MatrixShape {
    pub rows: u32,
    pub columns: u32,
}

#[napi]
pub fn muon_step(
    mut parameters: Float32Array,
    gradients: Vec<Float32Array>,
    mut momentum: Float32Array,
    shapes: Vec<MatrixShape>,
    settings: MomentumSettings,
) -> napi::Result<()> {
    let settings = muon::Muon {
        learning_rate: settings.learning_rate,
        momentum: settings.momentum,
        weight_decay: settings.weight_decay,
        gradient_scale: settings.gradient_scale,
    };
    let shapes: Vec<Shape> =
        shapes.iter().map(|shape| Shape { rows: shape.rows as usize, columns: shape.columns as usize }).collect();
    let gradients = borrowed(&gradients);
    let (parameters, momentum) = (exclusive(&mut parameters), exclusive(&mut momentum));
    at_once(|| muon::step(parameters, &gradients, momentum, &shapes, &settings))
}

#[napi]
pub fn sum_of_squares(arrays: Vec<Float32Array>) -> napi::Result<f64> {
    let arrays = borrowed(&arrays);
    at_once(|| Ok(norm::sum_of_squares(&arrays)))
}

#[napi]
pub fn add_into(mut total: Float32Array, part: &[f32]) -> napi::Result<()> {
    let total = exclusive(&mut total);
    at_once(|| average::add(total, part))
}

#[napi]
pub fn follow_average(mut average: Float32Array, values: &[f32], decay: f64) -> napi::Result<()> {
    let followed = exclusive(&mut average);
    at_once(|| average::follow(followed, values, decay))
}

/// The grid of a matrix; one zero point for all, or (rows, groups).
#[napi(object)]
pub struct FakeGrid {
    pub rows: u32,
    pub columns: u32,
    pub group_size: u32,
    pub bits: u32,
    pub scales: Float32Array,
    pub zero_points: Uint8Array,
}

impl FakeGrid {
    fn view(&self) -> Grid<'_> {
        Grid {
            rows: self.rows as usize,
            columns: self.columns as usize,
            group_size: self.group_size as usize,
            greatest: ((1u32 << self.bits.clamp(1, 8)) - 1) as u8,
            scales: &self.scales,
            zeros: &self.zero_points,
        }
    }
}

#[napi]
pub fn fake_codes(weights: &[f32], grid: FakeGrid) -> napi::Result<Uint8Array> {
    let grid = grid.view();
    at_once(|| fake::codes(weights, grid).map(Uint8Array::new))
}

#[napi]
pub fn fake_round(weights: &[f32], grid: FakeGrid, mut rounded: Float32Array) -> napi::Result<()> {
    let grid = grid.view();
    let rounded = exclusive(&mut rounded);
    at_once(|| fake::round(weights, grid, rounded))
}

#[napi]
pub fn fake_pull_back(
    weights: &[f32],
    grid: FakeGrid,
    mut gradients: Float32Array,
    mut scale_gradients: Float32Array,
) -> napi::Result<()> {
    let grid = grid.view();
    let (gradients, scale_gradients) = (exclusive(&mut gradients), exclusive(&mut scale_gradients));
    at_once(|| fake::pull_back(weights, grid, gradients, scale_gradients))
}
