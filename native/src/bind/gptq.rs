use super::round::{GridOptions, OwnedSpec, WeightMatrix};
use super::work::{JobControl, Work, in_background, to_error};
use crate::kernel::fault::Fault;
use crate::kernel::round::curvature::Damping;
use crate::kernel::round::gptq::{self, GptqSpec};
use crate::kernel::round::grid::Grids;
use napi::bindgen_prelude::{AsyncTask, Float32Array, Float64Array, Uint8Array};
use napi_derive::napi;

/// How to solve.
#[napi(object)]
pub struct GptqOptions {
    pub by_activation: bool,
    pub damp: f64,
    pub retries: u32,
    pub block_size: u32,
    pub exact: bool,
}

/// What was found.
#[napi(object)]
pub struct GptqResult {
    pub codes: Uint8Array,
    pub scales: Float32Array,
    pub zero_points: Option<Uint8Array>,
    pub damp: f64,
    pub retries: u32,
    pub dead_columns: u32,
    pub loss: f64,
}

#[napi]
pub fn gptq(
    matrix: WeightMatrix,
    hessian: Float64Array,
    grid: GridOptions,
    options: GptqOptions,
    scales: Option<Float32Array>,
    zero_points: Option<Uint8Array>,
    control: &JobControl,
) -> napi::Result<AsyncTask<Work<GptqResult>>> {
    let (owned, control) = (OwnedSpec::parse(grid, matrix.columns as usize)?, control.shared());
    if options.block_size == 0 {
        return Err(to_error(Fault::internal("a block needs at least one column")));
    }
    Ok(in_background(move || {
        let grid = owned.spec();
        let given = scales.map(|scales| Grids {
            scales: scales.to_vec(),
            zero_points: zero_points.map_or_else(|| vec![grid.middle() as u8; scales.len()], |zeros| zeros.to_vec()),
        });
        let spec = GptqSpec {
            grid,
            grids: given.as_ref(),
            by_activation: options.by_activation,
            damping: Damping { part: options.damp, retries: options.retries },
            block_size: options.block_size as usize,
        };
        let solve = if options.exact { gptq::gptq::<f64> } else { gptq::gptq::<f32> };
        let solved = solve(&matrix.weight, matrix.size(), &hessian, &spec, &control)?;
        Ok(GptqResult {
            codes: Uint8Array::new(solved.rounded.codes),
            scales: Float32Array::new(solved.rounded.grids.scales),
            zero_points: owned.zero_points(solved.rounded.grids.zero_points),
            damp: solved.damp,
            retries: solved.retries,
            dead_columns: solved.dead.len() as u32,
            loss: solved.loss,
        })
    }))
}
