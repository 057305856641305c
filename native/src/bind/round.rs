use super::work::{JobControl, Work, at_once, in_background, to_error};
use crate::kernel::fault::Fault;
use crate::kernel::round::clip::Clip;
use crate::kernel::round::grid::{GridSpec, Grids, ScaleType, Scheme};
use crate::kernel::round::power::Norm;
use crate::kernel::round::rtn::{self, Size, ZeroPoints};
use napi::bindgen_prelude::{AsyncTask, Float32Array, Float64Array, Uint8Array};
use napi_derive::napi;

/// A weight matrix (rows, columns).
#[napi(object)]
pub struct WeightMatrix {
    pub weight: Float32Array,
    pub rows: u32,
    pub columns: u32,
}

impl WeightMatrix {
    pub fn size(&self) -> Size {
        Size { rows: self.rows as usize, columns: self.columns as usize }
    }
}

/// A clip search; `weights` has one importance per column.
#[napi(object)]
pub struct ClipOptions {
    pub grid: u32,
    pub max_shrink: f64,
    pub norm: f64,
    pub weights: Option<Float64Array>,
}

/// What grids are made by.
#[napi(object)]
pub struct GridOptions {
    pub bits: u32,
    pub group_size: u32,
    pub scheme: String,
    pub scale_type: String,
    pub clip: Option<ClipOptions>,
}

/// Grid options as the kernels take them, with the importances in single precision, scaled to at most 1.
pub struct OwnedSpec {
    bits: u32,
    group_size: usize,
    scheme: Scheme,
    scale_type: ScaleType,
    clip: Option<(u32, f64, Norm, Option<Vec<f32>>)>,
}

impl OwnedSpec {
    pub fn parse(options: GridOptions, columns: usize) -> napi::Result<Self> {
        let refuse = |message: String| Err(to_error(Fault::internal(message)));
        let scheme = match options.scheme.as_str() {
            "asymmetric" => Scheme::Asymmetric,
            "symmetric" => Scheme::Symmetric,
            "symmetric-narrow" => Scheme::SymmetricNarrow,
            other => return refuse(format!("unknown scheme {other}")),
        };
        let scale_type = match options.scale_type.as_str() {
            "float32" => ScaleType::Float32,
            "float16" => ScaleType::Float16,
            other => return refuse(format!("unknown scale type {other}")),
        };
        let least_bits = if scheme == Scheme::SymmetricNarrow { 2 } else { 1 };
        if !(least_bits..=8).contains(&options.bits) || options.group_size == 0 || columns == 0 {
            return refuse(format!("{} bits, groups of {}, {columns} columns", options.bits, options.group_size));
        }
        let clip = match options.clip {
            None => None,
            Some(ClipOptions { grid, max_shrink, norm, weights }) => {
                let weights = weights.map(|weights| importances(&weights));
                if grid == 0 || weights.as_ref().is_some_and(|weights| weights.len() != columns) {
                    return refuse(format!("clip grid {grid}, one importance for each of {columns} columns expected"));
                }
                Some((grid, max_shrink, Norm::from(norm), weights))
            }
        };
        Ok(OwnedSpec { bits: options.bits, group_size: options.group_size as usize, scheme, scale_type, clip })
    }

    pub fn spec(&self) -> GridSpec<'_> {
        let clip = self.clip.as_ref().map(|(grid, max_shrink, norm, weights)| Clip {
            grid: *grid,
            max_shrink: *max_shrink,
            norm: *norm,
            weights: weights.as_deref(),
        });
        GridSpec {
            bits: self.bits,
            group_size: self.group_size,
            scheme: self.scheme,
            scale_type: self.scale_type,
            clip,
        }
    }

    /// Zero points for JavaScript: none where all are the middle of the range.
    pub fn zero_points(&self, zero_points: Vec<u8>) -> Option<Uint8Array> {
        (self.scheme == Scheme::Asymmetric).then(|| Uint8Array::new(zero_points))
    }
}

fn importances(weights: &[f64]) -> Vec<f32> {
    let greatest = weights.iter().copied().fold(0.0, f64::max);
    let scale = if greatest > 0.0 { 1.0 / greatest } else { 1.0 };
    weights.iter().map(|weight| (weight * scale) as f32).collect()
}

/// Grids (rows, groups); no zero points for symmetric schemes.
#[napi(object)]
pub struct ChosenGrids {
    pub scales: Float32Array,
    pub zero_points: Option<Uint8Array>,
}

/// Codes (rows, columns) and their grids.
#[napi(object)]
pub struct RoundedWeight {
    pub codes: Uint8Array,
    pub scales: Float32Array,
    pub zero_points: Option<Uint8Array>,
}

#[napi]
pub fn quantize_rtn(
    matrix: WeightMatrix,
    grid: GridOptions,
    control: &JobControl,
) -> napi::Result<AsyncTask<Work<RoundedWeight>>> {
    let (owned, control) = (OwnedSpec::parse(grid, matrix.columns as usize)?, control.shared());
    Ok(in_background(move || {
        let rounded = rtn::quantize_rtn(&matrix.weight, matrix.size(), &owned.spec(), &control)?;
        Ok(RoundedWeight {
            codes: Uint8Array::new(rounded.codes),
            scales: Float32Array::new(rounded.grids.scales),
            zero_points: owned.zero_points(rounded.grids.zero_points),
        })
    }))
}

#[napi]
pub fn choose_grid(
    matrix: WeightMatrix,
    grid: GridOptions,
    control: &JobControl,
) -> napi::Result<AsyncTask<Work<ChosenGrids>>> {
    let (owned, control) = (OwnedSpec::parse(grid, matrix.columns as usize)?, control.shared());
    Ok(in_background(move || {
        let grids = rtn::choose_grid(&matrix.weight, matrix.size(), &owned.spec(), &control)?;
        Ok(ChosenGrids { scales: Float32Array::new(grids.scales), zero_points: owned.zero_points(grids.zero_points) })
    }))
}

#[napi]
pub fn quantize_on_grid(
    matrix: WeightMatrix,
    grid: GridOptions,
    scales: Float32Array,
    zero_points: Option<Uint8Array>,
    control: &JobControl,
) -> napi::Result<AsyncTask<Work<Uint8Array>>> {
    let (owned, control) = (OwnedSpec::parse(grid, matrix.columns as usize)?, control.shared());
    Ok(in_background(move || {
        let spec = owned.spec();
        let grids = Grids {
            scales: scales.to_vec(),
            zero_points: zero_points.map_or_else(|| vec![spec.middle() as u8; scales.len()], |zeros| zeros.to_vec()),
        };
        rtn::quantize_on_grid(&matrix.weight, matrix.size(), &spec, &grids, &control).map(Uint8Array::new)
    }))
}

/// Sizes of a quantized matrix.
#[napi(object)]
pub struct GroupLayout {
    pub rows: u32,
    pub columns: u32,
    pub group_size: u32,
}

#[napi]
pub fn dequantize(
    codes: &[u8],
    layout: GroupLayout,
    scales: &[f32],
    zero_points: Option<&[u8]>,
    zero: u8,
) -> napi::Result<Float32Array> {
    let size = Size { rows: layout.rows as usize, columns: layout.columns as usize };
    let zero_points = zero_points.map_or(ZeroPoints::Same(zero), ZeroPoints::Each);
    at_once(|| {
        if layout.group_size == 0 || layout.columns == 0 {
            return Err(Fault::internal("groups and rows need at least one column"));
        }
        rtn::dequantize(codes, size, layout.group_size as usize, scales, zero_points)
    })
    .map(Float32Array::new)
}
