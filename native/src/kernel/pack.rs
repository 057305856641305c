//! Packing codes of 1, 2, 4 or 8 bits into bytes, low bits first, and moving them about.

use super::dispatch::dispatched;
use super::fault::{Fault, expect_length};
use rayon::prelude::*;

/// Bytes that one task writes.
const TASK: usize = 1 << 16;
/// Side of the square blocks that a transposition moves.
const BLOCK: usize = 64;

/// Bytes of one packed row.
pub fn row_bytes(columns: usize, bits: u32) -> usize {
    (columns * bits as usize).div_ceil(8)
}

/// Packs codes (rows, columns) so that each row starts at a byte: (rows, ceil(columns · bits / 8)). Padding bits are 0.
pub fn pack_rows(codes: &[u8], rows: usize, columns: usize, bits: u32) -> Result<Vec<u8>, Fault> {
    expect_length("codes", codes.len(), rows * columns)?;
    check_codes(codes, bits)?;
    if bits == 8 || codes.is_empty() {
        return Ok(codes.to_vec());
    }
    let per_byte = 8 / bits as usize;
    let bytes = row_bytes(columns, bits);
    let mut packed = vec![0; rows * bytes];
    if columns.is_multiple_of(per_byte) {
        packed.par_chunks_mut(TASK).zip(codes.par_chunks(TASK * per_byte)).for_each(|(packed, codes)| {
            pack_line(codes, bits, packed);
        });
    } else {
        let task = (TASK / bytes).max(1);
        packed.par_chunks_mut(task * bytes).zip(codes.par_chunks(task * columns)).for_each(|(packed, codes)| {
            packed.chunks_exact_mut(bytes).zip(codes.chunks_exact(columns)).for_each(|(packed, codes)| {
                pack_line(codes, bits, packed);
            });
        });
    }
    Ok(packed)
}

/// The inverse of `pack_rows`: codes (rows, columns), one a byte.
pub fn unpack_rows(packed: &[u8], rows: usize, columns: usize, bits: u32) -> Result<Vec<u8>, Fault> {
    let bytes = row_bytes(columns, bits);
    expect_length("packed codes", packed.len(), rows * bytes)?;
    if bits == 8 || packed.is_empty() {
        return Ok(packed.to_vec());
    }
    let mut codes = vec![0; rows * columns];
    let task = (TASK / columns).max(1);
    codes.par_chunks_mut(task * columns).zip(packed.par_chunks(task * bytes)).for_each(|(codes, packed)| {
        codes.chunks_exact_mut(columns).zip(packed.chunks_exact(bytes)).for_each(|(codes, packed)| {
            unpack_line(packed, bits, codes);
        });
    });
    Ok(codes)
}

/// What fills the last block of a row when the columns do not fill it.
#[derive(Clone, Copy, Debug)]
pub enum Padding<'a> {
    /// The zero point of each (row, block).
    ZeroPoints(&'a [u8]),
    Code(u8),
}

/// Packs codes (rows, columns) into blocks: (rows, ceil(columns / block_size), block_size · bits / 8), the layout of
/// MatMulNBits. `block_size · bits` must be a multiple of 8.
pub fn pack_blocks(
    codes: &[u8],
    rows: usize,
    columns: usize,
    block_size: usize,
    bits: u32,
    padding: Padding,
) -> Result<Vec<u8>, Fault> {
    expect_length("codes", codes.len(), rows * columns)?;
    let blocks = columns.div_ceil(block_size);
    if let Padding::ZeroPoints(zero_points) = padding {
        expect_length("zero points", zero_points.len(), rows * blocks)?;
    }
    if columns.is_multiple_of(block_size) {
        return pack_rows(codes, rows, columns, bits);
    }
    let width = blocks * block_size;
    let mut padded = vec![0; rows * width];
    padded.par_chunks_mut(width).zip(codes.par_chunks(columns)).enumerate().for_each(|(row, (padded, codes))| {
        padded[..columns].copy_from_slice(codes);
        padded[columns..].fill(match padding {
            Padding::ZeroPoints(zero_points) => zero_points[(row + 1) * blocks - 1],
            Padding::Code(code) => code,
        });
    });
    pack_rows(&padded, rows, width, bits)
}

/// The inverse of `pack_blocks`: codes (rows, columns) without the padding.
pub fn unpack_blocks(
    packed: &[u8],
    rows: usize,
    columns: usize,
    block_size: usize,
    bits: u32,
) -> Result<Vec<u8>, Fault> {
    let width = columns.div_ceil(block_size) * block_size;
    let padded = unpack_rows(packed, rows, width, bits)?;
    if width == columns {
        return Ok(padded);
    }
    let mut codes = vec![0; rows * columns];
    codes.par_chunks_mut(columns).zip(padded.par_chunks(width)).for_each(|(codes, padded)| {
        codes.copy_from_slice(&padded[..columns]);
    });
    Ok(codes)
}

/// The transpose (columns, rows) of a matrix (rows, columns), moved in square blocks that fit the cache.
pub fn transpose<T: Copy + Default + Send + Sync>(matrix: &[T], rows: usize, columns: usize) -> Result<Vec<T>, Fault> {
    expect_length("matrix", matrix.len(), rows * columns)?;
    let mut transposed = vec![T::default(); matrix.len()];
    if matrix.is_empty() {
        return Ok(transposed);
    }
    transposed.par_chunks_mut(BLOCK * rows).enumerate().for_each(|(panel, transposed)| {
        let first = panel * BLOCK;
        let width = transposed.len() / rows;
        let mut block = [[T::default(); BLOCK]; BLOCK];
        for top in (0..rows).step_by(BLOCK) {
            let height = BLOCK.min(rows - top);
            for row in 0..height {
                let source = &matrix[(top + row) * columns + first..][..width];
                for (line, value) in block.iter_mut().zip(source) {
                    line[row] = *value;
                }
            }
            for (column, line) in block[..width].iter().enumerate() {
                transposed[column * rows + top..][..height].copy_from_slice(&line[..height]);
            }
        }
    });
    Ok(transposed)
}

fn check_codes(codes: &[u8], bits: u32) -> Result<(), Fault> {
    let all =
        codes.par_chunks(TASK).map(|codes| codes.iter().fold(0, |all, code| all | code)).reduce(|| 0, |a, b| a | b);
    if u32::from(all) >> bits == 0 {
        return Ok(());
    }
    Err(Fault::internal(format!("codes of up to {all} do not fit {bits} bits")))
}

dispatched! {
    fn pack_line(codes: &[u8], bits: u32, packed: &mut [u8]) {
        match bits {
            4 => pack_line_of::<2, 4>(codes, packed),
            2 => pack_line_of::<4, 2>(codes, packed),
            _ => pack_line_of::<8, 1>(codes, packed),
        }
    }
}

#[inline(always)]
fn pack_line_of<const PER_BYTE: usize, const BITS: u32>(codes: &[u8], packed: &mut [u8]) {
    let (whole, rest) = codes.as_chunks::<PER_BYTE>();
    for (byte, codes) in packed.iter_mut().zip(whole) {
        *byte = join::<BITS>(codes);
    }
    if !rest.is_empty() {
        packed[whole.len()] = join::<BITS>(rest);
    }
}

#[inline(always)]
fn join<const BITS: u32>(codes: &[u8]) -> u8 {
    codes.iter().rev().fold(0u8, |byte, code| (byte << BITS) | code)
}

dispatched! {
    fn unpack_line(packed: &[u8], bits: u32, codes: &mut [u8]) {
        match bits {
            4 => unpack_line_of::<2, 4>(packed, codes),
            2 => unpack_line_of::<4, 2>(packed, codes),
            _ => unpack_line_of::<8, 1>(packed, codes),
        }
    }
}

#[inline(always)]
fn unpack_line_of<const PER_BYTE: usize, const BITS: u32>(packed: &[u8], codes: &mut [u8]) {
    let mask = ((1u32 << BITS) - 1) as u8;
    let (whole, rest) = codes.as_chunks_mut::<PER_BYTE>();
    let count = whole.len();
    for (codes, &byte) in whole.iter_mut().zip(packed) {
        for (index, code) in codes.iter_mut().enumerate() {
            *code = (byte >> (BITS * index as u32)) & mask;
        }
    }
    for (index, code) in rest.iter_mut().enumerate() {
        *code = (packed[count] >> (BITS * index as u32)) & mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::Random;

    fn codes(random: &mut Random, count: usize, bits: u32) -> Vec<u8> {
        (0..count).map(|_| random.below(1 << bits) as u8).collect()
    }

    /// The plain twin: bit after bit.
    fn plain(codes: &[u8], rows: usize, columns: usize, bits: u32) -> Vec<u8> {
        let bytes = row_bytes(columns, bits);
        let mut packed = vec![0; rows * bytes];
        for row in 0..rows {
            for column in 0..columns {
                for bit in 0..bits as usize {
                    let position = column * bits as usize + bit;
                    let value = (codes[row * columns + column] >> bit) & 1;
                    packed[row * bytes + position / 8] |= value << (position % 8);
                }
            }
        }
        packed
    }

    #[test]
    fn rows_pack_as_bit_by_bit_and_come_back() {
        let mut random = Random::new(5);
        for bits in [1, 2, 4, 8] {
            for (rows, columns) in [(1, 1), (3, 5), (7, 8), (2, 70_001), (513, 129)] {
                let codes = codes(&mut random, rows * columns, bits);
                let packed = pack_rows(&codes, rows, columns, bits).unwrap();
                assert_eq!(packed, plain(&codes, rows, columns, bits), "{bits} bits {rows}×{columns}");
                assert_eq!(unpack_rows(&packed, rows, columns, bits).unwrap(), codes);
            }
        }
    }

    #[test]
    fn the_first_code_lies_in_the_low_bits() {
        assert_eq!(pack_rows(&[1, 2, 3], 1, 3, 4).unwrap(), [0x21, 0x03]);
        assert_eq!(pack_rows(&[3, 0, 1, 2, 1], 1, 5, 2).unwrap(), [0b10_01_00_11, 0b01]);
    }

    #[test]
    fn a_code_that_does_not_fit_is_refused() {
        assert!(pack_rows(&[1, 16], 1, 2, 4).is_err());
    }

    #[test]
    fn short_blocks_are_padded_with_their_zero_point() {
        let codes = [1, 2, 3, 4, 5, 6];
        let packed = pack_blocks(&codes, 2, 3, 4, 4, Padding::ZeroPoints(&[9, 10])).unwrap();
        assert_eq!(packed, [0x21, 0x93, 0x54, 0xa6]);
        assert_eq!(unpack_blocks(&packed, 2, 3, 4, 4).unwrap(), codes);
        assert_eq!(pack_blocks(&codes, 2, 3, 4, 4, Padding::Code(8)).unwrap(), [0x21, 0x83, 0x54, 0x86]);
    }

    #[test]
    fn blocks_come_back_for_every_width() {
        let mut random = Random::new(6);
        for columns in [1, 15, 16, 17, 100] {
            for bits in [2, 4, 8] {
                let codes = codes(&mut random, 5 * columns, bits);
                let packed = pack_blocks(&codes, 5, columns, 16, bits, Padding::Code(1)).unwrap();
                assert_eq!(packed.len(), 5 * columns.div_ceil(16) * 2 * bits as usize);
                assert_eq!(unpack_blocks(&packed, 5, columns, 16, bits).unwrap(), codes);
            }
        }
    }

    #[test]
    fn transposing_twice_changes_nothing_and_once_swaps_indices() {
        let mut random = Random::new(8);
        for (rows, columns) in [(1, 1), (1, 300), (63, 65), (128, 64), (130, 257)] {
            let matrix = random.normals(rows * columns);
            let transposed = transpose(&matrix, rows, columns).unwrap();
            for row in 0..rows {
                for column in 0..columns {
                    assert_eq!(transposed[column * rows + row], matrix[row * columns + column]);
                }
            }
            assert_eq!(transpose(&transposed, columns, rows).unwrap(), matrix);
        }
    }
}
