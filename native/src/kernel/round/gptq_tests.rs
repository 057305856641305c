use super::super::clip::Clip;
use super::super::grid::{ScaleType, Scheme};
use super::super::power::Norm;
use super::super::rtn::{ZeroPoints, dequantize, quantize_rtn};
use super::*;
use crate::kernel::testing::{Random, positive_definite, with_threads};

const DAMPING: Damping = Damping { part: 0.01, retries: 0 };

fn spec(bits: u32, group_size: usize, scheme: Scheme) -> GptqSpec<'static> {
    GptqSpec {
        grid: GridSpec { bits, group_size, scheme, scale_type: ScaleType::Float32, clip: None },
        block_size: 128,
        grids: None,
        drift: 0.0,
    }
}

fn factored<T: Real>(hessian: &[f64], by_activation: bool) -> InputFactor<T> {
    let n = hessian.len().isqrt();
    factor_inputs::<T>(hessian, n, by_activation, DAMPING, None, &Control::default()).unwrap()
}

fn solve<T: Real>(weight: &[f32], size: Size, hessian: &[f64], spec: &GptqSpec) -> Solved {
    gptq::<T>(weight, size, &factored::<T>(hessian, true), spec, &Control::default()).unwrap()
}

fn values(rounded: &Rounded, size: Size, group_size: usize) -> Vec<f32> {
    let zeros = ZeroPoints::Each(&rounded.grids.zero_points);
    dequantize(&rounded.codes, size, group_size, &rounded.grids.scales, zeros).unwrap()
}

/// tr(E H Eᵀ).
fn output_error(weight: &[f32], found: &[f32], hessian: &[f64], n: usize) -> f64 {
    weight
        .chunks(n)
        .zip(found.chunks(n))
        .map(|(weight, found)| {
            let error: Vec<f64> = weight.iter().zip(found).map(|(a, b)| f64::from(*a) - f64::from(*b)).collect();
            (0..n).map(|i| error[i] * (0..n).map(|j| hessian[i * n + j] * error[j]).sum::<f64>()).sum::<f64>()
        })
        .sum()
}

/// The plain twin: one weight at a time, in double precision, with the whole inverse kept up to date by eliminating
/// each rounded column (optimal brain surgeon in a fixed order).
fn plain(weight: &[f32], size: Size, hessian: &[f64], spec: &GptqSpec, by_activation: bool) -> Vec<u8> {
    let n = size.columns;
    let order = order_columns(hessian, n, by_activation).unwrap();
    let mean = (0..n).map(|i| hessian[i * n + i]).sum::<f64>() / (n - order.dead.len()) as f64;
    let damped: Vec<f64> = (0..n * n)
        .map(|at| match (at / n == at % n, hessian[at]) {
            (true, 0.0) => 1.0,
            (true, diagonal) => diagonal + DAMPING.part * mean,
            (false, other) => other,
        })
        .collect();
    let grids = fit_grids(weight, size, &spec.grid, &Control::default()).unwrap();
    let groups = spec.grid.groups(n);
    let (least, greatest) = spec.grid.codes();
    let mut codes = vec![0; size.count()];
    for row in 0..size.rows {
        let mut w: Vec<f64> = weight[row * n..][..n].iter().map(|&weight| f64::from(weight)).collect();
        let mut inverse = gauss_jordan(&damped, n);
        for &column in &order.columns {
            let at = row * groups + column / spec.grid.group_size;
            let (scale, zero) = (grids.scales[at], f32::from(grids.zero_points[at]));
            let code = ((w[column] as f32 / scale).round_ties_even() + zero).clamp(least, greatest);
            codes[row * n + column] = code as u8;
            let error = (w[column] - f64::from((code - zero) * scale)) / inverse[column * n + column];
            for j in 0..n {
                w[j] -= error * inverse[column * n + j];
            }
            let pivot_row: Vec<f64> = inverse[column * n..][..n].to_vec();
            for i in 0..n {
                let factor = inverse[i * n + column] / pivot_row[column];
                for j in 0..n {
                    inverse[i * n + j] -= factor * pivot_row[j];
                }
            }
        }
    }
    codes
}

fn gauss_jordan(matrix: &[f64], n: usize) -> Vec<f64> {
    let mut left = matrix.to_vec();
    let mut right: Vec<f64> = (0..n * n).map(|at| if at / n == at % n { 1.0 } else { 0.0 }).collect();
    for pivot in 0..n {
        let scale = 1.0 / left[pivot * n + pivot];
        for j in 0..n {
            left[pivot * n + j] *= scale;
            right[pivot * n + j] *= scale;
        }
        for i in (0..n).filter(|&i| i != pivot) {
            let factor = left[i * n + pivot];
            for j in 0..n {
                left[i * n + j] -= factor * left[pivot * n + j];
                right[i * n + j] -= factor * right[pivot * n + j];
            }
        }
    }
    right
}

#[test]
fn the_blocked_solver_in_double_precision_equals_the_plain_twin() {
    let mut random = Random::new(101);
    for (rows, n, group_size, block_size) in [(3, 1, 1, 128), (5, 12, 5, 4), (4, 40, 16, 7), (2, 70, 70, 32)] {
        let size = Size { rows, columns: n };
        let weight = random.normals(size.count());
        let mut hessian = positive_definite(n, 102);
        if n > 4 {
            (0..n).for_each(|i| (hessian[2 * n + i], hessian[i * n + 2]) = (0.0, 0.0));
        }
        for scheme in [Scheme::Asymmetric, Scheme::Symmetric, Scheme::SymmetricNarrow] {
            for by_activation in [true, false] {
                let spec = GptqSpec { block_size, ..spec(3, group_size, scheme) };
                let factor = factored::<f64>(&hessian, by_activation);
                let found = gptq(&weight, size, &factor, &spec, &Control::default()).unwrap();
                let expected = plain(&weight, size, &hessian, &spec, by_activation);
                assert_eq!(found.rounded.codes, expected, "{scheme:?} {n} {by_activation}");
            }
        }
    }
}

#[test]
fn an_identity_hessian_gives_round_to_nearest() {
    let mut random = Random::new(103);
    let size = Size { rows: 70, columns: 200 };
    let weight = random.normals(size.count());
    let identity: Vec<f64> = (0..200 * 200).map(|at| if at / 200 == at % 200 { 1.0 } else { 0.0 }).collect();
    for scheme in [Scheme::Asymmetric, Scheme::Symmetric, Scheme::SymmetricNarrow] {
        for bits in [2, 4, 8] {
            let spec = spec(bits, 32, scheme);
            let nearest = quantize_rtn(&weight, size, &spec.grid, &Control::default()).unwrap();
            assert_eq!(solve::<f32>(&weight, size, &identity, &spec).rounded, nearest);
            assert_eq!(solve::<f64>(&weight, size, &identity, &spec).rounded, nearest);
        }
    }
}

#[test]
fn the_output_error_is_below_that_of_round_to_nearest_and_single_precision_suffices() {
    for seed in 0..6 {
        let (rows, n) = (40, 160);
        let size = Size { rows, columns: n };
        let weight = Random::new(200 + seed).normals(size.count());
        let hessian = positive_definite(n, 300 + seed);
        for (bits, group_size) in [(2, 32), (3, 160), (4, 32)] {
            let spec = spec(bits, group_size, Scheme::Asymmetric);
            let error = |rounded: &Rounded| output_error(&weight, &values(rounded, size, group_size), &hessian, n);
            let nearest = error(&quantize_rtn(&weight, size, &spec.grid, &Control::default()).unwrap());
            let (single, double) =
                (solve::<f32>(&weight, size, &hessian, &spec), solve::<f64>(&weight, size, &hessian, &spec));
            let (single_error, double_error) = (error(&single.rounded), error(&double.rounded));
            assert!(double_error < nearest, "seed {seed}, {bits} bits: {double_error} against {nearest}");
            assert!((single_error / double_error - 1.0).abs() < 0.02, "{single_error} {double_error}");
        }
    }
}

#[test]
fn the_losses_are_the_errors_of_rows_in_the_damped_metric() {
    let (rows, n) = (20, 90);
    let size = Size { rows, columns: n };
    let weight = Random::new(104).normals(size.count());
    let hessian = positive_definite(n, 105);
    let spec = spec(3, 30, Scheme::Symmetric);
    let found = solve::<f64>(&weight, size, &hessian, &spec);
    let mean = (0..n).map(|i| hessian[i * n + i]).sum::<f64>() / n as f64;
    let mut damped = hessian.clone();
    (0..n).for_each(|i| damped[i * n + i] += DAMPING.part * mean);
    let rounded = values(&found.rounded, size, 30);
    for (row, loss) in found.losses.iter().enumerate() {
        let at = row * n..(row + 1) * n;
        let expected = output_error(&weight[at.clone()], &rounded[at], &damped, n);
        assert!((loss / expected - 1.0).abs() < 1e-5, "{loss} {expected}");
    }
}

#[test]
fn with_activation_order_a_permutation_of_the_inputs_permutes_the_codes() {
    let (rows, n) = (9, 64);
    let size = Size { rows, columns: n };
    let weight = Random::new(106).normals(size.count());
    let hessian = positive_definite(n, 107);
    let mut random = Random::new(108);
    let mut permutation: Vec<usize> = (0..n).collect();
    (1..n).rev().for_each(|i| permutation.swap(i, random.below(i + 1)));
    let moved: Vec<f32> = weight.chunks(n).flat_map(|row| permutation.iter().map(|&column| row[column])).collect();
    let moved_hessian: Vec<f64> = permutation
        .iter()
        .flat_map(|&i| permutation.iter().map(move |&j| (i, j)))
        .map(|(i, j)| hessian[i * n + j])
        .collect();
    // One group: the grids do not depend on the order of columns.
    let spec = spec(3, n, Scheme::Asymmetric);
    let here = solve::<f64>(&weight, size, &hessian, &spec);
    let there = solve::<f64>(&moved, size, &moved_hessian, &spec);
    for row in 0..rows {
        for column in 0..n {
            assert_eq!(there.rounded.codes[row * n + column], here.rounded.codes[row * n + permutation[column]]);
        }
    }
}

#[test]
fn dead_columns_are_rounded_to_nearest_and_listed() {
    let (rows, n) = (6, 50);
    let size = Size { rows, columns: n };
    let weight = Random::new(109).normals(size.count());
    let mut hessian = positive_definite(n, 110);
    for dead in [0, 17, 49] {
        (0..n).for_each(|i| (hessian[dead * n + i], hessian[i * n + dead]) = (0.0, 0.0));
    }
    let found = solve::<f32>(&weight, size, &hessian, &spec(4, 25, Scheme::Asymmetric));
    assert_eq!(factored::<f32>(&hessian, true).order.dead, [0, 17, 49]);
    let nearest = quantize_rtn(&weight, size, &spec(4, 25, Scheme::Asymmetric).grid, &Control::default()).unwrap();
    for row in 0..rows {
        for dead in [0, 17, 49] {
            assert_eq!(found.rounded.codes[row * n + dead], nearest.codes[row * n + dead]);
        }
    }
    let nothing = solve::<f32>(&weight, size, &vec![0.0; n * n], &spec(4, 25, Scheme::Asymmetric));
    assert_eq!(nothing.losses, vec![0.0; rows]);
    assert_eq!(nothing.rounded, nearest);
}

#[test]
fn clipped_grids_are_used_and_bits_never_depend_on_threads_or_blocks() {
    let (rows, n) = (300, 260);
    let size = Size { rows, columns: n };
    let weight = Random::new(111).normals(size.count());
    let hessian = positive_definite(n, 112);
    let importance: Vec<f32> = (0..n).map(|i| hessian[i * n + i] as f32).collect();
    let clip = Clip { grid: 20, max_shrink: 0.6, norm: Norm::Square, weights: Some(&importance) };
    let mut spec = spec(2, 64, Scheme::Symmetric);
    spec.grid.clip = Some(clip);
    let found = with_threads(1, || solve::<f32>(&weight, size, &hessian, &spec));
    for threads in [2, 3] {
        assert!(with_threads(threads, || solve::<f32>(&weight, size, &hessian, &spec)) == found);
    }
    let nearest = quantize_rtn(&weight, size, &spec.grid, &Control::default()).unwrap();
    assert_eq!(found.rounded.grids, nearest.grids);
    let double = solve::<f64>(&weight, size, &hessian, &spec);
    let other_blocks = solve::<f64>(&weight, size, &hessian, &GptqSpec { block_size: 19, ..spec });
    assert_eq!(double.rounded, other_blocks.rounded);
}

#[test]
fn a_stop_is_honoured_and_bad_moments_are_refused() {
    let size = Size { rows: 4, columns: 3 };
    let weight = [1.0; 12];
    let control = Control::default();
    control.stop();
    let identity = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    let spec = spec(4, 3, Scheme::Symmetric);
    let factor = factored::<f32>(&identity, true);
    assert_eq!(gptq(&weight, size, &factor, &spec, &control).unwrap_err(), Fault::interrupted());
    let bad = |hessian: &[f64]| factor_inputs::<f32>(hessian, 3, true, DAMPING, None, &Control::default()).is_err();
    assert!(bad(&[f64::NAN; 9]) && bad(&identity[..8]));
    assert!(gptq(&weight[..9], Size { rows: 3, ..size }, &factor, &spec, &Control::default()).is_ok());
    assert!(gptq(&weight, Size { rows: 6, columns: 2 }, &factor, &spec, &Control::default()).is_err());
}

#[test]
fn grids_that_are_given_are_kept_and_those_of_the_weight_change_nothing() {
    let size = Size { rows: 9, columns: 40 };
    let weight = Random::new(81).normals(size.count());
    let hessian = positive_definite(40, 82);
    let spec = spec(4, 16, Scheme::Asymmetric);
    let own = solve::<f64>(&weight, size, &hessian, &spec);
    let again = solve::<f64>(&weight, size, &hessian, &GptqSpec { grids: Some(&own.rounded.grids), ..spec });
    assert_eq!(own, again);
    let target: Vec<f32> = weight.iter().map(|weight| weight * 0.9 + 0.01).collect();
    let moved = solve::<f64>(&target, size, &hessian, &GptqSpec { grids: Some(&own.rounded.grids), ..spec });
    assert_eq!(moved.rounded.grids, own.rounded.grids);
    assert_ne!(moved.rounded.codes, own.rounded.codes);
}

#[test]
fn pairs_of_equal_inputs_and_no_drift_are_plain_gptq() {
    let size = Size { rows: 12, columns: 70 };
    let weight = Random::new(83).normals(size.count());
    let hessian = positive_definite(70, 84);
    let spec = GptqSpec { block_size: 16, ..spec(3, 16, Scheme::Asymmetric) };
    let plain = solve::<f64>(&weight, size, &hessian, &spec);
    let control = Control::default();
    let zeros = vec![0.0; 70 * 70];
    let paired = factor_inputs::<f64>(&hessian, 70, true, DAMPING, Some((&zeros, 1.0)), &control).unwrap();
    assert_eq!(gptq(&weight, size, &paired, &spec, &control).unwrap(), plain);
    let drifting = solve::<f64>(&weight, size, &hessian, &GptqSpec { drift: 1e-14, ..spec });
    assert_eq!(drifting.rounded, plain.rounded);
}

#[test]
fn pairs_and_drift_do_not_depend_on_the_block_size() {
    let size = Size { rows: 9, columns: 60 };
    let weight = Random::new(85).normals(size.count());
    let hessian = positive_definite(60, 86);
    let pairs: Vec<f64> = positive_definite(60, 87).iter().map(|value| 0.1 * value).collect();
    let control = Control::default();
    let factor = factor_inputs::<f64>(&hessian, 60, true, DAMPING, Some((&pairs, 1.0)), &control).unwrap();
    let run = |block_size| {
        let spec = GptqSpec { block_size, drift: 0.2, ..spec(4, 60, Scheme::Asymmetric) };
        gptq(&weight, size, &factor, &spec, &control).unwrap().rounded
    };
    assert_eq!(run(7), run(60));
}
