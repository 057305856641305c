//! Linear systems in the inputs that were factored for rounding.

use super::gptq::InputFactor;
use crate::kernel::control::Control;
use crate::kernel::fault::{Fault, expect_length};
use crate::kernel::linalg::Real;
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

/// Rows that one thread solves at once: all rows are independent.
const STRIP: usize = 128;

impl<T: Real> InputFactor<T> {
    /// X = R (H + damping)⁻¹ of R (rows, n), as two products with U. What it gives for dead columns means nothing.
    pub fn solve(&self, right: &[f64], rows: usize, control: &Control) -> Result<Vec<f32>, Fault> {
        let n = self.n;
        expect_length("the right side", right.len(), rows * n)?;
        control.begin(right.len() as u64);
        let u = MatRef::from_row_major_slice(&self.u, n, n);
        let mut solved = vec![0f32; right.len()];
        let strips = solved.par_chunks_mut(STRIP * n).zip(right.par_chunks(STRIP * n));
        strips.try_for_each(|(solved, right)| {
            let height = right.len() / n;
            let columns = &self.order.columns;
            let gathered: Vec<T> =
                right.chunks_exact(n).flat_map(|row| columns.iter().map(|&column| T::from_f64(row[column]))).collect();
            let half = multiplied(&gathered, height, u.transpose(), BlockStructure::TriangularLower);
            let found = multiplied(&half, height, u, BlockStructure::TriangularUpper);
            for (solved, found) in solved.chunks_exact_mut(n).zip(found.chunks_exact(n)) {
                for (&column, value) in columns.iter().zip(found) {
                    solved[column] = value.to_f64() as f32;
                }
            }
            control.advance(right.len() as u64)
        })?;
        match solved.iter().position(|value| !value.is_finite()) {
            None => Ok(solved),
            Some(at) => Err(Fault::numeric(format!("row {}, column {} of the solution is not finite", at / n, at % n))),
        }
    }
}

/// Rows (height, n) times a triangular matrix (n, n).
fn multiplied<T: Real>(rows: &[T], height: usize, by: MatRef<T>, structure: BlockStructure) -> Vec<T> {
    let n = by.nrows();
    let mut target = vec![T::default(); rows.len()];
    matmul(
        MatMut::from_row_major_slice_mut(&mut target, height, n),
        BlockStructure::Rectangular,
        Accum::Replace,
        MatRef::from_row_major_slice(rows, height, n),
        BlockStructure::Rectangular,
        by,
        structure,
        T::from_f64(1.0),
        Par::Seq,
    );
    target
}

#[cfg(test)]
mod tests {
    use super::super::curvature::Damping;
    use super::super::gptq::factor_inputs;
    use super::*;
    use crate::kernel::testing::{Random, positive_definite, with_threads};

    /// The largest difference of X (H + damping) from R, beside the largest number of R.
    fn residual<T: Real>(n: usize, rows: usize, by_activation: bool) -> f64 {
        let hessian = positive_definite(n, 17);
        let damping = Damping { part: 0.1, retries: 0 };
        let control = Control::default();
        let factor = factor_inputs::<T>(&hessian, n, by_activation, damping, None, &control).unwrap();
        let mut random = Random::new(18);
        let right: Vec<f64> = (0..rows * n).map(|_| random.normal()).collect();
        let solve = || factor.solve(&right, rows, &control).unwrap();
        let found = with_threads(1, solve);
        assert!(with_threads(3, solve) == found);
        let mean = (0..n).map(|i| hessian[i * n + i]).sum::<f64>() / n as f64;
        let mut largest: f64 = 0.0;
        for (found, right) in found.chunks(n).zip(right.chunks(n)) {
            for column in 0..n {
                let product: f64 = (0..n).map(|k| f64::from(found[k]) * hessian[k * n + column]).sum();
                largest = largest.max((product + 0.1 * mean * f64::from(found[column]) - right[column]).abs());
            }
        }
        largest / right.iter().fold(0.0, |most, value| value.abs().max(most))
    }

    #[test]
    fn the_solution_times_the_damped_hessian_is_the_right_side() {
        for (n, rows) in [(1, 1), (5, 300), (200, 129)] {
            for by_activation in [false, true] {
                assert!(residual::<f64>(n, rows, by_activation) < 1e-5);
                assert!(residual::<f32>(n, rows, by_activation) < 1e-3);
            }
        }
    }
}
