//! Muon (Jordan et al. 2024): the momentum of a matrix, made nearly orthogonal by five Newton-Schulz steps. Steps are
//! scaled to the root mean square that AdamW's have (Liu et al. 2025, "Muon is scalable", section 2.2), so that one
//! learning rate serves both.

use super::pieces;
use crate::kernel::fault::{Fault, expect_length};
use crate::kernel::linalg::product::product;
use faer::{Accum, MatMut, MatRef};
use rayon::prelude::*;

/// One step's settings.
#[derive(Clone, Copy, Debug)]
pub struct Muon {
    pub learning_rate: f64,
    pub momentum: f64,
    pub weight_decay: f64,
    pub gradient_scale: f64,
}

/// A matrix (rows, columns), row-major.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub rows: usize,
    pub columns: usize,
}

/// Coefficients of the quintic: singular values in (0, 1] end within about 0.7 and 1.2.
const QUINTIC: (f32, f32, f32) = (3.4445, -4.7750, 2.0315);
const STEPS: usize = 5;

/// `m ← μ m + g`, `u = g + μ m` (Nesterov), `p ← (1-ηλ) p - η · 0.2 √max(rows, columns) · orthogonal(u)`.
pub fn step(
    parameters: &mut [f32],
    gradients: &[&[f32]],
    momentum: &mut [f32],
    shapes: &[Shape],
    settings: &Muon,
) -> Result<(), Fault> {
    expect_length("the list of shapes", shapes.len(), gradients.len())?;
    for (gradient, shape) in gradients.iter().zip(shapes) {
        expect_length("the gradient of a matrix", gradient.len(), shape.rows * shape.columns)?;
    }
    let (scale, keep_momentum) = (settings.gradient_scale as f32, settings.momentum as f32);
    let keep = (1.0 - settings.learning_rate * settings.weight_decay) as f32;
    let mut updates: Vec<Vec<f32>> = gradients.iter().map(|gradient| vec![0.0; gradient.len()]).collect();
    let mut flat: Vec<&mut [f32]> = updates.iter_mut().flat_map(|update| update.chunks_mut(super::CHUNK)).collect();
    pieces(parameters, gradients, [momentum])?.into_par_iter().zip(flat.par_iter_mut()).for_each(|(piece, update)| {
        let [momentum] = piece.states;
        for ((&g, m), u) in piece.gradient.iter().zip(momentum).zip(update.iter_mut()) {
            let g = g * scale;
            *m = keep_momentum * *m + g;
            *u = g + keep_momentum * *m;
        }
    });
    let mut rest = parameters;
    for (update, shape) in updates.iter().zip(shapes) {
        let (matrix, tail) = rest.split_at_mut(update.len());
        rest = tail;
        let direction = orthogonalise(update, *shape);
        let rate = (settings.learning_rate * 0.2 * (shape.rows.max(shape.columns) as f64).sqrt()) as f32;
        for (p, d) in matrix.iter_mut().zip(direction) {
            *p = *p * keep - rate * d;
        }
    }
    Ok(())
}

/// A matrix with the singular vectors of `values` and singular values near one; zero stays zero.
pub fn orthogonalise(values: &[f32], shape: Shape) -> Vec<f32> {
    let squares: f64 = values.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
    if squares == 0.0 {
        return values.to_vec();
    }
    let inverse = (1.0 / (squares.sqrt() + 1e-30)) as f32;
    let wide = shape.rows <= shape.columns;
    let (short, long) = if wide { (shape.rows, shape.columns) } else { (shape.columns, shape.rows) };
    let mut x: Vec<f32> = if wide {
        values.iter().map(|value| value * inverse).collect()
    } else {
        (0..values.len()).map(|at| values[(at % long) * short + at / long] * inverse).collect()
    };
    let (mut gram, mut polynomial) = (vec![0f32; short * short], vec![0f32; short * short]);
    let mut next = vec![0f32; x.len()];
    let (a, b, c) = QUINTIC;
    for _ in 0..STEPS {
        let matrix = MatRef::from_row_major_slice(&x, short, long);
        product(
            MatMut::from_row_major_slice_mut(&mut gram, short, short),
            Accum::Replace,
            matrix,
            matrix.transpose(),
            1.0,
        );
        polynomial.iter_mut().zip(&gram).for_each(|(to, from)| *to = b * from);
        let square = MatRef::from_row_major_slice(&gram, short, short);
        product(MatMut::from_row_major_slice_mut(&mut polynomial, short, short), Accum::Add, square, square, c);
        next.iter_mut().zip(&x).for_each(|(to, from)| *to = a * from);
        let weights = MatRef::from_row_major_slice(&polynomial, short, short);
        product(MatMut::from_row_major_slice_mut(&mut next, short, long), Accum::Add, weights, matrix, 1.0);
        std::mem::swap(&mut x, &mut next);
    }
    if wide { x } else { (0..x.len()).map(|at| x[(at % short) * long + at / short]).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::linalg::spectral::svd_thin;
    use crate::kernel::testing::{Random, with_threads};

    #[test]
    fn singular_values_come_near_one_and_singular_vectors_stay() {
        for (rows, columns) in [(12, 12), (9, 30), (40, 7), (1, 5)] {
            let shape = Shape { rows, columns };
            let values = Random::new(rows as u64).normals(rows * columns);
            let found: Vec<f64> = orthogonalise(&values, shape).iter().map(|&value| f64::from(value)).collect();
            let exact: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
            let before = svd_thin(&exact, rows, columns).unwrap();
            let after = svd_thin(&found, rows, columns).unwrap();
            for (&strength, &value) in before.s.iter().zip(&after.s) {
                // Directions far weaker than the strongest come up more slowly.
                let norm: f64 = before.s.iter().map(|s| s * s).sum::<f64>().sqrt();
                let floor = if strength / norm > 0.02 { 0.6 } else { 0.0 };
                assert!(value > floor && value < 1.3, "{value} of {strength}");
            }
            // U Vᵀ of both agree as far as the singular values are equal: their product has a trace near the rank.
            let agreement: f64 = (0..rows * columns)
                .map(|at| {
                    let (row, column) = (at / columns, at % columns);
                    let rank = before.s.len();
                    let polar: f64 =
                        (0..rank).map(|k| before.u[row * rank + k] * before.vt[k * columns + column]).sum();
                    polar * found[at]
                })
                .sum();
            assert!((agreement / before.s.len() as f64 - 0.95).abs() < 0.3, "{agreement}");
        }
    }

    #[test]
    fn a_step_has_the_same_length_for_any_scale_of_the_gradient_and_any_threads() {
        let shapes = [Shape { rows: 300, columns: 260 }, Shape { rows: 20, columns: 50 }];
        let lengths = [300 * 260, 20 * 50];
        let settings = Muon { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0, gradient_scale: 1.0 };
        let run = |scale: f32| {
            let mut random = Random::new(2);
            let gradients: Vec<Vec<f32>> =
                lengths.iter().map(|&length| random.normals(length).iter().map(|g| g * scale).collect()).collect();
            let borrowed: Vec<&[f32]> = gradients.iter().map(Vec::as_slice).collect();
            let mut parameters = vec![0f32; lengths.iter().sum()];
            let mut momentum = parameters.clone();
            step(&mut parameters, &borrowed, &mut momentum, &shapes, &settings).unwrap();
            parameters
        };
        let found = with_threads(1, || run(1.0));
        assert!(with_threads(3, || run(1.0)) == found);
        let scaled = run(1024.0);
        assert!(found.iter().zip(&scaled).all(|(a, b)| (a - b).abs() < 1e-5));
        let root = (found.iter().map(|p| f64::from(p * p)).sum::<f64>() / found.len() as f64).sqrt();
        assert!((root / 0.02 - 1.0).abs() < 0.35, "{root}");
    }

    #[test]
    fn a_gradient_of_zeros_moves_nothing() {
        let settings = Muon { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0, gradient_scale: 1.0 };
        let mut parameters = [1.0; 6];
        let shape = Shape { rows: 2, columns: 3 };
        step(&mut parameters, &[&[0.0; 6]], &mut [0.0; 6], &[shape], &settings).unwrap();
        assert_eq!(parameters, [1.0; 6]);
        assert!(step(&mut parameters, &[&[0.0; 6]], &mut [0.0; 6], &[], &settings).is_err());
    }
}
