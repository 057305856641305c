//! Products, factors, inverses and solutions of row-major matrices.

use super::Real;
use super::cholesky::{FactorFault, factor, inverse_from, inverse_transposed, solve};
use super::product::product;
use crate::kernel::control::Control;
use crate::kernel::fault::{Fault, expect_length};
use crate::kernel::pack::transpose;
use faer::{Accum, MatMut, MatRef};
use rayon::prelude::*;

/// A factor of a product as it is stored, or to be read transposed.
#[derive(Clone, Copy, Debug)]
pub struct Factor<'a, T> {
    pub values: &'a [T],
    pub transposed: bool,
}

impl<'a, T> Factor<'a, T> {
    /// The factor as a matrix (rows, columns); a transposed one is stored as (columns, rows).
    fn view(&self, rows: usize, columns: usize) -> MatRef<'a, T> {
        if self.transposed {
            MatRef::from_column_major_slice(self.values, rows, columns)
        } else {
            MatRef::from_row_major_slice(self.values, rows, columns)
        }
    }
}

/// A (rows, inner) times B (inner, columns), row-major.
pub fn multiply<T: Real>(
    a: Factor<T>,
    b: Factor<T>,
    rows: usize,
    inner: usize,
    columns: usize,
) -> Result<Vec<T>, Fault> {
    expect_length("the left factor", a.values.len(), rows * inner)?;
    expect_length("the right factor", b.values.len(), inner * columns)?;
    let mut target = vec![T::default(); rows * columns];
    product(
        MatMut::from_row_major_slice_mut(&mut target, rows, columns),
        Accum::Replace,
        a.view(rows, inner),
        b.view(inner, columns),
        T::from_f64(1.0),
    );
    Ok(target)
}

/// L (n, n) with A = L Lᵀ, zeros above the diagonal.
pub fn cholesky(matrix: &[f64], n: usize) -> Result<Vec<f64>, Fault> {
    let mut lower = transpose(&factored(matrix, n)?, n, n)?;
    lower.par_chunks_mut(n.max(1)).enumerate().for_each(|(row, values)| values[row + 1..].fill(0.0));
    Ok(lower)
}

/// A⁻¹ (n, n) of a symmetric positive definite A.
pub fn inverse(matrix: &[f64], n: usize) -> Result<Vec<f64>, Fault> {
    let mut lower = factored(matrix, n)?;
    let mut transposed = vec![0.0; n * n];
    inverse_transposed(
        MatRef::from_column_major_slice(&lower, n, n),
        MatMut::from_column_major_slice_mut(&mut transposed, n, n),
    );
    inverse_from(
        MatRef::from_column_major_slice(&transposed, n, n),
        MatMut::from_column_major_slice_mut(&mut lower, n, n),
    );
    Ok(lower)
}

/// X (n, columns) with A X = B for a symmetric positive definite A.
pub fn solve_positive(matrix: &[f64], n: usize, right: &[f64], columns: usize) -> Result<Vec<f64>, Fault> {
    expect_length("the right side", right.len(), n * columns)?;
    let lower = factored(matrix, n)?;
    let mut solution = right.to_vec();
    solve(MatRef::from_column_major_slice(&lower, n, n), MatMut::from_row_major_slice_mut(&mut solution, n, columns));
    Ok(solution)
}

/// L, column-major, garbage above the diagonal.
fn factored(matrix: &[f64], n: usize) -> Result<Vec<f64>, Fault> {
    expect_length("the matrix", matrix.len(), n * n)?;
    let mut lower = matrix.to_vec();
    factor(MatMut::from_column_major_slice_mut(&mut lower, n, n), &Control::default()).map_err(
        |fault| match fault {
            FactorFault::Stopped(fault) => fault,
            FactorFault::Pivot(pivot) => {
                Fault::numeric(format!("the matrix ({n}×{n}) is not positive definite: pivot {pivot} is not positive"))
            }
        },
    )?;
    Ok(lower)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::{Random, positive_definite};

    #[test]
    fn transposed_factors_are_read_as_their_transposes() {
        let mut random = Random::new(57);
        let (rows, inner, columns) = (7, 5, 11);
        let a: Vec<f64> = (0..rows * inner).map(|_| random.normal()).collect();
        let b: Vec<f64> = (0..inner * columns).map(|_| random.normal()).collect();
        let (a_turned, b_turned) = (transpose(&a, rows, inner).unwrap(), transpose(&b, inner, columns).unwrap());
        let plain = |values, transposed| Factor { values, transposed };
        let expected = multiply(plain(&a, false), plain(&b, false), rows, inner, columns).unwrap();
        for (left, right) in [
            (plain(&a_turned, true), plain(&b, false)),
            (plain(&a, false), plain(&b_turned, true)),
            (plain(&a_turned, true), plain(&b_turned, true)),
        ] {
            let found = multiply(left, right, rows, inner, columns).unwrap();
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12));
        }
    }

    #[test]
    fn the_factor_is_lower_and_multiplies_back() {
        let n = 140;
        let matrix = positive_definite(n, 58);
        let lower = cholesky(&matrix, n).unwrap();
        assert!((0..n).all(|row| lower[row * n + row + 1..(row + 1) * n].iter().all(|value| *value == 0.0)));
        let left = Factor { values: &lower[..], transposed: false };
        let right = Factor { values: &lower[..], transposed: true };
        let product = multiply(left, right, n, n, n).unwrap();
        assert!(product.iter().zip(&matrix).all(|(a, b)| (a - b).abs() < 1e-10));
    }

    #[test]
    fn inverse_and_solution_agree() {
        let (n, columns) = (130, 3);
        let matrix = positive_definite(n, 59);
        let right: Vec<f64> = (0..n * columns).map(|index| (index % 7) as f64).collect();
        let factor = |values| Factor { values, transposed: false };
        let inverse = inverse(&matrix, n).unwrap();
        let expected = multiply(factor(&inverse), factor(&right), n, n, columns).unwrap();
        let found = solve_positive(&matrix, n, &right, columns).unwrap();
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-8));
    }

    #[test]
    fn an_indefinite_matrix_is_refused_with_its_pivot() {
        let fault = cholesky(&[1.0, 2.0, 2.0, 1.0], 2).unwrap_err();
        assert!(fault.message.contains("pivot 1"), "{}", fault.message);
        assert!(inverse(&[-1.0], 1).is_err());
    }
}
