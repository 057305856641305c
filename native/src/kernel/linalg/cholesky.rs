//! Cholesky factors, their inverses and solutions, blocked so that almost all work is matrix products.
//!
//! Matrices are column-major views here. A symmetric matrix reads the same either way, so callers hand over their
//! row-major storage as it is; a row-major factor is then the transpose.

use super::product::for_each_panel;
use crate::kernel::control::Control;
use crate::kernel::fault::Fault;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{LltError, cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::matmul::matmul;
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Accum, MatMut, MatRef, Par};

/// Columns that are eliminated at once, one after another.
const BLOCK: usize = 128;
/// Columns of a panel that one thread works on.
const PANEL: usize = 128;

/// Why a factorisation stopped.
#[derive(Clone, Debug, PartialEq)]
pub enum FactorFault {
    /// The pivot of this row and column is not positive: the matrix is not positive definite.
    Pivot(usize),
    Stopped(Fault),
}

/// Replaces the lower triangle of a symmetric matrix (n, n) by L with A = L Lᵀ. Only the lower triangle is read; what
/// lies above the diagonal is garbage afterwards.
///
/// The matrix is halved until a block is left: the longer the sums of the updates, the less memory is moved.
pub fn factor(matrix: MatMut<f64>, control: &Control) -> Result<(), FactorFault> {
    let mut workspace = MemBuffer::new(cholesky_in_place_scratch::<f64>(BLOCK, Par::Seq, Default::default()));
    factor_from(matrix, 0, MemStack::new(&mut workspace), control)
}

/// Factors a diagonal part of a matrix that begins at column `first`.
fn factor_from(
    matrix: MatMut<f64>,
    first: usize,
    workspace: &mut MemStack,
    control: &Control,
) -> Result<(), FactorFault> {
    let n = matrix.nrows();
    if n <= BLOCK {
        control.checkpoint().map_err(FactorFault::Stopped)?;
        return factor_block(matrix, workspace).map_err(|pivot| FactorFault::Pivot(first + pivot));
    }
    let middle = (n / 2).next_multiple_of(BLOCK);
    let (left, right) = matrix.split_at_col_mut(middle);
    let (mut head, mut below) = left.split_at_row_mut(middle);
    let mut tail = right.subrows_mut(middle, n - middle);
    factor_from(head.as_mut(), first, workspace, control)?;
    let head = head.as_ref();
    for_each_panel(below.as_mut().transpose_mut(), 0, PANEL, &|_, panel| {
        solve_lower_triangular_in_place(head, panel, Par::Seq);
    });
    let below = below.as_ref();
    let height = n - middle;
    for_each_panel(tail.as_mut(), 0, PANEL, &|first, panel| {
        let columns = panel.ncols();
        let left = below.subrows(first, height - first);
        let right = below.subrows(first, columns).transpose();
        matmul(panel.subrows_mut(first, height - first), Accum::Add, left, right, -1.0, Par::Seq);
    });
    factor_from(tail, first + middle, workspace, control)
}

/// Factors one block; fails with the first pivot that is not positive.
fn factor_block(mut block: MatMut<f64>, workspace: &mut MemStack) -> Result<(), usize> {
    cholesky_in_place(block.as_mut(), Default::default(), Par::Seq, workspace, Default::default())
        .map_err(|LltError::NonPositivePivot { index }| index)?;
    let bad = |index: &usize| block[(*index, *index)] <= 0.0 || block[(*index, *index)].is_nan();
    match (0..block.nrows()).find(bad) {
        None => Ok(()),
        Some(index) => Err(index),
    }
}

/// L⁻ᵀ, upper triangular, zeros below: column-major, so its storage read by rows is L⁻¹.
pub fn inverse_transposed(lower: MatRef<f64>, mut target: MatMut<f64>) {
    let upper = lower.transpose();
    target.fill(0.0);
    for_each_panel(target, 0, PANEL, &|first, mut panel| {
        let end = first + panel.ncols();
        for column in 0..panel.ncols() {
            panel[(first + column, column)] = 1.0;
        }
        let head = upper.submatrix(0, 0, end, end);
        solve_upper_triangular_in_place(head, panel.subrows_mut(0, end), Par::Seq);
    });
}

/// A⁻¹ = L⁻ᵀ L⁻¹ from L⁻ᵀ, both triangles filled.
pub fn inverse_from(transposed: MatRef<f64>, mut target: MatMut<f64>) {
    let n = transposed.nrows();
    for_each_panel(target.as_mut(), 0, PANEL, &|first, panel| {
        let columns = panel.ncols();
        let left = transposed.submatrix(first, first, n - first, n - first);
        let right = transposed.submatrix(first, first, columns, n - first).transpose();
        matmul(panel.subrows_mut(first, n - first), Accum::Replace, left, right, 1.0, Par::Seq);
    });
    mirror_lower(target);
}

/// Copies the lower triangle to the upper one.
pub fn mirror_lower(mut matrix: MatMut<f64>) {
    for column in 0..matrix.ncols() {
        for row in 0..column {
            matrix[(row, column)] = matrix[(column, row)];
        }
    }
}

/// Solves A X = B in place, given L; `right` (n, k).
pub fn solve(lower: MatRef<f64>, right: MatMut<f64>) {
    for_each_panel(right, 0, PANEL, &|_, mut panel| {
        solve_lower_triangular_in_place(lower, panel.as_mut(), Par::Seq);
        solve_upper_triangular_in_place(lower.transpose(), panel, Par::Seq);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::{positive_definite, with_threads};

    const SIZES: [usize; 6] = [1, 2, 100, 128, 129, 400];

    fn factored(matrix: &[f64], n: usize) -> Vec<f64> {
        let mut lower = matrix.to_vec();
        factor(MatMut::from_column_major_slice_mut(&mut lower, n, n), &Control::default()).unwrap();
        lower
    }

    /// The plain twin: L by the textbook's three loops, column-major.
    fn plain(matrix: &[f64], n: usize) -> Vec<f64> {
        let mut lower = vec![0.0; n * n];
        for j in 0..n {
            for i in j..n {
                let sum: f64 = (0..j).map(|k| lower[k * n + i] * lower[k * n + j]).sum();
                let rest = matrix[j * n + i] - sum;
                lower[j * n + i] = if i == j { rest.sqrt() } else { rest / lower[j * n + j] };
            }
        }
        lower
    }

    #[test]
    fn the_blocked_factor_equals_the_plain_one() {
        for n in SIZES {
            let matrix = positive_definite(n, 41);
            let (found, expected) = (factored(&matrix, n), plain(&matrix, n));
            for column in 0..n {
                for row in column..n {
                    let at = column * n + row;
                    assert!((found[at] - expected[at]).abs() < 1e-10, "{n}: ({row}, {column})");
                }
            }
        }
    }

    #[test]
    fn the_factor_and_its_inverse_never_depend_on_threads() {
        let n = 700;
        let matrix = positive_definite(n, 42);
        let run = || {
            let lower = factored(&matrix, n);
            let mut inverse = vec![0.0; n * n];
            inverse_transposed(
                MatRef::from_column_major_slice(&lower, n, n),
                MatMut::from_column_major_slice_mut(&mut inverse, n, n),
            );
            (lower, inverse)
        };
        let found = with_threads(1, run);
        for threads in [2, 3] {
            assert!(with_threads(threads, run) == found);
        }
    }

    #[test]
    fn inverse_times_matrix_is_the_identity_and_solutions_solve() {
        for n in SIZES {
            let matrix = positive_definite(n, 43);
            let lower = factored(&matrix, n);
            let lower = MatRef::from_column_major_slice(&lower, n, n);
            let (mut transposed, mut inverse) = (vec![0.0; n * n], vec![0.0; n * n]);
            inverse_transposed(lower, MatMut::from_column_major_slice_mut(&mut transposed, n, n));
            inverse_from(
                MatRef::from_column_major_slice(&transposed, n, n),
                MatMut::from_column_major_slice_mut(&mut inverse, n, n),
            );
            let mut solved = matrix.clone();
            solve(lower, MatMut::from_column_major_slice_mut(&mut solved, n, n));
            for row in 0..n {
                for column in 0..n {
                    let product: f64 = (0..n).map(|k| matrix[row * n + k] * inverse[k * n + column]).sum();
                    let expected = if row == column { 1.0 } else { 0.0 };
                    assert!((product - expected).abs() < 1e-8, "{n}");
                    assert!((solved[column * n + row] - expected).abs() < 1e-8, "{n}");
                }
            }
        }
    }

    #[test]
    fn an_indefinite_matrix_names_its_pivot() {
        for bad in [0, 5, 127, 128, 200] {
            let n = 201;
            let mut matrix = vec![0.0; n * n];
            (0..n).for_each(|index| matrix[index * n + index] = if index == bad { -1.0 } else { 1.0 });
            let fault = factor(MatMut::from_column_major_slice_mut(&mut matrix, n, n), &Control::default());
            assert_eq!(fault, Err(FactorFault::Pivot(bad)));
        }
        let mut matrix = vec![f64::NAN];
        let fault = factor(MatMut::from_column_major_slice_mut(&mut matrix, 1, 1), &Control::default());
        assert_eq!(fault, Err(FactorFault::Pivot(0)));
    }
}
