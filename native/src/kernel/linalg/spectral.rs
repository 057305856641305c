//! Eigenvalues of symmetric matrices and thin singular value decompositions.

use crate::kernel::fault::{Fault, expect_length};
use crate::kernel::pack::transpose;
use faer::diag::DiagMut;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::{MatMut, MatRef, Par};

/// Parts that these factorisations are cut into. It is not the number of threads: sums are cut at the same places in
/// every pool, so that results do not depend on its size.
const PARTS: usize = 8;

/// Eigenvalues ascending (n), and the eigenvectors as columns of a row-major matrix (n, n).
pub fn eigen_symmetric(matrix: &[f64], n: usize) -> Result<(Vec<f64>, Vec<f64>), Fault> {
    expect_length("matrix", matrix.len(), n * n)?;
    expect_finite(matrix)?;
    let (matrix, size) = near_one(matrix);
    let mut values = vec![0.0; n];
    let mut vectors = vec![0.0; n * n];
    let parts = Par::rayon(PARTS);
    let scratch = self_adjoint_evd_scratch::<f64>(n, ComputeEigenvectors::Yes, parts, Default::default());
    self_adjoint_evd(
        MatRef::from_column_major_slice(&matrix, n, n),
        DiagMut::from_slice_mut(&mut values),
        Some(MatMut::from_column_major_slice_mut(&mut vectors, n, n)),
        parts,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    )
    .map_err(|_| Fault::numeric("the eigenvalues did not converge"))?;
    values.iter_mut().for_each(|value| *value *= size);
    Ok((values, transpose(&vectors, n, n)?))
}

/// A = U diag(s) Vᵀ with r = min(rows, columns).
#[derive(Clone, Debug, PartialEq)]
pub struct Svd {
    /// (rows, r), orthonormal columns.
    pub u: Vec<f64>,
    /// (r), descending.
    pub s: Vec<f64>,
    /// (r, columns), orthonormal rows.
    pub vt: Vec<f64>,
}

/// The thin decomposition of a row-major matrix (rows, columns).
pub fn svd_thin(matrix: &[f64], rows: usize, columns: usize) -> Result<Svd, Fault> {
    expect_length("matrix", matrix.len(), rows * columns)?;
    expect_finite(matrix)?;
    let (matrix, size) = near_one(matrix);
    let rank = rows.min(columns);
    let mut s = vec![0.0; rank];
    let mut u = vec![0.0; rows * rank];
    let mut v = vec![0.0; columns * rank];
    let (parts, thin) = (Par::rayon(PARTS), ComputeSvdVectors::Thin);
    let scratch = svd_scratch::<f64>(rows, columns, thin, thin, parts, Default::default());
    svd(
        MatRef::from_row_major_slice(&matrix, rows, columns),
        DiagMut::from_slice_mut(&mut s),
        Some(MatMut::from_column_major_slice_mut(&mut u, rows, rank)),
        Some(MatMut::from_column_major_slice_mut(&mut v, columns, rank)),
        parts,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    )
    .map_err(|_| Fault::numeric("the singular values did not converge"))?;
    s.iter_mut().for_each(|value| *value *= size);
    Ok(Svd { u: transpose(&u, rank, rows)?, s, vt: v })
}

/// The matrix divided by the power of two next to its largest element, and that power: iterations stop by thresholds that
/// matrices near the ends of the range of doubles never meet. The division is exact except for subnormal results.
fn near_one(matrix: &[f64]) -> (Vec<f64>, f64) {
    let largest = matrix.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    if largest == 0.0 {
        return (matrix.to_vec(), 1.0);
    }
    let exponent = largest.log2().floor().clamp(-1022.0, 1022.0) as i32;
    let size = 2.0f64.powi(exponent);
    (matrix.iter().map(|value| value / size).collect(), size)
}

fn expect_finite(matrix: &[f64]) -> Result<(), Fault> {
    match matrix.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Fault::numeric(format!("element {index} of the matrix is {}", matrix[index]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::{Random, positive_definite, with_threads};

    #[test]
    fn eigenvectors_diagonalise_and_values_ascend() {
        for n in [1, 2, 33, 150] {
            let matrix = positive_definite(n, 51);
            let (values, vectors) = eigen_symmetric(&matrix, n).unwrap();
            assert!(values.is_sorted());
            for row in 0..n {
                for k in 0..n {
                    let product: f64 = (0..n).map(|j| matrix[row * n + j] * vectors[j * n + k]).sum();
                    assert!((product - values[k] * vectors[row * n + k]).abs() < 1e-10);
                }
            }
        }
    }

    #[test]
    fn the_thin_decomposition_multiplies_back_and_descends() {
        let mut random = Random::new(52);
        for (rows, columns) in [(1, 1), (5, 90), (90, 5), (64, 64)] {
            let matrix: Vec<f64> = (0..rows * columns).map(|_| random.normal()).collect();
            let Svd { u, s, vt } = svd_thin(&matrix, rows, columns).unwrap();
            let rank = s.len();
            assert!(s.windows(2).all(|pair| pair[0] >= pair[1]));
            for row in 0..rows {
                for column in 0..columns {
                    let value: f64 = (0..rank).map(|k| u[row * rank + k] * s[k] * vt[k * columns + column]).sum();
                    assert!((value - matrix[row * columns + column]).abs() < 1e-10);
                }
            }
        }
    }

    #[test]
    fn neither_depends_on_the_number_of_threads() {
        let n = 420;
        let matrix = positive_definite(n, 53);
        let run = || (eigen_symmetric(&matrix, n).unwrap(), svd_thin(&matrix, n / 2, n * 2).unwrap());
        let found = with_threads(1, run);
        for threads in [2, 3, 5] {
            assert!(with_threads(threads, run) == found);
        }
    }

    #[test]
    fn matrices_near_the_ends_of_the_range_have_the_same_vectors() {
        let n = 40;
        let matrix = positive_definite(n, 54);
        let (values, vectors) = eigen_symmetric(&matrix, n).unwrap();
        let found = svd_thin(&matrix, n, n).unwrap();
        for size in [2.0f64.powi(-1000), 2.0f64.powi(900)] {
            let scaled: Vec<f64> = matrix.iter().map(|value| value * size).collect();
            let (scaled_values, scaled_vectors) = eigen_symmetric(&scaled, n).unwrap();
            assert_eq!(scaled_vectors, vectors);
            assert!(scaled_values.iter().zip(&values).all(|(a, b)| *a == b * size));
            let scaled_found = svd_thin(&scaled, n, n).unwrap();
            assert_eq!((&scaled_found.u, &scaled_found.vt), (&found.u, &found.vt));
        }
        let subnormal: Vec<f64> = matrix.iter().map(|value| value * 1e-310).collect();
        assert!(eigen_symmetric(&subnormal, n).is_ok());
        assert!(svd_thin(&subnormal, n, n).is_ok());
    }

    #[test]
    fn a_matrix_with_nan_is_refused() {
        assert!(eigen_symmetric(&[f64::NAN], 1).is_err());
        assert!(svd_thin(&[1.0, f64::INFINITY], 1, 2).is_err());
    }
}
