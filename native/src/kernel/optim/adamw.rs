//! AdamW (Loshchilov, Hutter 2019): Adam with bias correction, and weight decay apart from the gradient.

use super::pieces;
use crate::kernel::dispatch::dispatched;
use crate::kernel::fault::Fault;
use rayon::prelude::*;

/// One step's settings.
#[derive(Clone, Copy, Debug)]
pub struct Adamw {
    pub learning_rate: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub weight_decay: f64,
    /// What gradients are multiplied with: the factor of clipping.
    pub gradient_scale: f64,
    /// Number of this step, from 1.
    pub step: u32,
}

/// The settings as factors of single precision.
#[derive(Clone, Copy)]
struct Factors {
    scale: f32,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    keep: f32,
    rate: f32,
    root: f32,
    epsilon: f32,
}

impl From<&Adamw> for Factors {
    fn from(settings: &Adamw) -> Self {
        let Adamw { learning_rate, beta1, beta2, epsilon, weight_decay, gradient_scale, step } = *settings;
        Factors {
            scale: gradient_scale as f32,
            beta1: beta1 as f32,
            rest1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            rest2: (1.0 - beta2) as f32,
            keep: (1.0 - learning_rate * weight_decay) as f32,
            rate: (learning_rate / (1.0 - beta1.powi(step as i32))) as f32,
            root: (1.0 / (1.0 - beta2.powi(step as i32))).sqrt() as f32,
            epsilon: epsilon as f32,
        }
    }
}

/// `m ← β₁ m + (1-β₁) g`, `v ← β₂ v + (1-β₂) g²`, `p ← (1-ηλ) p - η m̂ / (√v̂ + ε)`.
pub fn step(
    parameters: &mut [f32],
    gradients: &[&[f32]],
    first: &mut [f32],
    second: &mut [f32],
    settings: &Adamw,
) -> Result<(), Fault> {
    let factors = Factors::from(settings);
    pieces(parameters, gradients, [first, second])?.into_par_iter().for_each(|piece| {
        let [first, second] = piece.states;
        update(piece.parameters, piece.gradient, first, second, factors);
    });
    Ok(())
}

dispatched! {
    fn update(parameters: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], f: Factors) {
        for (((p, &g), m), v) in parameters.iter_mut().zip(gradient).zip(first).zip(second) {
            let g = g * f.scale;
            *m = f.beta1 * *m + f.rest1 * g;
            *v = f.beta2 * *v + f.rest2 * (g * g);
            *p = *p * f.keep - f.rate * *m / (v.sqrt() * f.root + f.epsilon);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::{Random, with_threads};

    fn settings(step: u32) -> Adamw {
        Adamw {
            learning_rate: 0.01,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            weight_decay: 0.1,
            gradient_scale: 0.5,
            step,
        }
    }

    #[test]
    fn three_steps_equal_the_formulas_written_out_in_double_precision() {
        let mut random = Random::new(7);
        let lengths = [5, 40_000, 1, 333];
        let total: usize = lengths.iter().sum();
        let mut parameters = random.normals(total);
        let mut expected: Vec<f64> = parameters.iter().map(|&p| f64::from(p)).collect();
        let (mut first, mut second) = (vec![0.0; total], vec![0.0; total]);
        let (mut m, mut v) = (vec![0f64; total], vec![0f64; total]);
        for number in 1..=3 {
            let gradients: Vec<Vec<f32>> = lengths.iter().map(|&length| random.normals(length)).collect();
            let borrowed: Vec<&[f32]> = gradients.iter().map(Vec::as_slice).collect();
            step(&mut parameters, &borrowed, &mut first, &mut second, &settings(number)).unwrap();
            for (index, &g) in gradients.iter().flatten().enumerate() {
                let g = 0.5 * f64::from(g);
                m[index] = 0.9 * m[index] + 0.1 * g;
                v[index] = 0.95 * v[index] + 0.05 * g * g;
                let mean = m[index] / (1.0 - 0.9f64.powi(number as i32));
                let square = v[index] / (1.0 - 0.95f64.powi(number as i32));
                expected[index] -= 0.01 * 0.1 * expected[index];
                expected[index] -= 0.01 * mean / (square.sqrt() + 1e-8);
            }
        }
        for (found, expected) in parameters.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn the_first_step_moves_every_parameter_by_the_learning_rate_against_its_gradient() {
        let mut parameters = [1.0, 1.0, 1.0];
        let plain = Adamw { weight_decay: 0.0, ..settings(1) };
        step(&mut parameters, &[&[3.0, -0.001], &[0.0]], &mut [0.0; 3], &mut [0.0; 3], &plain).unwrap();
        assert!((parameters[0] - 0.99).abs() < 1e-6 && (parameters[1] - 1.01).abs() < 1e-5);
        assert_eq!(parameters[2], 1.0);
    }

    #[test]
    fn the_number_of_threads_changes_no_bit_and_wrong_lengths_are_refused() {
        let gradient = Random::new(3).normals(100_001);
        let run = || {
            let mut buffers = [Random::new(4).normals(100_001), vec![0.0; 100_001], vec![0.0; 100_001]];
            let [parameters, first, second] = &mut buffers;
            step(parameters, &[&gradient], first, second, &settings(1)).unwrap();
            buffers
        };
        let found = with_threads(1, run);
        assert_eq!(with_threads(2, run), found);
        assert_eq!(with_threads(5, run), found);
        assert!(step(&mut [0.0], &[&[0.0, 0.0]], &mut [0.0; 2], &mut [0.0; 2], &settings(1)).is_err());
        assert!(step(&mut [0.0; 2], &[&[0.0, 0.0]], &mut [0.0; 2], &mut [0.0], &settings(1)).is_err());
    }
}
