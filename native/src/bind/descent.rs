use super::round::GroupLayout;
use super::work::{JobControl, Work, in_background, to_error};
use crate::kernel::fault::Fault;
use crate::kernel::round::descent::{self, DescentSpec, Metric};
use crate::kernel::round::rtn::Size;
use half::f16;
use napi::bindgen_prelude::{AsyncTask, Float32Array, Float64Array, Uint8Array};
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
    pub outputs: Option<Float64Array>,
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
        let metric = Metric {
            target: &metric.target,
            inputs: &metric.inputs,
            noise: metric.noise,
            outputs: metric.outputs.as_ref().map(|b| &b[..]),
        };
        let size = Size { rows: layout.rows as usize, columns: layout.columns as usize };
        let run = if options.exact { descent::descend::<f64> } else { descent::descend::<f32> };
        let found = run(&start.codes, &start.scales, size, &metric, &spec, &control)?;
        Ok(DescentResult {
            codes: Uint8Array::new(found.codes),
            scales: Float32Array::new(found.scales),
            changes: found.changes as f64,
            before: found.before,
            after: found.after,
        })
    }))
}
