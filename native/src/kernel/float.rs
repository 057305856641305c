//! Conversions between floating-point widths. Bytes are little-endian and need no alignment. Narrowing rounds to the
//! nearest value, ties to even; what overflows becomes infinite. All functions use the current thread pool.

use super::dispatch::dispatched;
use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

/// Elements that one task converts.
const TASK: usize = 1 << 16;

/// How stored bytes are to be read as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatKind {
    Float64,
    Float32,
    Float16,
    BFloat16,
    Float8E4M3Fn,
    Float8E5M2,
}

impl FloatKind {
    /// Bytes of one element.
    pub fn width(self) -> usize {
        match self {
            FloatKind::Float64 => 8,
            FloatKind::Float32 => 4,
            FloatKind::Float16 | FloatKind::BFloat16 => 2,
            FloatKind::Float8E4M3Fn | FloatKind::Float8E5M2 => 1,
        }
    }
}

/// Reads `bytes` as numbers of `kind`. `target` has one element per number.
pub fn decode(bytes: &[u8], kind: FloatKind, target: &mut [f32]) {
    let table = match kind {
        FloatKind::Float8E4M3Fn => float8_table(decode_e4m3fn),
        FloatKind::Float8E5M2 => float8_table(decode_e5m2),
        _ => [0.0; 256],
    };
    target.par_chunks_mut(TASK).zip(bytes.par_chunks(TASK * kind.width())).for_each(|(target, bytes)| match kind {
        FloatKind::Float64 => decode_f64(bytes, target),
        FloatKind::Float32 => decode_f32(bytes, target),
        FloatKind::Float16 => decode_f16(bytes, target),
        FloatKind::BFloat16 => decode_bf16(bytes, target),
        FloatKind::Float8E4M3Fn | FloatKind::Float8E5M2 => {
            target.iter_mut().zip(bytes).for_each(|(value, byte)| *value = table[*byte as usize]);
        }
    });
}

/// Rounds to 16 bits; `target` has two bytes per number. Returns how many results are infinite or NaN.
pub fn encode_f16(values: &[f32], target: &mut [u8]) -> usize {
    encode_16(values, target, |values, bits| values.len() - f16_bits(values, bits))
}

/// Rounds to bfloat16; `target` has two bytes per number. Returns how many results are infinite or NaN.
pub fn encode_bf16(values: &[f32], target: &mut [u8]) -> usize {
    encode_16(values, target, |values, bits| values.len() - bf16_bits(values, bits))
}

/// Copies numbers as little-endian bytes.
pub fn encode_f32(values: &[f32], target: &mut [u8]) {
    target.par_chunks_mut(TASK * 4).zip(values.par_chunks(TASK)).for_each(|(target, values)| {
        target.chunks_exact_mut(4).zip(values).for_each(|(bytes, value)| bytes.copy_from_slice(&value.to_le_bytes()));
    });
}

fn encode_16(values: &[f32], target: &mut [u8], convert: impl Fn(&[f32], &mut [u16]) -> usize + Sync) -> usize {
    target
        .par_chunks_mut(TASK * 2)
        .zip(values.par_chunks(TASK))
        .map_init(
            || vec![0u16; TASK],
            |bits, (target, values)| {
                let bits = &mut bits[..values.len()];
                let bad = convert(values, bits);
                target.chunks_exact_mut(2).zip(bits).for_each(|(bytes, bits)| {
                    bytes.copy_from_slice(&bits.to_le_bytes());
                });
                bad
            },
        )
        .sum()
}

/// Number of infinite and NaN values.
pub fn count_non_finite(values: &[f32]) -> usize {
    values.par_chunks(TASK).map(|values| values.len() - count_finite(values)).sum()
}

/// Position of the first infinite or NaN value.
pub fn first_non_finite(values: &[f32]) -> Option<usize> {
    values.par_chunks(TASK).enumerate().filter(|(_, values)| count_finite(values) < values.len()).find_map_first(
        |(task, values)| values.iter().position(|value| !value.is_finite()).map(|index| task * TASK + index),
    )
}

/// The value rounded to 16 bits and back.
pub fn through_f16(value: f32) -> f32 {
    f16::from_f32(value).to_f32()
}

dispatched! {
    /// Number of values that are neither infinite nor NaN.
    pub fn count_finite(values: &[f32]) -> usize {
        let mut total = 0usize;
        for values in values.chunks(4096) {
            let mut finite = 0u32;
            for value in values {
                finite += u32::from(value.to_bits() & 0x7f80_0000 != 0x7f80_0000);
            }
            total += finite as usize;
        }
        total
    }
}

dispatched! {
    fn bf16_bits(values: &[f32], target: &mut [u16]) -> usize {
        let mut finite = 0u32;
        for (value, target) in values.iter().zip(target) {
            let bits = value.to_bits();
            let rounded = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1))) >> 16;
            let quiet = (bits >> 16) | 0x40;
            let result = if bits & 0x7fff_ffff > 0x7f80_0000 { quiet } else { rounded };
            finite += u32::from(result & 0x7f80 != 0x7f80);
            *target = result as u16;
        }
        finite as usize
    }
}

fn f16_bits(values: &[f32], target: &mut [u16]) -> usize {
    let halves = half::slice::HalfBitsSliceExt::reinterpret_cast_mut::<f16>(target);
    halves.convert_from_f32_slice(values);
    target.iter().filter(|bits| **bits & 0x7c00 != 0x7c00).count()
}

fn decode_f64(bytes: &[u8], target: &mut [f32]) {
    let (numbers, _) = bytes.as_chunks::<8>();
    target.iter_mut().zip(numbers).for_each(|(value, bytes)| *value = f64::from_le_bytes(*bytes) as f32);
}

fn decode_f32(bytes: &[u8], target: &mut [f32]) {
    let (numbers, _) = bytes.as_chunks::<4>();
    target.iter_mut().zip(numbers).for_each(|(value, bytes)| *value = f32::from_le_bytes(*bytes));
}

fn decode_f16(bytes: &[u8], target: &mut [f32]) {
    let (numbers, _) = bytes.as_chunks::<2>();
    let mut block = [f16::ZERO; 256];
    for (target, numbers) in target.chunks_mut(256).zip(numbers.chunks(256)) {
        let block = &mut block[..numbers.len()];
        block.iter_mut().zip(numbers).for_each(|(half, bytes)| *half = f16::from_le_bytes(*bytes));
        block.convert_to_f32_slice(target);
    }
}

dispatched! {
    fn decode_bf16(bytes: &[u8], target: &mut [f32]) {
        let (numbers, _) = bytes.as_chunks::<2>();
        for (value, bytes) in target.iter_mut().zip(numbers) {
            *value = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
        }
    }
}

fn float8_table(decode: fn(u8) -> f32) -> [f32; 256] {
    std::array::from_fn(|byte| decode(byte as u8))
}

/// OCP 8-bit float, 4 exponent bits (bias 7), no infinities: only all ones is NaN.
fn decode_e4m3fn(byte: u8) -> f32 {
    let mantissa = f32::from(byte & 7);
    let magnitude = match (byte >> 3) & 15 {
        15 if byte & 7 == 7 => f32::NAN,
        0 => mantissa * 2f32.powi(-9),
        exponent => (8.0 + mantissa) * 2f32.powi(i32::from(exponent) - 10),
    };
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

/// OCP 8-bit float, 5 exponent bits (bias 15): the upper byte of a half.
fn decode_e5m2(byte: u8) -> f32 {
    f16::from_bits(u16::from(byte) << 8).to_f32()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::Random;

    fn bytes_of(bits: &[u16]) -> Vec<u8> {
        bits.iter().flat_map(|bits| bits.to_le_bytes()).collect()
    }

    #[test]
    fn every_half_survives_a_round_trip_through_f32() {
        let bits: Vec<u16> = (0..=u16::MAX).collect();
        for kind in [FloatKind::Float16, FloatKind::BFloat16] {
            let mut values = vec![0.0; bits.len()];
            decode(&bytes_of(&bits), kind, &mut values);
            let mut bytes = vec![0; bits.len() * 2];
            let bad = match kind {
                FloatKind::Float16 => encode_f16(&values, &mut bytes),
                _ => encode_bf16(&values, &mut bytes),
            };
            assert_eq!(bad, values.iter().filter(|value| !value.is_finite()).count());
            for ((bits, found), value) in bits.iter().zip(bytes.as_chunks::<2>().0).zip(&values) {
                let found = u16::from_le_bytes(*found);
                assert!(found == *bits || value.is_nan(), "{bits:#x} {found:#x}");
            }
        }
    }

    #[test]
    fn narrowing_agrees_with_the_scalar_conversion() {
        let mut random = Random::new(1);
        let values: Vec<f32> = (0..70_001).map(|_| f32::from_bits(random.bits() as u32)).collect();
        let mut halves = vec![0; values.len() * 2];
        let mut brains = halves.clone();
        encode_f16(&values, &mut halves);
        encode_bf16(&values, &mut brains);
        for (index, value) in values.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            let at = index * 2..index * 2 + 2;
            assert_eq!(halves[at.clone()], f16::from_f32(*value).to_le_bytes());
            assert_eq!(brains[at], half::bf16::from_f32(*value).to_le_bytes());
        }
    }

    #[test]
    fn eight_bit_floats_have_their_published_extremes() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut values = [0.0; 256];
        decode(&bytes, FloatKind::Float8E4M3Fn, &mut values);
        assert_eq!((values[0x7e], values[0x01], values[0x38], values[0xb8]), (448.0, 2f32.powi(-9), 1.0, -1.0));
        assert!(values[0x7f].is_nan() && values[0xff].is_nan());
        decode(&bytes, FloatKind::Float8E5M2, &mut values);
        assert_eq!((values[0x7b], values[0x01], values[0x3c]), (57344.0, 2f32.powi(-16), 1.0));
        assert!(values[0x7c].is_infinite() && values[0x7d].is_nan());
    }

    #[test]
    fn the_first_bad_value_is_found_wherever_it_is() {
        let mut values = vec![1.0; 3 * TASK + 5];
        assert_eq!(first_non_finite(&values), None);
        for index in [values.len() - 1, 2 * TASK, TASK - 1, 3] {
            values[index] = if index % 2 == 0 { f32::NAN } else { f32::NEG_INFINITY };
            assert_eq!(first_non_finite(&values), Some(index));
        }
        assert_eq!(count_non_finite(&values), 4);
    }
}
