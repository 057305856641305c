use super::held::{Held, locked};
use super::round::{GridOptions, OwnedSpec, WeightMatrix};
use super::work::{JobControl, Work, in_background, to_error};
use crate::kernel::fault::Fault;
use crate::kernel::round::curvature::Damping;
use crate::kernel::round::gptq::{GptqSpec, InputFactor, factor_inputs, gptq};
use crate::kernel::round::grid::Grids;
use napi::Env;
use napi::bindgen_prelude::{AsyncTask, Float32Array, Float64Array, ObjectFinalize, Uint8Array};
use napi_derive::napi;
use std::sync::{Arc, Mutex};

/// How the inputs are factored.
#[napi(object)]
pub struct FactorOptions {
    pub by_activation: bool,
    pub damp: f64,
    pub retries: u32,
    pub exact: bool,
    /// Part of the pairs that counts.
    pub share: f64,
}

/// What the factorisation took.
#[napi(object)]
pub struct FactorFacts {
    pub damp: f64,
    pub retries: u32,
    pub dead_columns: u32,
}

/// A factor in the precision it was asked for.
enum Either {
    Single(InputFactor<f32>),
    Double(InputFactor<f64>),
}

impl Either {
    fn facts(&self) -> FactorFacts {
        let (damp, retries, dead) = match self {
            Either::Single(factor) => (factor.damp, factor.retries, factor.order.dead.len()),
            Either::Double(factor) => (factor.damp, factor.retries, factor.order.dead.len()),
        };
        FactorFacts { damp, retries, dead_columns: dead as u32 }
    }
}

/// The factor that is held; the lock is let go of before the work, so that other weights use it meanwhile.
fn factored(held: &Mutex<Option<Arc<Either>>>) -> Result<Arc<Either>, Fault> {
    locked(held)?.clone().ok_or_else(|| Fault::internal("the inputs were not factored"))
}

/// The second moment of inputs, factored for all the weights that see them.
#[napi(custom_finalize)]
pub struct FactoredInputs {
    held: Held<Option<Arc<Either>>>,
}

impl ObjectFinalize for FactoredInputs {
    fn finalize(mut self, env: Env) -> napi::Result<()> {
        self.held.release(&env)
    }
}

#[napi]
impl FactoredInputs {
    #[napi(constructor)]
    pub fn new(env: Env, n: u32, exact: bool) -> napi::Result<Self> {
        let bytes = (n as usize).pow(2) * if exact { 8 } else { 4 };
        Ok(FactoredInputs { held: Held::new(&env, None, bytes)? })
    }

    #[napi]
    pub fn release(&mut self, env: Env) -> napi::Result<()> {
        self.held.release(&env)
    }

    #[napi]
    pub fn factor(
        &self,
        hessian: Float64Array,
        n: u32,
        pairs: Option<Float64Array>,
        options: FactorOptions,
        control: &JobControl,
    ) -> AsyncTask<Work<FactorFacts>> {
        let (shared, control) = (self.held.share(), control.shared());
        in_background(move || {
            let shared = shared?;
            let damping = Damping { part: options.damp, retries: options.retries };
            let pairs = pairs.as_ref().map(|pairs| (&pairs[..], options.share));
            let (n, by_activation) = (n as usize, options.by_activation);
            let factor = if options.exact {
                Either::Double(factor_inputs(&hessian, n, by_activation, damping, pairs, &control)?)
            } else {
                Either::Single(factor_inputs(&hessian, n, by_activation, damping, pairs, &control)?)
            };
            let facts = factor.facts();
            *locked(&shared)? = Some(Arc::new(factor));
            Ok(facts)
        })
    }
}

/// R (H + damping)⁻¹ of R (rows, n), for inputs that were factored.
#[napi]
pub fn solve_factored(
    factor: &FactoredInputs,
    right: Float64Array,
    rows: u32,
    control: &JobControl,
) -> AsyncTask<Work<Float32Array>> {
    let (shared, control) = (factor.held.share(), control.shared());
    in_background(move || {
        let factor = factored(&*shared?)?;
        let solved = match &*factor {
            Either::Single(factor) => factor.solve(&right, rows as usize, &control)?,
            Either::Double(factor) => factor.solve(&right, rows as usize, &control)?,
        };
        Ok(Float32Array::new(solved))
    })
}

/// How to solve.
#[napi(object)]
pub struct GptqOptions {
    pub block_size: u32,
    pub drift: f64,
}

/// What was found; losses are one for each row.
#[napi(object)]
pub struct GptqResult {
    pub codes: Uint8Array,
    pub scales: Float32Array,
    pub zero_points: Option<Uint8Array>,
    pub losses: Float64Array,
}

#[napi]
pub fn gptq_solve(
    matrix: WeightMatrix,
    factor: &FactoredInputs,
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
    let shared = factor.held.share();
    Ok(in_background(move || {
        let grid = owned.spec();
        let given = scales.map(|scales| Grids {
            scales: scales.to_vec(),
            zero_points: zero_points.map_or_else(|| vec![grid.middle() as u8; scales.len()], |zeros| zeros.to_vec()),
        });
        let spec =
            GptqSpec { grid, grids: given.as_ref(), block_size: options.block_size as usize, drift: options.drift };
        let factor = factored(&*shared?)?;
        let (weight, size) = (&matrix.weight, matrix.size());
        let solved = match &*factor {
            Either::Single(factor) => gptq(weight, size, factor, &spec, &control)?,
            Either::Double(factor) => gptq(weight, size, factor, &spec, &control)?,
        };
        Ok(GptqResult {
            codes: Uint8Array::new(solved.rounded.codes),
            scales: Float32Array::new(solved.rounded.grids.scales),
            zero_points: owned.zero_points(solved.rounded.grids.zero_points),
            losses: Float64Array::new(solved.losses),
        })
    }))
}
