//! Matrix products by tiles.

use super::Real;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Side of a square tile of the result.
const TILE: usize = 256;

/// `target += alpha · left · right`, or `=` with `Accum::Replace`. Each tile of the target is one sequential product.
pub fn product<T: Real>(target: MatMut<T>, accumulate: Accum, left: MatRef<T>, right: MatRef<T>, alpha: T) {
    let (rows, columns) = (target.nrows(), target.ncols());
    if rows > TILE && rows >= columns {
        let middle = split(rows);
        let (top, bottom) = target.split_at_row_mut(middle);
        let (left_top, left_bottom) = left.split_at_row(middle);
        rayon::join(
            || product(top, accumulate, left_top, right, alpha),
            || product(bottom, accumulate, left_bottom, right, alpha),
        );
    } else if columns > TILE {
        let middle = split(columns);
        let (first, second) = target.split_at_col_mut(middle);
        let (right_first, right_second) = right.split_at_col(middle);
        rayon::join(
            || product(first, accumulate, left, right_first, alpha),
            || product(second, accumulate, left, right_second, alpha),
        );
    } else {
        matmul(target, accumulate, left, right, alpha, Par::Seq);
    }
}

/// A place to cut a side longer than a tile: a multiple of the tile near the middle.
fn split(side: usize) -> usize {
    (side / 2).next_multiple_of(TILE).min((side - 1) / TILE * TILE)
}

/// Calls `run(first column, panel)` for panels of `width` columns, in parallel.
pub fn for_each_panel<T: Real>(
    matrix: MatMut<T>,
    first: usize,
    width: usize,
    run: &(impl Fn(usize, MatMut<T>) + Sync),
) {
    let columns = matrix.ncols();
    if columns <= width {
        run(first, matrix);
        return;
    }
    let middle = (columns.div_ceil(width) / 2) * width;
    let (left, right) = matrix.split_at_col_mut(middle);
    rayon::join(|| for_each_panel(left, first, width, run), || for_each_panel(right, first + middle, width, run));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::{Random, with_threads};

    fn plain(left: &[f64], right: &[f64], rows: usize, inner: usize, columns: usize) -> Vec<f64> {
        let mut target = vec![0.0; rows * columns];
        for row in 0..rows {
            for k in 0..inner {
                for column in 0..columns {
                    target[row * columns + column] += left[row * inner + k] * right[k * columns + column];
                }
            }
        }
        target
    }

    #[test]
    fn tiles_add_up_to_the_plain_product_and_never_depend_on_threads() {
        let mut random = Random::new(31);
        for (rows, inner, columns) in
            [(1, 1, 1), (3, 700, 5), (300, 40, 513), (257, 300, 1), (1, 9, 600), (600, 600, 600)]
        {
            let left: Vec<f64> = (0..rows * inner).map(|_| random.normal()).collect();
            let right: Vec<f64> = (0..inner * columns).map(|_| random.normal()).collect();
            let run = || {
                let mut target = vec![0.0; rows * columns];
                product(
                    MatMut::from_row_major_slice_mut(&mut target, rows, columns),
                    Accum::Replace,
                    MatRef::from_row_major_slice(&left, rows, inner),
                    MatRef::from_row_major_slice(&right, inner, columns),
                    1.0,
                );
                target
            };
            let found = with_threads(1, run);
            for threads in [2, 3] {
                assert_eq!(with_threads(threads, run), found);
            }
            for (found, expected) in found.iter().zip(plain(&left, &right, rows, inner, columns)) {
                assert!((found - expected).abs() < 1e-12 * (inner as f64).sqrt() * 10.0);
            }
        }
    }

    #[test]
    fn single_precision_products_never_depend_on_threads() {
        let mut random = Random::new(32);
        let (rows, inner, columns) = (700, 1500, 530);
        let (left, right) = (random.normals(rows * inner), random.normals(inner * columns));
        let run = || {
            let mut target = vec![0f32; rows * columns];
            product(
                MatMut::from_row_major_slice_mut(&mut target, rows, columns),
                Accum::Replace,
                MatRef::from_row_major_slice(&left, rows, inner),
                MatRef::from_row_major_slice(&right, inner, columns),
                1.0,
            );
            target
        };
        let found = with_threads(1, run);
        for threads in [2, 3, 7] {
            assert!(with_threads(threads, run) == found);
        }
    }
}
