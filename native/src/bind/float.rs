use super::work::{at_once, to_error};
use crate::kernel::fault::{Fault, expect_length};
use crate::kernel::float::{self, FloatKind};
use napi::bindgen_prelude::{Float32Array, Uint8Array};
use napi_derive::napi;

fn kind_of(name: &str) -> napi::Result<FloatKind> {
    match name {
        "float64" => Ok(FloatKind::Float64),
        "float32" => Ok(FloatKind::Float32),
        "float16" => Ok(FloatKind::Float16),
        "bfloat16" => Ok(FloatKind::BFloat16),
        "float8e4m3fn" => Ok(FloatKind::Float8E4M3Fn),
        "float8e5m2" => Ok(FloatKind::Float8E5M2),
        _ => Err(to_error(Fault::internal(format!("unknown float type {name}")))),
    }
}

#[napi]
pub fn decode_floats(bytes: &[u8], kind: String) -> napi::Result<Float32Array> {
    let kind = kind_of(&kind)?;
    at_once(|| {
        let count = bytes.len() / kind.width();
        expect_length("bytes", bytes.len(), count * kind.width())?;
        let mut values = vec![0.0; count];
        float::decode(bytes, kind, &mut values);
        Ok(values)
    })
    .map(Float32Array::new)
}

/// Bytes of narrowed numbers, and how many of the results are infinite or NaN.
#[napi(object)]
pub struct EncodedFloats {
    pub bytes: Uint8Array,
    pub non_finite: f64,
}

#[napi]
pub fn encode_floats(values: &[f32], kind: String) -> napi::Result<EncodedFloats> {
    let kind = kind_of(&kind)?;
    let (bytes, non_finite) = at_once(|| {
        let mut bytes = vec![0; values.len() * kind.width()];
        let non_finite = match kind {
            FloatKind::Float32 => {
                float::encode_f32(values, &mut bytes);
                float::count_non_finite(values)
            }
            FloatKind::Float16 => float::encode_f16(values, &mut bytes),
            FloatKind::BFloat16 => float::encode_bf16(values, &mut bytes),
            _ => return Err(Fault::internal(format!("no conversion from float32 to {kind:?}"))),
        };
        Ok((bytes, non_finite))
    })?;
    Ok(EncodedFloats { bytes: Uint8Array::new(bytes), non_finite: non_finite as f64 })
}

#[napi]
pub fn count_non_finite(values: &[f32]) -> napi::Result<f64> {
    at_once(|| Ok(float::count_non_finite(values) as f64))
}

/// Position of the first infinite or NaN value, -1 when there is none.
#[napi]
pub fn first_non_finite(values: &[f32]) -> napi::Result<f64> {
    at_once(|| Ok(float::first_non_finite(values).map_or(-1.0, |index| index as f64)))
}
