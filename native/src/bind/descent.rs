use super::round::GroupLayout;
use super::work::{JobControl, Work, in_background, to_error};
use crate::kernel::control::Control;
use crate::kernel::fault::Fault;
use crate::kernel::linalg::Real;
use crate::kernel::round::descent::{self, Descended, DescentSpec, Metric};
use crate::kernel::round::rtn::Size;
use half::f16;
use napi::bindgen_prelude::{AsyncTask, Either, Float32Array, Float64Array, Uint8Array};
use napi_derive::napi;

/// A rounded weight to descend from; one zero point for all, or (rows, groups).
#[napi(object)]
pub struct DescentStart {
    pub codes: Uint8Array,
    pub scales: Float32Array,
    pub zero_points: Uint8Array,
}

/// The second moments of the quadratic.
#[napi(object)]
pub struct DescentMetric {
    pub target: Float64Array,
    pub inputs: Float64Array,
    pub noise: f64,
    pub weight: Option<Float32Array>,
    /// In the precision of the products.
    pub outputs: Option<Either<Float32Array, Float64Array>>,
}

impl DescentMetric {
    fn descend<T: Real>(
        &self,
        start: &DescentStart,
        size: Size,
        outputs: Option<&[T]>,
        spec: &DescentSpec,
        control: &Control,
    ) -> Result<Descended, Fault> {
        let weight = self.weight.as_deref();
        let metric = Metric { target: &self.target, inputs: &self.inputs, noise: self.noise, weight, outputs };
        descent::descend(&start.codes, &start.scales, size, &metric, spec, control)
    }
}

/// How to descend.
#[napi(object)]
pub struct DescentOptions {
    pub bits: u32,
    pub passes: u32,
    pub refit: bool,
    pub ridge: f64,
    pub half_scales: bool,
    pub exact: bool,
    pub measure: Option<bool>,
}

/// What was found.
#[napi(object)]
pub struct DescentResult {
    pub codes: Uint8Array,
    pub scales: Float32Array,
    pub changes: f64,
    pub before: f64,
    pub after: f64,
}

#[napi]
pub fn descend(
    start: DescentStart,
    layout: GroupLayout,
    metric: DescentMetric,
    options: DescentOptions,
    control: &JobControl,
) -> napi::Result<AsyncTask<Work<DescentResult>>> {
    let control = control.shared();
    if !(1..=8).contains(&options.bits) || layout.group_size == 0 || layout.columns == 0 {
        return Err(to_error(Fault::internal(format!("{} bits, groups of {}", options.bits, layout.group_size))));
    }
    Ok(in_background(move || {
        let spec = DescentSpec {
            group_size: layout.group_size as usize,
            greatest: ((1u32 << options.bits) - 1) as u8,
            zero_points: &start.zero_points,
            passes: options.passes,
            refit: options.refit,
            store_scale: if options.half_scales { |scale| f16::from_f32(scale).to_f32() } else { |scale| scale },
            ridge: options.ridge,
            measure: options.measure.unwrap_or(true),
        };
        let size = Size { rows: layout.rows as usize, columns: layout.columns as usize };
        let found = match (&metric.outputs, options.exact) {
            (Some(Either::A(b)), false) => metric.descend::<f32>(&start, size, Some(b), &spec, &control)?,
            (None, false) => metric.descend::<f32>(&start, size, None, &spec, &control)?,
            (Some(Either::B(b)), true) => metric.descend::<f64>(&start, size, Some(b), &spec, &control)?,
            (None, true) => metric.descend::<f64>(&start, size, None, &spec, &control)?,
            _ => return Err(Fault::internal("B is not in the precision of the products")),
        };
        Ok(DescentResult {
            codes: Uint8Array::new(found.codes),
            scales: Float32Array::new(found.scales),
            changes: found.changes as f64,
            before: found.before,
            after: found.after,
        })
    }))
}
