//! What a column-by-column solver needs of the second moment of a layer's inputs.

use crate::kernel::control::Control;
use crate::kernel::fault::{Fault, expect_length};
use crate::kernel::linalg::Real;
use crate::kernel::linalg::cholesky::{FactorFault, factor};
use faer::linalg::triangular_solve::solve_upper_triangular_in_place;
use faer::{MatMut, MatRef, Par};
use rayon::prelude::*;

/// Columns that one task inverts.
const PANEL: usize = 128;

/// In which order columns are rounded, and which never matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Position in the order → column.
    pub columns: Vec<usize>,
    /// Columns whose input is always zero, ascending.
    pub dead: Vec<usize>,
}

/// Looks at the diagonal of H (n, n). By falling diagonal with `by_activation` (equal ones in natural order), else the
/// natural order. Fails on diagonals that are negative or not finite.
pub fn order_columns(hessian: &[f64], n: usize, by_activation: bool) -> Result<Order, Fault> {
    expect_length("the Hessian", hessian.len(), n * n)?;
    let diagonal: Vec<f64> = (0..n).map(|column| hessian[column * n + column]).collect();
    if let Some(column) = diagonal.iter().position(|value| !(*value >= 0.0 && value.is_finite())) {
        return Err(Fault::numeric(format!("element {column} of the Hessian's diagonal is {}", diagonal[column])));
    }
    let mut columns: Vec<usize> = (0..n).collect();
    if by_activation {
        columns.sort_by(|&a, &b| diagonal[b].total_cmp(&diagonal[a]));
    }
    let dead = (0..n).filter(|&column| diagonal[column] == 0.0).collect();
    Ok(Order { columns, dead })
}

/// How much is added to the diagonal, and how often it may grow tenfold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Damping {
    /// As a part of the mean of the diagonal over columns that are not dead.
    pub part: f64,
    pub retries: u32,
}

/// The inverse factor of a damped Hessian.
#[derive(Clone, Debug, PartialEq)]
pub struct InverseFactor<T> {
    /// U (n, n), upper triangular, row-major, rows and columns in the given order: Uᵀ U = (H + damp·mean(diag H)·I)⁻¹.
    pub u: Vec<T>,
    /// The part of the mean that was added.
    pub part: f64,
    /// How often it had to grow.
    pub retries: u32,
}

/// Factors the inverse of the damped Hessian without forming it: if J reverses the order of columns and J H J = M Mᵀ,
/// then U = J M⁻¹ J. Columns that are dead get a diagonal of 1.
pub fn inverse_factor<T: Real>(
    hessian: &[f64],
    n: usize,
    order: &Order,
    damping: Damping,
    control: &Control,
) -> Result<InverseFactor<T>, Fault> {
    let live = n - order.dead.len();
    let mean = (0..n).map(|column| hessian[column * n + column]).sum::<f64>() / live.max(1) as f64;
    let mut lower = vec![0.0; n * n];
    let mut part = damping.part;
    for retries in 0..=damping.retries {
        gather(hessian, n, order, part * mean, &mut lower);
        match factor(MatMut::from_column_major_slice_mut(&mut lower, n, n), control) {
            Ok(()) => return Ok(InverseFactor { u: reversed_inverse(&lower, n), part, retries }),
            Err(FactorFault::Stopped(fault)) => return Err(fault),
            Err(FactorFault::Pivot(pivot)) if retries == damping.retries => {
                let column = order.columns[n - 1 - pivot];
                return Err(Fault::numeric(format!(
                    "the Hessian ({n}×{n}) is not positive definite: its factorisation fails at column {column} even \
                     with {part} of the mean of its diagonal added ({retries} retries)"
                )));
            }
            Err(FactorFault::Pivot(_)) => part *= 10.0,
        }
    }
    unreachable!("the last retry returns")
}

/// The damped Hessian in reversed order, column-major, lower triangle.
fn gather(hessian: &[f64], n: usize, order: &Order, added: f64, target: &mut [f64]) {
    let reversed: Vec<usize> = order.columns.iter().rev().copied().collect();
    target.par_chunks_mut(n).enumerate().for_each(|(column, target)| {
        let source = &hessian[reversed[column] * n..][..n];
        for (target, &row) in target[column..].iter_mut().zip(&reversed[column..]) {
            *target = source[row];
        }
        let diagonal = target[column];
        target[column] = if diagonal == 0.0 { 1.0 } else { diagonal + added };
    });
}

/// J M⁻¹ J, row-major, from M column-major. Panels of rows are solved apart, so that the inverse in double precision is
/// never whole in memory.
fn reversed_inverse<T: Real>(lower: &[f64], n: usize) -> Vec<T> {
    let upper = MatRef::from_column_major_slice(lower, n, n).transpose();
    let mut target = vec![T::default(); n * n];
    target.par_chunks_mut(PANEL * n).enumerate().for_each(|(panel, rows)| {
        let first = panel * PANEL;
        let height = rows.len() / n;
        // Row `first + i` of U is row `end - 1 - i` of M⁻¹ read backwards, that is a column of M⁻ᵀ.
        let end = n - first;
        let mut solution = vec![0.0; end * height];
        for (index, column) in solution.chunks_exact_mut(end).enumerate() {
            column[end - 1 - index] = 1.0;
        }
        let right = MatMut::from_column_major_slice_mut(&mut solution, end, height);
        solve_upper_triangular_in_place(upper.submatrix(0, 0, end, end), right, Par::Seq);
        for (row, column) in rows.chunks_exact_mut(n).zip(solution.chunks_exact(end)) {
            for (target, &value) in row[first..].iter_mut().zip(column.iter().rev()) {
                *target = T::from_f64(value);
            }
        }
    });
    target
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::positive_definite;

    fn natural(n: usize) -> Order {
        Order { columns: (0..n).collect(), dead: vec![] }
    }

    fn damped(part: f64) -> Damping {
        Damping { part, retries: 0 }
    }

    #[test]
    fn the_factor_multiplies_to_the_inverse_of_the_damped_hessian() {
        for n in [1, 2, 127, 129, 300] {
            let hessian = positive_definite(n, 91);
            let mean = (0..n).map(|i| hessian[i * n + i]).sum::<f64>() / n as f64;
            let InverseFactor { u, .. } =
                inverse_factor::<f64>(&hessian, n, &natural(n), damped(0.1), &Control::default()).unwrap();
            for i in 0..n {
                assert!((0..i).all(|j| u[i * n + j] == 0.0));
            }
            // (H + cI) Uᵀ U = I, one column of it after another.
            for column in [0, n / 2, n - 1] {
                let u_column: Vec<f64> = (0..n).map(|k| u[k * n + column]).collect();
                let inverse: Vec<f64> = (0..n).map(|i| (0..n).map(|k| u[k * n + i] * u_column[k]).sum()).collect();
                for row in 0..n {
                    let product: f64 = (0..n).map(|k| hessian[row * n + k] * inverse[k]).sum();
                    let found = product + 0.1 * mean * inverse[row];
                    assert!((found - if row == column { 1.0 } else { 0.0 }).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn columns_are_ordered_by_falling_diagonal_and_ties_stay() {
        let diagonal = [1.0, 3.0, 0.0, 3.0, 2.0];
        let mut hessian = vec![0.0; 25];
        (0..5).for_each(|i| hessian[i * 5 + i] = diagonal[i]);
        let order = order_columns(&hessian, 5, true).unwrap();
        assert_eq!(order.columns, [1, 3, 4, 0, 2]);
        assert_eq!(order.dead, [2]);
        assert_eq!(order_columns(&hessian, 5, false).unwrap().columns, [0, 1, 2, 3, 4]);
        hessian[6] = -1.0;
        assert!(order_columns(&hessian, 5, true).unwrap_err().message.contains("element 1"));
    }

    #[test]
    fn damping_grows_until_it_suffices_and_is_reported() {
        let n = 3;
        // Eigenvalues 1 + 2·1.05, and -0.05 twice: 0.1 of the mean diagonal is the first tenfold step that helps.
        let hessian = [1.0, 1.05, 1.05, 1.05, 1.0, 1.05, 1.05, 1.05, 1.0];
        let damping = Damping { part: 0.001, retries: 3 };
        let found = inverse_factor::<f64>(&hessian, n, &natural(n), damping, &Control::default()).unwrap();
        assert_eq!(found.retries, 2);
        assert!((found.part - 0.1).abs() < 1e-12);
        let damping = Damping { part: 0.001, retries: 1 };
        let fault = inverse_factor::<f64>(&hessian, n, &natural(n), damping, &Control::default()).unwrap_err();
        assert!(fault.message.contains("not positive definite") && fault.message.contains("1 retries"));
    }

    #[test]
    fn dead_columns_do_not_change_the_damping_of_the_others() {
        let hessian = [4.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 6.0];
        let order = order_columns(&hessian, 3, false).unwrap();
        let whole = inverse_factor::<f64>(&hessian, 3, &order, damped(0.01), &Control::default()).unwrap();
        let alone = inverse_factor::<f64>(&[4.0, 1.0, 1.0, 6.0], 2, &natural(2), damped(0.01), &Control::default());
        let alone = alone.unwrap();
        assert_eq!([whole.u[0], whole.u[2], whole.u[8]], [alone.u[0], alone.u[1], alone.u[3]]);
    }
}
