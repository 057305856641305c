//! Products of samples, added to sums in double precision tile by tile.

use crate::kernel::linalg::Real;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

/// Rows of a tile.
pub const PANEL: usize = 128;
/// Columns of a tile: its products in single precision stay in the cache of a core until they are added.
const STRIP: usize = 256;

/// A part of a sum, stored by rows, and where it begins.
pub struct Tile<'a> {
    row: usize,
    column: usize,
    totals: MatMut<'a, f64>,
}

/// Cuts at most `PANEL` rows of a sum, which begin at `row`, in tiles. `totals` holds them one after the other.
pub fn cut_panel(row: usize, totals: &mut [f64], columns: usize) -> impl Iterator<Item = Tile<'_>> {
    let rows = totals.len() / columns;
    let mut rest = Some(MatMut::from_row_major_slice_mut(totals, rows, columns));
    (0..columns).step_by(STRIP).filter_map(move |column| {
        let left = rest.take()?;
        let width = STRIP.min(left.ncols());
        let (totals, others) = left.split_at_col_mut(width);
        rest = Some(others);
        Some(Tile { row, column, totals })
    })
}

/// Adds leftᵀ · right of samples (samples, m) and (samples, n) to the tiles of their sum (m, n). One thread computes a
/// tile, so that sums never depend on threads.
pub fn add_products<T: Real>(tiles: Vec<Tile>, left: MatRef<T>, right: MatRef<T>) {
    tiles.into_par_iter().with_max_len(1).for_each_init(
        || vec![T::default(); PANEL * STRIP],
        |scratch, Tile { row, column, totals }| {
            let (rows, columns) = (totals.nrows(), totals.ncols());
            let scratch = &mut scratch[..rows * columns];
            matmul(
                MatMut::from_row_major_slice_mut(scratch, rows, columns),
                Accum::Replace,
                left.subcols(row, rows).transpose(),
                right.subcols(column, columns),
                T::from_f64(1.0),
                Par::Seq,
            );
            for (totals, products) in totals.row_iter_mut().zip(scratch.chunks_exact(columns)) {
                let totals = totals.try_as_row_major_mut().expect("sums are stored by rows").as_slice_mut();
                totals.iter_mut().zip(products).for_each(|(total, product)| *total += product.to_f64());
            }
        },
    );
}
