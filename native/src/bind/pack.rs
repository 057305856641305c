use super::work::at_once;
use crate::kernel::pack::{self, Padding};
use napi::bindgen_prelude::{Float32Array, Uint8Array};
use napi_derive::napi;

#[napi]
pub fn pack_rows(codes: &[u8], rows: u32, columns: u32, bits: u32) -> napi::Result<Uint8Array> {
    at_once(|| pack::pack_rows(codes, rows as usize, columns as usize, bits)).map(Uint8Array::new)
}

#[napi]
pub fn unpack_rows(packed: &[u8], rows: u32, columns: u32, bits: u32) -> napi::Result<Uint8Array> {
    at_once(|| pack::unpack_rows(packed, rows as usize, columns as usize, bits)).map(Uint8Array::new)
}

/// Packs codes as one line without row padding.
#[napi]
pub fn pack_flat(codes: &[u8], bits: u32) -> napi::Result<Uint8Array> {
    at_once(|| pack::pack_rows(codes, 1, codes.len(), bits)).map(Uint8Array::new)
}

#[napi]
pub fn unpack_flat(packed: &[u8], count: f64, bits: u32) -> napi::Result<Uint8Array> {
    at_once(|| pack::unpack_rows(packed, 1, count as usize, bits)).map(Uint8Array::new)
}

/// Sizes of a blocked layout.
#[napi(object)]
pub struct BlockLayout {
    pub rows: u32,
    pub columns: u32,
    pub block_size: u32,
    pub bits: u32,
}

#[napi]
pub fn pack_blocks(
    codes: &[u8],
    layout: BlockLayout,
    zero_points: Option<&[u8]>,
    padding: u8,
) -> napi::Result<Uint8Array> {
    let BlockLayout { rows, columns, block_size, bits } = layout;
    let padding = zero_points.map_or(Padding::Code(padding), Padding::ZeroPoints);
    at_once(|| pack::pack_blocks(codes, rows as usize, columns as usize, block_size as usize, bits, padding))
        .map(Uint8Array::new)
}

#[napi]
pub fn unpack_blocks(packed: &[u8], layout: BlockLayout) -> napi::Result<Uint8Array> {
    let BlockLayout { rows, columns, block_size, bits } = layout;
    at_once(|| pack::unpack_blocks(packed, rows as usize, columns as usize, block_size as usize, bits))
        .map(Uint8Array::new)
}

#[napi]
pub fn transpose_f32(matrix: &[f32], rows: u32, columns: u32) -> napi::Result<Float32Array> {
    at_once(|| pack::transpose(matrix, rows as usize, columns as usize)).map(Float32Array::new)
}

#[napi]
pub fn transpose_u8(matrix: &[u8], rows: u32, columns: u32) -> napi::Result<Uint8Array> {
    at_once(|| pack::transpose(matrix, rows as usize, columns as usize)).map(Uint8Array::new)
}
