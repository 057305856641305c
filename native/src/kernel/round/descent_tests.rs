use super::*;
use crate::kernel::testing::{Random, positive_definite, with_threads};

struct Problem {
    size: Size,
    weight: Vec<f32>,
    codes: Vec<u8>,
    scales: Vec<f32>,
    target: Vec<f64>,
    a: Vec<f64>,
    b: Vec<f64>,
}

const GROUP: usize = 8;
const ZEROS: [u8; 1] = [4];

fn spec(passes: u32, refit: bool) -> DescentSpec<'static> {
    DescentSpec {
        group_size: GROUP,
        greatest: 7,
        zero_points: &ZEROS,
        passes,
        refit,
        store_scale: |scale| scale,
        ridge: 0.1,
        measure: true,
    }
}

fn problem(rows: usize, columns: usize, seed: u64) -> Problem {
    let mut random = Random::new(seed);
    let weight = random.normals(rows * columns);
    let groups = columns.div_ceil(GROUP);
    let mut scales = vec![0.0; rows * groups];
    let mut codes = vec![0; rows * columns];
    for row in 0..rows {
        for group in 0..groups {
            let range = group * GROUP..((group + 1) * GROUP).min(columns);
            let greatest = weight[row * columns..][range].iter().fold(0f32, |best, w| best.max(w.abs()));
            scales[row * groups + group] = greatest / 4.0;
        }
        for column in 0..columns {
            let scale = scales[row * groups + column / GROUP];
            codes[row * columns + column] =
                (weight[row * columns + column] / scale + 4.0).round().clamp(0.0, 7.0) as u8;
        }
    }
    let a = positive_definite(columns, seed + 1);
    let target = plain_product(&weight.iter().map(|&w| f64::from(w)).collect::<Vec<_>>(), &a, columns);
    Problem { size: Size { rows, columns }, weight, codes, scales, target, b: positive_definite(rows, seed + 2), a }
}

fn plain_product(left: &[f64], right: &[f64], inner: usize) -> Vec<f64> {
    let columns = right.len() / inner;
    left.chunks(inner)
        .flat_map(|row| (0..columns).map(move |c| (0..inner).map(|k| row[k] * right[k * columns + c]).sum()))
        .collect()
}

/// tr(B E A Eᵀ) of E = W - Q, from the definition.
fn loss(problem: &Problem, codes: &[u8], scales: &[f32], b: &[f64]) -> f64 {
    let Size { rows, columns } = problem.size;
    let groups = columns.div_ceil(GROUP);
    let e: Vec<f64> = (0..rows * columns)
        .map(|index| {
            let scale = scales[index / columns * groups + index % columns / GROUP];
            f64::from(problem.weight[index]) - (f64::from(codes[index]) - 4.0) * f64::from(scale)
        })
        .collect();
    let ea = plain_product(&e, &problem.a, columns);
    let mut sum = 0.0;
    for i in 0..rows {
        for k in 0..rows {
            let dot: f64 = (0..columns).map(|c| ea[i * columns + c] * e[k * columns + c]).sum();
            sum += b[i * rows + k] * dot;
        }
    }
    sum
}

fn run<T: Real>(problem: &Problem, b: Option<&[f64]>, spec: &DescentSpec) -> Descended {
    let b: Option<Vec<T>> = b.map(|b| b.iter().map(|&value| T::from_f64(value)).collect());
    let metric =
        Metric { target: &problem.target, inputs: &problem.a, noise: 0.0, weight: None, outputs: b.as_deref() };
    descend::<T>(&problem.codes, &problem.scales, problem.size, &metric, spec, &Control::default()).unwrap()
}

fn ridged(problem: &Problem) -> Vec<f64> {
    with_ridge::<f64>(&problem.b, problem.size.rows, 0.1)
}

fn identity(rows: usize) -> Vec<f64> {
    (0..rows * rows).map(|index| f64::from(u8::from(index % (rows + 1) == 0))).collect()
}

#[test]
fn the_reported_fall_is_the_fall_of_the_loss() {
    for (rows, columns, seed) in [(5, 16, 1), (70, 20, 2), (3, 130, 3), (130, 70, 4)] {
        let problem = problem(rows, columns, seed);
        for refit in [false, true] {
            let found = run::<f64>(&problem, Some(&problem.b), &spec(3, refit));
            let b = ridged(&problem);
            let before = loss(&problem, &problem.codes, &problem.scales, &b);
            let after = loss(&problem, &found.codes, &found.scales, &b);
            assert!(after < before, "{after} after {before}");
            assert!(((found.before - found.after) - (before - after)).abs() < 1e-8 * before);
        }
    }
}

#[test]
fn every_pass_and_every_fit_lowers_the_quadratic() {
    let problem = problem(40, 48, 5);
    let mut last = f64::INFINITY;
    for passes in 0..5 {
        let found = run::<f64>(&problem, Some(&problem.b), &spec(passes, true));
        assert!(found.after <= last + 1e-9 * last.abs().min(1e9));
        last = found.after;
    }
    let without = run::<f64>(&problem, Some(&problem.b), &spec(4, false));
    assert!(last < without.after);
}

#[test]
fn noise_stands_on_the_diagonal_of_the_inputs_and_leans_the_target_toward_the_weight() {
    let problem = problem(30, 40, 8);
    let columns = problem.size.columns;
    let noisy: Vec<f64> =
        (0..columns * columns).map(|at| problem.a[at] + if at % (columns + 1) == 0 { 0.7 } else { 0.0 }).collect();
    let leaning: Vec<f64> = problem.target.iter().zip(&problem.weight).map(|(t, &w)| t + 0.7 * f64::from(w)).collect();
    let descended = |target: &[f64], inputs: &[f64], noise: f64| {
        let metric = Metric { target, inputs, noise, weight: Some(&problem.weight), outputs: Some(&problem.b) };
        let spec = spec(3, true);
        descend::<f64>(&problem.codes, &problem.scales, problem.size, &metric, &spec, &Control::default()).unwrap()
    };
    let found = descended(&problem.target, &problem.a, 0.7);
    assert_eq!(found, descended(&leaning, &noisy, 0.0));
    assert_ne!(found.codes, descended(&problem.target, &noisy, 0.0).codes);
    assert_ne!(found.codes, descended(&problem.target, &problem.a, 0.0).codes);
}

#[test]
fn nothing_changes_at_the_bottom() {
    let problem = problem(20, 24, 6);
    let found = run::<f64>(&problem, Some(&problem.b), &spec(50, false));
    let again = Problem { codes: found.codes.clone(), ..problem };
    let rest = run::<f64>(&again, Some(&again.b), &spec(1, false));
    assert_eq!((rest.changes, rest.codes), (0, found.codes));
}

#[test]
fn no_single_change_of_a_code_improves_what_it_found() {
    let problem = problem(6, 10, 7);
    let found = run::<f64>(&problem, Some(&problem.b), &spec(60, false));
    let b = ridged(&problem);
    let best = loss(&problem, &found.codes, &found.scales, &b);
    for index in 0..found.codes.len() {
        for code in 0..8 {
            let mut codes = found.codes.clone();
            codes[index] = code;
            assert!(loss(&problem, &codes, &found.scales, &b) > best - 1e-9 * best);
        }
    }
}

#[test]
fn without_an_output_moment_it_is_the_identity() {
    let problem = problem(30, 40, 8);
    let alone = run::<f64>(&problem, None, &spec(3, true));
    let given = run::<f64>(&problem, Some(&identity(30)), &DescentSpec { ridge: 0.0, ..spec(3, true) });
    assert_eq!(alone.codes, given.codes);
    assert!(alone.after < alone.before);
}

#[test]
fn exact_weights_stay_as_they_are() {
    let mut exact = problem(10, 16, 9);
    let groups = 2;
    exact.weight = (0..160)
        .map(|index| (f32::from(exact.codes[index]) - 4.0) * exact.scales[index / 16 * groups + index % 16 / GROUP])
        .collect();
    let weight: Vec<f64> = exact.weight.iter().map(|&w| f64::from(w)).collect();
    exact.target = plain_product(&weight, &exact.a, 16);
    let found = run::<f64>(&exact, Some(&exact.b), &spec(2, true));
    assert_eq!(found.codes, exact.codes);
    for (found, scale) in found.scales.iter().zip(&exact.scales) {
        assert!((found - scale).abs() < 1e-5 * scale.abs());
    }
}

#[test]
fn results_do_not_depend_on_threads_and_single_precision_is_near() {
    let problem = problem(150, 140, 10);
    let run_with = |threads| with_threads(threads, || run::<f64>(&problem, Some(&problem.b), &spec(2, true)));
    let one = run_with(1);
    assert_eq!(one, run_with(2));
    assert_eq!(one, run_with(3));
    let single = run::<f32>(&problem, Some(&problem.b), &spec(2, true));
    let fall = one.before - one.after;
    assert!(((single.before - single.after) - fall).abs() < 0.02 * fall);
}
