//! Cross entropy, divergence and agreement of next-token distributions.

use super::LANES;
use super::exponential::exponential;
use crate::kernel::control::Control;
use crate::kernel::dispatch::dispatched;
use crate::kernel::fault::{Fault, FaultKind, expect_length};
use rayon::prelude::*;

/// Figures per row, natural logarithms, double precision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SoftmaxMetrics {
    /// -log p(label).
    pub nll: Vec<f64>,
    /// 1 where the label has the greatest logit (the first of equal ones).
    pub top1: Vec<u8>,
    /// KL(reference ‖ model); empty without a reference.
    pub kl: Vec<f64>,
    /// 1 where model and reference have the same greatest logit; empty without a reference.
    pub agree: Vec<u8>,
}

struct Row {
    nll: f64,
    top1: u8,
    kl: f64,
    agree: u8,
}

/// Compares `logits` (rows, vocabulary) with `labels` (rows) and, where given, with `reference` (rows, vocabulary).
/// Logits may be -∞ (a token that cannot come), but not NaN or +∞, nor -∞ in a whole row.
pub fn softmax_metrics(
    logits: &[f32],
    labels: &[i32],
    reference: Option<&[f32]>,
    control: &Control,
) -> Result<SoftmaxMetrics, Fault> {
    let rows = labels.len();
    if rows == 0 {
        expect_length("logits", logits.len(), 0)?;
        return Ok(SoftmaxMetrics::default());
    }
    let vocabulary = logits.len() / rows;
    expect_length("logits", logits.len(), rows * vocabulary)?;
    if let Some(reference) = reference {
        expect_length("reference logits", reference.len(), logits.len())?;
    }
    control.begin(rows as u64);
    let found = (0..rows)
        .into_par_iter()
        .map(|row| {
            let at = row * vocabulary..(row + 1) * vocabulary;
            let metrics = row_metrics(&logits[at.clone()], labels[row], reference.map(|reference| &reference[at]))
                .map_err(|fault| Fault::new(fault.kind, format!("row {row}: {}", fault.message)))?;
            control.advance(1)?;
            Ok(metrics)
        })
        .collect::<Result<Vec<Row>, Fault>>()?;
    let both = reference.is_some();
    Ok(SoftmaxMetrics {
        nll: found.iter().map(|row| row.nll).collect(),
        top1: found.iter().map(|row| row.top1).collect(),
        kl: found.iter().filter(|_| both).map(|row| row.kl).collect(),
        agree: found.iter().filter(|_| both).map(|row| row.agree).collect(),
    })
}

fn row_metrics(logits: &[f32], label: i32, reference: Option<&[f32]>) -> Result<Row, Fault> {
    let Some(&chosen) = usize::try_from(label).ok().and_then(|label| logits.get(label)) else {
        let message = format!("label {label} is outside the vocabulary of {}", logits.len());
        return Err(Fault::new(FaultKind::Numeric, message));
    };
    let (best, greatest) = greatest_of(logits)?;
    let shift = Shift::new(logits, greatest);
    let (kl, agree) = match reference {
        None => (0.0, 0),
        Some(reference) => {
            let (reference_best, reference_greatest) = greatest_of(reference)?;
            let reference_shift = Shift::new(reference, reference_greatest);
            let kl = divergence(reference, reference_shift, logits, shift);
            (kl.max(0.0), u8::from(best == reference_best))
        }
    };
    Ok(Row { nll: 0.0 - shift.log_probability(chosen), top1: u8::from(best == label as usize), kl, agree })
}

/// What turns a row's logits into logarithms of probabilities. The two parts are kept apart, because the second would be
/// lost beside a huge first one.
#[derive(Clone, Copy)]
struct Shift {
    greatest: f64,
    /// log Σ e^(logit - greatest).
    log_sum: f64,
}

impl Shift {
    fn new(logits: &[f32], greatest: f32) -> Self {
        Shift { greatest: f64::from(greatest), log_sum: sum_of_exponentials(logits, greatest).ln() }
    }

    #[inline(always)]
    fn log_probability(self, logit: f32) -> f64 {
        (f64::from(logit) - self.greatest) - self.log_sum
    }
}

/// Position and value of the greatest logit, the first of equal ones.
fn greatest_of(logits: &[f32]) -> Result<(usize, f32), Fault> {
    let (greatest, bad) = extreme(logits);
    if bad || !greatest.is_finite() {
        return Err(Fault::numeric("the logits are not numbers that a distribution can be made of"));
    }
    Ok((logits.iter().position(|&logit| logit == greatest).unwrap_or(0), greatest))
}

dispatched! {
    /// The greatest logit, and whether any is NaN.
    fn extreme(logits: &[f32]) -> (f32, bool) {
        let mut greatest = [f32::NEG_INFINITY; LANES];
        let mut bad = [false; LANES];
        let (lines, rest) = logits.as_chunks::<LANES>();
        let mut look = |lane: usize, logit: f32| {
            greatest[lane] = if logit > greatest[lane] { logit } else { greatest[lane] };
            bad[lane] |= logit.is_nan();
        };
        for line in lines {
            for lane in 0..LANES {
                look(lane, line[lane]);
            }
        }
        rest.iter().enumerate().for_each(|(lane, &logit)| look(lane, logit));
        (greatest.into_iter().fold(f32::NEG_INFINITY, f32::max), bad.into_iter().any(|bad| bad))
    }
}

dispatched! {
    /// Σ e^(logit - greatest).
    fn sum_of_exponentials(logits: &[f32], greatest: f32) -> f64 {
        let greatest = f64::from(greatest);
        let mut sums = [0f64; LANES];
        let mut terms = [0f64; 256];
        for logits in logits.chunks(256) {
            let terms = &mut terms[..logits.len()];
            for (term, &logit) in terms.iter_mut().zip(logits) {
                *term = exponential(f64::from(logit) - greatest);
            }
            add_lanes(&mut sums, terms);
        }
        sums.iter().sum()
    }
}

dispatched! {
    /// Σ p (log p - log q); terms with p = 0 are 0.
    fn divergence(p: &[f32], p_shift: Shift, q: &[f32], q_shift: Shift) -> f64 {
        let mut sums = [0f64; LANES];
        let mut terms = [0f64; 256];
        for (p, q) in p.chunks(256).zip(q.chunks(256)) {
            let terms = &mut terms[..p.len()];
            for (term, (&p, &q)) in terms.iter_mut().zip(p.iter().zip(q)) {
                let log_p = p_shift.log_probability(p);
                let log_q = q_shift.log_probability(q);
                let product = exponential(if log_p < 0.0 { log_p } else { 0.0 }) * (log_p - log_q);
                *term = if log_p > -700.0 { product } else { 0.0 };
            }
            add_lanes(&mut sums, terms);
        }
        sums.iter().sum()
    }
}

#[inline(always)]
fn add_lanes(sums: &mut [f64; LANES], terms: &[f64]) {
    let (lines, rest) = terms.as_chunks::<LANES>();
    for line in lines {
        for lane in 0..LANES {
            sums[lane] += line[lane];
        }
    }
    sums.iter_mut().zip(rest).for_each(|(sum, term)| *sum += term);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::{Random, with_threads};

    fn measure(logits: &[f32], labels: &[i32], reference: Option<&[f32]>) -> Result<SoftmaxMetrics, Fault> {
        softmax_metrics(logits, labels, reference, &Control::default())
    }

    fn plain_probabilities(logits: &[f32]) -> Vec<f64> {
        let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f64> = logits.iter().map(|&logit| (f64::from(logit) - f64::from(greatest)).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / total).collect()
    }

    #[test]
    fn figures_agree_with_the_plain_twin() {
        let mut random = Random::new(151);
        for vocabulary in [1, 2, 9, 300, 1000] {
            let rows = 20;
            let scale = 5.0;
            let logits: Vec<f32> = random.normals(rows * vocabulary).iter().map(|value| value * scale).collect();
            let reference: Vec<f32> =
                logits.iter().map(|&logit| logit + 0.3 * random.normal() as f32 * scale).collect();
            let labels: Vec<i32> = (0..rows).map(|_| random.below(vocabulary) as i32).collect();
            let found = measure(&logits, &labels, Some(&reference)).unwrap();
            for row in 0..rows {
                let at = row * vocabulary..(row + 1) * vocabulary;
                let p = plain_probabilities(&reference[at.clone()]);
                let q = plain_probabilities(&logits[at]);
                let kl: f64 = p.iter().zip(&q).map(|(p, q)| if *p > 0.0 { p * (p / q).ln() } else { 0.0 }).sum();
                let best = |values: &[f64]| (0..vocabulary).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap();
                let label = labels[row] as usize;
                assert!((found.nll[row] + q[label].ln()).abs() < 1e-11);
                assert!((found.kl[row] - kl).abs() < 1e-11);
                assert_eq!(found.top1[row] == 1, best(&q) == label);
                assert_eq!(found.agree[row] == 1, best(&q) == best(&p));
            }
        }
    }

    #[test]
    fn a_model_diverges_from_itself_by_nothing() {
        let logits = Random::new(152).normals(50 * 400);
        let found = measure(&logits, &[3; 50], Some(&logits)).unwrap();
        assert!(found.kl.iter().all(|kl| *kl == 0.0));
        assert!(found.agree.iter().all(|agree| *agree == 1));
    }

    #[test]
    fn tokens_that_cannot_come_count_nothing_and_certainty_costs_nothing() {
        let logits = [f32::NEG_INFINITY, 2.0, f32::NEG_INFINITY];
        let found = measure(&logits, &[1], Some(&logits)).unwrap();
        assert_eq!((found.nll[0], found.kl[0], found.top1[0]), (0.0, 0.0, 1));
        let other = measure(&logits, &[0], Some(&[0.0, 0.0, 0.0])).unwrap();
        assert_eq!((other.nll[0], other.kl[0]), (f64::INFINITY, f64::INFINITY));
    }

    #[test]
    fn huge_logits_do_not_overflow() {
        let found = measure(&[3e38, -3e38, 3e38], &[0], None).unwrap();
        assert!((found.nll[0] - std::f64::consts::LN_2).abs() < 1e-12);
        assert!(found.kl.is_empty() && found.agree.is_empty());
    }

    #[test]
    fn figures_never_depend_on_threads() {
        let logits = Random::new(153).normals(64 * 777);
        let labels = vec![5; 64];
        let found = with_threads(1, || measure(&logits, &labels, Some(&logits)).unwrap());
        assert!(with_threads(3, || measure(&logits, &labels, Some(&logits)).unwrap()) == found);
    }

    #[test]
    fn bad_labels_and_logits_name_their_row() {
        assert!(measure(&[0.0; 6], &[0, 3], None).unwrap_err().message.contains("row 1: label 3"));
        assert!(measure(&[0.0; 6], &[-1, 0], None).unwrap_err().message.contains("row 0: label -1"));
        assert!(measure(&[0.0, f32::NAN], &[0], None).unwrap_err().message.contains("row 0"));
        assert!(measure(&[0.0, f32::INFINITY], &[0], None).is_err());
        assert!(measure(&[f32::NEG_INFINITY; 2], &[0], None).is_err());
        assert!(measure(&[0.0; 5], &[0, 0], None).is_err());
    }
}
