//! SignSGD with momentum (Bernstein et al. 2018): every parameter moves by the learning rate, against the sign of the
//! running mean of its gradient.

use super::pieces;
use crate::kernel::dispatch::dispatched;
use crate::kernel::fault::Fault;
use rayon::prelude::*;

/// One step's settings. A running mean is indifferent to the scale of gradients, but not to changes of it: clipping
/// comes first.
#[derive(Clone, Copy, Debug)]
pub struct SignSgd {
    pub learning_rate: f64,
    /// 0 for plain SignSGD.
    pub momentum: f64,
    pub weight_decay: f64,
    pub gradient_scale: f64,
}

/// `m ← μ m + (1-μ) g`, `p ← (1-ηλ) p - η sign(m)`; the sign of zero is zero.
pub fn step(
    parameters: &mut [f32],
    gradients: &[&[f32]],
    momentum: &mut [f32],
    settings: &SignSgd,
) -> Result<(), Fault> {
    let keep = (1.0 - settings.learning_rate * settings.weight_decay) as f32;
    let rate = settings.learning_rate as f32;
    let old = settings.momentum as f32;
    let new = ((1.0 - settings.momentum) * settings.gradient_scale) as f32;
    pieces(parameters, gradients, [momentum])?.into_par_iter().for_each(|piece| {
        let [momentum] = piece.states;
        update(piece.parameters, piece.gradient, momentum, keep, rate, old, new);
    });
    Ok(())
}

dispatched! {
    fn update(
        parameters: &mut [f32],
        gradient: &[f32],
        momentum: &mut [f32],
        keep: f32,
        rate: f32,
        old: f32,
        new: f32,
    ) {
        for ((p, &g), m) in parameters.iter_mut().zip(gradient).zip(momentum) {
            *m = old * *m + new * g;
            let sign = if *m > 0.0 { rate } else { 0.0 } - if *m < 0.0 { rate } else { 0.0 };
            *p = *p * keep - sign;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::{Random, with_threads};

    #[test]
    fn steps_have_the_length_of_the_learning_rate_whatever_the_gradient() {
        let mut parameters = [1.0, 1.0, 1.0, 2.0];
        let mut momentum = [0.0; 4];
        let settings = SignSgd { learning_rate: 0.25, momentum: 0.5, weight_decay: 0.0, gradient_scale: 1.0 };
        step(&mut parameters, &[&[1e-20, -1e20], &[0.0, 4.0]], &mut momentum, &settings).unwrap();
        assert_eq!(parameters, [0.75, 1.25, 1.0, 1.75]);
        step(&mut parameters, &[&[0.0, 0.0], &[0.0, -1.0]], &mut momentum, &settings).unwrap();
        // The mean of the last two gradients of the last parameter is still positive.
        assert_eq!(parameters, [0.5, 1.5, 1.0, 1.5]);
    }

    #[test]
    fn decay_shrinks_towards_zero_and_threads_change_no_bit() {
        let mut alone = [2.0];
        let decaying = SignSgd { learning_rate: 0.5, momentum: 0.0, weight_decay: 0.5, gradient_scale: 1.0 };
        step(&mut alone, &[&[0.0]], &mut [0.0], &decaying).unwrap();
        assert_eq!(alone, [1.5]);
        let gradient = Random::new(5).normals(70_001);
        let run = || {
            let (mut parameters, mut momentum) = (Random::new(6).normals(70_001), Random::new(8).normals(70_001));
            step(&mut parameters, &[&gradient], &mut momentum, &decaying).unwrap();
            (parameters, momentum)
        };
        assert_eq!(with_threads(1, run), with_threads(3, run));
    }
}
